"""Periodic incompressible flow, in vorticity form in the plane and in velocity form in space."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._boundary import ZeroMean
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Constraint, Definition, NoStorage
from pdes._fields import Scalar, Vector
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Box, Rectangle


class VorticityTransport(PDE):
    """Navier–Stokes in the plane, ∂ω/∂t + u·∇ω = ν ∇²ω − μ ω + f, −∇²ψ = ω, u = (∂ψ/∂y, −∂ψ/∂x).

    With ∇·u = 0, u·∇ω is the curl of m = ∇·(u⊗u), of which gradients drop out: only ½(u² − v²) and
    uv are needed, so that a pseudo-spectral evaluation takes four transforms in place of five
    (Basdevant, 1983). The flux of ω is (m₂, −m₁) − ν∇ω. ω is ∂v/∂x − ∂u/∂y; μ is a linear friction.
    """

    nu: Coefficient = coefficient(1e-3)
    mu: Coefficient = coefficient(0.0)
    f: Coefficient = coefficient(0.0)
    fields = {"omega": Scalar(), "psi": Scalar(), "m": Vector()}

    def equations(self):
        return {
            "omega": Balance(
                flux=(self.convection, self.viscosity), source=(self.friction, self.forcing)
            ),
            "psi": Balance(flux=(self.slope,), source=(self.vorticity,), storage=NoStorage),
            "m": Definition(flux=(self.momentum,)),
        }

    def convection(self, p: Point) -> Array:
        return jnp.stack([p.m[1], -p.m[0]])

    def viscosity(self, p: Point) -> Array:
        return -self.nu(p) * p.grad.omega

    def friction(self, p: Point) -> Array:
        return -self.mu(p) * p.omega

    def forcing(self, p: Point) -> Array:
        return self.f(p)

    def slope(self, p: Point) -> Array:
        return -p.grad.psi

    def vorticity(self, p: Point) -> Array:
        return p.omega

    def momentum(self, p: Point) -> Array:
        u, v = p.grad.psi[1], -p.grad.psi[0]
        a, b = 0.5 * (u**2 - v**2), u * v
        return jnp.stack([jnp.stack([a, b]), jnp.stack([b, -a])])


class PeriodicFlow(PDE):
    """Navier–Stokes, ∂u/∂t + ∇·(u⊗u − u_d² I) + ∇q = ν ∇²u + f, ∇·u = 0, with q = p + u_d².

    The last diagonal entry u_d² of u⊗u is a gradient's and moves into the pressure, which leaves
    five products in space and two in the plane, eight and four transforms an evaluation (as
    Basdevant, 1983). For periodic boxes: the flux would mean nothing at an outflow.
    """

    nu: Coefficient = coefficient(1e-2)
    f: Coefficient = coefficient(0.0)
    fields = {"u": Vector(), "q": Scalar()}

    def equations(self):
        return {
            "u": Balance(
                flux=(self.convection, self.viscosity, self.pressure), source=(self.forcing,)
            ),
            "q": Constraint(flux=(self.velocity,)),
        }

    def convection(self, p: Point) -> Array:
        return p.u[:, None] * p.u[None, :] - p.u[-1] ** 2 * jnp.eye(p.u.shape[0])

    def viscosity(self, p: Point) -> Array:
        return -self.nu(p) * p.grad.u

    def pressure(self, p: Point) -> Array:
        return p.q * jnp.eye(p.u.shape[0])

    def forcing(self, p: Point) -> Array:
        return self.f(p) * jnp.ones_like(p.x)

    def velocity(self, p: Point) -> Array:
        return p.u


def taylor_green(nu: float = 0.05, end: float = 1.0) -> Problem:
    """The decaying Taylor–Green vortex, ω = 2 cos x cos y e^{−2νt} on [0, 2π]², periodic.

    ψ = cos x cos y e^{−2νt}; convection vanishes. Source: Taylor (1923).
    """

    def stream(x: Array, t: Array) -> Array:
        return jnp.cos(x[0]) * jnp.cos(x[1]) * jnp.exp(-2.0 * nu * t)

    def omega(x: Array, t: Array) -> Array:
        return 2.0 * stream(x, t)

    return Problem(
        VorticityTransport(nu=nu),
        Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, end),
        initial={"omega": lambda x: omega(x, jnp.zeros((), x.dtype))},
        gauge={"psi": ZeroMean()},
        exact={"omega": omega, "psi": stream},
        name="taylor_green",
    )


def kolmogorov(reynolds: float = 40.0, waves: int = 4, end: float = 2.0) -> Problem:
    """Kolmogorov flow on [0, 2π]², ω_t + u·∇ω = ∇²ω/Re − 0.1 ω − n cos ny, periodic.

    From a few large vortices. The force is sin(n y) along x. No exact solution.
    The case of Kochkov et al. (2021), n = 4.
    """

    def start(x: Array) -> Array:
        rolls = jnp.sin(x[0]) * jnp.cos(2 * x[1]) + jnp.cos(3 * x[0] + 1.0) * jnp.sin(2 * x[1])
        return 2.0 * rolls + jnp.cos(2 * x[0] - x[1])

    return Problem(
        VorticityTransport(
            nu=1.0 / reynolds, mu=0.1, f=lambda p: -float(waves) * jnp.cos(waves * p.x[1])
        ),
        Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, end),
        initial={"omega": start},
        gauge={"psi": ZeroMean()},
        name="kolmogorov",
    )


def decaying_turbulence(reynolds: float = 500.0, end: float = 2.0, seed: int = 0) -> Problem:
    """Decaying flow in the plane on [0, 2π]², ω_t + u·∇ω = ∇²ω/Re, periodic, from random vortices.

    Waves with 3 ≤ |k| ≤ 6, random amplitudes and phases (of `seed`), such that ⟨ω²⟩ = 16 on
    average: vortices of like sign merge, energy is nearly kept, enstrophy decays. No exact
    solution. Source: McWilliams (1984).
    """
    generator = np.random.default_rng(seed)
    square = [(i, j) for i in range(7) for j in range(-6, 7) if i > 0 or j > 0]
    waves = np.array([k for k in square if 9 <= k[0] ** 2 + k[1] ** 2 <= 36], float)
    sizes = generator.standard_normal(len(waves)) * (32.0 / len(waves)) ** 0.5
    phases = generator.uniform(0.0, 2 * np.pi, len(waves))

    def start(x: Array) -> Array:
        angle = jnp.asarray(waves, x.dtype) @ x + jnp.asarray(phases, x.dtype)
        return jnp.sum(jnp.asarray(sizes, x.dtype) * jnp.cos(angle))

    return Problem(
        VorticityTransport(nu=1.0 / reynolds),
        Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, end),
        initial={"omega": start},
        gauge={"psi": ZeroMean()},
        name="decaying_turbulence",
    )


def taylor_green_3d(reynolds: float = 200.0, end: float = 1.0) -> Problem:
    """The Taylor–Green vortex on [0, 2π]³, u = (sin x cos y cos z, −cos x sin y cos z, 0) at t = 0.

    It stretches into ever smaller vortices and decays. No exact solution.
    Sources: Taylor & Green (1937); Brachet et al. (1983).
    """

    def start(x: Array) -> Array:
        u = jnp.sin(x[0]) * jnp.cos(x[1]) * jnp.cos(x[2])
        v = -jnp.cos(x[0]) * jnp.sin(x[1]) * jnp.cos(x[2])
        return jnp.stack([u, v, jnp.zeros_like(u)])

    return Problem(
        PeriodicFlow(nu=1.0 / reynolds),
        Box((0.0,) * 3, (2 * np.pi,) * 3, periodic=True),
        time=(0.0, end),
        initial={"u": start},
        gauge={"q": ZeroMean()},
        name="taylor_green_3d",
    )
