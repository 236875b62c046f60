"""Flow between two plates: plane Poiseuille flow, and convection between a hot and a cold one."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array

from pdes._boundary import Dirichlet, ZeroMean
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Constraint
from pdes._fields import Scalar, Vector
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Rectangle
from pdes.library.fluids import NavierStokes


class Boussinesq(PDE):
    """Convection of a fluid heated from below, in units of the depth and of thermal diffusion.

    ∂u/∂t + (u·∇)u = −∇p + Pr ∇²u + Ra Pr T e,  ∇·u = 0,  ∂T/∂t + u·∇T = ∇²T

    with e the last direction, upwards. The flux of u is pI − Pr ∇u, that of T is −∇T:
    `Neumann(T=g)` is the heat that flows out. Source: Chandrasekhar (1961), chapter II.
    """

    rayleigh: Coefficient = coefficient(2000.0)
    prandtl: Coefficient = coefficient(1.0)
    fields = {"u": Vector(), "p": Scalar(), "T": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.stress,), source=(self.convection, self.buoyancy)),
            "p": Constraint(flux=(self.velocity,)),
            "T": Balance(flux=(self.conduction,), source=(self.advection,)),
        }

    def stress(self, p: Point) -> Array:
        return p.p * jnp.eye(p.x.shape[0]) - self.prandtl(p) * p.grad.u

    def convection(self, p: Point) -> Array:
        return -p.grad.u @ p.u

    def buoyancy(self, p: Point) -> Array:
        return jnp.zeros_like(p.x).at[-1].set(self.rayleigh(p) * self.prandtl(p) * p.T)

    def velocity(self, p: Point) -> Array:
        return p.u

    def conduction(self, p: Point) -> Array:
        return -p.grad.T

    def advection(self, p: Point) -> Array:
        return -p.u @ p.grad.T


def rayleigh_benard(
    rayleigh: float = 5000.0,
    prandtl: float = 0.71,
    wavelength: float = 2.016,
    time: float = 4.0,
) -> Problem:
    """Rayleigh–Bénard convection between no-slip plates, T = 1 below and 0 above.

    Periodic along the plates, from the conduction state with a small roll. Onset at Ra 1707.762
    and wavelength 2.016 (wavenumber 3.117). The rolls' Nusselt number at Pr 0.71 is 2.116 at
    Ra 5000 and 2.661 at Ra 10 000. Sources: Chandrasekhar (1961); Clever and Busse (1974).
    """

    def warm(x: Array) -> Array:
        roll = jnp.cos(2 * jnp.pi * x[0] / wavelength) * jnp.sin(jnp.pi * x[1])
        return 1.0 - x[1] + 0.1 * roll

    return Problem(
        Boussinesq(rayleigh=rayleigh, prandtl=prandtl),
        Rectangle((0.0, 0.0), (wavelength, 1.0), periodic=(True, False)),
        time=(0.0, time),
        initial={"u": 0.0, "T": warm},
        boundary={"bottom": Dirichlet(u=0.0, T=1.0), "top": Dirichlet(u=0.0, T=0.0)},
        gauge={"p": ZeroMean()},
        name="rayleigh_benard",
    )


def conduction(problem: Problem) -> dict:
    """The state at rest of `rayleigh_benard`: T = 1 − y, p its weight, with mean zero."""
    pde = problem.pde
    assert isinstance(pde, Boussinesq)

    def temperature(x: Array) -> Array:
        return 1.0 - x[1]

    def pressure(x: Array) -> Array:
        point = Point(x, jnp.zeros((), x.dtype), {}, {})
        weight = pde.rayleigh(point) * pde.prandtl(point)
        return weight * (x[1] - 0.5 * x[1] ** 2 - 1.0 / 3.0)

    return {"u": 0.0, "T": temperature, "p": pressure}


def poiseuille(reynolds: float = 10_000.0, wavenumber: float = 1.0, time: float = 10.0) -> Problem:
    """Plane Poiseuille flow u = (1 − y², 0) between plates at y = ±1, driven by a force 2/Re.

    One wave long, 2π/α. Its least stable mode at Re 10 000 and α = 1 grows at the rate
    0.00373967, with phase speed 0.23752649: the eigenproblem of Orr and Sommerfeld.
    Source: Orszag (1971).
    """

    def parabola(x: Array) -> Array:
        return jnp.stack([1.0 - x[1] ** 2, jnp.zeros_like(x[1])])

    length = 2.0 * math.pi / wavenumber
    return Problem(
        NavierStokes(nu=1.0 / reynolds, f=jnp.array([2.0 / reynolds, 0.0])),
        Rectangle((0.0, -1.0), (length, 1.0), periodic=(True, False)),
        time=(0.0, time),
        initial={"u": parabola},
        boundary={"all": Dirichlet(u=0.0)},
        gauge={"p": ZeroMean()},
        exact={"u": lambda x, t: parabola(x), "p": lambda x, t: jnp.zeros_like(x[0])},
        name="poiseuille",
    )
