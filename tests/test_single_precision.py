"""The float32 job: every method that works in single precision, end to end, stays in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm

pytestmark = pytest.mark.usefixtures("float32")


def error(solution, field="u"):
    """Relative L2 error at random points, which must come in float32."""
    problem = solution.problem
    rng = np.random.default_rng(0)
    low, high = problem.domain.bounds
    x = jnp.asarray(low + (high - low) * rng.random((200, problem.dim)), jnp.float32)
    start, end = problem.time or (0.0, 0.0)
    t = jnp.asarray(start + (end - start) * rng.random(200), jnp.float32)
    found = solution[field](x, t)
    assert found.dtype == jnp.float32
    exact = jax.vmap(lambda y, s: problem.exact_value(field, y, s))(x, t)
    return float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))


@pytest.mark.parametrize(
    ("name", "method", "bound"),
    [
        ("poisson", pm.FiniteElement(degree=2, cells=12), 1e-3),
        ("heat", pm.FiniteElement(degree=2, cells=24, rtol=1e-4, atol=1e-5), 1e-3),
        ("burgers_2d", pm.FiniteElement(degree=2, cells=12, rtol=1e-4, atol=1e-5), 5e-3),
        ("kdv", pm.Fourier(points=128, dt=2e-3), 2e-3),
        ("kdv", pm.Fourier(points=128, adaptive=True, rtol=1e-5), 2e-3),
        ("taylor_green", pm.Fourier(points=16), 1e-5),
        ("wave", pm.FiniteElement(degree=2, cells=64, dt=5e-3), 1e-2),
        ("burgers", pm.FiniteVolume(cells=512), 5e-3),
    ],
)
def test_solves(name, method, bound):
    problem = pm.library.PROBLEMS[name]()
    field = next(iter(problem.exact))
    assert error(pm.solve(problem, method), field) < bound


def test_gradient_stays_in_single_precision():
    def energy(k):
        problem = pm.Problem(
            pm.library.Poisson(k=k, f=1.0), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}
        )
        return pm.solve(problem, pm.FiniteElement(degree=1, cells=8)).integrate(lambda p: p.u)

    value, slope = jax.value_and_grad(energy)(jnp.float32(2.0))
    assert value.dtype == slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, -value / 2.0, rtol=1e-5)


def test_adam_trains_and_double_methods_say_what_they_need():
    problem = pm.library.poisson()
    network = pm.PINN(dtype="float32", optimizer=pm.optimizers.Adam(3e-3), points=256)
    assert error(pm.solve(problem, network, steps=600)) < 0.3
    for method in (pm.PINN(), pm.Chebyshev(), pm.RandomFeatures()):
        with pytest.raises((ValueError, pm.NotApplicable), match="jax_enable_x64"):
            pm.solve(problem, method, steps=1)
