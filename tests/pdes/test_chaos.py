"""Lorenz-96 by methods of the library and by an integrator of ordinary equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import physml as pm


def rates(_, u, forcing=8.0):
    return (np.roll(u, -1) - np.roll(u, 2)) * np.roll(u, 1) - u + forcing


@pytest.fixture(scope="module")
def reference():
    start = np.full(40, 8.0)
    start[19] += 0.008
    return solve_ivp(rates, (0.0, 1.0), start, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        (pm.Fourier(points=8, dt=0.001), 1e-5),
        # Its steps' errors of 1e-9 have grown by e⁸.
        (pm.FiniteElement(cells=3, rtol=1e-9, atol=1e-9), 1e-3),
    ],
    ids=["Fourier", "FEM"],
)
def test_every_point_follows_the_ordinary_equations(method, error, reference):
    solution = pm.solve(pm.library.lorenz96(end=1.0), method)
    np.testing.assert_allclose(solution["u"](0.3, 1.0), reference, atol=error)


def test_the_quadratic_terms_keep_the_energy():
    u = jax.random.normal(jax.random.key(0), (40,))
    pde = pm.library.Lorenz96()
    p = pm.Point(jnp.zeros(1), jnp.zeros(()), {"u": u}, {"u": jnp.zeros((40, 1))})
    assert float(u @ pde.advection(p)) == pytest.approx(0.0, abs=1e-13)
