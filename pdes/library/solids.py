"""Solids: linear elasticity in space, plane strain and plane stress; Neo-Hookean elasticity."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._boundary import Dirichlet, Traction
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, NoStorage
from pdes._fields import Vector
from pdes._manufactured import manufactured
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Box, Disk, Domain, Mesh, Polygon, Rectangle
from pdes.domain._mapped import joined_mesh, mapped_mesh


class Elasticity(PDE):
    """Linear elasticity, −∇·σ = f, σ = λ tr(ε) I + 2μ ε, ε = ½(∇u + ∇uᵀ).

    λ = Eν/((1+ν)(1−2ν)), μ = E/(2(1+ν)): plane strain in two dimensions. The flux is −σ;
    `Traction(u=t)` prescribes σ·n = t. Source: Hughes (1987), chapter 2.
    """

    young: Coefficient = coefficient(1.0)
    poisson: Coefficient = coefficient(0.3)
    load: Coefficient = coefficient(0.0)
    fields = {"u": Vector()}

    def equations(self):
        return {"u": Balance(flux=(self.stress,), source=(self.force,), storage=NoStorage)}

    def stress(self, p: Point) -> Array:
        e, nu = self.young(p), self.poisson(p)
        lam, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
        return -(lam * p.div.u * jnp.eye(p.x.shape[0]) + mu * (p.grad.u + p.grad.u.T))

    def force(self, p: Point) -> Array:
        return self.load(p) * jnp.ones_like(p.x)


class PlaneStress(PDE):
    """Linear elasticity of a thin plate, −∇·σ = f, σ = E/(1−ν²) ((1−ν) ε + ν tr(ε) I).

    σ₃₃ = 0; `load` is the force per volume. The flux is −σ. Source: Hughes (1987), section 2.7.
    """

    young: Coefficient = coefficient(1.0)
    poisson: Coefficient = coefficient(0.3)
    load: Coefficient = coefficient(0.0)
    fields = {"u": Vector()}

    def equations(self):
        return {"u": Balance(flux=(self.stress,), source=(self.force,), storage=NoStorage)}

    def stress(self, p: Point) -> Array:
        e, nu = self.young(p), self.poisson(p)
        strain = 0.5 * (p.grad.u + p.grad.u.T)
        return -e / (1 - nu**2) * ((1 - nu) * strain + nu * p.div.u * jnp.eye(2))

    def force(self, p: Point) -> Array:
        return self.load(p) * jnp.ones_like(p.x)


class NeoHookean(PDE):
    """Compressible Neo-Hookean solid at large strain, −∇·P = f in the undeformed body.

    P = ∂W/∂F by automatic differentiation of W(F) = ½μ (F:F − d − 2 ln J) + ½λ (J − 1)², with
    F = I + ∇u, J = det F and d dimensions (plane strain in two). λ, μ are those of linear
    elasticity, which it becomes at small strain. The flux is −P, and `Traction` is the force per
    undeformed area. Not finite where a cell is turned inside out: raise large loads in steps.
    Source: Simo and Pister (1984); Wriggers (2008), section 3.3.
    """

    young: Coefficient = coefficient(1.0)
    poisson: Coefficient = coefficient(0.3)
    load: Coefficient = coefficient(0.0)
    fields = {"u": Vector()}

    def equations(self):
        return {"u": Balance(flux=(self.stress,), source=(self.force,), storage=NoStorage)}

    def energy(self, p: Point, f: Array) -> Array:
        """W of the deformation gradient f, (dim, dim)."""
        e, nu = self.young(p), self.poisson(p)
        lam, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
        j = _determinant(f)
        stretch = jnp.sum(f**2) - f.shape[0] - 2.0 * jnp.log(j)
        return 0.5 * mu * stretch + 0.5 * lam * (j - 1.0) ** 2

    def stress(self, p: Point) -> Array:
        return -jax.grad(lambda f: self.energy(p, f))(jnp.eye(p.x.shape[0]) + p.grad.u)

    def force(self, p: Point) -> Array:
        return self.load(p) * jnp.ones_like(p.x)


def _determinant(f: Array) -> Array:
    """det of a 1 × 1, 2 × 2 or 3 × 3 matrix, without a factorisation."""
    if f.shape[0] == 1:
        return f[0, 0]
    if f.shape[0] == 2:
        return f[0, 0] * f[1, 1] - f[0, 1] * f[1, 0]
    return jnp.dot(f[0], jnp.cross(f[1], f[2]))


def elasticity(young: float = 10.0, poisson: float = 0.3) -> Problem:
    """A manufactured displacement of the unit square, plane strain.

    u = (sin πx sin πy, x² y), with Dirichlet data from it.
    """

    def exact(x: Array, t: Array) -> Array:
        return jnp.stack([jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1]), x[0] ** 2 * x[1]])

    return manufactured(
        Elasticity(young=young, poisson=poisson), Rectangle(), {"u": exact}, name="elasticity"
    )


def cantilever(young: float = 1000.0, poisson: float = 0.3, load: float = -1.0) -> Problem:
    """A plane-strain beam 4 × 1, clamped at the left, sheared by (0, load) at the right."""
    return Problem(
        Elasticity(young=young, poisson=poisson),
        Rectangle((0.0, 0.0), (4.0, 1.0)),
        boundary={
            "left": Dirichlet(u=0.0),
            "right": Traction(u=(0.0, load)),
            "bottom": Traction(u=0.0),
            "top": Traction(u=0.0),
        },
        name="cantilever",
    )


def cook(young: float = 1.0, poisson: float = 1 / 3, force: float = 1.0) -> Problem:
    """Cook's membrane: a tapered plate in plane stress, clamped at the left, sheared at the right.

    Corners (0, 0), (48, 44), (48, 60), (0, 44); the force is spread over the side of length 16.
    With the defaults u_y(48, 52) = 23.9677 and the compliance ∮ t·u = 24.0415, both converged.
    Source: Cook, Malkus, Plesha (1989).
    """
    return Problem(
        PlaneStress(young=young, poisson=poisson),
        _cook_domain(),
        boundary={
            "edge0": Traction(u=0.0),
            "edge1": Traction(u=(0.0, force / 16.0)),
            "edge2": Traction(u=0.0),
            "edge3": Dirichlet(u=0.0),
        },
        name="cook",
    )


def _cook_domain() -> Polygon:
    return Polygon([(0.0, 0.0), (48.0, 44.0), (48.0, 60.0), (0.0, 44.0)])


def cook_mesh(cells: int, shape: str = "quadrilateral") -> Mesh:
    """cells × cells quadrilaterals, or twice as many triangles, of Cook's membrane."""

    def place(x: np.ndarray) -> np.ndarray:
        low, high = 44.0 * x[:, 0], 44.0 + 16.0 * x[:, 0]
        return np.stack([48.0 * x[:, 0], low + (high - low) * x[:, 1]], axis=1)

    return joined_mesh([mapped_mesh(Rectangle().mesh(cells, shape), place)], _cook_domain())


