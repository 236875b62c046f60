"""Diffusion: Poisson, anisotropic diffusion, heat, hyperdiffusion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._boundary import Dirichlet
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Definition, NoStorage
from pdes._fields import Scalar
from pdes._manufactured import manufactured
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle


class Poisson(PDE):
    """Poisson equation, −∇·(k ∇u) = f.

    The flux is −k∇u, so Neumann data are the flow out of the domain. k is a number, a matrix
    (dim, dim) for anisotropic media, or any function of the point.
    """

    k: Coefficient = coefficient(1.0)
    f: Coefficient = coefficient(0.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.diffusion,), source=(self.load,), storage=NoStorage)}

    def diffusion(self, p: Point) -> Array:
        return -_conduct(self.k(p), p.grad.u)

    def load(self, p: Point) -> Array:
        return self.f(p)


class Heat(PDE):
    """Heat equation, ∂u/∂t − ∇·(κ ∇u) = f; the flux is −κ∇u. Source: Fourier (1822)."""

    kappa: Coefficient = coefficient(1.0)
    f: Coefficient = coefficient(0.0)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.diffusion,), source=(self.load,))}

    def diffusion(self, p: Point) -> Array:
        return -_conduct(self.kappa(p), p.grad.u)

    def load(self, p: Point) -> Array:
        return self.f(p)


class Hyperdiffusion(PDE):
    """Fourth-order diffusion, ∂u/∂t = −κ ∇⁴u, with w = ∇²u; the flux of u is κ∇w."""

    kappa: Coefficient = coefficient(1.0)
    fields = {"u": Scalar(), "w": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.diffusion,)),
            "w": Definition(flux=(self.slope,)),
        }

    def diffusion(self, p: Point) -> Array:
        return self.kappa(p) * p.grad.w

    def slope(self, p: Point) -> Array:
        return p.grad.u


def _conduct(k: Array, gradient: Array) -> Array:
    return k @ gradient if jnp.ndim(k) == 2 else k * gradient


def _sines(x: Array, t: Any = 0.0) -> Array:
    return jnp.prod(jnp.sin(jnp.pi * x))


def poisson(dim: int = 2) -> Problem:
    """−∇²u = f on the unit square with u = sin πx sin πy, u = 0 on the boundary.

    In `dim` dimensions the product of `dim` sines on the unit cube.
    """
    from pdes.domain import Box

    domain = Rectangle() if dim == 2 else Box((0.0,) * dim, (1.0,) * dim)
    load: Callable = lambda p: dim * jnp.pi**2 * _sines(p.x)
    return Problem(
        Poisson(f=load),
        domain,
        boundary={"all": Dirichlet(u=0.0)},
        exact={"u": _sines},
        name="poisson",
    )


def poisson_lshape() -> Problem:
    """−∇²u = 0 on the L-shape with the corner singularity u = r^⅔ sin(⅔θ) as boundary data.

    u ∈ H^{5/3−ε}: uniform refinement converges at h^{4/3} in L2. Source: Grisvard (1985);
    Verfürth (1996), section 1.
    """
    from pdes.domain import Polygon

    corners = [(-1.0, -1.0), (0.0, -1.0), (0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (-1.0, 1.0)]
    return Problem(
        Poisson(),
        Polygon(corners),
        boundary={"all": Dirichlet(u=_corner)},
        exact={"u": _corner},
        name="poisson_lshape",
    )


def _corner(x: Array, t: Any = 0.0) -> Array:
    r2 = x[0] ** 2 + x[1] ** 2
    safe = jnp.where(r2 > 0, r2, 1.0)
    # The removed quadrant is x > 0, y < 0: θ runs from 0 on the positive x axis to 3π/2.
    theta = jnp.arctan2(x[1], x[0])
    theta = jnp.where(theta < -1e-12, theta + 2 * jnp.pi, theta)
    return jnp.where(r2 > 0, safe ** (1 / 3) * jnp.sin(2 * theta / 3), 0.0)


def poisson_disk() -> Problem:
    """−∇²u = 4 on the unit disk, u = 0 on the circle: u = 1 − r²."""
    from pdes.domain import Disk

    return Problem(
        Poisson(f=4.0),
        Disk(),
        boundary={"all": Dirichlet(u=0.0)},
        exact={"u": lambda x, t: 1.0 - jnp.sum(x**2)},
        name="poisson_disk",
    )


def anisotropic_diffusion(ratio: float = 100.0, angle: float = 0.5236) -> Problem:
    """−∇·(K ∇u) = f on the unit square, K = Q diag(1, 1/ratio) Qᵀ turned by `angle` radians.

    Manufactured, u = sin πx sin πy + x y.
    """
    c, s = jnp.cos(angle), jnp.sin(angle)
    q = jnp.array([[c, -s], [s, c]])
    tensor = q @ jnp.diag(jnp.array([1.0, 1.0 / ratio])) @ q.T
    return manufactured(
        Poisson(k=tensor),
        Rectangle(),
        {"u": lambda x, t: _sines(x) + x[0] * x[1]},
        name="anisotropic_diffusion",
    )


def heat(kappa: float = 0.25) -> Problem:
    """∂u/∂t = κ ∂²u/∂x² on [0, 1]², u = e^{−κπ²t} sin πx, u = 0 at both ends.

    The case of Dangel, Müller, Zeinhofer (2024), κ = 1/4.
    """

    def exact(x: Array, t: Array) -> Array:
        return jnp.exp(-kappa * jnp.pi**2 * t) * jnp.sin(jnp.pi * x[0])

    return Problem(
        Heat(kappa=kappa),
        Interval(0.0, 1.0),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.sin(jnp.pi * x[0])},
        boundary={"all": Dirichlet(u=0.0)},
        exact={"u": exact},
        name="heat",
    )


def hyperdiffusion(kappa: float = 1e-2) -> Problem:
    """∂u/∂t = −κ∇⁴u, periodic on [0, 2π]²: u = e^{−κt} sin x + e^{−25κt} cos(x + 2y), t ≤ 1."""

    def exact(x: Array, t: Array) -> Array:
        slow = jnp.exp(-kappa * t) * jnp.sin(x[0])
        return slow + jnp.exp(-25 * kappa * t) * jnp.cos(x[0] + 2 * x[1])

    return Problem(
        Hyperdiffusion(kappa=kappa),
        Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
        name="hyperdiffusion",
    )
