"""Incompressible fluids: Stokes and Navier–Stokes."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._boundary import Dirichlet, Outflow, Pin
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Constraint
from pdes._fields import Scalar, Vector
from pdes._manufactured import manufactured
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Box, Disk, Mesh, Rectangle, joined_mesh, mapped_mesh


class Stokes(PDE):
    """Stokes flow, ∂u/∂t − ν∇²u + ∇p = f, ∇·u = 0.

    The flux of u is pI − ν∇u, so `Outflow()` is the do-nothing condition ν ∂u/∂n = p n. The
    pressure is per unit density; it is the multiplier of ∇·u = 0.
    """

    nu: Coefficient = coefficient(1.0)
    f: Coefficient = coefficient(0.0)
    fields = {"u": Vector(), "p": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.stress,), source=(self.force,)),
            "p": Constraint(flux=(self.velocity,)),
        }

    def stress(self, p: Point) -> Array:
        return p.p * jnp.eye(p.x.shape[0]) - self.nu(p) * p.grad.u

    def force(self, p: Point) -> Array:
        return self.f(p) * jnp.ones_like(p.x)

    def velocity(self, p: Point) -> Array:
        return p.u


class NavierStokes(PDE):
    """Incompressible Navier–Stokes, ∂u/∂t + (u·∇)u = −∇p + ν∇²u + f, ∇·u = 0.

    The flux of u is pI − ν∇u; the convection stays in the source, so that `Outflow()` is the
    do-nothing condition. Source: Heywood, Rannacher, Turek (1996).
    """

    nu: Coefficient = coefficient(0.01)
    f: Coefficient = coefficient(0.0)
    fields = {"u": Vector(), "p": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.stress,), source=(self.convection, self.force)),
            "p": Constraint(flux=(self.velocity,)),
        }

    def stress(self, p: Point) -> Array:
        return p.p * jnp.eye(p.x.shape[0]) - self.nu(p) * p.grad.u

    def convection(self, p: Point) -> Array:
        return -p.grad.u @ p.u

    def force(self, p: Point) -> Array:
        return self.f(p) * jnp.ones_like(p.x)

    def velocity(self, p: Point) -> Array:
        return p.u


def stokes(nu: float = 1.0) -> Problem:
    """Manufactured Stokes flow on the unit square, p pinned at the origin.

    ψ = sin²πx sin²πy, u = (∂ψ/∂y, −∂ψ/∂x), p = cos πx cos πy.
    """

    def velocity(x: Array, t: Array) -> Array:
        sx, sy = jnp.sin(jnp.pi * x[0]), jnp.sin(jnp.pi * x[1])
        cx, cy = jnp.cos(jnp.pi * x[0]), jnp.cos(jnp.pi * x[1])
        return 2 * jnp.pi * jnp.stack([sx**2 * sy * cy, -sx * cx * sy**2])

    def pressure(x: Array, t: Array) -> Array:
        return jnp.cos(jnp.pi * x[0]) * jnp.cos(jnp.pi * x[1])

    return manufactured(
        Stokes(nu=nu),
        Rectangle(),
        {"u": velocity, "p": pressure},
        gauge={"p": Pin((0.0, 0.0), p=1.0)},
        name="stokes",
    )


def kovasznay(reynolds: float = 40.0) -> Problem:
    """Kovasznay's flow behind a grid, steady, on [−½, 1] × [−½, 3/2].

    u = (1 − e^{λx} cos 2πy, λ/2π e^{λx} sin 2πy), p = −½ e^{2λx},
    λ = Re/2 − √(Re²/4 + 4π²). Source: Kovasznay (1948).
    """
    lam = reynolds / 2 - (reynolds**2 / 4 + 4 * jnp.pi**2) ** 0.5

    def velocity(x: Array, t: Array) -> Array:
        e = jnp.exp(lam * x[0])
        angle = 2 * jnp.pi * x[1]
        return jnp.stack([1 - e * jnp.cos(angle), lam / (2 * jnp.pi) * e * jnp.sin(angle)])

    def pressure(x: Array, t: Array) -> Array:
        return -0.5 * jnp.exp(2 * lam * x[0])

    corner = (-0.5, -0.5)
    return Problem(
        NavierStokes(nu=1.0 / reynolds),
        Rectangle(corner, (1.0, 1.5)),
        boundary={"all": Dirichlet(u=velocity)},
        gauge={"p": Pin(corner, p=-0.5 * float(jnp.exp(-lam)))},
        exact={"u": velocity, "p": pressure},
        name="kovasznay",
    )


def cavity(reynolds: float = 100.0) -> Problem:
    """Lid-driven cavity on the unit square, steady; the lid moves with u = (1, 0).

    The two upper corners belong to the walls. No exact solution; reference values by
    Botella and Peyret (1998) at Re 1000 and Marchi et al. (2009) at Re 100.
    """
    return Problem(
        NavierStokes(nu=1.0 / reynolds),
        _cavity_domain(),
        boundary={
            "lid": Dirichlet(u=(1.0, 0.0)),
            "left": Dirichlet(u=0.0),
            "right": Dirichlet(u=0.0),
            "bottom": Dirichlet(u=0.0),
        },
        gauge={"p": Pin((0.0, 0.0), p=0.0)},
        name="cavity",
    )


def _cavity_domain() -> Box:
    return Rectangle().name("lid", lambda x: x[1] > 1.0 - 1e-9)


def cavity_mesh(cells: int) -> Mesh:
    """cells × cells quadrilaterals of the cavity, finer at the walls: x ↦ ½(1 − cos πx)."""
    square = _cavity_domain().mesh(cells, "quadrilateral")
    return mapped_mesh(square, lambda x: 0.5 * (1.0 - np.cos(np.pi * x)))


def cylinder_flow(
    peak: float = 0.3,
    time: tuple[float, float] | None = None,
    rise: Callable[[Array], Array] | None = None,
) -> Problem:
    """Flow past a cylinder in a channel (DFG benchmark 2D-1; with peak 1.5 and a time 2D-2).

    [0, 2.2] × [0, 0.41] without the disk of radius 0.05 at (0.2, 0.2), ν = 0.001, the inflow a
    parabola, nothing done at the outflow; from rest where there is a time, the inflow then times
    `rise(t)`, by default sin²(πt/2) within t ∈ [0, 1]; 2D-3 is peak 1.5, time (0, 8) and
    sin(πt/8). With D = 0.1 and the mean inflow U = ⅔ peak the
    coefficients of drag and lift are 2F/(U²D), where F is `solution.reaction("u", "cylinder")`.
    2D-1 (steady, peak 0.3): 5.57953523384, 0.010618948146, and p(0.15, 0.2) − p(0.25, 0.2) =
    0.11752016697. 2D-3: the largest drag is 2.950921575 at t = 3.93625, the largest lift 0.47795
    at 5.693125. Source: Schäfer and Turek (1996); Nabh (1998); John (2004).
    """
    height = 0.41

    def smooth(t: Array) -> Array:
        return jnp.sin(0.5 * jnp.pi * jnp.clip(t, 0.0, 1.0)) ** 2

    raised = rise or smooth

    def inflow(x: Array, t: Array) -> Array:
        factor = 1.0 if time is None else raised(t)
        u = 4.0 * peak * factor * x[1] * (height - x[1]) / height**2
        return jnp.stack([u, jnp.zeros_like(u)])

    return Problem(
        NavierStokes(nu=1e-3),
        Rectangle((0.0, 0.0), (2.2, height)) - Disk((0.2, 0.2), 0.05, boundary="cylinder"),
        time=time,
        initial={} if time is None else {"u": 0.0},
        boundary={
            "left": Dirichlet(u=inflow),
            "right": Outflow(),
            "bottom": Dirichlet(u=0.0),
            "top": Dirichlet(u=0.0),
            "cylinder": Dirichlet(u=0.0),
        },
        name="cylinder_flow",
    )


def cylinder_mesh(cells: int) -> Mesh:
    """Curved quadrilaterals around the cylinder in four blocks, `cells` along a quarter of it, and
    straight ones downstream; finer at the cylinder."""
    corners = np.array([[0.41, 0.0], [0.41, 0.41], [0.0, 0.41], [0.0, 0.0]])
    centre, radius = np.array([0.2, 0.2]), 0.05
    angles = np.arctan2(*(corners - centre).T[::-1])
    angles = np.unwrap(np.append(angles, angles[0]))

    def quarter(k: int):
        def place(x: np.ndarray) -> np.ndarray:
            along = x[:, 1:]
            outer = (1.0 - along) * corners[k] + along * corners[(k + 1) % 4]
            angle = angles[k] + x[:, 1] * (angles[k + 1] - angles[k])
            inner = centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            out = np.expm1(2.5 * x[:, :1]) / np.expm1(2.5)
            return (1.0 - out) * inner + out * outer

        return place

    def downstream(x: np.ndarray) -> np.ndarray:
        along = 0.41 + 1.79 * np.expm1(1.2 * x[:, 0]) / np.expm1(1.2)
        return np.stack([along, 0.41 * x[:, 1]], axis=1)

    square = Rectangle().mesh(cells, "quadrilateral")
    long = Rectangle().mesh((2 * cells, cells), "quadrilateral")
    pieces = [mapped_mesh(square, quarter(k), curved=True) for k in range(4)]
    pieces.append(mapped_mesh(long, downstream, curved=True))
    return joined_mesh(pieces, cylinder_flow().domain)
