"""Identities of the optimizers that are exact on paper."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from physml.optimizers import LBFGS, Adam, GaussNewton, Optax, ScalarObjective
from physml.optimizers._linear_algebra import (
    NormalCholesky,
    OnDevice,
    Orthogonal,
    OrthogonalOnDevice,
    SingularValues,
)
from tests.optimizers.problems import linear, poisson

SHAPES = [(30, 12), (12, 30), (20, 20)]
SOLVERS = [NormalCholesky, Orthogonal, SingularValues]
ON_DEVICE = [OnDevice, OrthogonalOnDevice]


def run(optimizer, objective, params, batch, steps):
    state = optimizer.init(objective, params, batch)
    infos = []
    for _ in range(steps):
        params, state, info = optimizer.step(objective, params, state, batch)
        infos.append(info)
    return params, infos


def _system(solver, jacobian, residual):
    # On a CPU an array of XLA stands in for one on a device.
    if solver in ON_DEVICE:
        return solver(jnp.asarray(jacobian), jnp.asarray(residual))
    return solver(jacobian, residual)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solver", [*SOLVERS, *ON_DEVICE])
def test_damped_solution(solver, shape):
    draw = np.random.default_rng(3)
    jacobian, residual = draw.normal(size=shape), draw.normal(size=shape[0])
    other = np.ones(shape[0])
    damping = 0.3
    system = _system(solver, jacobian, residual)
    matrix = jacobian.T @ jacobian + damping * np.eye(shape[1])
    found = system.solve(damping)
    expected = np.linalg.solve(matrix, jacobian.T @ residual)
    np.testing.assert_allclose(found.direction, expected, rtol=1e-10, atol=1e-12)
    reduction = residual @ residual - np.sum((residual - jacobian @ expected) ** 2)
    np.testing.assert_allclose(found.prediction, reduction, rtol=1e-10)
    again = np.linalg.solve(matrix, jacobian.T @ other)
    np.testing.assert_allclose(found.again(other), again, rtol=1e-9, atol=1e-11)


def test_woodbury_equals_the_normal_equations():
    draw = np.random.default_rng(3)
    jacobian, residual = draw.normal(size=(12, 30)), draw.normal(size=12)
    kernel = NormalCholesky(jacobian, residual).solve(0.1)
    # Rows of zeros change nothing but which of the two matrices is the smaller one.
    padded = np.concatenate([jacobian, np.zeros((30, 30))])
    normal = NormalCholesky(padded, np.concatenate([residual, np.zeros(30)])).solve(0.1)
    np.testing.assert_allclose(kernel.direction, normal.direction, rtol=1e-10, atol=1e-12)


def test_orthogonal_factorisation_keeps_the_digits_that_normal_equations_lose():
    draw = np.random.default_rng(5)
    left, _ = np.linalg.qr(draw.normal(size=(60, 20)))
    right, _ = np.linalg.qr(draw.normal(size=(20, 20)))
    singular = np.logspace(0, -9, 20)
    jacobian, residual = (left * singular) @ right.T, left @ np.ones(20)
    damping = 1e-16
    exact = right @ (singular / (singular**2 + damping))
    error = {}
    for solver in [*SOLVERS, *ON_DEVICE]:
        found = _system(solver, jacobian, residual).solve(damping)
        error[solver] = 1.0 if found is None else np.linalg.norm(found.direction - exact)
        error[solver] /= 1.0 if found is None else np.linalg.norm(exact)
    # The condition of the damped problem is 1e8: 1e-16 · 1e8 of it is lost at best.
    assert max(error[s] for s in (Orthogonal, SingularValues, OrthogonalOnDevice)) < 1e-6
    assert min(error[s] for s in (NormalCholesky, OnDevice)) > 1e-3


@pytest.mark.parametrize("solver", ["cholesky", "qr", "svd", "auto"])
def test_gauss_newton_solves_a_linear_problem_in_one_step(solver):
    objective, params = linear(40, 15)
    optimizer = GaussNewton(damping=1e-14, solver=solver)
    params, (info,) = run(optimizer, objective, params, None, 1)
    exact = np.linalg.lstsq(objective.matrix, objective.right, rcond=None)[0]
    np.testing.assert_allclose(params["theta"], exact, rtol=1e-10, atol=1e-12)
    assert info.accepted and info.after
    np.testing.assert_allclose(info.loss, objective.loss(params, None), rtol=1e-12)


def test_levenberg_marquardt_step():
    objective, params = linear(40, 15)
    # With one probe the step is that of the first λ; a linear residual has no acceleration.
    optimizer = GaussNewton(damping=0.5, probes=1)
    params, (info,) = run(optimizer, objective, params, None, 1)
    matrix = objective.matrix.T @ objective.matrix
    damping = 0.5 * np.trace(matrix) / 15 / optimizer.factor
    assert info.damping == pytest.approx(damping, rel=1e-12)
    expected = np.linalg.solve(matrix + damping * np.eye(15), objective.matrix.T @ objective.right)
    np.testing.assert_allclose(params["theta"], expected, rtol=1e-9, atol=1e-12)


def test_gauss_newton_on_a_network_converges_where_adam_does_not():
    objective, params, batch = poisson(width=8, count=6)
    _, infos = run(GaussNewton(), objective, params, batch, 40)
    losses = [info.loss for info in infos]
    assert all(b <= a for a, b in itertools.pairwise(losses))
    assert losses[-1] < 1e-6 * losses[0]
    _, slow = run(Adam(1e-2), objective, params, batch, 100)
    assert losses[-1] < 1e-2 * slow[-1].loss


@pytest.mark.parametrize("make", [lambda: Adam(0.05), lambda: Optax(optax.adam(0.05))])
def test_adam_equals_optax(make):
    objective, params = linear(20, 6)
    found, infos = run(make(), objective, params, None, 10)
    reference, state = params, optax.adam(0.05).init(params)
    gradient = eqx.filter_jit(jax.grad(lambda p: objective.loss(p, None)))
    for _ in range(10):
        updates, state = optax.adam(0.05).update(gradient(reference), state)
        reference = optax.apply_updates(reference, updates)
    np.testing.assert_allclose(found["theta"], reference["theta"], rtol=1e-12)
    assert not infos[0].after
    np.testing.assert_allclose(infos[0].loss, objective.right @ objective.right, rtol=1e-12)


def test_schedule_scales_the_steps():
    objective, params = linear(20, 6)
    # Adam's first step is the learning rate times the sign of the gradient.
    found, _ = run(Adam(lambda step: 0.5 / (1 + step)), objective, params, None, 1)
    np.testing.assert_allclose(jnp.abs(found["theta"]), 0.5, rtol=1e-6)


def quadratic(size):
    draw = np.random.default_rng(2)
    rotation, _ = np.linalg.qr(draw.normal(size=(size, size)))
    matrix = jnp.asarray((rotation * np.linspace(1, 10, size)) @ rotation.T)
    right = jnp.asarray(draw.normal(size=size))

    def energy(params, batch):
        return {"energy": 0.5 * params @ matrix @ params - right @ params}

    return ScalarObjective(energy), jnp.zeros(size), jnp.linalg.solve(matrix, right)


def test_lbfgs_on_a_quadratic_of_dimension_n():
    n = 12
    objective, params, exact = quadratic(n)
    # 2n: the line search is inexact.
    found, infos = run(LBFGS(memory=n), objective, params, None, 2 * n)
    assert np.linalg.norm(found - exact) < 1e-8 * np.linalg.norm(exact)
    assert sum(info.evaluations for info in infos[:n]) < 2 * n


def test_lbfgs_reaches_the_minimum_of_rosenbrock():
    def rosenbrock(params, batch):
        x, y = params
        return {"valley": 100 * (y - x**2) ** 2, "slope": (1 - x) ** 2}

    start = (jnp.array(-1.2), jnp.array(1.0))
    found, infos = run(LBFGS(), ScalarObjective(rosenbrock), start, None, 60)
    np.testing.assert_allclose(found, (1.0, 1.0), rtol=1e-8)
    assert set(infos[0].terms) == {"valley", "slope"}


def test_lbfgs_says_when_no_step_is_left():
    objective, _, exact = quadratic(4)
    found, infos = run(LBFGS(), objective, exact, None, 20)
    assert not all(info.accepted for info in infos)
    np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_gauss_newton_steps_back_from_a_loss_that_is_not_finite():
    from physml.optimizers import ResidualObjective, VectorBlock

    fn = lambda params, data: jnp.stack([jnp.sqrt(params[0]) - 0.01])
    objective = ResidualObjective(lambda batch: {"root": VectorBlock(fn)})
    # The undamped step from 1 is to −0.98, where the root is not defined.
    params, infos = run(GaussNewton(damping=1e-9), objective, jnp.array([1.0]), None, 40)
    assert all(np.isfinite(info.loss) for info in infos)
    np.testing.assert_allclose(params[0], 1e-4, rtol=1e-6)


def test_structure_errors(float32):
    objective, params = linear(5, 3)
    with pytest.raises(TypeError, match=r'got float32.*jax.config.update\("jax_enable_x64", True'):
        GaussNewton().init(objective, params, None)
    with pytest.raises(TypeError, match="needs a sum of squared residuals"):
        GaussNewton().init(ScalarObjective(lambda p, b: p), params, None)
    with pytest.raises(TypeError, match="floating-point arrays only, got int32"):
        Adam().init(objective, {"theta": jnp.arange(3)}, None)
    with pytest.raises(ValueError, match="nothing to optimise"):
        Adam().init(objective, {}, None)
    with pytest.raises(ValueError, match="solver must be"):
        GaussNewton(solver="lu")


def test_a_jacobian_that_does_not_fit_is_refused():
    objective, params = linear(40, 15)
    with pytest.raises(ValueError, match=r"40 residuals by 15 parameters.*LBFGS"):
        GaussNewton(memory=100.0).init(objective, params, None)
