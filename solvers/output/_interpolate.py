"""Piecewise cubic interpolation of samples, and their smooth continuation past a boundary."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from solvers._solution import KnownTimes

Floats = NDArray[np.floating]

# Finite-difference extrapolation from one, two, three or four nodes of a line.
_EXTRAPOLATION = ((1.0,), (2.0, -1.0), (3.0, -3.0, 1.0), (4.0, -6.0, 4.0, -1.0))


class Interpolated(KnownTimes):
    """Fields by piecewise cubic Lagrange interpolation on a lattice and in time.

    Of fourth order where the field is smooth; continuous. NaN outside the lattice, and at times
    that are not kept where `exact_times`.
    """

    axes: tuple[Array, ...]
    times: Array
    data: dict[str, Array]
    exact_times: bool = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        stencils = [_stencil(axis, x[i]) for i, axis in enumerate(self.axes)]
        if self.exact_times:
            nearest = jnp.argmin(jnp.abs(self.times - t))
            span = jnp.maximum(self.times[-1] - self.times[0], 1e-300)
            met = jnp.abs(self.times[nearest] - t) <= 1e-6 * span
            weight = jnp.where(met | (len(self.times) == 1), 1.0, jnp.nan).astype(x.dtype)
            stencils.insert(0, (nearest[None], weight[None]))
        else:
            stencils.insert(0, _stencil(self.times, t))
        out = {}
        for name, data in self.data.items():
            index = jnp.ix_(*[nodes for nodes, _ in stencils])
            block = data[index]
            for _, weights in stencils:
                block = jnp.tensordot(weights.astype(data.dtype), block, axes=1)
            out[name] = block
        return out

    def frames(self) -> Array | None:
        return self.times if len(self.times) > 1 else None

    def known_times(self) -> Array | None:
        return self.times if self.exact_times and len(self.times) > 1 else None


def _stencil(axis: Array, x: Array) -> tuple[Array, Array]:
    """Nodes about x and their Lagrange weights; NaN weights outside."""
    size = min(4, len(axis))
    if size == 1:
        return jnp.zeros(1, int), jnp.ones(1, axis.dtype)
    first = jnp.clip(jnp.searchsorted(axis, x, side="right") - size // 2, 0, len(axis) - size)
    nodes = first + jnp.arange(size)
    at = axis[nodes]
    slack = 1e-9 * (axis[-1] - axis[0])
    outside = (x < axis[0] - slack) | (x > axis[-1] + slack)
    weights = []
    for k in range(size):
        others = [m for m in range(size) if m != k]
        weights.append(math.prod([(x - at[m]) / (at[k] - at[m]) for m in others]))
    return nodes, jnp.where(outside, jnp.nan, jnp.stack(weights))


def continued(values: Floats, dim: int, layers: int = 4) -> Floats:
    """Values (frames, *lattice, …) with NaN outside the domain, continued by some layers of nodes.

    Along each line of the lattice by cubic extrapolation (of lower order where fewer nodes are
    known), averaged over the lines that reach a node.
    """
    out = np.array(values)
    for _ in range(layers):
        missing = np.isnan(out)
        if not missing.any():
            break
        best = np.full(out.shape, np.nan)
        for stencil in reversed(_EXTRAPOLATION):
            total, count = np.zeros(out.shape), np.zeros(out.shape)
            for axis in range(1, dim + 1):
                for direction in (1, -1):
                    estimate = sum(
                        c * _shifted(out, axis, direction * (k + 1)) for k, c in enumerate(stencil)
                    )
                    known = ~np.isnan(estimate)
                    total[known] += np.asarray(estimate)[known]
                    count[known] += 1
            new = missing & (count > 0) & np.isnan(best)
            best[new] = total[new] / count[new]
        out = np.where(missing, best, out)
    return out


def _shifted(values: Floats, axis: int, by: int) -> Floats:
    """The value `by` nodes further along an axis, NaN past the end."""
    out = np.full(values.shape, np.nan, values.dtype)
    source = [slice(None)] * values.ndim
    target = [slice(None)] * values.ndim
    if by > 0:
        source[axis], target[axis] = slice(by, None), slice(None, -by)
    else:
        source[axis], target[axis] = slice(None, by), slice(-by, None)
    out[tuple(target)] = values[tuple(source)]
    return out
