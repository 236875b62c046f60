"""Chebyshev expansions as functions of x and t."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers._solution import Representation
from solvers.spectral._chebyshev_axis import Axis
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
        table = polynomials(x[0], a, b, coefficients.shape[-1])
        return _fields(self.layout, self.shapes, coefficients @ table)

    def frames(self) -> Array | None:
        return None if self.steady else self.series.times


class TensorFunctions(Representation):
    """Σ c Tⱼ(ξ) Tₖ(η) … on a box, with 1, cos, sin, … along periodic axes; c (slots, *points).

    `pins` moves fields by a constant to their values at one point: (field, x, value).
    """

    series: TimeSeries
    axes: tuple[Axis, ...] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    steady: bool = eqx.field(static=True)
    pins: tuple[tuple[str, Any, Any], ...] = ()

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        out = self._free(x, t)
        for name, place, value in self.pins:
            at = jnp.asarray(place, x.dtype)
            out[name] = out[name] + value(at, t) - self._free(at, t)[name]
        return out

    def _free(self, x: Array, t: Array) -> dict[str, Array]:
        out = self.series(t)
        for d in reversed(range(len(self.axes))):
            out = out @ self.axes[d].table(x[d])
        return _fields(self.layout, self.shapes, out)

    def frames(self) -> Array | None:
        return None if self.steady else self.series.times


def _fields(layout: Layout, shapes, slots: Array) -> dict[str, Array]:
    return {
        name: slots[layout.offsets[name] : layout.offsets[name] + layout.sizes[name]].reshape(shape)
        for name, shape in shapes
    }
