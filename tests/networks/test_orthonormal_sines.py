"""Sines whose combinations are orthonormal at the start."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from physml.networks import OrthonormalSines, partition

KEY = jax.random.key(0)


def _functions(network, x):
    return np.asarray(jax.vmap(lambda z: network.basis.value @ network.features(z))(x))


@pytest.mark.parametrize("width", [1, 4, 7])
def test_functions_of_one_input_are_orthonormal_in_the_mean(width):
    network = OrthonormalSines(1, 3, width=width, key=KEY)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    values = _functions(network, jnp.asarray(nodes)[:, None])
    # The smallest singular value is 1e-7 of the largest, and ε is blown up by its inverse.
    np.testing.assert_allclose(
        values.T @ ((weights / 2)[:, None] * values), np.eye(width + 1), atol=1e-7
    )


def test_functions_of_two_inputs_are_orthonormal_up_to_the_sample():
    network = OrthonormalSines(2, 1, width=5, frequency=3.0, key=KEY)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    x = np.stack([g.reshape(-1) for g in np.meshgrid(nodes, nodes)], axis=1)
    values = _functions(network, jnp.asarray(x))
    gram = values.T @ (np.outer(weights, weights).reshape(-1, 1) / 4 * values)
    assert np.linalg.eigvalsh(gram)[[0, -1]] == pytest.approx(1.0, abs=0.5)


def test_it_starts_at_zero_and_trains_all_but_the_basis():
    network = OrthonormalSines(1, 3, width=4, key=KEY)
    np.testing.assert_array_equal(network(jnp.array([0.3])), np.zeros(3))
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(partition(network)[0]))
    assert sizes == [4, 4, 15]


def test_sines_that_are_dependent_are_left_out():
    network = OrthonormalSines(1, 1, width=20, frequency=0.5, key=KEY)
    kept = np.any(np.asarray(network.basis.value) != 0, axis=1)
    assert 6 <= kept.sum() < 21
    assert np.all(np.isfinite(_functions(network, jnp.linspace(-1, 1, 9)[:, None])))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_step_of_gauss_newton_fits_a_smooth_function(seed):
    """To the accuracy of the space of nine functions, where the sines themselves stay far off."""
    x = jnp.linspace(-1, 1, 60)[:, None]

    def error(make):
        params, static = partition(make(1, 1, key=jax.random.key(seed)))

        def fn(p, point):
            return pm.networks.combine(p, static)(point)[0] - jnp.exp(point[0])

        blocks = {"fit": pm.optimizers.PointBlock(fn, x, scale=60**-0.5)}
        objective = pm.optimizers.ResidualObjective(blocks)
        optimizer = pm.GaussNewton(geodesic=False, damping=1e-9, probes=1)
        state = optimizer.init(objective, params, None)
        _, _, info = optimizer.step(objective, params, state, None)
        return info.loss**0.5

    assert error(partial(OrthonormalSines, width=8)) < 2e-7
    assert error(partial(pm.SIREN, width=8, depth=1, frequency=2.0)) > 1e-2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be an integer of at least 1, got 0"),
        ({"frequency": 0.0}, "frequency must be > 0, got 0.0"),
        ({"mobility": -1.0}, "mobility must be > 0, got -1.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        OrthonormalSines(1, 1, key=KEY, **options)
