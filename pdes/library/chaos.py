"""Ordinary differential equations at each point: Lorenz-96."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance
from pdes._fields import Components
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval


class Lorenz96(PDE):
    """Lorenz-96, duᵢ/dt = (uᵢ₊₁ − uᵢ₋₂) uᵢ₋₁ − uᵢ + F for 40 components in a circle.

    Nothing moves between points: each point of the domain is a system of its own, so that initial
    data that vary in x are an ensemble. The quadratic terms keep Σ uᵢ². F = 8 is chaotic.
    Source: Lorenz (1996); Lorenz and Emanuel (1998).
    """

    forcing: Coefficient = coefficient(8.0)
    fields = {"u": Components(40)}

    def equations(self):
        return {"u": Balance(source=(self.advection, self.damping, self.drive))}

    def advection(self, p: Point) -> Array:
        return (jnp.roll(p.u, -1) - jnp.roll(p.u, 2)) * jnp.roll(p.u, 1)

    def damping(self, p: Point) -> Array:
        return -p.u

    def drive(self, p: Point) -> Array:
        return self.forcing(p) * jnp.ones_like(p.u)


def lorenz96(forcing: float = 8.0, end: float = 2.0) -> Problem:
    """Lorenz-96 from rest at F with 0.008 added to one component, at every point of [0, 1].

    No exact solution; an integrator of ordinary equations gives a reference. Errors grow: as the
    disturbance does from rest, up to e^{8t} (the largest Re λ = 9F/8 − 1), then chaotically.
    Source: Lorenz and Emanuel (1998), section 2.
    """

    def start(x: Array) -> Array:
        return jnp.full(40, forcing, x.dtype).at[19].add(0.008)

    return Problem(
        Lorenz96(forcing=forcing),
        Interval(0.0, 1.0, periodic=True),
        time=(0.0, end),
        initial={"u": start},
        name="lorenz96",
    )
