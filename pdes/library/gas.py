"""Gas dynamics: the Euler equations."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance
from pdes._fields import Scalar, Vector
from pdes._pde import PDE
from pdes._point import Point


class Euler(PDE):
    """Euler equations of a perfect gas, for density ρ, momentum m = ρv and total energy E:

    ∂ρ/∂t + ∇·m = 0, ∂m/∂t + ∇·(m⊗m/ρ + pI) = 0, ∂E/∂t + ∇·((E + p) m/ρ) = 0,
    p = (γ − 1)(E − ½|m|²/ρ).

    The fluxes are those of mass, momentum and energy. `Wall()` reflects; `Outflow()` lets pass;
    a supersonic inflow is `Dirichlet(rho=…, m=…, E=…)`, see `conserved`.
    """

    gamma: Coefficient = coefficient(1.4)
    fields = {"rho": Scalar(), "m": Vector(), "E": Scalar()}

    def equations(self):
        return {
            "rho": Balance(flux=(self.mass,)),
            "m": Balance(flux=(self.momentum,)),
            "E": Balance(flux=(self.energy,)),
        }

    def pressure(self, p: Point) -> Array:
        """p = (γ − 1)(E − ½|m|²/ρ)."""
        return (self.gamma(p) - 1) * (p.E - 0.5 * jnp.sum(p.m * p.m) / p.rho)

    def sound_speed(self, p: Point) -> Array:
        """√(γp/ρ)."""
        return jnp.sqrt(self.gamma(p) * self.pressure(p) / p.rho)

    def mass(self, p: Point) -> Array:
        return p.m

    def momentum(self, p: Point) -> Array:
        return p.m[:, None] * p.m / p.rho + self.pressure(p) * jnp.eye(p.x.shape[0])

    def energy(self, p: Point) -> Array:
        return (p.E + self.pressure(p)) * p.m / p.rho

    def admissible(self, p: Point) -> dict[str, Array]:
        return {"density": p.rho, "pressure": self.pressure(p)}

    def wave_speeds(self, p: Point, n: Array) -> Array:
        v, c = p.m @ n / p.rho, self.sound_speed(p)
        return jnp.stack([v - c, v, v + c])

    def star_states(self, left: Point, right: Point, n: Array, slowest: Array, fastest: Array):
        """Toro (2009), equations 10.37 and 10.39."""
        through_left = left.rho * (slowest - left.m @ n / left.rho)
        through_right = right.rho * (fastest - right.m @ n / right.rho)
        contact = (
            self.pressure(right)
            - self.pressure(left)
            + through_left * (left.m @ n / left.rho)
            - through_right * (right.m @ n / right.rho)
        ) / (through_left - through_right)
        return (
            contact,
            self._beside(left, n, slowest, contact),
            self._beside(right, n, fastest, contact),
        )

    def _beside(self, p: Point, n: Array, speed: Array, contact: Array) -> dict[str, Array]:
        v = p.m @ n / p.rho
        through = p.rho * (speed - v)
        rho = through / (speed - contact)
        work = (contact - v) * (contact + self.pressure(p) / through)
        return {
            "rho": rho,
            "m": rho * (p.m / p.rho + (contact - v) * n),
            "E": rho * (p.E / p.rho + work),
        }

    def characteristics(self, p: Point, n: Array) -> tuple[Array, Array]:
        """Sound, entropy, shear and sound (Toro 2009, section 3.2, along any n)."""
        v, c, g = p.m / p.rho, self.sound_speed(p), self.gamma(p) - 1
        enthalpy = (p.E + self.pressure(p)) / p.rho
        along, half = v @ n, 0.5 * jnp.sum(v * v)
        one, zero = jnp.ones_like(p.rho), jnp.zeros_like(p.rho)
        b = g / c**2
        tangents = _tangents(n)
        columns = [
            _row(one, v - c * n, enthalpy - c * along),
            _row(one, v, half),
            *(_row(zero, s, v @ s) for s in tangents),
            _row(one, v + c * n, enthalpy + c * along),
        ]
        rows = [
            _row(b * half + along / c, -b * v - n / c, b) / 2,
            _row(1 - b * half, b * v, -b),
            *(_row(-(v @ s), s, zero) for s in tangents),
            _row(b * half - along / c, -b * v + n / c, b) / 2,
        ]
        return jnp.stack(rows), jnp.stack(columns, axis=1)


def _row(rho: Array, m: Array, energy: Array) -> Array:
    return jnp.concatenate([jnp.stack([rho]), m, jnp.stack([energy])])


def _tangents(n: Array) -> list[Array]:
    """Unit vectors that span what is normal to n."""
    if n.shape[0] == 1:
        return []
    if n.shape[0] == 2:
        return [jnp.stack([-n[1], n[0]])]
    # Duff et al. (2017): no division by a small number whatever n.
    sign = jnp.where(n[2] >= 0, 1.0, -1.0)
    a = -1.0 / (sign + n[2])
    b = n[0] * n[1] * a
    return [
        jnp.stack([1.0 + sign * n[0] ** 2 * a, sign * b, -sign * n[0]]),
        jnp.stack([b, sign + n[1] ** 2 * a, -n[1]]),
    ]


def conserved(rho, velocity, pressure, gamma: float = 1.4) -> dict[str, Array]:
    """Fields of `Euler` from density, velocity (dim,) and pressure, at one point."""
    rho, v = jnp.asarray(rho), jnp.atleast_1d(jnp.asarray(velocity))
    energy = jnp.asarray(pressure) / (gamma - 1) + 0.5 * rho * jnp.sum(v * v)
    return {"rho": rho, "m": rho * v, "E": energy}
