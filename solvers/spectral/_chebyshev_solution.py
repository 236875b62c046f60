"""Chebyshev expansions as functions of x and t."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._solution import Representation
from solvers.spectral._chebyshev_grid import polynomials
from solvers.spectral._chebyshev_layout import Layout
from solvers.time import TimeSeries


class LineFunctions(Representation):
    """Σₖ cₖ Tₖ(ξ) in each panel of an interval; coefficients (panels, slots, points) in time."""

    series: TimeSeries
    edges: Array
    layout: Layout = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    steady: bool = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        p = jnp.clip(jnp.searchsorted(self.edges, x[0], side="right") - 1, 0, len(self.edges) - 2)
        a, b = self.edges[p], self.edges[p + 1]
        coefficients = self.series(t, p)
        table = polynomials((2 * x[0] - a - b) / (b - a), coefficients.shape[-1])
        return _fields(self.layout, self.shapes, coefficients @ table)

    def frames(self) -> Array | None:
        return None if self.steady else self.series.times


class SquareFunctions(Representation):
    """Σ cⱼₖ Tⱼ(ξ) Tₖ(η) on a rectangle; coefficients (slots, points x, points y) in time."""

    series: TimeSeries
    lower: tuple[float, float] = eqx.field(static=True)
    upper: tuple[float, float] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    steady: bool = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        low, high = np.array(self.lower), np.array(self.upper)
        xi = (2 * x - low - high) / (high - low)
        coefficients = self.series(t)
        first = polynomials(xi[0], coefficients.shape[1])
        second = polynomials(xi[1], coefficients.shape[2])
        return _fields(self.layout, self.shapes, (coefficients @ second) @ first)

    def frames(self) -> Array | None:
        return None if self.steady else self.series.times


def _fields(layout: Layout, shapes, slots: Array) -> dict[str, Array]:
    return {
        name: slots[layout.offsets[name] : layout.offsets[name] + layout.sizes[name]].reshape(shape)
        for name, shape in shapes
    }
