"""Strong residuals by automatic differentiation: what is left of each equation for given functions.

`fields(x, t)` gives every field at one point as a dict. Definitions that it leaves out are
substituted: w is replaced by Σs + ∇·ΣF, differentiated again where the others need ∇w.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes._derivatives import (
    balance,
    definition_levels,
    fluxes_are_isotropic,
    jet_divergence,
    jet_residual,
    jets_apply,
    series_apply,
    series_residual,
)
from pdes._pde import Form
from pdes._point import Point

Fields = Callable[[Array, Array], dict[str, Array]]


def gradients(fields: Fields, x: Array, t: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Values and gradients of all fields at one point, one forward direction at a time.

    A direction at a time, rather than a vmap over directions, lets the compiler drop those
    that nobody uses.
    """
    directions = jnp.eye(x.shape[0], dtype=x.dtype)
    values: dict[str, Array] = {}
    columns = []
    for i in range(x.shape[0]):
        values, tangent = jax.jvp(lambda y: fields(y, t), (x,), (directions[i],))
        columns.append(tangent)
    return values, {name: jnp.stack([c[name] for c in columns], axis=-1) for name in values}


def point_of(
    fields: Fields,
    x: Array,
    t: Array,
    *,
    n: Array | None = None,
    region: Any = None,
    cell: Any = None,
) -> Point:
    """The Point at (x, t) with the values and gradients of `fields`."""
    values, grads = gradients(fields, x, t)
    return Point(x, t, values, grads, n, region, cell)


def divergence(
    form: Form, fields: Fields, x: Array, t: Array, region: Any = None, cell: Any = None
) -> Array:
    """∇·ΣF at one point, of the field's shape."""
    if not form.equation.flux:
        return jnp.zeros(form.shape, x.dtype)
    directions = jnp.eye(x.shape[0], dtype=x.dtype)
    total = jnp.zeros(form.shape, x.dtype)
    for i in range(x.shape[0]):

        def component(y: Array, i: int = i) -> Array:
            return form.flux(point_of(fields, y, t, region=region, cell=cell))[..., i]

        total = total + jax.jvp(component, (x,), (directions[i],))[1]
    return total


def complete(
    forms: Mapping[str, Form], fields: Fields, region: Any = None, cell: Any = None
) -> Fields:
    """`fields` with the definitions that it leaves out added.

    Raises:
        ValueError: a field that is no definition is missing, or definitions depend on each
            other in a circle.
    """
    return _complete(forms, fields, region, cell, best_divergence)


def best_divergence(
    form: Form, fields: Fields, x: Array, t: Array, region: Any = None, cell: Any = None
) -> Array:
    """`divergence`, with the Laplacian in one pass where that is all that the flux needs."""
    if form.equation.flux and fluxes_are_isotropic(form):
        return jet_divergence(form, fields, x, t, (region, cell))
    return divergence(form, fields, x, t, region, cell)


def _complete(forms, fields: Fields, region: Any, cell: Any, diverge: Callable) -> Fields:
    x = jnp.ones(next(iter(forms.values())).dim)
    current = fields
    for ready in definition_levels(forms, jax.eval_shape(fields, x, jnp.ones(()))):
        current = _with_definitions(forms, ready, current, region, cell, diverge)
    return current


def _with_definitions(forms, names, fields: Fields, region: Any, cell: Any, diverge) -> Fields:
    def extended(x: Array, t: Array) -> dict[str, Array]:
        values = dict(fields(x, t))
        p = point_of(fields, x, t, region=region, cell=cell)
        for name in names:
            div = diverge(forms[name], fields, x, t, region, cell)
            values[name] = forms[name].source(p) + div
        return values

    return extended


def strong_residual(
    forms: Mapping[str, Form],
    fields: Fields,
    x: Array,
    t: Array,
    *,
    steady: bool,
    region: Any = None,
    cell: Any = None,
) -> dict[str, Array]:
    """Residual of every equation at one point.

    Balance: ∂ₜ(ρ ∂ₜu) + ∂ₜ m + ∇·ΣF − Σs; Definition: w − Σs − ∇·ΣF; Constraint: ∇·ΣF − Σs.
    Definitions that `fields` leaves out are substituted and have no residual.

    How the derivatives are made follows from what the terms use: as a Taylor series where
    definitions raise the order on a line, with the Laplacian in one pass where the second
    derivatives of fluxes are Laplacians, and by nested forward mode elsewhere.

    Arguments:
        steady: drop the time derivatives (a problem without a time interval).
    """
    given = jax.eval_shape(fields, x, t)
    place = (region, cell)
    if series_apply(forms, given, steady):
        return series_residual(forms, fields, x, t, steady, place)
    full = complete(forms, fields, region, cell)
    fast = [name for name in forms if name in given and jets_apply(forms[name], steady)]
    found = jet_residual(forms, fast, full, x, t, steady, place) if fast else {}
    rest = [name for name in forms if name in given and name not in found]
    if rest:
        found |= _nested(forms, rest, full, x, t, steady, place)
    return {name: found[name] for name in forms if name in given}


def nested_residual(
    forms: Mapping[str, Form], fields: Fields, x: Array, t: Array, *, steady: bool
) -> dict[str, Array]:
    """`strong_residual` by nested forward mode throughout, whatever the terms use."""
    given = jax.eval_shape(fields, x, t)
    full = _complete(forms, fields, None, None, divergence)
    names = [name for name in forms if name in given]
    return _nested(forms, names, full, x, t, steady, (None, None))


def _nested(forms, names, full: Fields, x: Array, t: Array, steady: bool, place):
    region, cell = place
    p = point_of(full, x, t, region=region, cell=cell)
    residuals = {}
    for name in names:
        form = forms[name]
        div = divergence(form, full, x, t, region, cell)
        rate = jnp.zeros(form.shape, x.dtype)
        if form.kind == "Balance" and not steady:
            rate = time_terms(form, full, x, t, region, cell)
        residuals[name] = balance(form, p, rate, div)
    return residuals


def time_terms(
    form: Form, fields: Fields, x: Array, t: Array, region: Any = None, cell: Any = None
) -> Array:
    """∂ₜ(ρ ∂ₜu) + ∂ₜ m(u) at one point."""
    one = jnp.ones_like(t)

    def momentum(s: Array) -> Array:
        _, rate = jax.jvp(lambda r: fields(x, r)[form.name], (s,), (one,))
        return form.inertia(point_of(fields, x, s, region=region, cell=cell)) * rate

    def storage(s: Array) -> Array:
        return form.storage(point_of(fields, x, s, region=region, cell=cell))

    total = jnp.zeros(form.shape, x.dtype)
    if form.has_inertia:
        total = total + jax.jvp(momentum, (t,), (one,))[1]
    if form.has_storage:
        total = total + jax.jvp(storage, (t,), (one,))[1]
    return total
