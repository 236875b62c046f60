"""Burgers' equation in one and two dimensions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import special

from pdes._boundary import Dirichlet
from pdes._coefficient import Coefficient, coefficient
from pdes._equation import Balance, Definition
from pdes._fields import Scalar, Vector
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes.domain import Interval, Rectangle

# Gauss–Hermite nodes converge geometrically for the Cole–Hopf integrals at ν ≥ 0.01/π.
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(200)
_LOG_WEIGHTS = np.log(_WEIGHTS)


class Burgers(PDE):
    """Viscous Burgers equation, ∂u/∂t + ∇·(½u² a) = ν ∇²u with a = (1, …, 1).

    The flux is ½u² a − ν∇u: what leaves the domain. Source: Burgers (1948).
    """

    nu: Coefficient = coefficient(0.01 / np.pi)
    fields = {"u": Scalar()}

    def equations(self):
        return {"u": Balance(flux=(self.convection, self.diffusion))}

    def convection(self, p: Point) -> Array:
        return 0.5 * p.u**2 * jnp.ones_like(p.x)

    def diffusion(self, p: Point) -> Array:
        return -self.nu(p) * p.grad.u


class VectorBurgers(PDE):
    """Burgers' equation of a velocity in the plane, ∂u/∂t + (u·∇)u = ν ∇²u, ω = ∂u₂/∂x − ∂u₁/∂y.

    Written with (u·∇)u = ∇(½|u|²) + ω (−u₂, u₁), which takes six transforms in place of eight;
    the flux of u is ½|u|² I − ν∇u.
    """

    nu: Coefficient = coefficient(0.01)
    fields = {"u": Vector(), "omega": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.head, self.diffusion), source=(self.rotation,)),
            "omega": Definition(flux=(self.turned,)),
        }

    def head(self, p: Point) -> Array:
        return 0.5 * jnp.sum(p.u**2) * jnp.eye(2, dtype=p.x.dtype)

    def diffusion(self, p: Point) -> Array:
        return -self.nu(p) * p.grad.u

    def rotation(self, p: Point) -> Array:
        return p.omega * jnp.stack([p.u[1], -p.u[0]])

    def turned(self, p: Point) -> Array:
        return jnp.stack([p.u[1], -p.u[0]])


def cole_hopf(x: Array, t: Array, nu: float) -> Array:
    """u(x, t) for u₀ = −sin πx on [−1, 1] (Cole 1951; Basdevant et al. 1986, eq. 2.5).

    u = −∫ sin π(x−η) f(x−η) e^{−η²/4νt} dη / ∫ f(x−η) e^{−η²/4νt} dη,
    with f(y) = e^{−cos(πy)/2πν}, by Gauss–Hermite quadrature; weights enter by their logarithms
    and all exponents are shifted by their maximum, since e^{1/2πν} overflows float32.
    """
    nodes = jnp.asarray(_NODES, x.dtype)
    y = x[0] - nodes * jnp.sqrt(4 * nu * jnp.maximum(t, 0.0) + jnp.finfo(x.dtype).tiny)
    exponent = jnp.asarray(_LOG_WEIGHTS, x.dtype) - jnp.cos(jnp.pi * y) / (2 * jnp.pi * nu)
    # The shift cancels, and so does its derivative: JAX's for a maximum asks which entry equals it,
    # which none may where XLA computes the entries anew with another rounding.
    f = jnp.exp(exponent - jax.lax.stop_gradient(jnp.max(exponent)))
    return -jnp.sum(jnp.sin(jnp.pi * y) * f) / jnp.sum(f)


def burgers(nu: float = 0.01 / np.pi) -> Problem:
    """Burgers on [−1, 1] × [0, 1] with u₀ = −sin πx and u = 0 at both ends.

    At the default ν = 0.01/π a layer of width about 0.006 stands at x = 0 from t ≈ 0.4 on.
    Exact by Cole–Hopf. Source: Basdevant et al. (1986); Raissi, Perdikaris, Karniadakis (2019).
    """
    return Problem(
        Burgers(nu=nu),
        Interval(-1.0, 1.0),
        time=(0.0, 1.0),
        initial={"u": lambda x: -jnp.sin(jnp.pi * x[0])},
        boundary={"all": Dirichlet(u=0.0)},
        exact={"u": lambda x, t: cole_hopf(x, t, nu)},
        name="burgers",
    )


def burgers_periodic(
    nu: float = 0.1, initial: Callable[[Array], Array] | None = None, time: float = 1.0
) -> Problem:
    """∂u/∂t + ∂(½u²)/∂x = ν ∂²u/∂x² on the periodic unit interval, t ∈ [0, time].

    The benchmark of neural operators, with u₀ from N(0, 625 (−∇² + 25)⁻²) and ν = 0.1; here
    u₀ = sin 2πx unless `initial` is given, and then exact by Cole–Hopf: u = −2ν φₓ/φ with
    φ = Σₘ Iₘ(1/4πν) e^{−ν(2πm)²t} e^{2πimx}. For ν < 0.016, where this sum cancels, by quadrature:
    with v the solution for −sin πx on [−1, 1], u(x, t; ν) = v(2x + 1, 2t; 2ν).
    Source: Li, Kovachki, Azizzadenesheli, Liu, Bhattacharya, Stuart, Anandkumar (2021), 5.1.
    """

    return Problem(
        Burgers(nu=nu),
        Interval(0.0, 1.0, periodic=True),
        time=(0.0, time),
        initial={"u": (lambda x: jnp.sin(2 * jnp.pi * x[0])) if initial is None else initial},
        exact={"u": _periodic_sine(nu)} if initial is None else None,
        name="burgers_periodic",
    )


def _periodic_sine(nu: float) -> Callable[[Array, Array], Array]:
    order = np.arange(1, 64)

    def by_quadrature(x: Array, t: Array) -> Array:
        return cole_hopf(2 * x + 1, 2 * t, 2 * nu)

    if not isinstance(nu, int | float) or nu < 0.016:
        return by_quadrature
    z = 1 / (4 * np.pi * nu)
    weights = 2 * special.ive(order, z) / special.ive(0, z)

    def by_series(x: Array, t: Array) -> Array:
        k = jnp.asarray(2 * np.pi * order, x.dtype)
        terms = jnp.asarray(weights, x.dtype) * jnp.exp(-nu * k**2 * t)
        phi = 1.0 + jnp.sum(terms * jnp.cos(k * x[0]))
        return 2 * nu * jnp.sum(k * terms * jnp.sin(k * x[0])) / phi

    return by_series


def burgers_2d(nu: float = 0.05) -> Problem:
    """∂u/∂t + ∂(½u²)/∂x + ∂(½u²)/∂y = ν∇²u on the unit square, t ∈ [0, 1], a travelling front.

    u = 1/(1 + e^{(x + y − t)/2ν}) is exact: a front along x + y = t. Source: the scalar case
    of Fletcher (1983); see Bateman (1915) for the profile.
    """

    def exact(x: Array, t: Array) -> Array:
        return jax.nn.sigmoid(-(x[0] + x[1] - t) / (2 * nu))

    return Problem(
        Burgers(nu=nu),
        Rectangle(),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        boundary={"all": Dirichlet(u=exact)},
        exact={"u": exact},
        name="burgers_2d",
    )
