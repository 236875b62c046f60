"""Waves: wave equation, Helmholtz, Klein–Gordon."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes._boundary import Dirichlet
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, NoStorage
from pdes._fields import Scalar
from pdes._manufactured import manufactured
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle


class Wave(PDE):
    """Wave equation, ∂²u/∂t² = ∇·(c² ∇u); the flux is −c²∇u. Source: d'Alembert (1747)."""

    c: Coefficient = coefficient(1.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.tension,), inertia=1.0)}

    def tension(self, p: Point) -> Array:
        return -(self.c(p) ** 2) * p.grad.u


class Helmholtz(PDE):
    """Helmholtz equation, −∇²u − k²u = f; the flux is −∇u."""

    k: Coefficient = coefficient(1.0)
    f: Coefficient = coefficient(0.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.diffusion,), source=(self.load,), storage=NoStorage)}

    def diffusion(self, p: Point) -> Array:
        return -p.grad.u

    def load(self, p: Point) -> Array:
        return self.k(p) ** 2 * p.u + self.f(p)


class KleinGordon(PDE):
    """Nonlinear Klein–Gordon equation, ∂²u/∂t² = α ∇²u − β u − γ u³ + f; the flux is −α∇u."""

    alpha: Coefficient = coefficient(1.0)
    beta: Coefficient = coefficient(0.0)
    gamma: Coefficient = coefficient(1.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.tension,), source=(self.restoring, self.cubic), inertia=1.0)
        }

    def tension(self, p: Point) -> Array:
        return -self.alpha(p) * p.grad.u

    def restoring(self, p: Point) -> Array:
        return -self.beta(p) * p.u

    def cubic(self, p: Point) -> Array:
        return -self.gamma(p) * p.u**3


class SineGordon(PDE):
    """Sine-Gordon equation, ∂²u/∂t² = c² ∇²u − sin u; the flux is −c²∇u."""

    c: Coefficient = coefficient(1.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.tension,), source=(self.restoring,), inertia=1.0)}

    def tension(self, p: Point) -> Array:
        return -(self.c(p) ** 2) * p.grad.u

    def restoring(self, p: Point) -> Array:
        return -jnp.sin(p.u)


def wave(c: float = 2.0) -> Problem:
    """Two standing waves, u = sin πx cos cπt + ½ sin 4πx cos 4cπt on [0, 1]².

    Fixed ends, at rest at the start. The case of Wang, Yu, Perdikaris (2022), c = 2.
    """

    def exact(x: Array, t: Array) -> Array:
        slow = jnp.sin(jnp.pi * x[0]) * jnp.cos(c * jnp.pi * t)
        fast = 0.5 * jnp.sin(4 * jnp.pi * x[0]) * jnp.cos(4 * c * jnp.pi * t)
        return slow + fast

    return Problem(
        Wave(c=c),
        Interval(0.0, 1.0),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        initial_rate={"u": 0.0},
        boundary={"all": Dirichlet(u=0.0)},
        exact={"u": exact},
        name="wave",
    )


def wave_periodic(c: float = 2.0) -> Problem:
    """Waves that run both ways and one that stands, on [0, 1]², periodic, t ∈ [0, 1].

    u = cos 2π(x + 2y − √5 ct) + ½ sin 2π(x − y + √2 ct) + ¼ cos 6πx cos 6πct (d'Alembert).
    """
    q = 2 * jnp.pi

    def exact(x: Array, t: Array) -> Array:
        right = jnp.cos(q * (x[0] + 2 * x[1] - 5**0.5 * c * t))
        left = 0.5 * jnp.sin(q * (x[0] - x[1] + 2**0.5 * c * t))
        return right + left + 0.25 * jnp.cos(3 * q * x[0]) * jnp.cos(3 * q * c * t)

    def rate(x: Array) -> Array:
        zero = jnp.zeros((), x.dtype)
        return jax.jvp(lambda t: exact(x, t), (zero,), (jnp.ones_like(zero),))[1]

    return Problem(
        Wave(c=c),
        Rectangle((0.0, 0.0), (1.0, 1.0), periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        initial_rate={"u": rate},
        exact={"u": exact},
        name="wave_periodic",
    )


def helmholtz(k: float = 10.0) -> Problem:
    """−∇²u − k²u = f on the unit square, manufactured: u = sin(kx/√2 + 0.3) sin(ky/√2) + x y.

    The first part solves the homogeneous equation, a standing wave of wave number k.
    """
    q = k / 2**0.5

    def exact(x: Array, t: Array) -> Array:
        return jnp.sin(q * x[0] + 0.3) * jnp.sin(q * x[1]) + x[0] * x[1]

    return manufactured(Helmholtz(k=k), Rectangle(), {"u": exact}, name="helmholtz")


def klein_gordon() -> Problem:
    """∂²u/∂t² − ∂²u/∂x² + u³ = f on [0, 1]², manufactured: u = x cos 5πt + (xt)³.

    Source: Wang, Teng, Perdikaris (2021), section 5.2.
    """

    def exact(x: Array, t: Array) -> Array:
        return x[0] * jnp.cos(5 * jnp.pi * t) + (x[0] * t) ** 3

    return manufactured(
        KleinGordon(), Interval(0.0, 1.0), {"u": exact}, time=(0.0, 1.0), name="klein_gordon"
    )


def sine_gordon(omega: float = 0.6, length: float = 80.0) -> Problem:
    """A breather, u = 4 arctan(√(1 − ω²)/ω · cos ωt / cosh(√(1 − ω²) x)), t ∈ [0, 5], periodic.

    On [−L/2, L/2]; the tails are e^{−√(1 − ω²) L/2} at the ends.
    Source: Ablowitz, Kaup, Newell & Segur (1973).
    """
    k = (1 - omega**2) ** 0.5

    def exact(x: Array, t: Array) -> Array:
        return 4 * jnp.arctan(k / omega * jnp.cos(omega * t) / jnp.cosh(k * x[0]))

    return Problem(
        SineGordon(),
        Interval(-length / 2, length / 2, periodic=True),
        time=(0.0, 5.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        initial_rate={"u": 0.0},
        exact={"u": exact},
        name="sine_gordon",
    )
