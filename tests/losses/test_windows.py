"""Windows: a partition of unity, smooth, each network's view of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.losses import make_windows


@pytest.mark.parametrize("overlap", [1.1, 1.9])
def test_windows_add_up_to_one_and_see_their_own_box(overlap):
    windows = make_windows(library.burgers(), {"x": 4, "t": 2}, overlap)
    assert windows.size == 8 and windows.in_size == 2
    rng = np.random.default_rng(0)
    z = jnp.asarray(np.stack([rng.uniform(-1, 1, 400), rng.uniform(0, 1, 400)], axis=1))
    weights, inputs = jax.jit(jax.vmap(lambda y: (windows.weights(y), windows.inputs(y))))(z)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-14)
    assert float(weights.min()) == 0.0
    assert float(jnp.abs(inputs[weights > 0]).max()) <= 1.0
    # Second derivatives have no jump where a window ends.
    end = windows.lower[0] + windows._spacing(0) * 0.5 + windows._half(0)
    curvature = jax.jit(jax.jacfwd(jax.jacfwd(windows.weights)))
    beside = [curvature(jnp.array([end + s, 0.3])) for s in (-1e-7, 1e-7)]
    np.testing.assert_allclose(*beside, atol=1e-5)


def test_windows_wrap_where_the_direction_is_periodic():
    windows = make_windows(library.convection(), 3, 1.5)
    low, high = (float(v[0]) for v in library.convection().domain.bounds)
    weights = jax.jit(windows.weights)
    ends = [weights(jnp.array([at, 0.2])) for at in (low, high)]
    np.testing.assert_allclose(*ends, atol=1e-12)
    assert int((ends[0] > 0).sum()) == 2
    assert make_windows(library.convection(), 1, 1.5).in_size == 3


@pytest.mark.parametrize(
    ("given", "overlap", "message"),
    [
        ((2, 0), 1.9, "positive whole numbers"),
        ({"z": 2}, 1.9, "no direction 'z'"),
        ((2, 2), 1.0, "overlap"),
    ],
)
def test_windows_that_make_no_sense_are_refused(given, overlap, message):
    with pytest.raises(ValueError, match=message):
        make_windows(library.poisson(), given, overlap)
    with pytest.raises(TypeError, match="not a module"):
        pm.FBPINN(network=pm.MLP(2, 1, key=jax.random.key(0))).discretize(library.poisson())
