"""TimeSeries: states at frames, interpolated in time by cubic Hermite polynomials."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


class TimeSeries(eqx.Module):
    """States z at increasing times, as a function of t of fourth order between them.

    Attributes:
        times: (frames,); entries from `count` on are unused.
        states: (frames, *z.shape). slopes: ∂z/∂t there, of the same shape.
        count: number of frames in use.
    """

    times: Array
    states: Array
    slopes: Array
    count: Any

    def __init__(self, times: Array, states: Array, slopes: Array | None = None, count: Any = None):
        """`slopes` not given are found from the states by finite differences of fourth order."""
        self.times = times
        self.states = states
        self.count = len(times) if count is None else count
        self.slopes = finite_slopes(times, states, self.count) if slopes is None else slopes

    def __call__(self, t: Any, index: Any = None) -> Array:
        """z(t), or only its entries `index` along the first axis, at one time t.

        Times outside are answered by the state at that end.
        """
        t = jnp.clip(jnp.asarray(t, self.times.dtype), self.times[0], self.times[self.count - 1])
        valid = jnp.arange(len(self.times)) < self.count
        grid = jnp.where(valid, self.times, jnp.inf)
        if len(self.times) == 1:
            return self.states[0] if index is None else self.states[0, index]
        i = jnp.clip(jnp.searchsorted(grid, t, side="right") - 1, 0, self.count - 2)
        h = self.times[i + 1] - self.times[i]
        s = (t - self.times[i]) / h
        left = (1 + 2 * s) * (1 - s) ** 2, s * (1 - s) ** 2 * h
        right = s**2 * (3 - 2 * s), s**2 * (s - 1) * h

        def pick(data: Array, j: Any) -> Array:
            # One gather: a frame is never copied as a whole for a few of its entries.
            return data[j] if index is None else data[j, index]

        return (
            left[0] * pick(self.states, i)
            + left[1] * pick(self.slopes, i)
            + right[0] * pick(self.states, i + 1)
            + right[1] * pick(self.slopes, i + 1)
        )


def at_rest(z: Array) -> TimeSeries:
    """The series of one state that does not change."""
    return TimeSeries(*_at_rest(z))


@jax.jit
def _at_rest(z: Array) -> tuple[Array, Array, Array]:
    return jnp.zeros(1, z.real.dtype), z[None], jnp.zeros_like(z)[None]


def finite_slopes(times: Array, states: Array, count: Any) -> Array:
    """∂z/∂t at each frame from the polynomial through the five nearest (fewer at need)."""
    frames = len(times)
    width = min(5, frames)
    if width == 1:
        return jnp.zeros_like(states)
    used = jnp.asarray(count)

    def slope(i: Array) -> Array:
        i = jnp.minimum(i, used - 1)
        start = jnp.clip(i - width // 2, 0, jnp.maximum(used - width, 0))
        nodes = jax.lax.dynamic_slice_in_dim(times, start, width)
        # Padding beyond `count` must not enter: give it no weight.
        inside = start + jnp.arange(width) < used
        scale = nodes[-1] - nodes[0]
        spread = jnp.arange(width, dtype=times.dtype) * jnp.where(jnp.isfinite(scale), scale, 1.0)
        nodes = jnp.where(inside, nodes, nodes[0] + spread)
        weights = _derivative_weights(nodes, i - start, inside)
        block = jax.lax.dynamic_slice_in_dim(states, start, width)
        block = jnp.where(inside.reshape(-1, *(1,) * (states.ndim - 1)), block, 0.0)
        return jnp.tensordot(weights, block, 1)

    return jax.lax.map(slope, jnp.arange(frames))


def _derivative_weights(nodes: Array, at: Array, inside: Array) -> Array:
    """Weights of the derivative at nodes[at] of the polynomial through the nodes in use."""
    gaps = nodes[:, None] - nodes[None, :]
    same = jnp.eye(len(nodes), dtype=bool)
    pair = inside[:, None] & inside[None, :] & ~same
    product = jnp.prod(jnp.where(pair, gaps, 1.0), axis=1)
    gap = nodes[at] - nodes
    other = inside & (jnp.arange(len(nodes)) != at)
    weights = product[at] / (jnp.where(other, gap, 1.0) * product)
    weights = jnp.where(other, weights, 0.0)
    own = jnp.sum(jnp.where(other, 1.0 / jnp.where(other, gap, 1.0), 0.0))
    return weights.at[at].set(own)
