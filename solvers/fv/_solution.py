"""Cell averages as functions of x and t."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers._solution import Representation
from solvers.fv._limiter import monotonized_central
from solvers.time import TimeSeries


class VolumeFunctions(Representation):
    """Monotone cubics between the centres of cells, beyond them straight lines.

    Attributes:
        series: averages (cells + 2, slots) in time, with one more cell at each end.
        centres: (cells + 2,).
    """

    series: TimeSeries
    centres: Array
    slots: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        last = len(self.centres) - 1
        i = jnp.clip(jnp.searchsorted(self.centres, x[0], side="right") - 1, 0, last - 1)
        index = jnp.clip(i + jnp.arange(-1, 3), 0, last)
        u, y = self.series(t, index), self.centres[index]
        h = y[2] - y[1]
        middle = (u[2] - u[1]) / h
        before = jnp.where(i > 0, (u[1] - u[0]) / jnp.where(i > 0, y[1] - y[0], 1.0), middle)
        inside = i < last - 1
        after = jnp.where(inside, (u[3] - u[2]) / jnp.where(inside, y[3] - y[2], 1.0), middle)
        s = (x[0] - y[1]) / h
        slope_left = h * monotonized_central(before, middle)
        slope_right = h * monotonized_central(middle, after)
        value = (
            (1 + 2 * s) * (1 - s) ** 2 * u[1]
            + s * (1 - s) ** 2 * slope_left
            + s**2 * (3 - 2 * s) * u[2]
            + s**2 * (s - 1) * slope_right
        )
        shapes = dict(self.shapes)
        return {n: value[k : k + size].reshape(shapes[n]) for n, k, size in self.slots}

    def frames(self) -> Array | None:
        return self.series.times
