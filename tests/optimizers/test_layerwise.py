"""K-FAC, FOOF and SOAP: where they are exact, and what they do not depend on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from physml.networks import MLP, Dense, combine, partition
from physml.optimizers import (
    FOOF,
    KFAC,
    SOAP,
    JetBlock,
    LeastSquares,
    PointBlock,
    ScalarObjective,
    scale_by_soap,
)
from physml.optimizers._jets import row_factors
from physml.optimizers._kronecker import solve
from tests.optimizers.problems import linear

KEY = jax.random.key(5)
NETWORK = MLP(2, 1, width=3, depth=2, key=KEY)
PARAMS, STATIC = partition(NETWORK)


@pytest.fixture
def draw():
    return np.random.default_rng(4)


class Regression(LeastSquares):
    """One dense layer, W x + b = y."""

    def blocks(self, batch):
        fn = lambda params, point: params(point[0]) - point[1]
        return {"fit": PointBlock(fn, batch, len(batch[0]) ** -0.5)}


class Fit(LeastSquares):
    """A perceptron's values, as Taylor components of order 0; `back` maps to its first inputs."""

    static: Any

    def blocks(self, batch):
        points, back = batch
        # So near to where the network starts that its steps are nearly those of a linear model.
        near = lambda y: NETWORK(y)[0] + 1e-5 * jnp.sin(y[0] - 2 * y[1])
        fn = lambda jet, x: jet.value[0] - near(back @ x)
        return {"fit": JetBlock(fn, points, self.static, len(points) ** -0.5, order=0)}


