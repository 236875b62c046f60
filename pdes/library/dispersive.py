"""Dispersive and dispersive–dissipative waves: Korteweg–de Vries, Kuramoto–Sivashinsky."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Definition
from pdes._fields import Scalar
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle


class KortewegDeVries(PDE):
    """Korteweg–de Vries equation, ∂u/∂t + ∂(½α u²)/∂x + μ ∂w/∂x = 0, w = ∂²u/∂x².

    In one dimension; the flux is ½α u² + μ w. Source: Korteweg & de Vries (1895).
    """

    alpha: Coefficient = coefficient(6.0)
    mu: Coefficient = coefficient(1.0)
    fields = {"u": Scalar(), "w": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.convection, self.dispersion)),
            "w": Definition(flux=(self.slope,)),
        }

    def convection(self, p: Point) -> Array:
        return 0.5 * self.alpha(p) * p.u**2 * jnp.ones_like(p.x)

    def dispersion(self, p: Point) -> Array:
        return self.mu(p) * p.w * jnp.ones_like(p.x)

    def slope(self, p: Point) -> Array:
        return p.grad.u


class KuramotoSivashinsky(PDE):
    """Kuramoto–Sivashinsky equation, ∂u/∂t + ∇·(½u² a) = −∇²u − ∇w, w = ∇²u, a = (1, …, 1).

    In full ∂u/∂t + ∇·(½u² a) + ∇²u + ∇²w = 0: the flux of u is ½u² a + ∇u + ∇w. Long waves grow,
    short ones decay. Sources: Kuramoto & Tsuzuki (1976); Sivashinsky (1977).
    """

    second: Coefficient = coefficient(1.0)
    fourth: Coefficient = coefficient(1.0)
    fields = {"u": Scalar(), "w": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.convection, self.growth, self.damping)),
            "w": Definition(flux=(self.slope,)),
        }

    def convection(self, p: Point) -> Array:
        return 0.5 * p.u**2 * jnp.ones_like(p.x)

    def growth(self, p: Point) -> Array:
        return self.second(p) * p.grad.u

    def damping(self, p: Point) -> Array:
        return self.fourth(p) * p.grad.w

    def slope(self, p: Point) -> Array:
        return p.grad.u


class FlameFront(PDE):
    """Kuramoto–Sivashinsky for the height of a front, ∂u/∂t + ½|∇u|² + ∇²u + ∇²w = 0, w = ∇²u.

    The flux of u is ∇u + ∇w; −½|∇u|² is a source. In one dimension ∂u/∂x obeys the form of
    `KuramotoSivashinsky`; in more it is the isotropic one. Source: Sivashinsky (1977), equation 40.
    """

    second: Coefficient = coefficient(1.0)
    fourth: Coefficient = coefficient(1.0)
    fields = {"u": Scalar(), "w": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.growth, self.damping), source=(self.advance,)),
            "w": Definition(flux=(self.slope,)),
        }

    def growth(self, p: Point) -> Array:
        return self.second(p) * p.grad.u

    def damping(self, p: Point) -> Array:
        return self.fourth(p) * p.grad.w

    def advance(self, p: Point) -> Array:
        return -0.5 * jnp.sum(p.grad.u**2)

    def slope(self, p: Point) -> Array:
        return p.grad.u


def _soliton(x: Array, t: Array, c: float, start: float, length: float) -> Array:
    """½c sech²(½√c (x − start − ct)), repeated with period `length`."""
    shift = x[0] - start - c * t
    shift = shift - length * jnp.round(shift / length)
    return 0.5 * c / jnp.cosh(0.5 * c**0.5 * shift) ** 2


def kdv(c: float = 4.0, length: float = 40.0) -> Problem:
    """A soliton of Korteweg–de Vries, u = ½c sech²(½√c (x − ct)), periodic, t ∈ [0, 1].

    On [−L/2, L/2], where the periodic images overlap by e^{−√c L/2}: 4·10⁻¹⁸ by default.
    Source: Korteweg & de Vries (1895).
    """

    def exact(x: Array, t: Array) -> Array:
        return _soliton(x, t, c, 0.0, length)

    return Problem(
        KortewegDeVries(),
        Interval(-length / 2, length / 2, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
        name="kdv",
    )


def kdv_two_solitons(c: tuple[float, float] = (4.0, 1.0)) -> Problem:
    """A fast soliton of Korteweg–de Vries overtakes a slow one, on [−40, 40], t ∈ [0, 8].

    u = 2 ∂²/∂x² ln(1 + e^{θ₁} + e^{θ₂} + A e^{θ₁+θ₂}), θᵢ = kᵢ(x − xᵢ) − kᵢ³t, kᵢ = √cᵢ,
    A = ((k₁ − k₂)/(k₁ + k₂))², centres −20 and −8. Source: Hirota (1971).
    """
    k = [v**0.5 for v in c]
    a = ((k[0] - k[1]) / (k[0] + k[1])) ** 2
    centres = (-20.0, -8.0)

    def exact(x: Array, t: Array) -> Array:
        theta = [k[i] * (x[0] - centres[i]) - k[i] ** 3 * t for i in (0, 1)]
        # ∂² ln Σ e^{sⱼ} is the variance of the slopes under the weights e^{sⱼ}/Σ.
        exponents = jnp.stack(
            [jnp.zeros_like(theta[0]), theta[0], theta[1], theta[0] + theta[1] + jnp.log(a)]
        )
        slopes = jnp.asarray([0.0, k[0], k[1], k[0] + k[1]], x.dtype)
        weights = jnp.exp(exponents - jax.lax.stop_gradient(jnp.max(exponents)))
        weights = weights / jnp.sum(weights)
        mean = jnp.sum(weights * slopes)
        return 2.0 * jnp.sum(weights * (slopes - mean) ** 2)

    return Problem(
        KortewegDeVries(),
        Interval(-40.0, 40.0, periodic=True),
        time=(0.0, 8.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
        name="kdv_two_solitons",
    )


def kdv_cosine(mu: float = 0.022) -> Problem:
    """∂u/∂t + u ∂u/∂x + μ² ∂³u/∂x³ = 0 from cos πx on [−1, 1], periodic, t ∈ [0, 1].

    The wave steepens and breaks into a train of solitons. No exact solution.
    Source: Zabusky & Kruskal (1965).
    """
    return Problem(
        KortewegDeVries(alpha=1.0, mu=mu**2),
        Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.cos(jnp.pi * x[0])},
        name="kdv_cosine",
    )


def kuramoto_sivashinsky(length: float = 60.0, end: float = 10.0) -> Problem:
    """Kuramoto–Sivashinsky on [0, L], periodic, from cos(6πx/L)(1 + ½ sin(2πx/L)), t ∈ [0, 10].

    Chaotic at later times, when no two methods agree pointwise. No exact solution.
    Source: Kassam & Trefethen (2005), section 4, with other initial data.
    """
    q = 2.0 * jnp.pi / length

    def start(x: Array) -> Array:
        return jnp.cos(3.0 * q * x[0]) * (1.0 + 0.5 * jnp.sin(q * x[0]))

    return Problem(
        KuramotoSivashinsky(),
        Interval(0.0, length, periodic=True),
        time=(0.0, end),
        initial={"u": start},
        name="kuramoto_sivashinsky",
    )


def flame_front(length: float = 30.0, end: float = 10.0) -> Problem:
    """Kuramoto–Sivashinsky in two dimensions, a flame front on [0, L]², periodic, t ∈ [0, 10].

    The mean height falls for ever; all else saturates in cells. No exact solution.
    Sources: Sivashinsky (1977); Kalogirou, Keaveny & Papageorgiou (2015).
    """
    q = 2.0 * jnp.pi / length

    def start(x: Array) -> Array:
        first = jnp.sin(q * x[0]) + jnp.sin(q * x[1]) + jnp.sin(q * (x[0] + x[1]))
        return first + 0.5 * jnp.cos(2 * q * x[0] - 3 * q * x[1])

    return Problem(
        FlameFront(),
        Rectangle((0.0, 0.0), (length, length), periodic=True),
        time=(0.0, end),
        initial={"u": start},
        name="flame_front",
    )
