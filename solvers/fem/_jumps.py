"""Numerical fluxes of discontinuous elements, at one point of a facet, from the terms as written.

With n from inside (−) to outside (+), [u] = u⁻ − u⁺ and {·} the mean, the terms of a balance add

    ∮ {F·n}[v] + Σ± ½ D±:∇v± − Σ± τ± (D±·n)[v],  D = ∂F/∂∇u applied to [u]⊗n

for fluxes that use gradients (symmetric interior penalty; D = −k[u]n for F = −k∇u), and

    ∮ ({F·n} + ½ λ[u])[v] − (∂s/∂∇u applied to [u]⊗n) as ½{·}(v⁻ + v⁺), + ½ λ[u][v]

for the others and for sources that use gradients, which jump with the field: λ is the largest
modulus of the eigenvalues of ∂(F·n)/∂u − ∂s/∂∇u·n on both sides, so that the flux is upwind for
one linear equation. On the boundary the outer state is the prescribed one, and {·} the trace.

Source: Arnold (1982); Di Pietro and Ern (2012), chapters 2 and 4; Rusanov (1961).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes import FieldCondition, Form, Point, Problem, depends_on
from pdes._pde import sample_point
from solvers.fem._density import Place, Scales, Values, sample
from solvers.fem._tables import OUTSIDE
from solvers.fv._riemann import spectral_radius

Forms = Mapping[str, Form]


def with_gradients(form: Form) -> tuple[str, ...]:
    """Names of the flux terms that use gradients."""
    terms = zip(form.flux_names, form.equation.flux, strict=True)
    return tuple(name for name, term in terms if form.dependence(term).gradients)


def without_gradients(form: Form) -> tuple[str, ...]:
    """Names of the flux terms that don't."""
    chosen = with_gradients(form)
    return tuple(name for name in form.flux_names if name not in chosen)


def jumping_sources(form: Form) -> tuple[str, ...]:
    """Names of the source terms that use gradients."""
    terms = zip(form.source_names, form.equation.source, strict=True)
    return tuple(name for name, term in terms if form.dependence(term).gradients)


def is_quasilinear(form: Form, term: Any) -> bool:
    """Whether a term is affine in the gradients."""
    p = sample_point(form.shapes, form.dim)

    def along(values: Values, gradients: Any, seeds: Any) -> Array:
        def moved(g: Any) -> Array:
            return jnp.asarray(term(eqx.tree_at(lambda q: (q.values, q.gradients), p, (values, g))))

        return jax.jvp(moved, (gradients,), (seeds,))[1]

    return not any(depends_on(along, p.values, p.gradients, p.gradients)[1].values())


def transported(forms: Forms) -> list[tuple[str, ...]]:
    """Fields with terms of first order, those together that these terms couple."""
    links: dict[str, set[str]] = {}
    for name, form in forms.items():
        plain, jumping = without_gradients(form), jumping_sources(form)
        if not plain and not jumping:
            continue
        links[name] = {name}
        for label, term in zip(form.flux_names, form.equation.flux, strict=True):
            links[name] |= form.dependence(term).values if label in plain else set()
        for label, term in zip(form.source_names, form.equation.source, strict=True):
            links[name] |= form.dependence(term).gradients if label in jumping else set()
    groups: list[set[str]] = []
    for name, linked in links.items():
        linked = {name} | (linked & set(links))
        for other in [g for g in groups if g & linked]:
            linked |= other
            groups.remove(other)
        groups.append(linked)
    return [tuple(name for name in forms if name in group) for group in groups]


