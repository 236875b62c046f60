"""Residuals at one point: equations, boundary and initial conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes import FieldCondition, Form, Problem, point_of, strong_residual
from pdes._strong import complete

Fields = Callable[[Array, Array], dict[str, Array]]


def equation_residual(
    problem: Problem, name: str, fields: Fields, x: Array, t: Array, region: Any = None
) -> Array:
    """Strong residual of one equation, flattened to (components,)."""
    forms = problem.forms()
    found = strong_residual(forms, fields, x, t, steady=problem.steady, region=region)
    return found[name].reshape(-1)


def condition_residual(
    form: Form,
    condition: FieldCondition,
    fields: Fields,
    x: Array,
    t: Array,
    n: Array,
    *,
    essential: bool = True,
    region: Any = None,
) -> Array:
    """u − g on prescribed components and F·n − g on the others, (rows,).

    F·n is that of the terms which the condition prescribes; for Slip, u·n and the tangential
    part of F·n. `fields` gives every field, definitions too.

    Arguments:
        essential: False leaves the prescribed components out, where they hold exactly.
    """
    p = point_of(fields, x, t, n=n, region=region)
    value = p.values[form.name].reshape(-1)
    rows = []
    if condition.normal_only:
        flux = form.flux(p) @ n - condition.natural(form, p)
        return jnp.concatenate([jnp.dot(value, n)[None], flux - jnp.dot(flux, n) * n])
    if essential and condition.any_essential:
        gap = value - condition.value(x, t).reshape(-1)
        rows.append(jnp.stack([gap[i] for i, e in enumerate(condition.essential) if e]))
    if not condition.all_essential and not condition.free and form.kind != "Constraint":
        gap = (form.flux(p) @ n - condition.natural(form, p)).reshape(-1)
        rows.append(jnp.stack([gap[i] for i, e in enumerate(condition.essential) if not e]))
    return jnp.concatenate(rows) if rows else jnp.zeros(0, x.dtype)


def has_rows(form: Form, condition: FieldCondition, essential: bool) -> bool:
    """Whether `condition_residual` has any residual."""
    if condition.normal_only or (essential and condition.any_essential):
        return True
    return not (condition.all_essential or condition.free or form.kind == "Constraint") and bool(
        form.equation.flux
    )


def initial_residual(problem: Problem, name: str, fields: Fields, x: Array) -> Array:
    """u(x, t₀) − u₀(x), flattened."""
    assert problem.time is not None
    start = jnp.asarray(problem.time[0], x.dtype)
    return (fields(x, start)[name] - problem.initial_value(name, x)).reshape(-1)


def rate_residual(problem: Problem, name: str, fields: Fields, x: Array) -> Array:
    """∂ₜu(x, t₀) − v₀(x), flattened."""
    assert problem.time is not None
    start = jnp.asarray(problem.time[0], x.dtype)
    rate = jax.jvp(lambda s: fields(x, s)[name], (start,), (jnp.ones_like(start),))[1]
    return (rate - problem.initial_rate[name](x)).reshape(-1)


def all_fields(problem: Problem, fields: Fields, region: Any = None) -> Fields:
    """`fields` with the definitions that it leaves out."""
    return complete(problem.forms(), fields, region)


def magnitude(values: Any) -> Array:
    """Euclidean length of all residuals at a point."""
    return jnp.sqrt(sum(jnp.sum(v**2) for v in jax.tree.leaves(values)))
