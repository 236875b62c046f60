"""Strong residuals from one pass over the fields: by forward Laplacian, or by Taylor series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._expansion import Expansion, propagate
from pdes._isotropy import isotropic
from pdes._pde import Form, sample_point
from pdes._point import Point
from pdes._second_order import FEW, SecondOrder
from pdes._series import Series

Fields = Callable[[Array, Array], dict[str, Array]]


def definition_levels(forms: Mapping[str, Form], given: Iterable[str]) -> list[list[str]]:
    """The definitions that are not given, in the order in which each can be evaluated.

    Raises:
        ValueError: a field that is no definition is missing, or definitions depend on each
            other in a circle.
    """
    known = set(given)
    missing = [name for name in forms if name not in known]
    for name in missing:
        if forms[name].kind != "Definition":
            raise ValueError(
                f"the field {name!r} is missing: the functions give {sorted(known)}, and only "
                "definitions can be substituted"
            )
    levels = []
    while missing:
        ready = [
            name
            for name in missing
            if all(forms[name].dependence(term).fields <= known for term in forms[name].all_terms())
        ]
        if not ready:
            raise ValueError(
                f"the definitions {missing} depend on each other: solve with mixed=True"
            )
        levels.append(ready)
        known |= set(ready)
        missing = [name for name in missing if name not in known]
    return levels


def balance(form: Form, p: Point, rate: Array, div: Array) -> Array:
    """The residual of one equation from its parts."""
    source = form.source(p)
    if form.kind == "Definition":
        return p.values[form.name] - source - div
    return rate + div - source


# --- by forward Laplacian


def fluxes_are_isotropic(form: Form) -> bool:
    """Whether ∇·ΣF needs no second derivatives but Laplacians."""
    point = sample_point(form.shapes, form.dim)
    return all(isotropic(term, point) for term in form.equation.flux)


def jets_apply(form: Form, steady: bool) -> bool:
    """Whether first derivatives, Laplacians and ∂ₜₜ are all that an equation needs."""
    return fluxes_are_isotropic(form) and (steady or not _rate_terms_use(form, gradients=True))


def _rate_terms_use(form: Form, gradients: bool) -> set[str]:
    """Fields whose values, or whose gradients, stand under a time derivative."""
    found = set()
    if form.has_storage and callable(form.equation.storage):  # type: ignore[attr-defined]
        used = form.dependence(form.equation.storage)  # type: ignore[attr-defined]
        found |= used.gradients if gradients else used.values
    if form.has_inertia:
        used = form.dependence(form.equation.inertia)  # type: ignore[attr-defined]
        found |= used.gradients if gradients else used.values
    return found


class _Jets:
    """Values and derivatives of all fields at one point."""

    def __init__(self, fields: Fields, x: Array, t: Array, *, laplacian: bool, rates: int):
        dim = x.shape[0]
        rows = [[1.0] * dim + [0.0] * bool(rates)] if laplacian else []
        rows += [[0.0] * dim + [1.0]] if rates == 2 else []
        algebra = SecondOrder(np.array(rows).reshape(len(rows), dim + bool(rates)))
        directions: list[Array | None] = [*jnp.eye(dim, dtype=x.dtype), *[None] * bool(rates)]
        place = algebra.seed(x, directions)
        moment: Any = t
        if rates:
            t = jnp.asarray(t)
            moment = algebra.seed(t, [*[None] * dim, jnp.ones_like(t)])
        self.values, self.gradients = {}, {}
        self.laplacians, self.rates, self.accelerations = {}, {}, {}
        for name, found in propagate(algebra, fields, place, moment).items():
            full = (
                found
                if isinstance(found, Expansion)
                else algebra.seed(found, [None] * len(directions))
            )
            self.values[name] = full.value
            self.gradients[name] = algebra.gradient(full, dim)
            seconds = algebra.second(full)
            if laplacian:
                self.laplacians[name] = seconds[0]
            if rates:
                self.rates[name] = algebra.first(full)[dim]
            if rates == 2:
                self.accelerations[name] = seconds[-1]


def _needs_laplacian(form: Form) -> bool:
    return any(form.dependence(term).gradients for term in form.equation.flux)


def jet_divergence(form: Form, fields: Fields, x: Array, t: Array, place: Any) -> Array:
    """∇·ΣF at one point, where the fluxes are isotropic."""
    jets = _Jets(fields, x, t, laplacian=_needs_laplacian(form), rates=0)
    return _divergence(form, jets, x, t, place)


def jet_residual(
    forms: Mapping[str, Form],
    names: list[str],
    fields: Fields,
    x: Array,
    t: Array,
    steady: bool,
    place: Any,
) -> dict[str, Array]:
    """Residuals of the named equations, for which `jets_apply`."""
    chosen = [forms[name] for name in names]
    timed = [] if steady else [f for f in chosen if f.has_storage or f.has_inertia]
    jets = _Jets(
        fields,
        x,
        t,
        laplacian=any(_needs_laplacian(form) for form in chosen),
        rates=2 if any(f.has_inertia for f in timed) else 1 if timed else 0,
    )
    p = Point(x, t, jets.values, jets.gradients, None, *place)
    found = {}
    for form in chosen:
        rate = jnp.zeros(form.shape, x.dtype)
        if form in timed:
            rate = _rate(form, p, jets)
        found[form.name] = balance(form, p, rate, _divergence(form, jets, x, t, place))
    return found


def _divergence(form: Form, jets: _Jets, x: Array, t: Array, place: Any) -> Array:
    """∇·F = Σᵢ (∂Fᵢ/∂xᵢ + ∂Fᵢ/∂u ∂ᵢu) + a ∇²u, term by term."""
    total = jnp.zeros(form.shape, x.dtype)
    for term in form.equation.flux:
        used = form.dependence(term)

        def flux(y: Array, values: Any, gradients: Any, term=term) -> Array:
            return jnp.asarray(term(Point(y, t, values, gradients, None, *place)))

        if used.space or used.values:
            total = total + _along(flux, jets, x)
        if used.gradients:
            # a is the same in all directions, so that the first tells it.
            slopes = {
                name: jnp.zeros_like(g).at[..., 0].set(jets.laplacians[name])
                for name, g in jets.gradients.items()
            }
            bent = jax.jvp(
                lambda g, flux=flux: flux(x, jets.values, g), (jets.gradients,), (slopes,)
            )[1]
            total = total + bent[..., 0]
    return total


def _along(flux: Callable, jets: _Jets, x: Array) -> Array:
    """Σᵢ ∂ᵢ Fᵢ with the gradients held."""
    dim = x.shape[0]
    unit = jnp.eye(dim, dtype=x.dtype)

    def row(i: Any, direction: Array) -> Array:
        slopes = {name: g[..., i] for name, g in jets.gradients.items()}
        moved = jax.jvp(
            lambda y, v: flux(y, v, jets.gradients), (x, jets.values), (direction, slopes)
        )[1]
        return moved[..., i]

    if dim > FEW:
        return jax.vmap(row)(jnp.arange(dim), unit).sum(axis=0)
    return sum((row(i, unit[i]) for i in range(1, dim)), start=row(0, unit[0]))


def _rate(form: Form, p: Point, jets: Any) -> Array:
    """∂ₜ(ρ ∂ₜu) + ∂ₜ m(u), where ρ and m use no gradients."""
    total = jnp.zeros(form.shape, p.x.dtype)

    def moved(function: Callable) -> tuple[Array, Array]:
        return jax.jvp(
            lambda s, v: function(Point(p.x, s, v, p.gradients, None, p.region, p.cell)),
            (p.t, p.values),
            (jnp.ones_like(p.t), jets.rates),
        )

    if form.has_inertia:
        density, change = moved(form.inertia)
        total = total + density * jets.accelerations[form.name] + change * jets.rates[form.name]
    if form.has_storage:
        if form.equation.storage is None:  # type: ignore[attr-defined]
            return total + jets.rates[form.name]
        total = total + moved(form.storage)[1]
    return total


# --- by Taylor series on a line


def series_apply(forms: Mapping[str, Form], given: Iterable[str], steady: bool) -> bool:
    """Whether definitions are substituted on a line, with only given fields under ∂ₜ."""
    known = set(given)
    substituted = set(forms) - known
    if not substituted or next(iter(forms.values())).dim != 1:
        return False
    if any(forms[name].kind != "Definition" for name in substituted):
        return False
    return steady or not any(
        _rate_terms_use(forms[name], gradients=True)
        or _rate_terms_use(forms[name], gradients=False) & substituted
        for name in known & set(forms)
    )


class _Rates:
    def __init__(self, rates: dict[str, Array], accelerations: dict[str, Array]):
        self.rates = rates
        self.accelerations = accelerations


def series_residual(
    forms: Mapping[str, Form],
    fields: Fields,
    x: Array,
    t: Array,
    steady: bool,
    place: Any,
) -> dict[str, Array]:
    """Residuals on a line, where `series_apply`."""
    t = jnp.asarray(t)
    given = jax.eval_shape(fields, x, t)
    levels = definition_levels(forms, given)
    timed = [] if steady else [f for f in forms.values() if f.has_storage or f.has_inertia]
    order = 2 * (len(levels) + 1)
    rates = 2 if any(f.has_inertia for f in timed) else 1 if timed else 0
    algebra = Series(order, rates)
    along, moment = (
        algebra.seed(x, jnp.ones_like(x), None),
        algebra.seed(t, None, jnp.ones_like(t)),
    )
    branches = {
        name: _two_branches(algebra, found)
        for name, found in propagate(algebra, fields, along, moment).items()
    }
    lines = {name: line for name, (line, _) in branches.items()}
    for names in levels:
        order -= 2
        new = {}
        for name in names:
            source = _term_series(forms[name].source, forms[name], lines, x, t, place, order)
            div = _divergence_series(forms[name], lines, x, t, place, order)
            new[name] = [s + d for s, d in zip(source, div, strict=True)]
        lines |= new
    values = {name: line[0] for name, line in lines.items()}
    gradients = {name: line[1][..., None] for name, line in lines.items()}
    p = Point(x, t, values, gradients, None, *place)
    moving = {name: steps for name, (_, steps) in branches.items()}
    found = {}
    for name, form in forms.items():
        if name not in given:
            continue
        rate = jnp.zeros(form.shape, x.dtype)
        if form in timed:
            zeros = {n: jnp.zeros_like(v) for n, v in values.items() if n not in moving}
            speeds = _Rates(
                {n: steps[1] for n, steps in moving.items()} | zeros,
                {n: 2 * steps[2] for n, steps in moving.items() if rates == 2},
            )
            rate = _rate(form, p, speeds)
        div = _divergence_series(form, lines, x, t, place, 0)[0]
        found[name] = balance(form, p, rate, div)
    return found


def _two_branches(algebra: Series, found: Any) -> tuple[list[Array], list[Array]]:
    """Coefficients in space and in time, zeros filled in."""
    if not isinstance(found, Expansion):
        found = Expansion((found, *[None] * sum(algebra.orders)))
    zero = jnp.zeros_like(found.value)
    line, steps = ([zero if c is None else c for c in branch] for branch in algebra.branches(found))
    return line, steps


def _term_series(
    function: Callable, form: Form, lines: dict, x: Array, t: Array, place: Any, order: int
) -> list[Array]:
    """Coefficients 0…order of a term along the line."""
    algebra = Series(order)
    # A field of which fewer are known is one that the term does not use.
    values = {n: Expansion(line[: order + 1]) for n, line in lines.items() if len(line) > order}
    slopes = {
        n: Expansion([(k + 1) * line[k + 1][..., None] for k in range(order + 1)])
        for n, line in lines.items()
        if len(line) > order + 1
    }

    def at(y: Array, v: Any, g: Any) -> Array:
        return function(Point(y, t, v, g, None, *place))

    found = propagate(algebra, at, algebra.seed(x, jnp.ones_like(x)), values, slopes)
    if not isinstance(found, Expansion):
        found = Expansion((found, *[None] * order))
    return [jnp.zeros_like(found.value) if c is None else c for c in found.streams]


def _divergence_series(
    form: Form, lines: dict, x: Array, t: Array, place: Any, order: int
) -> list[Array]:
    if not form.equation.flux:
        return [jnp.zeros(form.shape, x.dtype)] * (order + 1)
    flux = _term_series(form.flux, form, lines, x, t, place, order + 1)
    return [(k + 1) * flux[k + 1][..., 0] for k in range(order + 1)]
