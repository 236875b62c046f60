"""The weak density shared by finite elements and VPINN.

Rows, once for all, for test functions v:

    Balance      ∫ (∂ₜ(ρ ∂ₜu) + ∂ₜm − s) v − F·∇v  + ∮ F·n v
    Definition   ∫ (w − s) v + F·∇v               − ∮ F·n v
    Constraint   −∫ (∇·F − s) v                   (so that Stokes is symmetric)

Only where the fields come from differs: basis functions or a network.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes import FieldCondition, Form, Point


def weak_density(form: Form, p: Point, rate: Array | None = None) -> tuple[Array, Array]:
    """(c₀, c₁) at one point such that a row's integrand is c₀·v + c₁:∇v.

    Arguments:
        form: the equation. p: the point with all fields and gradients.
        rate: ∂ₜ(ρ ∂ₜu) + ∂ₜm there, of the field's shape; None in a steady problem.

    Returns:
        c₀ of the field's shape and c₁ of shape (*shape, dim).
    """
    if form.kind == "Constraint":
        if any(form.dependence(term).gradients for term in form.equation.flux):
            # A flux with gradients is integrated by parts; its boundary integral is +∮F·n v.
            return form.source(p), form.flux(p)
        return form.source(p) - total_divergence(form, p), jnp.zeros(
            (*form.shape, form.dim), p.x.dtype
        )
    if form.kind == "Definition":
        return p.values[form.name] - form.source(p), form.flux(p)
    density = -form.source(p)
    if rate is not None:
        density = density + rate
    return density, -form.flux(p)


def boundary_density(form: Form, condition: FieldCondition, p: Point) -> Array:
    """c of the boundary integral ∮ c·v that belongs to `weak_density`; p has its normal.

    Zero on components whose value is prescribed, since their test functions vanish.
    """
    sign = -1.0 if form.kind == "Definition" else 1.0
    if form.kind == "Constraint":
        return jnp.zeros(form.shape, p.x.dtype)
    mask = jnp.array([0.0 if e else 1.0 for e in condition.essential], p.x.dtype)
    return sign * condition.natural(form, p) * mask.reshape(form.shape)


def total_divergence(form: Form, p: Point) -> Array:
    """∇·ΣF for a flux that uses values only: ∂F/∂u : ∇u plus its explicit part in x."""
    assert p.gradients is not None
    total = jnp.zeros(form.shape, p.x.dtype)
    directions = jnp.eye(form.dim, dtype=p.x.dtype)
    for i in range(form.dim):

        def component(x: Array, values: Any, i: int = i) -> Array:
            moved = eqx.tree_at(lambda q: (q.x, q.values), p, (x, values))
            return form.flux(moved)[..., i]

        tangents = {name: g[..., i] for name, g in p.gradients.items()}
        total = total + jax.jvp(component, (p.x, p.values), (directions[i], tangents))[1]
    return total
