"""Gradients through assembly, Newton and time steps against central differences."""

import jax
import jax.numpy as jnp
import numpy as np

import pdes
from pdes import library
from solvers.fem import FiniteElement


def central(function, at, steps=(1e-3, 3e-4, 1e-4, 3e-5)):
    """Central differences of fourth order by several steps."""
    out = []
    for h in steps:
        f = [float(function(jnp.asarray(at + k * h))) for k in (-2, -1, 1, 2)]
        out.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h))
    return np.array(out)


def agree(function, at):
    """Every component of the gradient at once, so that all are compiled once."""
    at = jnp.asarray(at)
    # One program for both: compiling it is what takes time.
    both = jax.jit(jax.value_and_grad(function))
    exact = np.asarray(both(at)[1])
    for i, unit in enumerate(np.eye(len(at))):
        found = central(lambda s, unit=unit: both(at + s * unit)[0], 0.0)
        assert abs(exact[i]) > 1e-6
        assert np.min(np.abs(found - exact[i])) <= 1e-6 * abs(exact[i])


class Diffusion(pdes.PDE):
    """−∇·(k(1 + u²)∇u) = f, or with ∂u/∂t in time."""

    k: pdes.Coefficient = pdes.coefficient(1.0)
    f: pdes.Coefficient = pdes.coefficient(1.0)
    steady: bool = True
    fields = {"u": pdes.Scalar()}

    def equations(self):
        storage = pdes.NoStorage if self.steady else None
        return {"u": pdes.Balance(flux=(self.flux,), source=(self.load,), storage=storage)}

    def flux(self, p):
        return -self.k(p) * (1 + p.u**2) * p.grad.u

    def load(self, p):
        return self.f(p)


METHOD = FiniteElement(degree=2, cells=4, newton_tolerance=1e-13)


def steady_probe(k=1.0, f=2.0, g=0.3, h=0.1):
    problem = pdes.Problem(
        Diffusion(k=k, f=f),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=g),
            "right": pdes.Neumann(u=h),
            "bottom": pdes.Robin(u=lambda p: 0.5 * (p.u - g)),
            "top": pdes.Dirichlet(u=lambda x, t: g * jnp.cos(x[0])),
        },
    )
    return METHOD.solve(problem)["u"](jnp.array([0.63, 0.37]))


def test_gradient_of_a_steady_nonlinear_problem():
    """Coefficient, source in a closure, Dirichlet and Robin data, Neumann data."""

    def probe(s):
        return steady_probe(k=s[0], f=lambda p: s[1] * jnp.exp(p.x[0]), g=s[2], h=s[3])

    agree(probe, [0.7, 1.3, 0.4, 0.2])


def transient_probe(nu=0.05, amplitude=1.0, g=0.0):
    problem = pdes.Problem(
        library.Burgers(nu=nu),
        pdes.Interval(-1.0, 1.0),
        time=(0.0, 0.3),
        initial={"u": lambda x: g - amplitude * jnp.sin(jnp.pi * x[0])},
        boundary={"all": pdes.Dirichlet(u=lambda x, t: g * (1 + t))},
    )
    method = FiniteElement(degree=2, cells=12, dt=0.1, newton_tolerance=1e-13)
    return method.solve(problem)["u"](jnp.array([0.31]), 0.3)


def test_gradient_through_time_steps():
    """Viscosity, initial data, boundary data in time."""
    agree(lambda s: transient_probe(nu=0.1 * s[0], amplitude=s[1], g=s[2]), [0.7, 0.8, 0.3])


def test_gradient_with_respect_to_a_value_in_every_cell():
    domain = pdes.Rectangle()
    mesh = domain.mesh(3, "triangle")
    method = FiniteElement(degree=1, mesh=mesh)

    def compliance(k):
        problem = pdes.Problem(
            library.Poisson(k=pdes.CellData(k), f=1.0),
            domain,
            boundary={"all": pdes.Dirichlet(u=0.0)},
        )
        return method.solve(problem)["u"](jnp.array([0.41, 0.47]))

    k = jnp.linspace(1.0, 2.0, len(mesh.cells))
    both = jax.jit(jax.value_and_grad(compliance))
    gradient = both(k)[1]
    direction = jnp.cos(jnp.arange(len(k)) * 1.0)
    found = central(lambda s: both(k + s * direction)[0], 0.0)
    assert np.min(np.abs(found - gradient @ direction)) <= 1e-6 * abs(gradient @ direction)


def test_many_coefficients_at_once():
    values = jnp.array([0.5, 1.0, 2.0])
    together = jax.jit(jax.vmap(lambda k: steady_probe(k=k)))(values)
    one = jax.jit(lambda k: steady_probe(k=k))
    alone = np.stack([one(k) for k in values])
    np.testing.assert_allclose(together, alone, rtol=1e-9)
