"""Pointwise integrands in the unknowns, and what they depend on.

One solve of a steady problem or of an implicit stage is

    σ m(z) + α · (weak residual) = right,

so that one integrand serves both: c₀ = σ m + α c₀ʷ, c₁ = α c₁ʷ with the weak density (c₀ʷ, c₁ʷ).
Fields of second order in time enter with the rate v = (u − a)/b, for data a and b.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pdes import FieldCondition, Point, Problem, depends_on
from pdes._arrays import on_device
from solvers._weak import boundary_density, weak_density
from solvers.fem._supg import supg_flux

Values = dict[str, Array]


class Place(eqx.Module):
    """Where an integrand is evaluated, at one point: position, time, region, cell, normal.

    `inverse` is ∂ξ/∂x of the map from the reference cell, (dim, dim) as [reference, physical];
    `penalty` that of a jump on a facet; `outside` the place in the other cell of an interior facet.
    """

    x: Array
    t: Array
    region: Array
    cell: Array
    n: Array | None = None
    inverse: Array | None = None
    penalty: Array | None = None
    outside: Place | None = None


class Scales(eqx.Module):
    """The factors of one evaluation.

    Attributes:
        storage: σ. spatial: α. rate: 1/b in v = (u − a)/b, for fields of second order in time.
    """

    storage: Array
    spatial: Array
    rate: Array


class CellDensity(eqx.Module):
    """(c₀, c₁) of every equation at one point."""

    problem: Problem
    transient: bool = eqx.field(static=True)
    stabilization: str | None = eqx.field(static=True, default=None)
    simplex: bool = eqx.field(static=True, default=True)

    def __call__(
        self, values: Values, gradients: Values, place: Place, anchors: Values, scales: Scales
    ) -> dict[str, tuple[Array, Array]]:
        """`anchors`: a of each field of second order in time."""
        p = Point(place.x, place.t, values, gradients, None, place.region, place.cell)
        out = {}
        for name, form in self.problem.forms().items():
            c0, c1 = weak_density(form, p)
            if self.stabilization == "supg" and form.kind == "Balance":
                assert place.inverse is not None
                c1 = c1 + supg_flux(form, p, place.inverse, self.simplex)
            c0, c1 = scales.spatial * c0, scales.spatial * c1
            if self.transient and form.has_storage:
                c0 = c0 + scales.storage * form.storage(p)
            if self.transient and form.has_inertia:
                rate = (values[name] - anchors[name]) * scales.rate
                c0 = c0 + scales.storage * form.inertia(p) * rate
            out[name] = (c0, c1)
        return out


class StorageDensity(eqx.Module):
    """m of every equation at one point, with the rates v given: σ = 1, α = 0."""

    problem: Problem

    def __call__(
        self, values: Values, gradients: Values, place: Place, anchors: Values, scales: Scales
    ) -> dict[str, tuple[Array, None]]:
        """`anchors`: the rate v of each field of second order in time."""
        p = Point(place.x, place.t, values, None, None, place.region, place.cell)
        out = {}
        for name, form in self.problem.forms().items():
            total = jnp.zeros(form.shape, place.x.dtype)
            if form.has_storage:
                total = total + form.storage(p)
            if form.has_inertia:
                total = total + form.inertia(p) * anchors[name]
            if form.has_storage or form.has_inertia:
                out[name] = (total, None)
        return out


class FacetDensity(eqx.Module):
    """c of every boundary integral on one part of the boundary, at one point."""

    problem: Problem
    part: str = eqx.field(static=True)
    fields: tuple[str, ...] = eqx.field(static=True)

    def __call__(
        self, values: Values, gradients: Values, place: Place, anchors: Values, scales: Scales
    ) -> dict[str, tuple[Array, None]]:
        p = Point(place.x, place.t, values, gradients, place.n, place.region, place.cell)
        forms = self.problem.forms()
        return {
            name: (scales.spatial * boundary_density(forms[name], self.condition(name), p), None)
            for name in self.fields
        }

    def condition(self, name: str) -> FieldCondition:
        return self.problem.conditions[self.part][name]


def sample(problem: Problem, *, normal: bool) -> tuple[Any, ...]:
    """Arguments of a density at a point of ones, for tracing."""
    dtype = jnp.result_type(float)

    def ones(*shape: int) -> Array:
        return on_device(np.ones(shape, dtype))

    one = ones()
    index = on_device(np.zeros((), np.int32))
    dim = problem.dim
    values = {name: ones(*shape) for name, shape in problem.shapes.items()}
    gradients = {name: ones(*shape, dim) for name, shape in problem.shapes.items()}
    x, inverse = ones(dim), on_device(np.eye(dim, dtype=dtype))
    place = Place(x, one, index, index, ones(dim) if normal else None, inverse)
    anchors = {n: v for n, v in values.items() if problem.forms()[n].has_inertia}
    return values, gradients, place, anchors, Scales(one, one, one)


def vanishes(density: Callable, arguments: tuple[Any, ...]) -> bool:
    """Whether a boundary integrand is zero whatever the point, the fields and the data."""
    try:
        used = depends_on(lambda *args: density(*args), *arguments[:3])
        if any(jax.tree.leaves(used)):
            return False
        outputs = jax.tree.leaves(density(*arguments))
    except Exception:  # a term that can't be evaluated here is evaluated, and reported, later
        return False
    return all(not isinstance(o, Tracer) and not jnp.any(o) for o in outputs)