class InteriorDensity(eqx.Module):
    """(c₀, c₁) of every equation on a facet between two cells, for test functions of both.

    Fields marked `OUTSIDE` are those of the outer cell.
    """

    problem: Problem

    def __call__(
        self, values: Values, gradients: Values, place: Place, anchors: Values, scales: Scales
    ) -> dict[str, tuple[Array, Array | None]]:
        assert place.n is not None and place.outside is not None
        forms = self.problem.forms()
        inside = _point(place, values, gradients, "")
        outside = _point(place.outside, values, gradients, OUTSIDE)
        jump = {name: inside.values[name] - outside.values[name] for name in forms}
        sides = [(inside, 0.5, place.penalty), (outside, 0.5, place.outside.penalty)]
        through, tilted = diffusive_flux(forms, sides, place.n, jump)
        carried, source = transport_flux(forms, inside, outside, place.n, jump)
        out: dict[str, tuple[Array, Array | None]] = {}
        for name in forms:
            flux = through[name] + carried[name]
            for mark, sign, own in (("", 1.0, tilted[0]), (OUTSIDE, -1.0, tilted[1])):
                c0 = sign * flux + source[name] if name in source else sign * flux
                c1 = scales.spatial * own[name] if name in own else None
                out[mark + name] = (scales.spatial * c0, c1)
        return out


class BoundaryDensity(eqx.Module):
    """(c₀, c₁) of every equation on one part of the boundary."""

    problem: Problem
    part: str = eqx.field(static=True)

    def __call__(
        self, values: Values, gradients: Values, place: Place, anchors: Values, scales: Scales
    ) -> dict[str, tuple[Array, Array | None]]:
        n, forms = place.n, self.problem.forms()
        assert n is not None
        conditions = self.problem.conditions[self.part]
        inside = _point(place, values, gradients, "")
        jump = {
            name: _essential_part(
                conditions.get(name), value - _prescribed(conditions.get(name), value, place), n
            )
            for name, value in values.items()
        }
        beyond = {name: value - jump[name] for name, value in values.items()}
        outside = eqx.tree_at(lambda p: p.values, inside, beyond)
        through, tilted = diffusive_flux(forms, [(inside, 1.0, place.penalty)], n, jump)
        carried, source = transport_flux(forms, inside, outside, n, jump)
        at_boundary = Point(place.x, place.t, values, gradients, n, place.region, place.cell)
        out: dict[str, tuple[Array, Array | None]] = {}
        for name, form in forms.items():
            condition = conditions.get(name)
            c0 = _essential_part(condition, through[name] + carried[name], n)
            if condition is not None and not condition.all_essential and form.equation.flux:
                natural = condition.natural(form, at_boundary)
                c0 = c0 + natural - _essential_part(condition, natural, n)
            c0 = c0 + source[name] if name in source else c0
            c1 = scales.spatial * tilted[0][name] if name in tilted[0] else None
            out[name] = (scales.spatial * c0, c1)
        return out


def _point(place: Place, values: Values, gradients: Values, mark: str) -> Point:
    """The point as one cell sees it; terms are those of the interior, and know no normal."""
    names = [name.removeprefix(mark) for name in values if name.startswith(OUTSIDE) == bool(mark)]
    return Point(
        place.x,
        place.t,
        {name: values[mark + name] for name in names},
        {name: gradients[mark + name] for name in names},
        None,
        place.region,
        place.cell,
    )


def _prescribed(condition: FieldCondition | None, value: Array, place: Place) -> Array:
    if condition is None or condition.normal_only or not condition.any_essential:
        return jnp.zeros_like(value)
    return condition.value(place.x, place.t).reshape(value.shape)


def _essential_part(condition: FieldCondition | None, value: Array, n: Array) -> Array:
    """The components that the condition prescribes; of a slip the normal one."""
    if condition is None:
        return jnp.zeros_like(value)
    if condition.normal_only:
        return (value @ n) * n
    mask = jnp.array([float(e) for e in condition.essential], value.dtype)
    return value * mask.reshape(value.shape)


def diffusive_flux(
    forms: Forms, sides: list[tuple[Point, float, Any]], n: Array, jump: Values
) -> tuple[Values, list[Values]]:
    """Of the flux terms that use gradients.

    Arguments:
        sides: the points with their shares of the mean and their penalties τ.

    Returns:
        What leaves the inner cell by field, {F·n} − Σ τ D·n, and for each side the part c₁ of the
        integrand c₁:∇v, share · D.
    """
    seeds = {name: value[..., None] * n for name, value in jump.items()}
    through = {name: jnp.zeros_like(value) for name, value in jump.items()}
    tilted: list[Values] = []
    for p, share, penalty in sides:
        chosen = {name: with_gradients(form) for name, form in forms.items()}

        def fluxes(gradients: Values, p: Point = p, chosen: Any = chosen) -> Values:
            at = eqx.tree_at(lambda q: q.gradients, p, gradients)
            return {k: forms[k].flux(at, terms) for k, terms in chosen.items() if terms}

        found, along = jax.jvp(fluxes, (p.gradients,), (seeds,))
        for name, flux in found.items():
            through[name] = through[name] + share * (flux @ n) - penalty * (along[name] @ n)
        tilted.append({name: share * value for name, value in along.items()})
    return through, tilted


