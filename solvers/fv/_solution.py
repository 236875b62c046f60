"""Cell averages on boxes as functions of x and t."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers._solution import Representation
from solvers.fv._limiter import monotonized_central
from solvers.fv._weno import central_weno5
from solvers.time import TimeSeries


class VolumeFunctions(Representation):
    """Averages between cells: monotone cubics through the centres, or polynomials in each cell.

    In several dimensions one direction after the other.

    Attributes:
        series: averages (cells, slots) in time, the last direction's fastest, with one more cell
            at each end of every direction, two for `weno`.
        centres: of these cells, for each direction.
        weno: whether the value is that of WENO's polynomials in the cell, of fifth order; they
            jump at faces.
    """

    series: TimeSeries
    centres: tuple[Array, ...]
    weno: bool = eqx.field(static=True)
    slots: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        indices, kernels = [], []
        for axis, centres in enumerate(self.centres):
            kernel = _in_cell if self.weno else _between
            index, weigh = kernel(centres, x[axis])
            indices.append(index)
            kernels.append(weigh)
        lengths = tuple(len(c) for c in self.centres)
        flat = jnp.zeros((), int)
        for index, length in zip(indices, lengths, strict=True):
            flat = flat[..., None] * length + index
        found = self.series(t, flat.reshape(-1))
        block = found.reshape(*flat.shape, -1)
        for weigh in kernels:
            block = weigh(block)
        shapes = dict(self.shapes)
        return {n: block[k : k + size].reshape(shapes[n]) for n, k, size in self.slots}

    def frames(self) -> Array | None:
        return self.series.times


def _in_cell(centres: Array, x: Array):
    """The five averages around the cell that holds x, and how their first axis is contracted."""
    h = centres[1] - centres[0]
    place = jnp.floor((x - centres[0]) / h + 0.5).astype(int)
    cell = jnp.clip(place, 2, len(centres) - 3)
    index = cell + jnp.arange(-2, 3)
    s = (x - centres[cell]) / h
    return index, lambda u: central_weno5(tuple(u[i] for i in range(5)), s)


def _between(centres: Array, x: Array):
    """The four averages around x, and how their first axis is contracted: monotone cubics between
    the centres, beyond them straight lines."""
    last = len(centres) - 1
    i = jnp.clip(jnp.searchsorted(centres, x, side="right") - 1, 0, last - 1)
    index = jnp.clip(i + jnp.arange(-1, 3), 0, last)
    y = centres[index]
    h = y[2] - y[1]
    inside = i < last - 1
    gap_before = jnp.where(i > 0, y[1] - y[0], 1.0)
    gap_after = jnp.where(inside, y[3] - y[2], 1.0)
    s = (x - y[1]) / h

    def contract(u: Array) -> Array:
        middle = (u[2] - u[1]) / h
        before = jnp.where(i > 0, (u[1] - u[0]) / gap_before, middle)
        after = jnp.where(inside, (u[3] - u[2]) / gap_after, middle)
        slope_left = h * monotonized_central(before, middle)
        slope_right = h * monotonized_central(middle, after)
        return (
            (1 + 2 * s) * (1 - s) ** 2 * u[1]
            + s * (1 - s) ** 2 * slope_left
            + s**2 * (3 - 2 * s) * u[2]
            + s**2 * (s - 1) * slope_right
        )

    return index, contract
