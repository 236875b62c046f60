"""Nearly incompressible elasticity with a pressure of its own, which does not lock."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pdes._boundary import Dirichlet, Traction
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Constraint, NoStorage
from pdes._fields import Scalar, Vector
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Polygon


class NearlyIncompressibleElasticity(PDE):
    """−∇·σ = f, σ = 2μ ε − p I, with the pressure p = −λ ∇·u as a field: ∇·u + p/λ = 0.

    The same as `Elasticity` (plane strain in two dimensions), but regular for ν → ½, ½ included,
    where elements for u alone lock. λ = Eν/((1+ν)(1−2ν)), μ = E/(2(1+ν)). The flux is −σ;
    `Traction(u=t)` prescribes σ·n = t. Where u is prescribed all around and ν = ½, p needs a
    gauge. Finite elements take p one degree lower (Taylor–Hood).
    Source: Herrmann (1965); Hughes (1987), section 4.3.
    """

    young: Coefficient = coefficient(1.0)
    poisson: Coefficient = coefficient(0.4999)
    load: Coefficient = coefficient(0.0)
    fields = {"u": Vector(), "p": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.stress,), source=(self.force,), storage=NoStorage),
            "p": Constraint(flux=(self.dilatation,), source=(self.compression,)),
        }

    def stress(self, p: Point) -> Array:
        mu = self.young(p) / (2 * (1 + self.poisson(p)))
        return p.p * jnp.eye(p.x.shape[0], dtype=p.x.dtype) - mu * (p.grad.u + p.grad.u.T)

    def force(self, p: Point) -> Array:
        return self.load(p) * jnp.ones_like(p.x)

    def dilatation(self, p: Point) -> Array:
        return p.u

    def compression(self, p: Point) -> Array:
        nu = self.poisson(p)
        return -(1 + nu) * (1 - 2 * nu) / (self.young(p) * nu) * p.p


def incompressible_cook(
    young: float = 240.565, poisson: float = 0.4999, force: float = 100.0
) -> Problem:
    """Cook's membrane in plane strain, nearly incompressible, sheared at the right.

    The geometry is that of `cook`; the corner (48, 60) moves up by about 7.7.
    Source: Simo and Armero (1992), section 5.1, at small strain.
    """
    return Problem(
        NearlyIncompressibleElasticity(young=young, poisson=poisson),
        Polygon([(0.0, 0.0), (48.0, 44.0), (48.0, 60.0), (0.0, 44.0)]),
        boundary={
            "edge0": Traction(u=0.0),
            "edge1": Traction(u=(0.0, force / 16.0)),
            "edge2": Traction(u=0.0),
            "edge3": Dirichlet(u=0.0),
        },
        name="incompressible_cook",
    )
