"""Chebyshev–Lobatto points on [−1, 1]: differentiation, coefficients, evaluation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

# Longer recurrences are a loop, since unrolled ones take long to compile.
_UNROLLED = 128


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


def polynomials(x: Array, low: Any, high: Any, points: int) -> Array:
    """T₀ … T_{points−1} at x in [low, high], (points,): differentiable everywhere.

    By differences from the nearer end, Tₖ₊₁ − Tₖ = Tₖ − Tₖ₋₁ − 2 (1 − |ξ|) Tₖ, so that round-off
    does not grow as k² there (Reinsch), and places in a thin layer are told apart as x tells them.
    """
    left = x - low < high - x
    sign = jnp.where(left, -1.0, 1.0)
    gap = 2 * jnp.where(left, x - low, high - x) / (high - low)
    one = jnp.ones_like(gap)

    def following(carried, _):
        now, change = carried
        change = change - 2 * gap * now
        return (now + change, change), now + change

    carried = (one - gap, -gap)
    if points > _UNROLLED:
        _, later = jax.lax.scan(following, carried, None, length=points - 2)
        values = jnp.concatenate([one[None], carried[0][None], later])
    else:
        listed = [one, carried[0]]
        for _ in range(points - 2):
            carried, value = following(carried, None)
            listed.append(value)
        values = jnp.stack(listed[:points])
    return values * sign ** jnp.arange(points)