def plate_with_hole(
    young: float = 1000.0, poisson: float = 0.3, tension: float = 1.0, side: float = 4.0
) -> Problem:
    """A quarter of an infinite plate with a hole of radius 1, pulled along x (Kirsch).

    Plane stress on [0, side]² without the unit disk, symmetric at the left and the bottom; the
    outer sides carry the exact tractions, so that the solution is exact:
    σ_xx(0, 1) = 3 tension, σ_yy(1, 0) = −tension. Source: Kirsch (1898); Timoshenko and Goodier
    (1951), section 32.
    """
    pde = PlaneStress(young=young, poisson=poisson)
    shear, kappa = young / (2 * (1 + poisson)), (3 - poisson) / (1 + poisson)

    def exact(x: Array, t: Array) -> Array:
        r, a = jnp.sqrt(jnp.sum(x**2)), jnp.arctan2(x[1], x[0])
        along = (
            r * (kappa + 1) * jnp.cos(a)
            + 2 / r * ((1 + kappa) * jnp.cos(a) + jnp.cos(3 * a))
            - 2 / r**3 * jnp.cos(3 * a)
        )
        across = (
            r * (kappa - 3) * jnp.sin(a)
            + 2 / r * ((1 - kappa) * jnp.sin(a) + jnp.sin(3 * a))
            - 2 / r**3 * jnp.sin(3 * a)
        )
        return tension / (8 * shear) * jnp.stack([along, across])

    def traction(axis: int):
        def pulled(x: Array, t: Array) -> Array:
            slope = jax.jacfwd(exact)(x, t)
            strain = 0.5 * (slope + slope.T)
            stiff = young / (1 - poisson**2)
            sigma = stiff * (
                (1 - poisson) * strain + poisson * jnp.trace(slope) * jnp.eye(2, dtype=x.dtype)
            )
            return sigma[:, axis]

        return pulled

    return Problem(
        pde,
        _plate_domain(side),
        boundary={
            "left": Dirichlet(u=(0.0, None)),
            "bottom": Dirichlet(u=(None, 0.0)),
            "right": Traction(u=traction(0)),
            "top": Traction(u=traction(1)),
            "hole": Traction(u=0.0),
        },
        exact={"u": exact},
        name="plate_with_hole",
    )


