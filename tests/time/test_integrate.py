"""integrate: accuracy, frames, gradients, named failures."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import SolverError
from solvers.time import (
    SSPRK3,
    TimeSeries,
    esdirk3,
    implicit_euler,
    integrate,
)
from tests.time._systems import Blowup, Forced, Oscillator

MILD = Forced(jnp.asarray(10.0))


def worst(series, system, end):
    t = jnp.linspace(0.0, end, 101)
    return float(jnp.max(jnp.abs(jax.vmap(series)(t) - system.exact(t))))


def test_adaptive_steps_keep_the_tolerance():
    errors = []
    for rtol in (1e-5, 1e-7):
        found = integrate(MILD, (0.0, 2.0), rtol=rtol, atol=rtol)
        errors.append(worst(found.series, MILD, 2.0))
        assert len(found.series.times) == found.steps + 1
        assert errors[-1] < 20 * rtol
    assert errors[1] < errors[0] / 10


def test_algebraic_rows_hold_in_every_frame():
    found = integrate(MILD, (0.0, 2.0), dt=0.1)
    states = np.asarray(found.series.states)
    assert found.steps == 20
    np.testing.assert_allclose(states[:, 1], states[:, 0] ** 2, atol=1e-12)


def test_even_frames_lie_on_fixed_steps():
    every = integrate(MILD, (0.0, 2.0), dt=0.1)
    few = integrate(MILD, (0.0, 2.0), dt=0.1, frames=5)
    np.testing.assert_allclose(few.series.times, [0.0, 0.5, 1.0, 1.5, 2.0], atol=1e-14)
    np.testing.assert_allclose(few.series.states, every.series.states[::5], atol=1e-12)
    assert few.notes == ("kept 5 of 21 states",)


def test_frames_between_adaptive_steps_are_interpolated():
    found = integrate(MILD, (0.0, 2.0), rtol=1e-7, atol=1e-7, frames=jnp.linspace(0, 2, 41))
    error = np.abs(np.asarray(found.series.states - MILD.exact(found.series.times)))
    assert error.max() < 1e-4
    assert error[:, 0].max() < 1e-5


def test_gradient_equals_differences_of_the_same_steps():
    def total(stiffness, start):
        system = Forced(stiffness)
        state = jnp.stack([start, start**2])
        found = integrate(system, (0.0, 1.0), dt=0.1, stepper=esdirk3(), start=state)
        return jnp.sum(jax.vmap(found.series)(jnp.linspace(0.05, 1.0, 7)) ** 2)

    at = (jnp.asarray(3.0), jnp.asarray(0.5))
    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    gradient = both(*at)[1]
    for i in (0, 1):
        best = np.inf
        for h in (1e-3, 1e-4, 1e-5):
            up = [v + h * (i == k) for k, v in enumerate(at)]
            down = [v - h * (i == k) for k, v in enumerate(at)]
            difference = (both(*up)[0] - both(*down)[0]) / (2 * h)
            best = min(best, abs(float(difference / gradient[i]) - 1))
        assert best < 1e-6


def test_gradient_through_adaptive_steps_is_that_of_the_solution():
    # u = cos t is approached from any start: u(0) + h decays by the derivative of the flow.
    def end(start):
        found = integrate(
            Oscillator(), (0.0, 1.0), rtol=1e-9, atol=1e-9, start=jnp.stack([start, 0 * start])
        )
        return found.series(1.0)[0]

    gradient = jax.jit(jax.grad(end))(jnp.asarray(1.0))
    assert float(gradient) == pytest.approx(np.cos(1.0), abs=1e-7)


def test_explicit_third_order():
    errors = []
    for dt in (0.1, 0.05, 0.025):
        found = integrate(Oscillator(), (0.0, 1.0), stepper=SSPRK3(), dt=dt)
        errors.append(abs(float(found.series.states[-1][0]) - np.cos(1.0)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(3.0, abs=0.1)


def test_failures_are_named():
    with pytest.raises(SolverError, match="larger max_steps") as error:
        integrate(MILD, (0.0, 2.0), max_steps=3)
    assert error.value.reason == "max_steps"
    stops = Forced(jnp.asarray(1.0), converges_until=1.0)
    with pytest.raises(SolverError, match=r"was not solved at t = 1") as error:
        integrate(stops, (0.0, 2.0), dt=0.1)
    assert error.value.reason == "stage_not_converged"
    with pytest.raises(SolverError, match="shrank to nothing at t = 1") as error:
        integrate(Blowup(), (0.0, 2.0))
    assert error.value.reason == "step_too_small"
    with pytest.raises(SolverError, match="smaller step") as error:
        integrate(Blowup(), (0.0, 3.0), dt=0.1, stepper=diffrax.Heun())
    assert error.value.reason == "not_finite"
    with pytest.raises(SolverError, match="initial data agree") as error:
        integrate(MILD, (0.0, 1.0), start=jnp.array([jnp.nan, 1.0]))
    assert error.value.reason == "inconsistent_start"


def test_steppers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no error estimate: give dt"):
        integrate(MILD, (0.0, 1.0), stepper=implicit_euler())
    with pytest.raises(ValueError, match="can't hold algebraic rows"):
        integrate(MILD, (0.0, 1.0), stepper=SSPRK3(), dt=0.1)
    with pytest.raises(ValueError, match="dt must be positive"):
        integrate(MILD, (0.0, 1.0), dt=-0.1)


def test_series_is_of_fourth_order_and_exact_for_cubics():
    t = jnp.linspace(0.0, 1.0, 9) ** 1.5
    cubic = TimeSeries(t, jnp.stack([t**3 - t, 2 * t**2], axis=1))
    at = jnp.linspace(0.0, 1.0, 23)
    both = jax.jit(jax.vmap(lambda s: (cubic(s), cubic(s, 1))))
    values, second = both(at)
    np.testing.assert_allclose(values, np.stack([at**3 - at, 2 * at**2], axis=1), atol=1e-13)
    np.testing.assert_allclose(second, 2 * at**2, atol=1e-13)
    rate = jax.jit(jax.vmap(jax.jacfwd(cubic)))(at[1:-1] + 1e-3)
    np.testing.assert_allclose(rate[:, 0], 3 * (at[1:-1] + 1e-3) ** 2 - 1, atol=1e-11)
    errors = []
    for n in (33, 65, 129):
        t = jnp.linspace(0.0, 1.0, n)
        series = TimeSeries(t, jnp.sin(5 * t)[:, None])
        at = jnp.linspace(0.0, 1.0, 1000)
        found = np.asarray(jax.jit(jax.vmap(series))(at))[:, 0]
        errors.append(np.abs(found - np.sin(5 * np.asarray(at))).max())
    assert np.log2(errors[1] / errors[2]) == pytest.approx(4.0, abs=0.2)


def test_series_ignores_unused_frames():
    t = jnp.concatenate([jnp.linspace(0.0, 1.0, 6), jnp.ones(3)])
    states = jnp.where(t < 1.0, t**2, 1.0)
    padded = TimeSeries(t, states, count=6)
    at = jnp.linspace(0.0, 1.0, 11)
    np.testing.assert_allclose(jax.jit(jax.vmap(padded))(at), at**2, atol=1e-14)
    value = lambda s: jnp.sum(TimeSeries(t, states * s, count=6)(0.3))
    slope = jax.jit(jax.grad(value))(1.0)
    assert float(slope) == pytest.approx(0.09, abs=1e-14)
