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
    """x, b − A x, how many products it took, and whether curvature ≤ 0 ended it."""

    solution: Array
    residual: Array
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
    product: Map,
    right: Array,
    precondition: Map,
    iterations: int,
    tolerance: float,
    scale: Array | float = 0.0,
) -> Solved:
    """A x = b from zero, until ‖b − A x‖ ≤ tolerance · ‖b‖ or after `iterations` products.

    The norm is √(rᵀ M r) with the preconditioner M: of whatever units the parameters are, and with
    M ≈ A⁻¹ the error in the energy. What is below tolerance² · `scale` in that energy is enough as
    well: where b is round-off, no share of it can be reached.

    Where pᵀAp ≤ 0 for a search direction p, x so far is returned (truncated Newton: a descent
    direction still), and at the first product M b.

    Source: Hestenes and Stiefel, 1952; Steihaug, 1983.
    """
    direction = precondition(right)
    square = right @ direction
    enough = tolerance**2 * jnp.maximum(square, scale)
    first = _State(
        jnp.zeros_like(right),
        right,
        direction,
        square,
        jnp.zeros((), int),
        jnp.zeros((), bool),
    )

    def unfinished(state: _State) -> Array:
        going = state.square > enough
        return going & ~state.indefinite & (state.count < iterations)

    def advance(state: _State) -> _State:
        image = product(state.direction)
        curvature = state.direction @ image
        positive = curvature > 0
        # At the first product, M b itself.
        other = jnp.where(state.count == 0, 1.0, 0.0).astype(right.dtype)
        length = jnp.where(positive, state.square / jnp.where(positive, curvature, 1.0), other)
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
    return Solved(last.solution, last.residual, last.count, last.indefinite)


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
    signs = jax.random.rademacher(key, (probes, size), dtype=damping.dtype)
    diagonal = jnp.mean(jax.vmap(lambda v: v * product(v))(signs), axis=0)
    # Of few probes an entry may be negative: it then counts as the mean.
    mean = jnp.mean(jnp.abs(diagonal))
    diagonal = jnp.where(diagonal > 1e-3 * mean, diagonal, mean) + damping
    return lambda vector: vector / diagonal


def row_samples(pull: Map, like: Any, count: int, key: Array) -> Array:
    """Jᵀw for `count` vectors w of random signs, (count, P): the mean of (Jᵀw)(Jᵀw)ᵀ is JᵀJ.

    `like` has the shape and the type of w.
    """
    signs = jax.random.rademacher(key, (count, *like.shape), dtype=like.dtype)
    return jax.lax.map(pull, signs, batch_size=_AT_ONCE)


# Products Jᵀw that are held at once.
_AT_ONCE = 16


class Units(NamedTuple):
    """D of JᵀJ + λ D, and the solution with blocks of that matrix."""

    metric: Array
    precondition: Map


def units(samples: Array, unravel: Callable[[Array], Any], damping: Array) -> Units:
    """Blocks of JᵀJ + λ D, one for each row of a weight: each unit's own.

    They are means over `row_samples`. Of vectors and numbers, and of rows that are too wide for so
    few samples or long to factor, it is the diagonal alone. D is the diagonal of JᵀJ for the
    blocks, so that no output hides another, and its mean for the rest, which moves little where it
    has little influence.

    Source: blocks of units, Le Roux, Manzagol and Bengio (2008); D, Marquardt (1963).
    """
    diagonal = jnp.mean(samples**2, axis=0)
    # What has no influence on the residuals has a step of zero.
    least = jnp.finfo(samples.dtype).eps * jnp.max(diagonal)
    diagonal = diagonal + jnp.where(least > 0, least, 1.0)
    own, each, mean = unravel(diagonal), jax.vmap(unravel)(samples), jnp.mean(diagonal)
    metric = jax.tree.map(lambda s, d: d if _blocked(s) else jnp.full_like(d, mean), each, own)
    factors = jax.tree.map(lambda s, d, m: _unit_factor(s, d, m, damping), each, own, metric)
    usable = jnp.all(jnp.isfinite(ravel_pytree(factors)[0]))

    def precondition(vector: Array) -> Array:
        solved = ravel_pytree(jax.tree.map(_unit_solve, unravel(vector), factors))[0]
        return jnp.where(usable, solved, vector)

    return Units(ravel_pytree(metric)[0], precondition)


# Part of the diagonal in the estimate of a block from as many samples as it has columns: without
# it some of its directions are too small.
_SHRINKAGE = 0.1
# Columns of a block, in shares of the samples.
_WIDEST = 0.5


def _blocked(samples: Array) -> bool:
    count, width = samples.shape[0], samples.shape[-1]
    return samples.ndim > 2 and 1 < width <= _WIDEST * count


def _unit_factor(samples: Array, diagonal: Array, metric: Array, damping: Array) -> Array:
    """Of one array: L⁻¹ of the blocks L Lᵀ (units, n, n), or the diagonal in its shape.

    L⁻¹ itself, since two products for each vector take less time to compile and to run than two
    triangular solves.
    """
    if not _blocked(samples):
        return diagonal + damping * metric
    count, width = samples.shape[0], samples.shape[-1]
    each = samples.reshape(count, -1, width)
    blocks = jnp.einsum("sui,suj->uij", each, each) / count
    share = _SHRINKAGE * width / count
    own = jax.vmap(jnp.diag)(diagonal.reshape(blocks.shape[:2]))
    factor = jnp.linalg.cholesky((1 - share) * blocks + (share + damping) * own)
    one = jnp.broadcast_to(jnp.eye(width, dtype=factor.dtype), factor.shape)
    return jax.lax.linalg.triangular_solve(factor, one, left_side=True, lower=True)


def _unit_solve(vector: Array, factor: Array) -> Array:
    if vector.shape == factor.shape:
        return vector / factor
    each = vector.reshape(-1, vector.shape[-1])
    half = jnp.einsum("uij,uj->ui", factor, each)
    return jnp.einsum("uij,ui->uj", factor, half).reshape(vector.shape)