def _plate_domain(side: float) -> Domain:
    return Rectangle((0.0, 0.0), (side, side)) - Disk((0.0, 0.0), 1.0, boundary="hole")


def plate_mesh(cells: int, side: float = 4.0) -> Mesh:
    """A mapped mesh of the quarter plate, 2 cells × cells curved quadrilaterals, finer at the
    hole."""

    def place(x: np.ndarray) -> np.ndarray:
        angle = 0.5 * np.pi * x[:, 1]
        ray = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        outer = ray * side / ray.max(axis=1, keepdims=True)
        out = np.expm1(2.0 * x[:, :1]) / np.expm1(2.0)
        return (1.0 - out) * ray + out * outer

    block = mapped_mesh(Rectangle().mesh((cells, 2 * cells), "quadrilateral"), place, curved=True)
    return joined_mesh([block], _plate_domain(side))


def clamped_cube(young: float = 10.0, poisson: float = 0.3, load: float = -0.1) -> Problem:
    """A cube of linear elasticity, clamped at x = 0, with the force per volume (0, 0, load).

    With the defaults and 32³ trilinear cells the root mean square of |u| at the nodes is
    0.0183093571.
    """
    domain = Box((0.0,) * 3, (1.0,) * 3)
    sides = {name: Traction(u=0.0) for name in domain.boundary_names}
    return Problem(
        Elasticity(young=young, poisson=poisson, load=jnp.array([0.0, 0.0, load])),
        domain,
        boundary=sides | {"left": Dirichlet(u=0.0)},
        name="clamped_cube",
    )


def stretched_block(
    stretch: float = 0.1, young: float = 10.0, poisson: float = 0.3, dim: int = 3
) -> Problem:
    """A Neo-Hookean unit cube (or square), clamped at x = 0 and pulled at x = 1 by `stretch`.

    The pulled side keeps its shape; the other sides are free.
    """
    domain = Box((0.0,) * dim, (1.0,) * dim)
    pulled = (stretch,) + (0.0,) * (dim - 1)
    sides = {name: Traction(u=0.0) for name in domain.boundary_names}
    return Problem(
        NeoHookean(young=young, poisson=poisson),
        domain,
        boundary=sides | {"left": Dirichlet(u=0.0), "right": Dirichlet(u=pulled)},
        name="stretched_block",
    )
