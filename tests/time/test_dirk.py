"""Diagonally implicit Runge–Kutta methods: coefficients, orders, stiff limits."""

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.time import (
    DIRKTableau,
    SystemTerm,
    esdirk3,
    esdirk4,
    esdirk5,
    implicit_euler,
    sdirk2,
    trapezoidal,
)
from tests.time._systems import Forced, Oscillator

METHODS = [implicit_euler, trapezoidal, sdirk2, esdirk3, esdirk4, esdirk5]
ORDERS = {m.__name__: n for m, n in zip(METHODS, (1, 2, 2, 3, 4, 5), strict=True)}


@eqx.filter_jit
def final_state(system, stepper, end, dt):
    found = diffrax.diffeqsolve(
        SystemTerm(system), stepper, 0.0, end, dt, system.initial_state(), max_steps=4096
    )
    return found.ys[0]


def observed_order(system, make, counts, exact, end=2.0):
    stepper = make()
    errors = [
        float(jnp.max(jnp.abs(final_state(system, stepper, end, end / n) - exact(end))))
        for n in counts
    ]
    return np.log2(np.array(errors[:-1]) / errors[1:])


@pytest.mark.parametrize("make", METHODS)
def test_coefficients_satisfy_the_order_conditions(make):
    tableau = make().tableau
    a, c, b = tableau.a, tableau.c, tableau.a[-1]
    conditions = [
        (1, b.sum(), 1),
        (2, b @ c, 1 / 2),
        (3, b @ c**2, 1 / 3),
        (3, b @ a @ c, 1 / 6),
        (4, b @ c**3, 1 / 4),
        (4, b @ (c * (a @ c)), 1 / 8),
        (4, b @ a @ c**2, 1 / 12),
        (4, b @ a @ a @ c, 1 / 24),
        (5, b @ c**4, 1 / 5),
        (5, b @ a @ a @ a @ c, 1 / 120),
    ]
    for order, value, expected in conditions:
        if order <= tableau.order:
            assert value == pytest.approx(expected, abs=1e-10)
    if tableau.b_error is not None:
        embedded = b - tableau.b_error
        for power in range(tableau.order - 1):
            assert embedded @ c**power == pytest.approx(1 / (power + 1), abs=1e-10)


@pytest.mark.parametrize("make", METHODS)
def test_stiff_limit(make):
    expected = -1.0 if make is trapezoidal else 0.0
    assert make().tableau.stability_at_infinity == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("make", METHODS)
def test_nominal_order_with_algebraic_rows(make):
    counts = {1: (128, 256, 512), 5: (16, 32, 64)}.get(ORDERS[make.__name__], (32, 64, 128))
    orders = observed_order(Forced(jnp.asarray(1.0)), make, counts, Forced.exact)
    assert orders[-1] == pytest.approx(ORDERS[make.__name__], abs=0.1)


@pytest.mark.parametrize("make", [trapezoidal, sdirk2, esdirk4])
def test_nominal_order_of_an_oscillation(make):
    counts = (8, 16, 32) if make is esdirk4 else (64, 128, 256)
    orders = observed_order(
        Oscillator(), make, counts, lambda t: jnp.array([np.cos(t), -np.sin(t)])
    )
    assert orders[-1] == pytest.approx(ORDERS[make.__name__], abs=0.1)


@pytest.mark.parametrize("make", [esdirk3, esdirk4, esdirk5])
def test_stiff_order_is_the_stage_order_plus_one(make):
    # All three have stage order 2, so a stiff forcing leaves order 3 (Prothero & Robinson 1974).
    system = Forced(jnp.asarray(1e6))
    orders = observed_order(system, make, (8, 16, 32), Forced.exact)
    assert orders[-1] == pytest.approx(3.0, abs=0.1)


def test_a_bad_tableau_is_refused():
    with pytest.raises(ValueError, match="add up to its abscissa"):
        DIRKTableau(np.array([[0.5]]), np.array([1.0]), None, 1)
    with pytest.raises(ValueError, match="only the first stage may be explicit"):
        DIRKTableau(np.array([[0.5, 0.0], [1.0, 0.0]]), np.array([0.5, 1.0]), None, 1)
    with pytest.raises(ValueError, match="lower triangular"):
        DIRKTableau(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([1.0, 1.0]), None, 1)