@pytest.mark.parametrize("method", [KFAC, FOOF])
def test_one_linear_layer_is_solved_as_by_newton(method, draw):
    layer = Dense(4, 3, key=KEY)
    x, y = jnp.asarray(draw.normal(size=(20, 4))), jnp.asarray(draw.normal(size=(20, 3)))
    optimizer = method(damping=0.0)
    state = optimizer.init(Regression(), layer, (x, y))
    found, _, info = optimizer.step(Regression(), layer, state, (x, y))
    inputs = np.concatenate([x, np.ones((20, 1))], axis=1)
    exact = np.linalg.lstsq(inputs, y, rcond=None)[0].T
    np.testing.assert_allclose(found.weight, exact[:, :-1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.bias, exact[:, -1], rtol=1e-10, atol=1e-10)
    # Already the model's solution: the exact quadratic model rescales by 1.
    assert info.step_size == pytest.approx(1.0, rel=1e-10)


def test_two_products_are_inverted_exactly(draw):
    def positive(n):
        root = draw.normal(size=(n, n))
        return root @ root.T + 0.1 * np.eye(n)

    pairs = [(positive(4), positive(3)), (positive(4), positive(3))]
    right = draw.normal(size=(3, 4))
    # Columns of X (out, in) stacked: vec(B X A) = (A ⊗ B) vec X.
    for used in (pairs, pairs[:1]):
        matrix = sum(np.kron(a, b) for a, b in used)
        expected = np.linalg.solve(matrix, right.T.reshape(-1)).reshape(4, 3).T
        found = solve([(jnp.asarray(a), jnp.asarray(b)) for a, b in used], jnp.asarray(right))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_taylor_components_are_derivatives():
    x = jnp.array([[0.3, -0.7]])
    fn = lambda jet, x: jnp.concatenate([jet.value, jet.gradient[0], jet.laplacian])
    block = JetBlock(fn, x, STATIC, axes=(1.0, 0.5))
    u = lambda y: NETWORK(y)[0]

    @jax.jit
    def both(y):
        second = jax.hessian(u)(y)
        expected = [u(y)[None], jax.grad(u)(y), (second[0, 0] + 0.5 * second[1, 1])[None]]
        return block.residual(PARAMS), jnp.concatenate(expected)

    np.testing.assert_allclose(*both(x[0]), rtol=1e-12)


def test_factors_of_one_residual_without_derivatives_are_its_gram_matrix():
    """At one point JᵀJ of a layer is z zᵀ ⊗ g gᵀ, and both ways to find it agree."""
    point = jnp.array([[0.3, -0.7]])
    fn = lambda jet, x: 2.0 * jet.value[0]
    block = JetBlock(fn, point, STATIC, scale=0.5, order=0)
    unravel = ravel_pytree(PARAMS)[1]

    @jax.jit
    def all_of(params):
        rows = row_factors(block, params, lambda node: isinstance(node, Dense))
        return unravel(block.jacobian(params)[1][0]), block.factors(params), rows

    gradient, factors, others = all_of(PARAMS)
    for (a, b), (c, d), layer in zip(factors, others, gradient.layers, strict=True):
        row = np.concatenate([layer.weight, layer.bias[:, None]], axis=1).T.reshape(-1)
        np.testing.assert_allclose(np.kron(a, b), np.outer(row, row), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(np.kron(c, d), np.outer(row, row), rtol=1e-10, atol=1e-13)


def test_kfac_does_not_depend_on_the_basis_of_the_inputs(draw):
    """x ↦ M x with W₁ ↦ W₁M⁻¹ is the same network; so are its steps."""
    points = jnp.asarray(draw.normal(size=(30, 2)))
    turned = jnp.asarray([[2.0, 0.5], [-1.0, 1.5]])
    batches = [(points, jnp.eye(2)), (points @ turned.T, jnp.linalg.inv(turned))]
    first = NETWORK.layers[0]
    weight = first.weight @ jnp.linalg.inv(turned)
    other = eqx.tree_at(lambda p: p.layers[0].weight, PARAMS, weight)
    optimizer, objective, values = KFAC(damping=0.0), Fit(STATIC), []
    start = jax.vmap(NETWORK)(points)
    for params, batch in zip((PARAMS, other), batches, strict=True):
        state = optimizer.init(objective, params, batch)
        for _ in range(2):
            params, state, _ = optimizer.step(objective, params, state, batch)
        values.append(jax.vmap(combine(params, STATIC))(batch[0]) - start)
    assert np.abs(values[0]).max() > 1e-6
    np.testing.assert_allclose(values[1], values[0], rtol=1e-4, atol=1e-9)


def test_what_has_no_layers_is_refused():
    objective, params = linear(5, 3)
    with pytest.raises(TypeError, match="KFAC needs a network with dense layers"):
        KFAC().init(objective, params, None)
    with pytest.raises(TypeError, match="sum of squared residuals"):
        FOOF().init(ScalarObjective(lambda p, b: p), PARAMS, None)
    with pytest.raises(TypeError, match="static part of an MLP"):
        JetBlock(lambda jet, x: jet.value, jnp.zeros((3, 2)), None)
    with pytest.raises(ValueError, match="decay < 1"):
        KFAC(decay=1.0)


def matrix_loss(params, batch):
    left, right, goal = batch
    return {"loss": jnp.sum(jnp.tanh(left @ params @ right - goal) ** 2)}


def soap_path(batch, start, optimizer, count):
    objective = ScalarObjective(matrix_loss)
    params, state = start, optimizer.init(objective, start, batch)
    for _ in range(count):
        params, state, _ = optimizer.step(objective, params, state, batch)
    return params


def test_soap_turns_with_the_bases_of_a_layer(draw):
    shapes = [(4, 4), (3, 3), (4, 3), (4, 3)]
    left, right, goal, start = (jnp.asarray(draw.normal(size=shape)) for shape in shapes)
    u, v = (jnp.linalg.qr(jnp.asarray(draw.normal(size=(n, n))))[0] for n in (4, 3))
    optimizer = SOAP(0.05, frequency=2)
    plain = soap_path((left, right, goal), start, optimizer, 8)
    turned = soap_path((left @ u.T, v @ right, goal), u @ start @ v.T, optimizer, 8)
    assert np.abs(plain - start).max() > 0.1
    np.testing.assert_allclose(u.T @ turned @ v, plain, rtol=1e-6, atol=1e-7)


def test_soap_without_rotation_is_adam_after_its_first_step(draw):
    gradients = [jnp.asarray(draw.normal(size=(4, 3))) for _ in range(6)]
    soap, adam = scale_by_soap(0.9, 0.99, largest=0), optax.scale_by_adam(0.9, 0.99)
    zero = jnp.zeros((4, 3))
    state, reference = soap.init(zero), adam.init(zero)
    first, state = soap.update(gradients[0], state)
    np.testing.assert_array_equal(first, zero)
    for gradient in gradients[1:]:
        found, state = soap.update(gradient, state)
        expected, reference = adam.update(gradient, reference)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
