"""Numerical fluxes between two states at a face."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

Flux = Callable[[Array], Array]


def spectral_radius(flux: Flux, u: Array) -> Array:
    """max |λ(∂F/∂u)|, the fastest wave at the state u (slots,), by automatic differentiation."""
    jacobian = jax.jacfwd(flux)(u)
    if u.shape[0] == 1:
        return jnp.abs(jacobian[0, 0])
    if u.shape[0] == 2:
        half = (jacobian[0, 0] + jacobian[1, 1]) / 2
        square = ((jacobian[0, 0] - jacobian[1, 1]) / 2) ** 2 + jacobian[0, 1] * jacobian[1, 0]
        # Complex eigenvalues (a system that is not hyperbolic) have modulus √(half² − square).
        real = jnp.abs(half) + jnp.sqrt(jnp.where(square > 0, square, 1.0))
        other = jnp.sqrt(jnp.maximum(half**2 - square, 1e-300))
        return jnp.where(square > 0, real, other)
    # The derivative of the speed only weighs the jump: it is left out, since that of eigenvalues
    # that coincide does not exist.
    return jnp.max(jnp.abs(jnp.linalg.eigvals(jax.lax.stop_gradient(jacobian))))


def rusanov(flux: Flux, left: Array, right: Array) -> Array:
    """½ (F(u⁻) + F(u⁺)) − ½ s (u⁺ − u⁻), with s the fastest wave of both states (Rusanov 1961)."""
    speed = jnp.maximum(spectral_radius(flux, left), spectral_radius(flux, right))
    return (flux(left) + flux(right)) / 2 - speed / 2 * (right - left)


RIEMANN: dict[str, Callable[[Flux, Array, Array], Array]] = {"rusanov": rusanov}
