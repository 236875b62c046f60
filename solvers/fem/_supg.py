"""Streamline upwinding: residual-based stabilisation of transport for elements of degree 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes import Form, Point
from solvers._weak import total_divergence

_STEEP = 1e6


def supg_flux(form: Form, p: Point, inverse: Array, simplex: bool) -> Array:
    """c₁ of ∫ τ R b·∇v for a scalar balance ∇·F = s, at one point.

    R = ∇·F − s, without the second derivatives, which vanish in elements of degree 1;
    b = ∂F/∂u − ∂s/∂∇u; τ = h/(2|b|) (coth Pe − 1/Pe), Pe = |b| h/(2κ), κ = −tr(∂F/∂∇u)/d and h
    the length of the cell along b. In one dimension, with constant coefficients, nodally exact.

    Arguments:
        inverse: ∂ξ/∂x of the map from the reference cell, (dim, dim) as [reference, physical].

    Source: Brooks and Hughes (1982), equations 3.27 and 3.44; h of Tezduyar and Osawa (2000).
    """
    name = form.name
    assert p.gradients is not None
    u, slope = p.values[name], p.gradients[name]

    def at(value: Array, gradient: Array) -> Point:
        values, gradients = dict(p.values), dict(p.gradients or {})
        values[name], gradients[name] = value, gradient
        return Point(p.x, p.t, values, gradients, p.n, p.region, p.cell)

    flow = jax.jacfwd(lambda v: form.flux(at(v, slope)))(u)
    drift = jax.jacfwd(lambda g: form.source(at(u, g)))(slope)
    spread = jax.jacfwd(lambda g: form.flux(at(u, g)))(slope)
    b = flow - drift
    kappa = jnp.abs(jnp.trace(spread)) / form.dim
    residual = total_divergence(form, p) - form.source(p)
    return _tau(b, kappa, inverse, simplex) * residual * b


def _tau(b: Array, kappa: Array, inverse: Array, simplex: bool) -> Array:
    tiny = jnp.finfo(b.dtype).tiny ** 0.5
    rates = inverse @ b
    # Σ |b·∇Nₐ| over the corners, halved.
    if simplex:
        crossing = 0.5 * (jnp.sum(jnp.abs(rates)) + jnp.abs(jnp.sum(rates)))
    else:
        crossing = jnp.max(jnp.abs(rates))
    speed = jnp.sqrt(b @ b + tiny)
    h = speed / jnp.maximum(crossing, tiny)
    # Where κ vanishes or the flow rests, limits are taken by bounds that round-off can't see.
    peclet = jnp.minimum(speed * h / (2 * jnp.maximum(kappa, tiny)), _STEEP)
    small = peclet < 1e-3
    safe = jnp.where(small, 1.0, peclet)
    upwind = jnp.where(small, peclet / 3, 1 / jnp.tanh(safe) - 1 / safe)
    return jnp.where(crossing > tiny, h / (2 * speed) * upwind, 0.0)
