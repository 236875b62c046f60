"""Points that follow from those before, in PINN, and weights that adapt there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.losses import point_residuals
from physml.networks import MLP
from physml.optimizers import GaussNewton
from physml.training import Causal
from solvers import Run

SMALL = functools.partial(MLP, width=8, depth=2)
HEAT = library.heat()
KEY = jax.random.key(3)


def two_batches(sampling):
    setup = pm.PINN(network=SMALL, points=120, sampling=sampling).discretize(HEAT)
    before = setup.sampler(KEY, setup.params, 0)
    after = setup.sampler.again(KEY, setup.params, 10, before)
    size = point_residuals(setup.objective, setup.params, before["interior"])
    return before["interior"], after["interior"], np.asarray(size)


def same(a, b):
    return np.asarray((a["x"][:, 0] == b["x"][:, 0]) & (a["t"] == b["t"]))


def test_r3_keeps_the_points_whose_residual_is_above_the_mean():
    before, after, size = two_batches("r3")
    np.testing.assert_array_equal(same(before, after), size > size.mean())


@pytest.mark.parametrize("sampling", ["rar", "rar-d"])
def test_rar_adds_a_twentieth_in_the_place_of_uniform_points(sampling):
    before, after, _ = two_batches(sampling)
    expected = np.ones(120, bool)
    expected[60:66] = False
    np.testing.assert_array_equal(same(before, after), expected)


def test_causal_weights_and_r3_points_go_with_gauss_newton():
    method = pm.PINN(
        network=SMALL, points=120, sampling="r3", weighting=Causal(chunks=8),
        optimizer=GaussNewton(),
    )  # fmt: skip
    solution = method.solve(HEAT, Run(steps=40))
    x = jnp.linspace(0.05, 0.95, 19)[:, None]
    exact = jax.vmap(lambda y: HEAT.exact_value("u", y, 0.8))(x)
    np.testing.assert_allclose(solution["u"](x, 0.8), exact, atol=1e-4)
