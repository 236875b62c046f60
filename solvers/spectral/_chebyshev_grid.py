"""Chebyshev–Lobatto points on [−1, 1]: differentiation, coefficients, evaluation."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray


def lobatto(points: int) -> NDArray[np.floating]:
    """ξⱼ = −cos(πj/(points − 1)), increasing; by the sine, which keeps them symmetric."""
    j = np.arange(points)
    return np.sin(np.pi * (2 * j - (points - 1)) / (2 * (points - 1)))


def differentiation(points: int) -> NDArray[np.floating]:
    """D with (D u)ⱼ = u′(ξⱼ) for polynomials; rows add up to zero.

    Source: Baltensperger & Trummer (2003).
    """
    j = np.arange(points)
    weights = np.where((j == 0) | (j == points - 1), 2.0, 1.0) * (-1.0) ** j
    angles = np.pi * j / (points - 1)
    # ξᵢ − ξⱼ by a product of sines: no cancellation between close points.
    gaps = (
        2
        * np.sin((angles[:, None] + angles[None, :]) / 2)
        * np.sin((angles[:, None] - angles[None, :]) / 2)
    )
    np.fill_diagonal(gaps, 1.0)
    matrix = weights[:, None] / weights[None, :] / gaps
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix


def to_coefficients(points: int) -> NDArray[np.floating]:
    """C with Σₖ (C u)ₖ Tₖ(ξⱼ) = uⱼ."""
    n = points - 1
    j = np.arange(points)
    ends = np.where((j == 0) | (j == n), 0.5, 1.0)
    # ξⱼ = cos(π − πj/n), so Tₖ(ξⱼ) = (−1)ᵏ cos(πjk/n).
    table = (-1.0) ** j[:, None] * np.cos(np.pi * np.outer(j, j) / n)
    return (2.0 / n) * ends[:, None] * table * ends[None, :]


def quadrature(points: int) -> NDArray[np.floating]:
    """Clenshaw–Curtis weights: ∫₋₁¹ u dξ = Σ wⱼ uⱼ, exact for polynomials on the points."""
    k = np.arange(points)
    moments = np.where(k % 2 == 0, 2.0 / (1.0 - np.where(k % 2 == 0, k, 0) ** 2.0), 0.0)
    return moments @ to_coefficients(points)


def polynomials(xi: Array, points: int) -> Array:
    """T₀(ξ) … T_{points−1}(ξ) by their recurrence, (points,): differentiable everywhere."""
    values = [jnp.ones_like(xi), xi]
    for _ in range(points - 2):
        values.append(2 * xi * values[-1] - values[-2])
    return jnp.stack(values[:points])


def tail(coefficients: NDArray[np.floating]) -> NDArray[np.floating]:
    """How much of the last axis's coefficients the last three hold, relative to the largest.

    Small when the points resolve the function.
    """
    size = np.abs(coefficients)
    return size[..., -3:].max(axis=-1) / np.maximum(size.max(axis=-1), 1e-300)
