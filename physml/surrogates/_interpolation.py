"""Samples on a uniform grid as a function of position: waves where periodic, cubics elsewhere."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class GridFunction(eqx.Module):
    """Interpolates samples (*points, components) on a uniform grid of a box.

    Periodic directions: the trigonometric interpolant, exact for band-limited functions. Others:
    the cubic through the four nearest nodes, of fourth order (linear below four nodes).

    Attributes:
        values: samples; in periodic directions their real Fourier coefficients.
    """

    values: Array
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def __init__(
        self,
        samples: Array,
        low: tuple[float, ...],
        high: tuple[float, ...],
        periodic: tuple[bool, ...],
    ):
        values = samples
        for axis, flag in enumerate(periodic):
            if flag:
                values = _to_waves(values, axis)
        self.values = values
        self.low, self.high, self.periodic = low, high, periodic

    def __call__(self, x: Array) -> Array:
        """All components at one point x (dim,)."""
        out = self.values
        for axis, flag in enumerate(self.periodic):
            s = (x[axis] - self.low[axis]) / (self.high[axis] - self.low[axis])
            s = s.astype(out.dtype)
            out = _waves_at(out, s) if flag else _cubic_at(out, s)
        return out


def _to_waves(values: Array, axis: int) -> Array:
    """Real Fourier coefficients along one axis: cosines 0 … n/2, then sines 1 …; n in all."""
    n = values.shape[axis]
    hat = jnp.fft.rfft(values, axis=axis, norm="forward")
    count = (n - 1) // 2  # modes that stand for themselves and their conjugates
    weight = np.ones(hat.shape[axis])
    weight[1 : count + 1] = 2.0
    shape = [1] * values.ndim
    shape[axis] = -1
    hat = hat * jnp.asarray(weight.reshape(shape), values.dtype)
    sines = jax.lax.slice_in_dim(hat, 1, count + 1, axis=axis)
    return jnp.concatenate([hat.real, -sines.imag], axis=axis)


def _waves_at(values: Array, s: Array) -> Array:
    n = values.shape[0]
    cosines, sines = np.arange(n // 2 + 1), np.arange(1, (n - 1) // 2 + 1)
    angle = 2 * np.pi * s
    basis = jnp.concatenate([jnp.cos(cosines * angle), jnp.sin(sines * angle)])
    return jnp.tensordot(basis.astype(values.dtype), values, 1)


def _cubic_at(values: Array, s: Array) -> Array:
    n = values.shape[0]
    width = min(4, n)
    place = s * (n - 1)
    start = jnp.clip(jnp.floor(place).astype(int) - (width // 2 - 1), 0, n - width)
    offset = place - start
    weights = []
    for i in range(width):
        others = [j for j in range(width) if j != i]
        scale = math.prod(i - j for j in others)
        weights.append(jnp.prod(jnp.stack([offset - j for j in others])) / scale)
    block = jax.lax.dynamic_slice_in_dim(values, start, width, axis=0)
    return jnp.tensordot(jnp.stack(weights).astype(values.dtype), block, 1)
