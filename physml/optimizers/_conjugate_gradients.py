"""Preconditioned conjugate gradients on products alone, stopped where A is not positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

Map = Callable[[Array], Array]


class Solved(NamedTuple):
    """x, how many products it took, and whether a direction of curvature ≤ 0 ended it."""

    solution: Array
    products: Array
    indefinite: Array


class _State(NamedTuple):
    solution: Array
    residual: Array
    direction: Array
    square: Array
    count: Array
    indefinite: Array


def conjugate_gradients(
    product: Map, right: Array, start: Array, precondition: Map, iterations: int, tolerance: float
) -> Solved:
    """A x = b from x₀, until ‖b − A x‖ ≤ tolerance · ‖b‖ or after `iterations` products.

    Where pᵀAp ≤ 0 for a search direction p, x so far is returned (truncated Newton; from x₀ = 0 it
    is a descent direction still), and at the first product M b.

    Source: Hestenes and Stiefel, 1952; Steihaug, 1983.
    """
    residual = right - product(start)
    direction = precondition(residual)
    first = _State(
        start,
        residual,
        direction,
        residual @ direction,
        jnp.ones((), int),
        jnp.zeros((), bool),
    )
    least = tolerance * jnp.linalg.norm(right)

    def unfinished(state: _State) -> Array:
        going = jnp.linalg.norm(state.residual) > least
        return going & ~state.indefinite & (state.count <= iterations)

    def advance(state: _State) -> _State:
        image = product(state.direction)
        curvature = state.direction @ image
        positive = curvature > 0
        length = jnp.where(positive, state.square / jnp.where(positive, curvature, 1.0), 0.0)
        residual = state.residual - length * image
        conditioned = precondition(residual)
        square = residual @ conditioned
        return _State(
            state.solution + length * state.direction,
            residual,
            conditioned + square / state.square * state.direction,
            square,
            state.count + 1,
            ~positive,
        )

    last = jax.lax.while_loop(unfinished, advance, first)
    nothing = last.indefinite & (last.count == 2)
    solution = jnp.where(nothing, precondition(right), last.solution)
    return Solved(solution, last.count, last.indefinite)


def nystrom(product: Map, size: int, rank: int, damping: Array, key: Array) -> Map:
    """A preconditioner of A + λI from A ≈ U Λ Uᵀ of `rank`, by as many random products.

    M v = (Λ_r + λ) U (Λ + λ)⁻¹ Uᵀ v + (I − U Uᵀ) v. Source: Frangella, Tropp and Udell, 2023.
    """
    if rank >= size:
        test = jnp.eye(size)
    else:
        test = jnp.linalg.qr(jax.random.normal(key, (size, rank)))[0]
    image = jax.vmap(product, in_axes=1, out_axes=1)(test)
    # Rounding must not make the small eigenvalues negative: they are shifted and shifted back.
    shift = jnp.finfo(image.dtype).eps * size**0.5 * jnp.linalg.norm(image)
    shifted = image + shift * test
    core = test.T @ shifted
    factor = jnp.linalg.cholesky(0.5 * (core + core.T))
    root = jax.scipy.linalg.solve_triangular(factor, shifted.T, lower=True).T
    basis, singular, _ = jnp.linalg.svd(root, full_matrices=False)
    values = jnp.maximum(singular**2 - shift, 0.0)
    usable = jnp.all(jnp.isfinite(root))

    def precondition(vector: Array) -> Array:
        inside = basis.T @ vector
        weights = (values[-1] + damping) / (values + damping) - 1.0
        return jnp.where(usable, vector + basis @ (weights * inside), vector)

    return precondition


def jacobi(product: Map, size: int, probes: int, damping: Array, key: Array) -> Map:
    """Division by an estimate of diag A + λ, mean of v ⊙ A v over random signs v.

    Source: Bekas, Kokiopoulou and Saad, 2007.
    """
    signs = jax.random.rademacher(key, (probes, size), dtype=float)
    diagonal = jnp.mean(jax.vmap(lambda v: v * product(v))(signs), axis=0)
    # Of few probes an entry may be negative: it then counts as the mean.
    mean = jnp.mean(jnp.abs(diagonal))
    diagonal = jnp.where(diagonal > 1e-3 * mean, diagonal, mean) + damping
    return lambda vector: vector / diagonal
