"""One problem, written once: every method that applies gives the same answer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from physml.networks import MLP


class Reactor(pm.PDE):
    """∂u/∂t + ∂(½u²)/∂x = ∂/∂x((0.1 + 0.05 u²) ∂u/∂x) + u (1 − u)."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.convection, self.diffusion), source=(self.growth,))}

    def convection(self, p):
        return 0.5 * p.u**2 * jnp.ones_like(p.x)

    def diffusion(self, p):
        return -(0.1 + 0.05 * p.u**2) * p.grad.u

    def growth(self, p):
        return p.u * (1 - p.u)


# F·n of the initial data at the right end: no layer at the start.
FLUX = 0.5 - 0.15 * np.pi


def bounded():
    return pm.Problem(
        Reactor(),
        pm.Interval(0.0, 1.0),
        time=(0.0, 0.5),
        initial={"u": lambda x: 1.0 + 0.5 * jnp.sin(2 * jnp.pi * x[0])},
        boundary={"left": pm.Dirichlet(u=1.0), "right": pm.Neumann(u=FLUX)},
    )


def periodic():
    return pm.Problem(
        Reactor(),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 0.5),
        initial={"u": lambda x: 1.0 + 0.5 * jnp.sin(2 * jnp.pi * x[0])},
    )


def on_grid(problem, method, **options):
    solution = pm.solve(problem, method, **options)
    x = jnp.linspace(0.0, 1.0, 41)[:, None]
    return np.asarray(solution["u"](x, jnp.linspace(0.1, 0.5, 5)[:, None]))


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def bounded_reference():
    return on_grid(bounded(), pm.Chebyshev(points=16, panels=2, rtol=1e-8, atol=1e-10))


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        (lambda: pm.FiniteElement(degree=2, cells=64), 1e-5),
        (lambda: pm.FiniteElement(degree=1, cells=128), 5e-4),
        (lambda: pm.FiniteVolume(cells=100), 2e-3),
    ],
)
def test_mixed_conditions(method, tolerance, bounded_reference):
    assert distance(on_grid(bounded(), method()), bounded_reference) < tolerance


def test_network_with_mixed_conditions(bounded_reference):
    method = pm.PINN(network=functools.partial(MLP, width=10, depth=2), points=400)
    found = on_grid(bounded(), method, steps=160)
    assert distance(found, bounded_reference) < 2e-3


def test_periodic():
    reference = on_grid(periodic(), pm.Fourier(points=64))
    assert distance(on_grid(periodic(), pm.FiniteElement(degree=2, cells=64)), reference) < 1e-5
    assert distance(on_grid(periodic(), pm.FiniteVolume(cells=100)), reference) < 2e-3


def test_steady_two_dimensions():
    """−∇·((1 + u²)∇u) = f, by finite elements, collocation and random-feature-free networks."""

    class Conduction(pm.PDE):
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(self.flux,), storage=pm.NoStorage)}

        def flux(self, p):
            return -(1 + p.u**2) * p.grad.u

    def exact(x, t):
        return jnp.sin(x[0]) * jnp.exp(x[1])

    problem = pm.manufactured(Conduction(), pm.Rectangle(), {"u": exact})
    x = jnp.asarray(problem.domain.sample_interior(50, seed=1))
    truth = np.asarray(jax.jit(jax.vmap(lambda y: exact(y, 0.0)))(x))
    for method, tolerance in (
        (pm.FiniteElement(degree=2, cells=12), 1e-4),
        (pm.FiniteElement(degree=2, cells=8, cell_shape="quadrilateral"), 1e-4),
        (pm.Chebyshev(points=16), 1e-10),
    ):
        found = np.asarray(pm.solve(problem, method)["u"](x))
        assert distance(found, truth) < tolerance, method.name


def test_linear_problem_by_random_features():
    problem = pm.library.poisson()
    x = jnp.asarray(problem.domain.sample_interior(50, seed=1))
    truth = np.asarray(jax.jit(jax.vmap(lambda y: problem.exact_value("u", y)))(x))
    found = np.asarray(pm.solve(problem, pm.RandomFeatures())["u"](x))
    assert distance(found, truth) < 1e-10
