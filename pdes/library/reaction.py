"""Reaction and diffusion: Fisher–KPP, Gray–Scott."""

from __future__ import annotations

import jax
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


class FisherKPP(PDE):
    """Fisher–KPP equation, ∂u/∂t = D ∇²u + r u (1 − u); the flux is −D∇u.

    Sources: Fisher (1937); Kolmogorov, Petrovsky, Piskunov (1937).
    """

    diffusivity: Coefficient = coefficient(1.0)
    r: Coefficient = coefficient(1.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.diffusion,), source=(self.growth, self.saturation))}

    def diffusion(self, p: Point) -> Array:
        return -self.diffusivity(p) * p.grad.u

    def growth(self, p: Point) -> Array:
        return self.r(p) * p.u

    def saturation(self, p: Point) -> Array:
        return -self.r(p) * p.u**2


class GrayScott(PDE):
    """Gray–Scott reaction: ∂u/∂t = Dᵤ∇²u − uv² + F(1 − u), ∂v/∂t = Dᵥ∇²v + uv² − (F + k)v.

    The fluxes are −Dᵤ∇u and −Dᵥ∇v. Sources: Gray & Scott (1984); Pearson (1993).
    """

    diffusivity_u: Coefficient = coefficient(2e-5)
    diffusivity_v: Coefficient = coefficient(1e-5)
    feed: Coefficient = coefficient(0.04)
    kill: Coefficient = coefficient(0.06)
    fields = {"u": Scalar(), "v": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.diffusion_u,), source=(self.consumption, self.supply)),
            "v": Balance(flux=(self.diffusion_v,), source=(self.production, self.removal)),
        }

    def diffusion_u(self, p: Point) -> Array:
        return -self.diffusivity_u(p) * p.grad.u

    def diffusion_v(self, p: Point) -> Array:
        return -self.diffusivity_v(p) * p.grad.v

    def consumption(self, p: Point) -> Array:
        return -p.u * p.v**2

    def production(self, p: Point) -> Array:
        return p.u * p.v**2

    def supply(self, p: Point) -> Array:
        return self.feed(p) * (1.0 - p.u)

    def removal(self, p: Point) -> Array:
        return -(self.feed(p) + self.kill(p)) * p.v


def fisher_kpp() -> Problem:
    """The travelling wave of Fisher–KPP with D = r = 1 and speed 5/√6, on [−15, 15], t ∈ [0, 2].

    u = (1 + e^{(x − 5t/√6)/√6})⁻², the one closed form. Source: Ablowitz & Zeppetella (1979).
    """
    root = 6.0**0.5

    def exact(x: Array, t: Array) -> Array:
        return jax.nn.sigmoid(-(x[0] - 5.0 * t / root) / root) ** 2

    return Problem(
        FisherKPP(),
        Interval(-15.0, 15.0),
        time=(0.0, 2.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        boundary={"all": Dirichlet(u=exact)},
        exact={"u": exact},
        name="fisher_kpp",
    )


def fisher_kpp_spread(length: float = 40.0, end: float = 6.0) -> Problem:
    """Fisher–KPP on [−L/2, L/2], periodic: a population spreads from a spot to both sides, t ≤ 6.

    Its fronts approach the speed 2√(Dr) = 2 from below. No exact solution.
    Source: Kolmogorov, Petrovsky, Piskunov (1937).
    """
    return Problem(
        FisherKPP(),
        Interval(-length / 2, length / 2, periodic=True),
        time=(0.0, end),
        initial={"u": lambda x: 0.5 * jnp.exp(-(x[0] ** 2))},
        name="fisher_kpp_spread",
    )


def gray_scott(end: float = 200.0) -> Problem:
    """Gray–Scott on the periodic square [0, 1]²: a spot that grows and divides, t ∈ [0, 200].

    Dᵤ = 2·10⁻⁵, Dᵥ = 10⁻⁵, F = 0.04, k = 0.06, from one Gaussian spot of v.
    No exact solution. Source: Pearson (1993), with smooth data.
    """

    def spot(x: Array) -> Array:
        return jnp.exp(-80.0 * jnp.sum((x - jnp.asarray([0.5, 0.5], x.dtype)) ** 2))

    return Problem(
        GrayScott(),
        Rectangle(periodic=True),
        time=(0.0, end),
        initial={"u": lambda x: 1.0 - 0.5 * spot(x), "v": lambda x: 0.25 * spot(x)},
        name="gray_scott",
    )
