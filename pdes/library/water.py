"""Shallow water over a flat bed."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pdes._boundary import Outflow
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance
from pdes._fields import Scalar, Vector
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval
from pdes.library.riemann import exact_water


class ShallowWater(PDE):
    """Shallow water over a flat bed, for depth h and discharge q = hv (a vector):

    ∂h/∂t + ∇·q = 0, ∂q/∂t + ∇·(q⊗q/h + ½ g h² I) = 0.

    The fluxes are those of volume and momentum. `Wall()` reflects, `Outflow()` lets pass.
    """

    g: Coefficient = coefficient(1.0)
    fields = {"h": Scalar(), "q": Vector()}

    def equations(self):
        return {"h": Balance(flux=(self.volume,)), "q": Balance(flux=(self.momentum,))}

    def volume(self, p: Point) -> Array:
        return p.q

    def momentum(self, p: Point) -> Array:
        pressure = 0.5 * self.g(p) * p.h**2
        return p.q[:, None] * p.q / p.h + pressure * jnp.eye(p.x.shape[0])

    def admissible(self, p: Point) -> dict[str, Array]:
        return {"depth": p.h}

    def wave_speeds(self, p: Point, n: Array) -> Array:
        v, c = p.q @ n / p.h, jnp.sqrt(self.g(p) * p.h)
        return jnp.stack([v - c, v, v + c])

    def star_states(self, left: Point, right: Point, n: Array, slowest: Array, fastest: Array):
        """The wave in the middle carries the velocity along the front (Toro 2001, 10.27)."""
        v_left, v_right = left.q @ n / left.h, right.q @ n / right.h
        a, b = right.h * (v_right - fastest), left.h * (v_left - slowest)
        contact = (slowest * a - fastest * b) / (a - b)

        def beside(p: Point, v: Array, speed: Array) -> dict[str, Array]:
            h = p.h * (speed - v) / (speed - contact)
            return {"h": h, "q": h * (p.q / p.h + (contact - v) * n)}

        return contact, beside(left, v_left, slowest), beside(right, v_right, fastest)

    def characteristics(self, p: Point, n: Array) -> tuple[Array, Array]:
        """Two gravity waves and, in the plane, shear between them."""
        v, c = p.q / p.h, jnp.sqrt(self.g(p) * p.h)
        along = v @ n
        one, zero = jnp.ones_like(p.h), jnp.zeros_like(p.h)
        shear = [jnp.stack([-n[1], n[0]])] if n.shape[0] == 2 else []

        def row(h: Array, q: Array) -> Array:
            return jnp.concatenate([jnp.stack([h]), q])

        columns = [row(one, v - c * n), *(row(zero, s) for s in shear), row(one, v + c * n)]
        rows = [
            row((along + c) / (2 * c), -n / (2 * c)),
            *(row(-(v @ s), s) for s in shear),
            row((c - along) / (2 * c), n / (2 * c)),
        ]
        return jnp.stack(rows), jnp.stack(columns, axis=1)


def dam_break(left: float = 1.0, right: float = 0.5, g: float = 1.0) -> Problem:
    """A dam at x = 0.5 breaks on [0, 1]: a rarefaction and a bore, with the exact solution.

    Source: Stoker (1957).
    """
    wave = exact_water((left, 0.0), (right, 0.0), g)

    def depth(x: Array, t: Array) -> Array:
        return wave((x[0] - 0.5) / jnp.maximum(t, 1e-12))[0]

    def discharge(x: Array, t: Array) -> Array:
        h, v = wave((x[0] - 0.5) / jnp.maximum(t, 1e-12))
        return (h * v)[None]

    return Problem(
        ShallowWater(g=g),
        Interval(0.0, 1.0),
        time=(0.0, 0.3 / (g * left) ** 0.5),
        initial={"h": lambda x: jnp.where(x[0] < 0.5, left, right), "q": 0.0},
        boundary={"all": Outflow()},
        exact={"h": depth, "q": discharge},
        name="dam_break",
    )
