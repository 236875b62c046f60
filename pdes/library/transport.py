"""Transport: advection and advection–diffusion."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pdes._boundary import Dirichlet
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance
from pdes._fields import Scalar
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle


class AdvectionDiffusion(PDE):
    """∂u/∂t + ∇·(a u) = ν ∇²u, with velocity a, shape (dim,), or a number for all directions.

    The flux is a u − ν∇u.
    """

    a: Coefficient = coefficient(1.0)
    nu: Coefficient = coefficient(0.01)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.convection, self.diffusion))}

    def convection(self, p: Point) -> Array:
        return self.a(p) * p.u * jnp.ones_like(p.x)

    def diffusion(self, p: Point) -> Array:
        return -self.nu(p) * p.grad.u


class Advection(PDE):
    """∂u/∂t + ∇·(a u) = 0; the flux is a u."""

    a: Coefficient = coefficient(1.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.convection,))}

    def convection(self, p: Point) -> Array:
        return self.a(p) * p.u * jnp.ones_like(p.x)


def advection_diffusion(a: float = 1.0, nu: float = 0.01) -> Problem:
    """A Gaussian carried and spread: u = σ₀/σ e^{−(x−x₀−at)²/2σ²}, σ² = σ₀² + 2νt.

    On [0, 2] × [0, 1], x₀ = 0.5, σ₀ = 0.1; Dirichlet data from the exact solution.
    """

    def exact(x: Array, t: Array) -> Array:
        variance = 0.01 + 2 * nu * t
        return jnp.sqrt(0.01 / variance) * jnp.exp(-((x[0] - 0.5 - a * t) ** 2) / (2 * variance))

    return Problem(
        AdvectionDiffusion(a=a, nu=nu),
        Interval(0.0, 2.0),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        boundary={"all": Dirichlet(u=exact)},
        exact={"u": exact},
        name="advection_diffusion",
    )


def advection_diffusion_periodic(a: float = 1.0, nu: float = 0.01) -> Problem:
    """Waves carried and damped on [0, 2π]², periodic, by the velocity a(1, 1), t ∈ [0, 1].

    u = e^{−νt} sin(x − at) + ½ e^{−13νt} cos(2(x − at) + 3(y − at)).
    """

    def exact(x: Array, t: Array) -> Array:
        s = x - a * t
        slow = jnp.exp(-nu * t) * jnp.sin(s[0])
        return slow + 0.5 * jnp.exp(-13 * nu * t) * jnp.cos(2 * s[0] + 3 * s[1])

    return Problem(
        AdvectionDiffusion(a=a, nu=nu),
        Rectangle((0.0, 0.0), (2 * jnp.pi, 2 * jnp.pi), periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
        name="advection_diffusion_periodic",
    )


def convection(beta: float = 50.0) -> Problem:
    """∂u/∂t + β ∂u/∂x = 0, periodic on [0, 2π], u = sin(x − βt): the test that plain PINNs fail.

    Source: Krishnapriyan et al. (2021).
    """

    def exact(x: Array, t: Array) -> Array:
        return jnp.sin(x[0] - beta * t)

    return Problem(
        Advection(a=beta),
        Interval(0.0, 2 * jnp.pi, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.sin(x[0])},
        exact={"u": exact},
        name="convection",
    )
