"""Self-scaled BFGS and Broyden: termination on quadratics, the secant equation, resets."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physml.optimizers import ScalarObjective, SelfScaledBFGS, SelfScaledBroyden

METHODS = [SelfScaledBFGS, SelfScaledBroyden]
SIZE = 8


def energy(params, batch):
    matrix, right = batch
    return {"energy": 0.5 * params @ matrix @ params - right @ params}


def valley(params, batch):
    x, y = params[:-1], params[1:]
    return {"valley": jnp.sum(100 * (y - x**2) ** 2 + (1 - x) ** 2)}


QUADRATIC, VALLEY = ScalarObjective(energy), ScalarObjective(valley)


def quadratic(seed=2):
    draw = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(draw.normal(size=(SIZE, SIZE)))
    matrix = (rotation * np.linspace(1, 30, SIZE)) @ rotation.T
    right = draw.normal(size=SIZE)
    return (jnp.asarray(matrix), jnp.asarray(right)), np.linalg.solve(matrix, right)


@pytest.mark.parametrize("method", METHODS)
def test_n_steps_with_an_exact_line_search_minimise_a_quadratic(method):
    batch, exact = quadratic()
    # The cubic of the line search is exact on a parabola.
    optimizer, params = method(curvature=1e-4), jnp.zeros(SIZE)
    state = optimizer.init(QUADRATIC, params, batch)
    errors = []
    for _ in range(SIZE):
        params, state, _ = optimizer.step(QUADRATIC, params, state, batch)
        errors.append(np.linalg.norm(params - exact) / np.linalg.norm(exact))
    assert errors[-1] < 1e-8 and errors[-2] > 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_each_update_satisfies_the_secant_equation_and_stays_positive(method):
    optimizer, params = method(), jnp.full(SIZE, -1.2)
    state = optimizer.init(VALLEY, params, None)
    for _ in range(12):
        before, old = params, state
        params, state, info = optimizer.step(VALLEY, params, state, None)
        change = state.gradient - old.gradient
        step = params - before
        assert info.accepted
        np.testing.assert_allclose(state.inverse @ change, step, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(state.inverse, state.inverse.T, rtol=1e-12, atol=1e-14)
        assert np.linalg.eigvalsh(state.inverse)[0] > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_update_is_the_formula(method):
    """H⁺ from its definition, with H the state before."""
    optimizer, params = method(), jnp.full(SIZE, -1.2)
    state = optimizer.init(VALLEY, params, None)
    params, state, _ = optimizer.step(VALLEY, params, state, None)
    for _ in range(6):
        before, old = params, state
        params, state, _ = optimizer.step(VALLEY, params, state, None)
        s, y = np.asarray(params - before), state.gradient - old.gradient
        matrix = np.asarray(old.inverse)
        b = s @ np.linalg.solve(matrix, s) / (y @ s)
        h = y @ matrix @ y / (y @ s)
        tau, phi = optimizer.scaling(b, h, SIZE)
        v = (y @ matrix @ y) ** 0.5 * (s / (y @ s) - matrix @ y / (y @ matrix @ y))
        inner = matrix - np.outer(matrix @ y, matrix @ y) / (y @ matrix @ y) + phi * np.outer(v, v)
        expected = inner / tau + np.outer(s, s) / (y @ s)
        np.testing.assert_allclose(state.inverse, expected, rtol=1e-7, atol=1e-10)


def test_scaling():
    assert SelfScaledBFGS().scaling(0.5, 3.0, SIZE) == (1.0, 1.0)
    assert SelfScaledBFGS().scaling(4.0, 3.0, SIZE) == (0.25, 1.0)
    # With θ = 0 the family's member is BFGS, with a positive one it is short of it.
    tau, phi = SelfScaledBroyden().scaling(1.0, 3.0, SIZE)
    assert (tau, phi) == (1.0, 1.0)
    # b = ½, h = 4: a = 1, ρ = 1, θ = min(1, 1) = 1, σ = 2, φ = 0 (DFP), τ = 2^(−1/7).
    tau, phi = SelfScaledBroyden().scaling(0.5, 4.0, SIZE)
    assert phi == 0.0 and tau == pytest.approx(2 ** (-1 / 7), rel=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_another_batch_keeps_the_curvature_while_it_is_positive(method):
    first, _ = quadratic()
    optimizer, params = method(), jnp.zeros(SIZE)
    state = optimizer.init(QUADRATIC, params, first)
    for _ in range(4):
        params, state, _ = optimizer.step(QUADRATIC, params, state, first)
    second = (first[0], first[1] + 1.0)
    kept = optimizer.rebatch(QUADRATIC, params, state, second)
    np.testing.assert_allclose(kept.inverse, state.inverse, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(kept.gradient, second[0] @ params - second[1], rtol=1e-12)
    spoilt = eqx.tree_at(lambda s: s.inverse, state, state.inverse - 2 * jnp.eye(SIZE))
    reset = optimizer.rebatch(QUADRATIC, params, spoilt, second)
    np.testing.assert_array_equal(reset.inverse, np.eye(SIZE))
    # An indefinite H within a batch: the step falls back to steepest descent.
    _, after, info = optimizer.step(QUADRATIC, params, spoilt, first)
    assert info.accepted and np.linalg.eigvalsh(after.inverse)[0] > 0


def test_the_matrix_must_fit():
    params = jax.ShapeDtypeStruct((100_000,), jnp.float64)
    with pytest.raises(ValueError, match=r"100000 parameters.* 160\.0 GB.*use .*LBFGS"):
        jax.eval_shape(lambda p: SelfScaledBFGS().init(QUADRATIC, p, None), params)
    with pytest.raises(ValueError, match="curvature < 1"):
        SelfScaledBroyden(curvature=1.5)
