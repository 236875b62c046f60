"""BDF2 and the generalised-α method: orders, stiff limits, adaptivity, gradients, memory."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.time import SystemTerm, bdf2, generalized_alpha, integrate
from tests.time._systems import Forced, Oscillator


@eqx.filter_jit
def final_state(system, stepper, end, dt, start, times=None):
    """Compiled once for all lengths of steps."""
    controller = diffrax.ConstantStepSize() if times is None else diffrax.StepTo(ts=times)
    found = diffrax.diffeqsolve(
        SystemTerm(system),
        stepper,
        0.0,
        end,
        dt,
        start,
        stepsize_controller=controller,
        max_steps=4096,
    )
    return found.ys[0]


def orders(system, stepper, counts, exact, uneven=0.0, end=2.0):
    errors = []
    for n in counts:
        times, dt = None, end / n
        if uneven:
            # Steps that alternate between longer and shorter ones.
            times = jnp.linspace(0.0, end, n + 1).at[1:-1:2].add(uneven * dt)
            dt = None
        found = final_state(system, stepper, end, dt, system.initial_state(), times)
        errors.append(float(jnp.max(jnp.abs(found - exact(end)))))
    return np.log2(np.array(errors[:-1]) / errors[1:])


STEPPERS = {
    "bdf2": bdf2(),
    "damped": generalized_alpha(0.0),
    "half": generalized_alpha(0.5),
    "midpoint": generalized_alpha(1.0),
}


@pytest.mark.parametrize("name", ["bdf2", "damped", "half"])
def test_order_with_algebraic_rows_and_nonlinear_storage(name):
    found = orders(Forced(jnp.asarray(1.0)), STEPPERS[name], (64, 128, 256), Forced.exact)
    assert found[-1] == pytest.approx(2.0, abs=0.1)


def test_bdf2_keeps_its_order_with_uneven_steps():
    found = orders(Forced(jnp.asarray(1.0)), bdf2(), (64, 128), Forced.exact, uneven=0.3)
    assert found[-1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["half", "midpoint"])
def test_order_of_an_oscillation(name):
    def exact(t):
        return jnp.array([np.cos(t), -np.sin(t)])

    found = orders(Oscillator(), STEPPERS[name], (64, 128), exact)
    assert found[-1] == pytest.approx(2.0, abs=0.1)


def test_the_midpoint_rule_keeps_the_energy_and_others_lose_little():
    start = Oscillator().initial_state()
    lost = {
        name: 1.0 - float(jnp.sum(final_state(Oscillator(), STEPPERS[name], 20.0, 0.2, start) ** 2))
        for name in ("midpoint", "half", "damped")
    }
    assert abs(lost["midpoint"]) < 1e-12
    # Of order h³ in the slow modes: the least damped is the one with the larger radius.
    assert 0.0 < lost["half"] < lost["damped"] < 0.1


@pytest.mark.parametrize(("name", "radius"), [("damped", 0.0), ("half", 0.5)])
def test_fast_components_shrink_by_the_radius(name, radius):
    # λ h = 10⁸: what is off the slow solution is multiplied by ρ a step. As a double root does,
    # it grows with the number n of steps as well: n ρⁿ.
    system = Forced(jnp.asarray(1e9))
    off = jnp.array([1.0 + 1e-3, (1.0 + 1e-3) ** 2])

    def free(n):
        ends = [
            final_state(system, STEPPERS[name], 0.1 * n, 0.1, start)[0]
            for start in (off, system.initial_state())
        ]
        return abs(float(ends[0] - ends[1]))

    if radius == 0.0:
        assert free(8) < 1e-7
    else:
        assert free(9) / free(8) == pytest.approx(radius, rel=0.25)


def test_adaptive_bdf2_keeps_the_tolerance():
    system = Forced(jnp.asarray(10.0))
    errors, steps = [], []
    for rtol in (1e-4, 1e-6):
        found = integrate(system, (0.0, 2.0), stepper=bdf2(), rtol=rtol, atol=rtol)
        t = jnp.linspace(0.0, 2.0, 41)
        errors.append(float(jnp.max(jnp.abs(jax.vmap(found.series)(t) - system.exact(t)))))
        assert errors[-1] < 100 * rtol
        steps.append(found.steps)
    assert errors[1] < errors[0] / 10
    # Order 2: a hundredth of the error per step takes 100^⅓ = 4.6 times the steps.
    assert 2.5 < steps[1] / steps[0] < 6.0


def test_generalized_alpha_takes_fixed_steps_only():
    with pytest.raises(ValueError, match="no error estimate: give dt"):
        integrate(Oscillator(), (0.0, 1.0), stepper=generalized_alpha())
    with pytest.raises(ValueError, match="radius lies in"):
        generalized_alpha(1.5)


def test_gradients_equal_differences_of_the_same_steps():
    """By the default, diffrax.RecursiveCheckpointAdjoint."""

    def end(s):
        system = Forced(s[0])
        start = jnp.stack([s[1], s[1] ** 2])
        found = integrate(system, (0.0, 1.0), dt=0.1, stepper=bdf2(), start=start)
        return found.series.states[-1, 0]

    end = jax.jit(jax.value_and_grad(end))
    at = jnp.array([3.0, 0.5])
    gradient = end(at)[1]
    for i in range(2):
        h = 1e-3 * jnp.eye(2)[i]
        f = [float(end(at + k * h)[0]) for k in (-2, -1, 1, 2)]
        difference = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 12e-3
        assert float(gradient[i]) == pytest.approx(difference, rel=1e-7)


def test_the_memory_of_the_gradient_grows_far_slower_than_the_steps():
    def memory(count):
        def end(start):
            found = integrate(
                Oscillator(), (0.0, 1.0), dt=1.0 / count, stepper=bdf2(), frames=2, start=start
            )
            return found.series.states[-1, 0]

        compiled = jax.jit(jax.grad(end)).lower(jnp.array([1.0, 1.0])).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(1600) < 8 * memory(50)
