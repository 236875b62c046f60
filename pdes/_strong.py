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
    x = jnp.ones(next(iter(forms.values())).dim)
    given = set(jax.eval_shape(fields, x, jnp.ones(())))
    missing = [name for name in forms if name not in given]
    for name in missing:
        if forms[name].kind != "Definition":
            raise ValueError(
                f"the field {name!r} is missing: the functions give {sorted(given)}, and only "
                "definitions can be substituted"
            )
    current = fields
    while missing:
        ready = [
            name
            for name in missing
            if all(forms[name].dependence(term).fields <= given for term in forms[name].all_terms())
        ]
        if not ready:
            raise ValueError(
                f"the definitions {missing} depend on each other: solve with mixed=True"
            )
        current = _with_definitions(forms, ready, current, region, cell)
        given |= set(ready)
        missing = [name for name in missing if name not in given]
    return current


def _with_definitions(forms, names, fields: Fields, region: Any, cell: Any) -> Fields:
    def extended(x: Array, t: Array) -> dict[str, Array]:
        values = dict(fields(x, t))
        p = point_of(fields, x, t, region=region, cell=cell)
        for name in names:
            div = divergence(forms[name], fields, x, t, region, cell)
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

    Arguments:
        steady: drop the time derivatives (a problem without a time interval).
    """
    given = jax.eval_shape(fields, x, t)
    full = complete(forms, fields, region, cell)
    p = point_of(full, x, t, region=region, cell=cell)
    residuals = {}
    for name, form in forms.items():
        if name not in given:
            continue
        div = divergence(form, full, x, t, region, cell)
        source = form.source(p)
        if form.kind == "Definition":
            residuals[name] = p.values[name] - source - div
        else:
            rate = jnp.zeros(form.shape, x.dtype)
            if form.kind == "Balance" and not steady:
                rate = time_terms(form, full, x, t, region, cell)
            residuals[name] = rate + div - source
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
