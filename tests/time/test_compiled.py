"""Programs are shared by problems that are made alike, and by no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from solvers.time import implicit_euler

METHODS = [
    pm.Fourier(points=8, dt=1e-3),
    pm.FiniteVolume(cells=8, dt=1e-3, frames=2),
    pm.Chebyshev(points=6, panels=1, dt=1e-3, stepper=implicit_euler()),
]
PLACE = jnp.array([0.3])


@pytest.fixture
def compiled():
    """The programs compiled so far, by name."""
    names = []

    def listen(event, seconds, **details):
        if event.endswith("backend_compile_duration"):
            names.append(details.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def heat(method, start):
    """Heat conduction from `start`, a function of x that vanishes at both ends."""
    periodic = isinstance(method, pm.Fourier)
    return pm.Problem(
        pm.library.Heat(),
        pm.Interval(0.0, 1.0, periodic=periodic),
        time=(0.0, 0.002),
        initial={"u": start},
        boundary={} if periodic else {"all": pm.Dirichlet(u=lambda x, t: 0.0 * t)},
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_equal_functions_share_programs_and_others_do_not(method, compiled):
    def answer(size, table):
        def start(x):
            return size * jnp.sin(2 * jnp.pi * x[0]) * (jnp.asarray(table) @ jnp.ones(2))

        return float(pm.solve(heat(method, start), method)["u"](PLACE, 0.002))

    one = answer(1.0, np.array([1.0, 0.0]))
    compiled.clear()
    assert answer(1.0, np.array([1.0, 0.0])) == one
    assert not compiled
    # An array that is closed over is an argument of the program, a number is part of it.
    np.testing.assert_allclose(answer(1.0, np.array([0.0, -3.0])), -3 * one, rtol=1e-6)
    assert not compiled
    np.testing.assert_allclose(answer(2.0, np.array([1.0, 0.0])), 2 * one, rtol=1e-6)
    assert compiled


def test_gradient_in_what_a_function_closes_over():
    method = METHODS[0]

    def value(size):
        problem = heat(method, lambda x: size * jnp.sin(2 * jnp.pi * x[0]))
        return pm.solve(problem, method)["u"](PLACE, 0.002)

    # The equation is linear.
    np.testing.assert_allclose(jax.grad(value)(2.0), value(2.0) / 2, rtol=1e-5)
