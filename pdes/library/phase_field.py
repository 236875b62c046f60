"""Phase fields and patterns: Allen–Cahn, Cahn–Hilliard, Swift–Hohenberg."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Definition
from pdes._fields import Scalar
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle


class AllenCahn(PDE):
    """Allen–Cahn equation, ∂u/∂t = ε ∇²u + β (u − u³); the flux is −ε∇u.

    Source: Allen & Cahn (1979).
    """

    epsilon: Coefficient = coefficient(1e-4)
    beta: Coefficient = coefficient(5.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.diffusion,), source=(self.growth, self.saturation))}

    def diffusion(self, p: Point) -> Array:
        return -self.epsilon(p) * p.grad.u

    def growth(self, p: Point) -> Array:
        return self.beta(p) * p.u

    def saturation(self, p: Point) -> Array:
        return -self.beta(p) * p.u**3


class CahnHilliard(PDE):
    """Cahn–Hilliard equation, ∂u/∂t = ∇·(M ∇μ), μ = u³ − u − ε² ∇²u.

    The flux of u is −M∇μ; it conserves ∫u and lowers ∫ ¼(u² − 1)² + ½ε²|∇u|². μ is a
    definition with flux −ε²∇u. Source: Cahn & Hilliard (1958).
    """

    epsilon: Coefficient = coefficient(0.05)
    mobility: Coefficient = coefficient(1.0)
    fields = {"u": Scalar(), "mu": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.transport,)),
            "mu": Definition(flux=(self.interface,), source=(self.cubic, self.linear)),
        }

    def transport(self, p: Point) -> Array:
        return -self.mobility(p) * p.grad.mu

    def interface(self, p: Point) -> Array:
        return -(self.epsilon(p) ** 2) * p.grad.u

    def cubic(self, p: Point) -> Array:
        return p.u**3

    def linear(self, p: Point) -> Array:
        return -p.u


class SwiftHohenberg(PDE):
    """Swift–Hohenberg equation, ∂u/∂t = r u − (q² + ∇²)² u + g u² − u³, with w = ∇²u.

    The flux of u is 2q²∇u + ∇w. Source: Swift & Hohenberg (1977).
    """

    r: Coefficient = coefficient(0.3)
    q: Coefficient = coefficient(1.0)
    g: Coefficient = coefficient(0.0)
    fields = {"u": Scalar(), "w": Scalar()}

    def equations(self):
        return {
            "u": Balance(
                flux=(self.second, self.fourth), source=(self.growth, self.quadratic, self.cubic)
            ),
            "w": Definition(flux=(self.slope,)),
        }

    def second(self, p: Point) -> Array:
        return 2.0 * self.q(p) ** 2 * p.grad.u

    def fourth(self, p: Point) -> Array:
        return p.grad.w

    def growth(self, p: Point) -> Array:
        return (self.r(p) - self.q(p) ** 4) * p.u

    def quadratic(self, p: Point) -> Array:
        return self.g(p) * p.u**2

    def cubic(self, p: Point) -> Array:
        return -(p.u**3)

    def slope(self, p: Point) -> Array:
        return p.grad.u


def allen_cahn() -> Problem:
    """∂u/∂t = 10⁻⁴ ∂²u/∂x² + 5u − 5u³ from x² cos πx on [−1, 1], periodic, t ∈ [0, 1].

    The initial data have a kink of slope at x = ±1. No exact solution.
    Source: Raissi, Perdikaris, Karniadakis (2019), section 3.2.
    """
    return Problem(
        AllenCahn(),
        Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: x[0] ** 2 * jnp.cos(jnp.pi * x[0])},
        name="allen_cahn",
    )


def cahn_hilliard(epsilon: float = 0.1) -> Problem:
    """Cahn–Hilliard on the periodic square [0, 2π]², two drops that merge, t ∈ [0, 0.1].

    From tanh profiles of two overlapping discs made periodic. No exact solution.
    """

    def start(x: Array) -> Array:
        def drop(a: float, b: float) -> Array:
            squared = 2.0 - jnp.cos(x[0] - a) - jnp.cos(x[1] - b)
            return 0.5 * (1.0 + jnp.tanh((0.5 - squared) / (2.0 * epsilon)))

        return 2.0 * (drop(2.4, 3.1) + drop(4.0, 3.3)) - 1.0

    return Problem(
        CahnHilliard(epsilon=epsilon),
        Rectangle((0.0, 0.0), (2.0 * jnp.pi, 2.0 * jnp.pi), periodic=True),
        time=(0.0, 0.1),
        initial={"u": start},
        name="cahn_hilliard",
    )


def swift_hohenberg() -> Problem:
    """Swift–Hohenberg on [0, 32π], periodic, r = 0.3: stripes grow from small data, t ∈ [0, 20].

    No exact solution. Source: Cross & Hohenberg (1993).
    """
    length = 32.0 * jnp.pi

    def start(x: Array) -> Array:
        return 0.1 * jnp.cos(x[0]) * (1.0 + 0.3 * jnp.sin(2.0 * jnp.pi * x[0] / length))

    return Problem(
        SwiftHohenberg(),
        Interval(0.0, length, periodic=True),
        time=(0.0, 20.0),
        initial={"u": start},
        name="swift_hohenberg",
    )
