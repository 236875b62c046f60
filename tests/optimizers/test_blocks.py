"""Residuals and Jacobians of all blocks against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physml.networks import MLP, combine, partition
from physml.optimizers import PointBlock, QuadratureBlock, ResidualObjective, VectorBlock

PARAMS, STATIC = partition(MLP(2, 2, width=5, depth=2, key=jax.random.key(1)))
DRAW = np.random.default_rng(0)


def network(params, x):
    return combine(params, STATIC)(x)


def integrand(params, point):
    u, derivative = network(params, point), jax.jacfwd(lambda x: network(params, x))(point)
    return jnp.concatenate([u[0] * derivative[0], u[1:] ** 2])


def check(block, expected):
    theta, unravel = ravel_pytree(PARAMS)

    @jax.jit
    def all_of(params, theta):
        dense = jax.jacrev(lambda flat: expected(unravel(flat)))(theta)
        return block.residual(params), block.jacobian(params), expected(params), dense

    alone, (residual, jacobian), right, dense = all_of(PARAMS, theta)
    np.testing.assert_allclose(alone, right, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(residual, right, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(jacobian, dense, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("shape", [(), (7,), (7, 3)])
def test_points(shape, chunk):
    points = jnp.asarray(DRAW.normal(size=(7, 2)))
    scale = jnp.asarray(DRAW.uniform(1, 2, size=shape))
    factor = scale if scale.ndim != 1 else scale[:, None]

    def expected(params):
        return (jax.vmap(lambda x: integrand(params, x))(points) * factor).reshape(-1)

    check(PointBlock(integrand, points, scale, chunk), expected)


def test_points_with_one_residual_and_data():
    points = (jnp.asarray(DRAW.normal(size=(7, 2))), jnp.asarray(DRAW.normal(size=7)))
    misfit = lambda params, point: network(params, point[0])[1] - point[1]
    check(
        PointBlock(misfit, points, 0.5),
        lambda params: 0.5 * jax.vmap(lambda x, y: misfit(params, (x, y)))(*points),
    )


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_quadrature(shared, rows):
    elements, tests, quadrature = 4, 2, 3
    points = jnp.asarray(DRAW.normal(size=(elements, quadrature, 2)))
    shape = (tests, quadrature, 3) if shared else (elements, tests, quadrature, 3)
    weights = jnp.asarray(DRAW.normal(size=shape))
    every = jnp.broadcast_to(weights, (elements, tests, quadrature, 3))
    index = jnp.array([[0, 1], [1, 2], [2, -1], [0, 5]])

    def expected(params):
        values = jax.vmap(jax.vmap(lambda x: integrand(params, x)))(points)
        entries = 0.7 * jnp.einsum("etqk,eqk->et", every, values)
        if not rows:
            return entries.reshape(-1)
        # −1 and 5 stand for tests that are dropped.
        return jnp.stack([entries[0, 0] + entries[3, 0], entries[0, 1] + entries[1, 0],
                          entries[1, 1] + entries[2, 0]])  # fmt: skip

    more = {"rows": index, "size": 3} if rows else {}
    check(QuadratureBlock(integrand, points, weights, 0.7, chunk=3 if rows else None, **more),
          expected)  # fmt: skip


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("chunk", [None, 4])
def test_vector(count, chunk):
    points = jnp.asarray(DRAW.normal(size=(count, 2)))
    function = lambda params, data: jnp.cumsum(jax.vmap(lambda x: network(params, x)[0])(data))
    check(VectorBlock(function, points, 2.0, chunk), lambda params: 2 * function(params, points))


def test_objective_stacks_its_blocks():
    points = jnp.asarray(DRAW.normal(size=(7, 2)))
    first = PointBlock(network, points, 0.3)
    second = VectorBlock(lambda params, data: network(params, data[0]), points)
    objective = ResidualObjective(lambda batch: {"a": first, "b": second})

    @jax.jit
    def all_of(params):
        loss = jax.value_and_grad(lambda p: objective.loss(p, None))(params)
        return objective.jacobian(params, None), objective.residual(params, None), loss

    (residual, jacobian), alone, (loss, gradient) = all_of(PARAMS)
    assert residual.shape == (16,) and jacobian.shape == (16, ravel_pytree(PARAMS)[0].size)
    np.testing.assert_allclose(residual, alone, rtol=1e-12)
    np.testing.assert_allclose(loss, jnp.sum(residual**2), rtol=1e-12)
    gradient = ravel_pytree(gradient)[0]
    np.testing.assert_allclose(2 * jacobian.T @ residual, gradient, rtol=1e-10, atol=1e-12)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"one common leading axis, got shapes \[\(7, 2\), \(6,\)"):
        PointBlock(network, (jnp.zeros((7, 2)), jnp.zeros(6)))
    with pytest.raises(ValueError, match=r"tests of shape .* got \(3, 2\)"):
        QuadratureBlock(network, jnp.zeros((4, 3, 2)), jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="rows and size together"):
        QuadratureBlock(network, jnp.zeros((4, 3, 2)), jnp.zeros((2, 3, 2)), size=4)
