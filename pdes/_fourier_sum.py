"""Sums of waves, whose derivatives are sums of the same waves.

Differentiated wave by wave, each order repeats the sines and cosines, which are most of the cost of
a sum of a hundred of them. Here they are taken once for all orders.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array


def fourier_sum(theta: Array, a: Array, b: Array) -> Array:
    """Σₖ aₖ cos kθ + bₖ sin kθ for k = 1…n.

    **Arguments**: `theta` (); `a`, `b` (components, n). **Returns** (components,).
    """
    return _pdes_fourier_sum(theta, a, b)


def fourier_moments(theta: Array, a: Array, b: Array, order: int) -> list[Array]:
    """The sum and its derivatives in θ, each divided by its factorial, up to `order`."""
    k = jnp.arange(1, a.shape[1] + 1, dtype=theta.dtype)
    cosines, sines = jnp.cos(k * theta), jnp.sin(k * theta)
    # Products with all powers at once, so that waves are not taken again for each.
    even = (a * cosines + b * sines) @ _powers(k, range(0, order + 1, 2))
    odd = (b * cosines - a * sines) @ _powers(k, range(1, order + 1, 2))
    return [(odd if m % 2 else even)[:, m // 2] for m in range(order + 1)]


def _powers(k: Array, orders: range) -> Array:
    """(−1)^{m div 2} kᵐ/m!, a column for each m."""
    columns = [(-1) ** (m // 2) * k**m / math.factorial(m) for m in orders]
    return jnp.stack(columns, axis=1) if columns else jnp.zeros((len(k), 0), k.dtype)


# The name is what a Taylor series knows it by (`pdes._series`).
@jax.jit
def _pdes_fourier_sum(theta, a, b):
    return fourier_moments(theta, a, b, 0)[0]
