"""Limited slopes for reconstruction in cells."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array


def minmod(a: Array, b: Array) -> Array:
    """The smaller slope, zero at extrema (Roe 1986)."""
    return jnp.where(a * b > 0, jnp.where(jnp.abs(a) < jnp.abs(b), a, b), 0.0)


def monotonized_central(a: Array, b: Array) -> Array:
    """The central slope, at most twice the smaller one (van Leer 1977)."""
    return minmod((a + b) / 2, 2 * minmod(a, b))


def van_leer(a: Array, b: Array) -> Array:
    """The harmonic mean of both slopes, zero at extrema (van Leer 1974)."""
    product = a * b
    total = jnp.where(product > 0, a + b, 1.0)
    return jnp.where(product > 0, 2 * product / total, 0.0)


def constant(a: Array, b: Array) -> Array:
    """No slope: first order."""
    return jnp.zeros_like(a)


LIMITERS: dict[str, Callable[[Array, Array], Array]] = {
    "mc": monotonized_central,
    "minmod": minmod,
    "van_leer": van_leer,
}
