"""Envelopes of waves, A = u₁ + i u₂: nonlinear Schrödinger, complex Ginzburg–Landau."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance
from pdes._fields import Components
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle


class Schroedinger(PDE):
    """Nonlinear Schrödinger equation, i ∂A/∂t + ½ ∇²A + σ |A|² A = 0, A = u₁ + i u₂.

    In real parts ∂u₁/∂t = −½∇²u₂ − σ|A|²u₂ and ∂u₂/∂t = ½∇²u₁ + σ|A|²u₁; the flux is
    (½∇u₂, −½∇u₁). σ > 0 focuses. Source: Zakharov & Shabat (1972).
    """

    sigma: Coefficient = coefficient(1.0)
    fields = {"u": Components(2)}

    def equations(self):
        return {"u": Balance(flux=(self.dispersion,), source=(self.focusing,))}

    def dispersion(self, p: Point) -> Array:
        return 0.5 * jnp.stack([p.grad.u[1], -p.grad.u[0]])

    def focusing(self, p: Point) -> Array:
        return self.sigma(p) * jnp.sum(p.u**2) * jnp.stack([-p.u[1], p.u[0]])


class GinzburgLandau(PDE):
    """Complex Ginzburg–Landau equation, ∂A/∂t = A + (1 + iα) ∇²A − (1 + iβ) |A|² A, A = u₁ + i u₂.

    The flux is −(∇u₁ − α∇u₂, ∇u₂ + α∇u₁). Source: Aranson & Kramer (2002), equation 1.
    """

    alpha: Coefficient = coefficient(0.0)
    beta: Coefficient = coefficient(1.0)
    fields = {"u": Components(2)}

    def equations(self):
        return {"u": Balance(flux=(self.diffusion,), source=(self.growth, self.saturation))}

    def diffusion(self, p: Point) -> Array:
        a, g = self.alpha(p), p.grad.u
        return -jnp.stack([g[0] - a * g[1], g[1] + a * g[0]])

    def growth(self, p: Point) -> Array:
        return p.u

    def saturation(self, p: Point) -> Array:
        b, u = self.beta(p), p.u
        return -jnp.sum(u**2) * jnp.stack([u[0] - b * u[1], u[1] + b * u[0]])


def schroedinger(a: float = 1.0, speed: float = 1.0, length: float = 80.0) -> Problem:
    """A soliton, A = a sech(a(x − ct)) e^{i(cx + ½(a² − c²)t)}, t ∈ [0, 2], periodic on length L.

    c is taken as the multiple of 2π/L nearest to `speed`, so that the phase is periodic; the tails
    are e^{−aL/2} at the ends. Source: Zakharov & Shabat (1972).
    """
    c = 2 * np.pi / length * round(speed * length / (2 * np.pi))

    def exact(x: Array, t: Array) -> Array:
        shift = x[0] - c * t
        shift = shift - length * jnp.round(shift / length)
        phase = c * x[0] + 0.5 * (a**2 - c**2) * t
        return a / jnp.cosh(a * shift) * jnp.stack([jnp.cos(phase), jnp.sin(phase)])

    return Problem(
        Schroedinger(),
        Interval(-length / 2, length / 2, periodic=True),
        time=(0.0, 2.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
        name="schroedinger",
    )


def ginzburg_landau(alpha: float = 1.0, beta: float = -1.2, end: float = 10.0) -> Problem:
    """Complex Ginzburg–Landau on [0, 50]², periodic, from two waves across each other.

    1 + αβ < 0: plane waves are unstable (Benjamin & Feir), spirals and defects form. No exact
    solution. Source: Aranson & Kramer (2002).
    """
    k = 2 * np.pi / 50.0

    def start(x: Array) -> Array:
        first = jnp.sin(2 * k * x[0]) + 0.3 * jnp.cos(3 * k * x[1])
        second = jnp.sin(2 * k * x[1]) - 0.2 * jnp.cos(k * x[0] + k * x[1])
        return 0.5 * jnp.stack([first, second])

    return Problem(
        GinzburgLandau(alpha=alpha, beta=beta),
        Rectangle((0.0, 0.0), (50.0, 50.0), periodic=True),
        time=(0.0, end),
        initial={"u": start},
        name="ginzburg_landau",
    )


def ginzburg_landau_wave(alpha: float = 1.0, beta: float = -0.5, waves: int = 2) -> Problem:
    """A plane wave of Ginzburg–Landau, A = √(1 − q²) e^{i(qx − ωt)}, ω = αq² + β(1 − q²), t ≤ 2.

    On [0, 8π], periodic, q = n/4. Source: Aranson & Kramer (2002), equation 12.
    """
    q = waves / 4.0
    size, omega = (1 - q**2) ** 0.5, alpha * q**2 + beta * (1 - q**2)

    def exact(x: Array, t: Array) -> Array:
        phase = q * x[0] - omega * t
        return size * jnp.stack([jnp.cos(phase), jnp.sin(phase)])

    return Problem(
        GinzburgLandau(alpha=alpha, beta=beta),
        Interval(0.0, 8 * np.pi, periodic=True),
        time=(0.0, 2.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
        name="ginzburg_landau_wave",
    )