def transport_flux(
    forms: Forms, inside: Point, outside: Point, n: Array, jump: Values
) -> tuple[Values, Values]:
    """Of the terms of first order.

    Returns:
        What leaves the inner cell by field, and the density of the sources' jumps where there are
        any, for test functions of both cells.
    """
    leaving = {name: jnp.zeros_like(value) for name, value in jump.items()}
    sources: Values = {}
    for group in transported(forms):
        shapes = {name: jump[name].shape for name in group}
        sizes = [jump[name].size for name in group]

        def apart(slots: Array, shapes: Any = shapes, sizes: Any = sizes) -> Values:
            parts = jnp.split(slots, [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)])
            return {k: a.reshape(s) for (k, s), a in zip(shapes.items(), parts, strict=True)}

        def together(values: Values, group: Any = group) -> Array:
            return jnp.concatenate([values[name].reshape(-1) for name in group])

        speeds = []
        for p in (inside, outside):
            at = together(p.values)

            def normal(slots: Array, p: Point = p, at: Array = at) -> Array:
                """F·n − s, its gradient moved with the value."""
                moved = apart(slots)
                step = {name: value[..., None] * n for name, value in apart(slots - at).items()}
                q = eqx.tree_at(
                    lambda q: (q.values, q.gradients),
                    p,
                    (p.values | moved, _moved(p.gradients, step)),
                )
                fixed = eqx.tree_at(lambda q: q.values, q, p.values)
                flux = {k: forms[k].flux(q, without_gradients(forms[k])) @ n for k in moved}
                return together(
                    {
                        k: f - forms[k].source(fixed, jumping_sources(forms[k]))
                        for k, f in flux.items()
                    }
                )

            speeds.append(spectral_radius(normal, at))
            for name in group:
                terms = without_gradients(forms[name])
                if terms:
                    leaving[name] = leaving[name] + 0.5 * (forms[name].flux(p, terms) @ n)
                if jumping_sources(forms[name]):
                    change = 0.25 * _source_jump(forms[name], p, n, jump)
                    sources[name] = sources.get(name, 0.0) + change
        speed = jnp.maximum(*speeds)
        for name in group:
            leaving[name] = leaving[name] + 0.5 * speed * jump[name]
    return leaving, sources


def _moved(gradients: Any, step: Values) -> Values:
    return gradients | {name: gradients[name] + change for name, change in step.items()}


def _source_jump(form: Form, p: Point, n: Array, jump: Values) -> Array:
    """∂s/∂∇u applied to [u]⊗n."""
    seeds = {name: value[..., None] * n for name, value in jump.items()}

    def source(gradients: Values) -> Array:
        at = eqx.tree_at(lambda q: q.gradients, p, gradients)
        return form.source(at, jumping_sources(form))

    return jax.jvp(source, (p.gradients,), (seeds,))[1]


def sample_facet(problem: Problem, *, interior: bool) -> tuple[Any, ...]:
    """Arguments of these densities at a point of ones, for tracing."""
    values, gradients, place, anchors, scales = sample(problem, normal=True)
    one = jnp.ones((), place.x.dtype)
    other = None
    if interior:
        values |= {OUTSIDE + name: value for name, value in values.items()}
        gradients |= {OUTSIDE + name: value for name, value in gradients.items()}
        other = Place(place.x, one, place.region, place.cell, None, place.inverse, one)
    place = Place(place.x, one, place.region, place.cell, place.n, place.inverse, one, other)
    return values, gradients, place, anchors, scales
