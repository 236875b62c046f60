"""Numerical fluxes between two states at a face, and the speeds of waves that they need."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

Flux = Callable[[Array], Array]
# From a state to its slowest and fastest wave.
Speeds = Callable[[Array], tuple[Array, Array]]
# From two states and the extreme speeds to the contact's speed and the states beside it.
Star = Callable[[Array, Array, Array, Array], tuple[Array, Array, Array]]


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


def speed_range(flux: Flux, u: Array) -> tuple[Array, Array]:
    """Slowest and fastest wave at a state, eigenvalues of ∂F/∂u by automatic differentiation.

    Where eigenvalues are complex (the system is not hyperbolic there), ∓ their modulus.
    """
    if u.shape[0] > 2:
        values = jnp.linalg.eigvals(jax.lax.stop_gradient(jax.jacfwd(flux)(u)))
        size = jnp.max(jnp.abs(values))
        real = jnp.all(jnp.abs(values.imag) <= 1e-6 * size)
        low = jnp.where(real, jnp.min(values.real), -size)
        return low, jnp.where(real, jnp.max(values.real), size)
    jacobian = jax.jacfwd(flux)(u)
    if u.shape[0] == 1:
        return jacobian[0, 0], jacobian[0, 0]
    half = (jacobian[0, 0] + jacobian[1, 1]) / 2
    square = ((jacobian[0, 0] - jacobian[1, 1]) / 2) ** 2 + jacobian[0, 1] * jacobian[1, 0]
    root = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    size = jnp.sqrt(jnp.maximum(half**2 - square, 1e-300))
    return (
        jnp.where(square < 0, -size, half - root),
        jnp.where(square < 0, size, half + root),
    )


def extremes(speeds: Array) -> tuple[Array, Array]:
    """The least and the greatest of a few numbers, one after the other."""
    entries = [speeds[i] for i in range(speeds.shape[0])]
    return functools.reduce(jnp.minimum, entries), functools.reduce(jnp.maximum, entries)


def rusanov(
    flux: Flux, left: Array, right: Array, speeds: Speeds | None = None, star: Star | None = None
) -> Array:
    """½ (F(u⁻) + F(u⁺)) − ½ s (u⁺ − u⁻), with s the fastest wave of both states (Rusanov 1961)."""
    if speeds is None:
        speed = jnp.maximum(spectral_radius(flux, left), spectral_radius(flux, right))
    else:
        (a, b), (c, d) = speeds(left), speeds(right)
        speed = jnp.maximum(
            jnp.maximum(jnp.abs(a), jnp.abs(b)), jnp.maximum(jnp.abs(c), jnp.abs(d))
        )
    return (flux(left) + flux(right)) / 2 - speed / 2 * (right - left)


def _fan(flux: Flux, left: Array, right: Array, speeds: Speeds | None) -> tuple[Array, Array]:
    """Speeds of the waves that bound the fan: of both states (Davis 1988) and of their mean."""
    speeds = speeds or (lambda u: speed_range(flux, u))
    low, high = zip(*(speeds(u) for u in (left, right, (left + right) / 2)), strict=True)
    return functools.reduce(jnp.minimum, low), functools.reduce(jnp.maximum, high)


def hll(
    flux: Flux, left: Array, right: Array, speeds: Speeds | None = None, star: Star | None = None
) -> Array:
    """One mean state between the slowest and the fastest wave (Harten, Lax, van Leer 1983)."""
    low, high = _fan(flux, left, right, speeds)
    low, high = jnp.minimum(low, 0.0), jnp.maximum(high, 0.0)
    still = high - low == 0.0
    width = jnp.where(still, 1.0, high - low)
    f_left, f_right = flux(left), flux(right)
    through = (high * f_left - low * f_right + low * high * (right - left)) / width
    return jnp.where(still, (f_left + f_right) / 2, through)


def hllc(
    flux: Flux, left: Array, right: Array, speeds: Speeds | None = None, star: Star | None = None
) -> Array:
    """HLL with the contact between two star states (Toro, Spruce, Speares 1994)."""
    assert star is not None
    low, high = _fan(flux, left, right, speeds)
    contact, star_left, star_right = star(left, right, low, high)
    f_left, f_right = flux(left), flux(right)
    from_left = f_left + jnp.minimum(low, 0.0) * (star_left - left)
    from_right = f_right + jnp.maximum(high, 0.0) * (star_right - right)
    return jnp.where(
        low >= 0,
        f_left,
        jnp.where(high <= 0, f_right, jnp.where(contact >= 0, from_left, from_right)),
    )


RIEMANN: dict[str, Callable[..., Any]] = {"rusanov": rusanov, "hll": hll, "hllc": hllc}
