"""Preconditioned conjugate gradients on products alone, stopped where A is not positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
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

    The norm is √(rᵀ M r) with the preconditioner M: of whatever units the parameters are, and with
    M ≈ A⁻¹ the error in the energy.

    Where pᵀAp ≤ 0 for a search direction p, x so far is returned (truncated Newton; from x₀ = 0 it
    is a descent direction still), and at the first product M b.

    Source: Hestenes and Stiefel, 1952; Steihaug, 1983.
    """
    residual = right - product(start)
    direction = precondition(residual)
    enough = tolerance**2 * (right @ precondition(right))
    first = _State(
        start,
        residual,
        direction,
        residual @ direction,
        jnp.ones((), int),
        jnp.zeros((), bool),
    )

    def unfinished(state: _State) -> Array:
        going = state.square > enough
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


def units(
    pull: Map, rows: int, unravel: Callable[[Array], Any], rank: int, damping: Array, key: Array
) -> Map:
    """Inverses of the diagonal blocks of JᵀJ + λI, one for each row of a weight: each unit's own.

    With `rank` random signs w, E[(Jᵀw)(Jᵀw)ᵀ] = JᵀJ: the blocks are means over the products Jᵀw. Of
    vectors and numbers the diagonal is taken.

    Source: blocks of units, Le Roux, Manzagol and Bengio (2008).
    """
    signs = jax.random.rademacher(key, (rank, rows), dtype=float)
    samples = jax.vmap(pull)(signs)
    factors = jax.tree.map(lambda each: _unit_factor(each, damping), jax.vmap(unravel)(samples))

    def precondition(vector: Array) -> Array:
        return ravel_pytree(jax.tree.map(_unit_solve, unravel(vector), factors))[0]

    return precondition


# Part of the diagonal in the estimate of a block from as many samples as it has columns: without
# it some of its directions are too small.
_SHRINKAGE = 0.1


def _unit_factor(samples: Array, damping: Array) -> Array:
    """Of one array: Cholesky factors (units, n, n), or a diagonal in its shape."""
    count = len(samples)
    diagonal = jnp.mean(samples**2, axis=0)
    # What has no influence on the residuals has a step of zero.
    least = damping + jnp.finfo(samples.dtype).eps * jnp.max(diagonal)
    least = jnp.where(least > 0, least, 1.0)
    if samples.ndim < 3:
        return diagonal + least
    each = samples.reshape(count, -1, samples.shape[-1])
    blocks = jnp.einsum("sui,suj->uij", each, each) / count
    share = min(_SHRINKAGE * blocks.shape[-1] / count, 0.5)
    own = jax.vmap(jnp.diag)(diagonal.reshape(blocks.shape[:2]))
    shrunk = (1 - share) * blocks + share * own
    return jnp.linalg.cholesky(shrunk + least * jnp.eye(blocks.shape[-1]))


def _unit_solve(vector: Array, factor: Array) -> Array:
    if vector.ndim < 2:
        return vector / factor
    each = vector.reshape(-1, vector.shape[-1], 1)
    half = jax.lax.linalg.triangular_solve(factor, each, left_side=True, lower=True)
    whole = jax.lax.linalg.triangular_solve(
        factor, half, left_side=True, lower=True, transpose_a=True
    )
    return whole.reshape(vector.shape)
