"""Weighted essentially non-oscillatory reconstruction of fifth order on equal cells."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array


def _smoothness(a: Array, b: Array, c: Array, d: Array, e: Array) -> tuple[Array, Array, Array]:
    """Σ ∫ h^{2l−1} (P⁽ˡ⁾)² of the parabolas through three averages each (Jiang & Shu 1996)."""
    left = 13 / 12 * (a - 2 * b + c) ** 2 + (a - 4 * b + 3 * c) ** 2 / 4
    middle = 13 / 12 * (b - 2 * c + d) ** 2 + (b - d) ** 2 / 4
    right = 13 / 12 * (c - 2 * d + e) ** 2 + (3 * c - 4 * d + e) ** 2 / 4
    return left, middle, right


def _smallest(values: tuple[Array, ...]) -> Array:
    """What is added to smoothness: next to nothing beside the averages, at any scale of them."""
    square = jnp.zeros_like(values[0])
    for v in values:
        square = square + v * v
    # In single precision too its inverse square must be finite, for gradients where all is flat.
    return 1e-12 / len(values) * square + jnp.finfo(square.dtype).tiny ** 0.4


def weno5(a: Array, b: Array, c: Array, d: Array, e: Array) -> tuple[Array, Array]:
    """Values at both faces of a cell from five averages, c its own, with the weights of WENO-Z.

    Source: Jiang & Shu (1996); Borges, Carmona, Costa, Don (2008).
    """
    s0, s1, s2 = _smoothness(a, b, c, d, e)
    small = _smallest((a, b, c, d, e))
    tau = jnp.abs(s0 - s2)
    w0, w1, w2 = (1 + (tau / (s + small)) ** 2 for s in (s0, s1, s2))
    high = (
        0.1 * w0 * (2 * a - 7 * b + 11 * c)
        + 0.6 * w1 * (-b + 5 * c + 2 * d)
        + 0.3 * w2 * (2 * c + 5 * d - e)
    ) / (6 * (0.1 * w0 + 0.6 * w1 + 0.3 * w2))
    low = (
        0.3 * w0 * (-a + 5 * b + 2 * c)
        + 0.6 * w1 * (2 * b + 5 * c - d)
        + 0.1 * w2 * (11 * c - 7 * d + 2 * e)
    ) / (6 * (0.3 * w0 + 0.6 * w1 + 0.1 * w2))
    return low, high


def central_weno5(values: tuple[Array, ...], s: Array) -> Array:
    """The point value at s ∈ [−½, ½] of a cell from five averages: one polynomial in the cell.

    Fifth order where the solution is smooth, a parabola from the smooth side at a jump.

    Source: Levy, Puppo, Russo (2000); Cravero, Puppo, Semplice, Visconti (2018).
    """
    a, b, c, d, e = values
    lines = (
        _parabola(a - 2 * b + c, (a - 4 * b + 3 * c) / 2, c, s),
        _parabola(b - 2 * c + d, (d - b) / 2, c, s),
        _parabola(c - 2 * d + e, (-3 * c + 4 * d - e) / 2, c, s),
    )
    share = (0.125, 0.25, 0.125)
    whole = _quartic(values, s)
    rest = (whole - sum(w * q for w, q in zip(share, lines, strict=True))) / 0.5
    s0, s1, s2 = _smoothness(a, b, c, d, e)
    small = _smallest(values)
    tau = jnp.abs(s0 - s2)
    # The polynomial of degree 4 is as rough as the roughest of the three.
    rough = jnp.maximum(jnp.maximum(s0, s1), s2)
    weights = [
        w * (1 + (tau / (r + small)) ** 2)
        for w, r in zip((*share, 0.5), (s0, s1, s2, rough), strict=True)
    ]
    total = sum(w * q for w, q in zip(weights, (*lines, rest), strict=True))
    return jnp.asarray(total / sum(weights))


def _parabola(second: Array, first: Array, mean: Array, s: Array) -> Array:
    """With second difference, slope at the centre and average of the cell."""
    return mean + first * s + second / 2 * (s * s - 1 / 12)


def _quartic(values: tuple[Array, ...], s: Array) -> Array:
    """The polynomial of degree 4 with these five averages."""
    a, b, c, d, e = values
    first = (5 * a - 34 * b + 34 * d - 5 * e) / 48
    second = (-a + 12 * b - 22 * c + 12 * d - e) / 16
    third = (-a + 2 * b - 2 * d + e) / 12
    fourth = (a - 4 * b + 6 * c - 4 * d + e) / 24
    return c + first * s + second * (s * s - 1 / 12) + third * s**3 + fourth * (s**4 - 1 / 80)
