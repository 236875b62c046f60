"""Problems of gas dynamics: shock tubes and what tests schemes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._boundary import Dirichlet, Outflow, Wall
from pdes._problem import Problem
from pdes.domain import Box, Interval, Rectangle
from pdes.library.gas import Euler, conserved
from pdes.library.riemann import Primitive, exact_gas


def _fields(state: Callable[..., tuple[Any, Any, Any]], gamma: float = 1.4) -> dict[str, Callable]:
    """Data for each field from density, velocity and pressure as functions of the same point."""

    def field(name: str) -> Callable:
        # The arguments by name, since data with a time are told by their number.
        return lambda x, *t: conserved(*state(x, *t), gamma)[name]

    return {name: field(name) for name in ("rho", "m", "E")}


def shock_tube(
    left: Primitive,
    right: Primitive,
    end: float,
    domain: tuple[float, float] = (0.0, 1.0),
    middle: float = 0.5,
    gamma: float = 1.4,
    name: str = "shock_tube",
) -> Problem:
    """Two states of a gas side by side, with the exact solution.

    Arguments:
        left, right: density, velocity and pressure. end: time at the end.
    """
    wave = exact_gas(left, right, gamma)

    def exact(x: Array, t: Array) -> tuple[Array, Array, Array]:
        return wave((x[0] - middle) / jnp.maximum(t, 1e-12))

    def start(x: Array) -> tuple[Array, Array, Array]:
        rho, v, p = (jnp.where(x[0] < middle, a, b) for a, b in zip(left, right, strict=True))
        return rho, v, p

    return Problem(
        Euler(gamma=gamma),
        Interval(*domain),
        time=(0.0, end),
        initial=_fields(start, gamma),
        boundary={"all": Outflow()},
        exact=_fields(exact, gamma),
        name=name,
    )


def sod() -> Problem:
    """Sod's shock tube: rarefaction, contact and shock, with the exact solution.

    Source: Sod (1978).
    """
    return shock_tube((1.0, 0.0, 1.0), (0.125, 0.0, 0.1), 0.2, name="sod")


def einfeldt() -> Problem:
    """The 1-2-3 problem: two rarefactions leave almost nothing between them.

    Source: Einfeldt, Munz, Roe, Sjögreen (1991); Toro (2009), test 2.
    """
    return shock_tube((1.0, -2.0, 0.4), (1.0, 2.0, 0.4), 0.15, name="einfeldt")


def shu_osher() -> Problem:
    """A shock of Mach 3 meets waves in density; no exact solution.

    On [−5, 5] until t = 1.8. Source: Shu and Osher (1989).
    """

    def start(x: Array) -> tuple[Array, Array, Array]:
        behind = x[0] < -4.0
        return (
            jnp.where(behind, 3.857143, 1 + 0.2 * jnp.sin(5 * x[0])),
            jnp.where(behind, 2.629369, 0.0),
            jnp.where(behind, 10.33333, 1.0),
        )

    inflow = conserved(3.857143, 2.629369, 10.33333)
    return Problem(
        Euler(),
        Interval(-5.0, 5.0),
        time=(0.0, 1.8),
        initial=_fields(start),
        boundary={"left": Dirichlet(**inflow), "right": Outflow()},
        name="shu_osher",
    )


def entropy_wave(velocity: Sequence[float] = (1.0,), amplitude: float = 0.2) -> Problem:
    """A wave in density carried by a uniform flow, periodic on [0, 1]ᵈ; smooth and exact.

    ρ = 1 + a sin 2π Σᵢ(xᵢ − vᵢt), p = 1, until t = 1; d is the length of `velocity`.
    """
    v = np.asarray(velocity, float)

    def exact(x: Array, t: Any = 0.0) -> tuple[Array, Array, Array]:
        rho = 1 + amplitude * jnp.sin(2 * jnp.pi * jnp.sum(x - v * t))
        return rho, jnp.asarray(v), jnp.ones(())

    return Problem(
        Euler(),
        Box([0.0] * len(v), [1.0] * len(v), periodic=True),
        time=(0.0, 1.0),
        initial=_fields(exact),
        exact=_fields(exact),
        name="entropy_wave",
    )


def double_mach(end: float = 0.2) -> Problem:
    """Double Mach reflection: a shock of Mach 10 meets a wall at 60 degrees.

    On [0, 4] × [0, 1]; the wall is the bottom from x = 1/6 on, the top follows the shock. The
    bottom before the wall is the part "inflow". Source: Woodward and Colella (1984).
    """
    corner, slope = 1 / 6, 3**0.5
    behind = (8.0, 8.25 * np.array([slope / 2, -0.5]), 116.5)
    ahead = (1.4, np.zeros(2), 1.0)

    def state(x: Array, t: Any = 0.0) -> tuple[Array, Array, Array]:
        struck = x[0] < corner + (x[1] + 20.0 * t) / slope
        rho, v, p = (jnp.where(struck, a, b) for a, b in zip(behind, ahead, strict=True))
        return rho, v, p

    moving = _fields(state)
    inflow = Dirichlet(**conserved(*behind))
    domain = Rectangle((0.0, 0.0), (4.0, 1.0)).name(
        "inflow", lambda x: x[1] < 1e-9 and x[0] < corner
    )
    return Problem(
        Euler(),
        domain,
        time=(0.0, end),
        initial=_fields(state),
        boundary={
            "left": inflow,
            "inflow": inflow,
            "bottom": Wall(),
            "top": Dirichlet(**moving),
            "right": Outflow(),
        },
        name="double_mach",
    )
