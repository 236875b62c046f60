"""Sums of one or two Kronecker products A ⊗ B of symmetric matrices, and their exact inverse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

Pair = tuple[Array, Array]


def damped(pair: Pair, damping: Array) -> Pair:
    """(A + π√λ I, B + √λ/π I), whose product is A ⊗ B + λI but for two cross terms.

    π² = mean eigenvalue of A over that of B makes them small. Source: Martens and Grosse, 2015,
    section 6.3.
    """
    left, right = pair
    means = jnp.trace(left) / len(left), jnp.trace(right) / len(right)
    ratio = jnp.sqrt(jnp.where((means[0] > 0) & (means[1] > 0), means[0] / means[1], 1.0))
    root = jnp.sqrt(damping)
    return (
        left + ratio * root * jnp.eye(len(left)),
        right + root / ratio * jnp.eye(len(right)),
    )


def solve(pairs: list[Pair], matrix: Array) -> Array:
    """X (out, in) of Σ B X A = G over one or two pairs (A, B) of positive definite matrices.

    Two: with C and D from the generalised eigenproblems A₁C = A₂C S, CᵀA₂C = I and B₁D = B₂D T,
    DᵀB₂D = I, X = D ((DᵀG C) / (t sᵀ + 1)) Cᵀ. Source: Martens and Grosse, 2015, appendix B.
    """
    if len(pairs) == 1:
        left, right = pairs[0]
        half = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(right), matrix)
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(left), half.T).T
    (left, right), (other_left, other_right) = pairs
    s, c = _generalised(left, other_left)
    t, d = _generalised(right, other_right)
    return d @ ((d.T @ matrix @ c) / (jnp.outer(t, s) + 1.0)) @ c.T


def merged(pairs: list[Pair]) -> Pair:
    """One product for a sum of several: B the sum, A the mean with the traces of B as weights."""
    weights = jnp.stack([jnp.trace(right) for _, right in pairs])
    total = jnp.where(weights.sum() > 0, weights.sum(), 1.0)
    left = sum(w * pair[0] for w, pair in zip(weights / total, pairs, strict=True))
    return jnp.asarray(left), sum((right for _, right in pairs[1:]), start=pairs[0][1])


def _generalised(matrix: Array, metric: Array) -> tuple[Array, Array]:
    """s and C with CᵀA C = diag s and CᵀM C = I."""
    lower = jnp.linalg.cholesky(metric)
    half = jax.scipy.linalg.solve_triangular(lower, matrix, lower=True)
    whole = jax.scipy.linalg.solve_triangular(lower, half.T, lower=True)
    values, vectors = jnp.linalg.eigh(0.5 * (whole + whole.T))
    return values, jax.scipy.linalg.solve_triangular(lower, vectors, lower=True, trans=1)
