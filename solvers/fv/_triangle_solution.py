"""Averages on triangles as functions of x and t."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers._solution import Representation
from solvers.fv._triangles import TriangleSystem
from solvers.time import TimeSeries


class TriangleFunctions(Representation):
    """Straight in each cell, with the limited gradient; values jump at faces.

    Attributes:
        series: averages and gradients (cells, slots, 3) in time. locator: from points to cells.
    """

    series: TimeSeries
    locator: Any
    centroids: Array
    slots: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        cell, _ = self.locator(x)
        found = self.series(t, cell)
        value = found[:, 0] + found[:, 1:] @ (x - self.centroids[cell])
        shapes = dict(self.shapes)
        return {n: value[k : k + size].reshape(shapes[n]) for n, k, size in self.slots}

    def frames(self) -> Array | None:
        return self.series.times


def triangle_functions(system: TriangleSystem, series: TimeSeries) -> TriangleFunctions:
    """The averages of `series` with their slopes."""
    # Where points are found in meshes is the finite elements' knowledge; they read fluxes here.
    from solvers.fem._locate import Locator

    def both(frame: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        z, slope, t = frame

        def full(u: Array) -> Array:
            return jnp.concatenate([u[:, None], system.slopes(u, t)], axis=1).transpose(2, 0, 1)

        return jax.jvp(full, (z,), (slope,))

    states, slopes = jax.lax.map(both, (series.states, series.slopes, series.times))
    mesh = system.mesh.value
    return TriangleFunctions(
        TimeSeries(series.times, states, slopes, series.count),
        Locator(mesh, jnp.asarray(mesh.points, series.states.dtype)),
        system.geometry["centroids"].T,
        system.law.offsets,
        tuple(system.problem.shapes.items()),
    )
