"""Exact solutions of Riemann problems: two constant states side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

Primitive = tuple[float, float, float]


def exact_gas(
    left: Primitive, right: Primitive, gamma: float = 1.4
) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Density, velocity and pressure of a perfect gas as functions of ξ = (x − x₀)/t.

    Arguments:
        left, right: density, velocity and pressure on both sides.

    Raises:
        ValueError: states between which a vacuum opens.

    Source: Toro (2009), chapter 4.
    """
    sound = [float(np.sqrt(gamma * p / rho)) for rho, _, p in (left, right)]
    if 2 * sum(sound) / (gamma - 1) <= right[1] - left[1]:
        raise ValueError(f"a vacuum opens between {left} and {right}")

    def change(p: float, state: Primitive, c: float) -> float:
        """Difference of velocities across a wave that ends at the pressure p."""
        rho, _, pk = state
        if p > pk:
            a, b = 2 / ((gamma + 1) * rho), (gamma - 1) / (gamma + 1) * pk
            return float((p - pk) * np.sqrt(a / (p + b)))
        return 2 * c / (gamma - 1) * ((p / pk) ** ((gamma - 1) / (2 * gamma)) - 1)

    def total(p: float) -> float:
        return change(p, left, sound[0]) + change(p, right, sound[1]) + right[1] - left[1]

    star = _root(total, max(left[2], right[2]))
    speed = 0.5 * (left[1] + right[1]) + 0.5 * (
        change(star, right, sound[1]) - change(star, left, sound[0])
    )

    def at(xi: Array) -> tuple[Array, Array, Array]:
        one = _side(xi, left, sound[0], star, speed, gamma, -1.0)
        other = _side(xi, right, sound[1], star, speed, gamma, 1.0)
        rho, v, p = (jnp.where(xi < speed, a, b) for a, b in zip(one, other, strict=True))
        return rho, v, p

    return at


def _side(xi, state: Primitive, c: float, star: float, speed: float, gamma: float, sign: float):
    """The solution on one side of the contact; `sign` is −1 on the left."""
    rho, v, p = state
    ratio = (gamma - 1) / (gamma + 1)
    if star > p:
        q = star / p
        inner = (rho * (q + ratio) / (ratio * q + 1), speed, star)
        front = v + sign * c * float(np.sqrt((gamma + 1) / (2 * gamma) * (q - 1) + 1))
        ahead = sign * (xi - front) > 0
        return tuple(jnp.where(ahead, a, b) for a, b in zip(state, inner, strict=True))
    inner = (rho * (star / p) ** (1 / gamma), speed, star)
    c_star = c * (star / p) ** ((gamma - 1) / (2 * gamma))
    head, tail = v + sign * c, speed + sign * c_star
    fan_c = 2 / (gamma + 1) * c - sign * ratio * (v - xi)
    fan_c = jnp.maximum(fan_c, 1e-12 * c)
    fan = (
        rho * (fan_c / c) ** (2 / (gamma - 1)),
        xi - sign * fan_c,
        p * (fan_c / c) ** (2 * gamma / (gamma - 1)),
    )
    ahead, behind = sign * (xi - head) > 0, sign * (xi - tail) < 0
    return tuple(
        jnp.where(ahead, a, jnp.where(behind, b, f))
        for a, b, f in zip(state, inner, fan, strict=True)
    )


def exact_water(
    left: tuple[float, float], right: tuple[float, float], g: float = 1.0
) -> Callable[[Array], tuple[Array, Array]]:
    """Depth and velocity of shallow water over a wet bed as functions of ξ = (x − x₀)/t.

    Arguments:
        left, right: depth and velocity on both sides.

    Raises:
        ValueError: states between which the bed runs dry.

    Source: Stoker (1957); Toro (2001), chapter 6.
    """
    sound = [float(np.sqrt(g * h)) for h, _ in (left, right)]
    if 2 * sum(sound) <= right[1] - left[1]:
        raise ValueError(f"the bed runs dry between {left} and {right}")

    def change(h: float, state: tuple[float, float]) -> float:
        hk = state[0]
        if h > hk:
            return float((h - hk) * np.sqrt(0.5 * g * (h + hk) / (h * hk)))
        return 2 * float(np.sqrt(g * h) - np.sqrt(g * hk))

    star = _root(lambda h: change(h, left) + change(h, right) + right[1] - left[1], left[0])
    speed = 0.5 * (left[1] + right[1]) + 0.5 * (change(star, right) - change(star, left))

    def side(xi, state, c, sign):
        h, v = state
        if star > h:
            front = v + sign * c * float(np.sqrt(0.5 * (star + h) * star / h**2))
            ahead = sign * (xi - front) > 0
            return jnp.where(ahead, h, star), jnp.where(ahead, v, speed)
        fan_c = (2 * c - sign * (v - xi)) / 3
        ahead = sign * (xi - (v + sign * c)) > 0
        behind = sign * (xi - (speed + sign * float(np.sqrt(g * star)))) < 0
        depth = jnp.where(ahead, h, jnp.where(behind, star, fan_c**2 / g))
        return depth, jnp.where(ahead, v, jnp.where(behind, speed, xi - sign * fan_c))

    def at(xi: Array) -> tuple[Array, Array]:
        one, other = side(xi, left, sound[0], -1.0), side(xi, right, sound[1], 1.0)
        h, v = (jnp.where(xi < speed, a, b) for a, b in zip(one, other, strict=True))
        return h, v

    return at


def _root(function: Any, guess: float) -> float:
    """The zero of an increasing function of a positive number, by bisection of its logarithm."""
    low, high = guess * 1e-8, guess
    while function(low) > 0:
        low *= 1e-4
    while function(high) < 0:
        high *= 2
    for _ in range(200):
        middle = float(np.sqrt(low * high))
        if middle in (low, high):
            break
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return float(np.sqrt(low * high))
