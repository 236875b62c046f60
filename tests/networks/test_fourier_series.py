"""A Fourier series whose coefficients are a network of time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.networks import MLP, FourierSeries, combine, partition
from physml.optimizers import GaussNewton
from solvers import Run

KEY = jax.random.key(0)


def _series(theta, z, network):
    return network(jnp.stack([jnp.cos(theta), jnp.sin(theta), z]))


def test_value_is_the_sum_of_the_series_and_derivatives_are_those_of_waves():
    network = FourierSeries(3, 2, harmonics=5, inner=partial(MLP, width=4, depth=1), key=KEY)
    assert (network.inner.in_size, network.inner.out_size) == (1, 22)
    theta, z = jnp.array(2.3), jnp.array(-0.4)
    c = np.asarray(network.inner(z[None])).reshape(2, 11)
    k = np.arange(1, 6)
    a, b = c[:, 1:6] / (1 + k), c[:, 6:] / (1 + k)
    expected = c[:, 0] + a @ np.cos(k * 2.3) + b @ np.sin(k * 2.3)
    np.testing.assert_allclose(_series(theta, z, network), expected, rtol=1e-13)
    fourth = _derivative(_derivative(_derivative(_derivative(partial(_series, z=z)))))
    waves = (k**4 * a) @ np.cos(k * 2.3) + (k**4 * b) @ np.sin(k * 2.3)
    np.testing.assert_allclose(fourth(theta, network=network), waves, rtol=1e-11)
    np.testing.assert_array_equal(combine(*partition(network))(jnp.ones(3)), network(jnp.ones(3)))


@pytest.mark.parametrize(("parity", "waves"), [("even", 6), ("odd", 5)])
def test_parity_keeps_cosines_or_sines(parity, waves):
    inner = partial(MLP, width=4, depth=1)
    network = FourierSeries(3, 2, harmonics=5, inner=inner, parity=parity, key=KEY)
    assert network.inner.out_size == 2 * waves
    theta, z = 2.3, jnp.array(-0.4)
    c = np.asarray(network.inner(z[None])).reshape(2, waves)
    k = np.arange(1, 6)
    sums = c[:, -5:] / (1 + k) @ (np.cos(k * theta) if parity == "even" else np.sin(k * theta))
    expected = sums + c[:, 0] if parity == "even" else sums
    value = _series(jnp.array(theta), z, network)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    mirrored = _series(jnp.array(2 * np.pi - theta), z, network)
    np.testing.assert_allclose(mirrored, value if parity == "even" else -value, rtol=1e-12)


@pytest.mark.parametrize("inner", [MLP, partial(MLP, factorisation=(1.0, 0.1)), pm.SIREN])
def test_it_starts_at_a_thousandth_of_its_coefficients_network(inner):
    network = FourierSeries(3, 1, harmonics=4, inner=inner, key=KEY)
    z = jnp.array([0.3])
    plain = inner(1, 9, key=KEY)(z)
    np.testing.assert_allclose(network.inner(z), 1e-3 * plain, rtol=1e-12)


def _derivative(function):
    return lambda s, **k: jax.jvp(lambda y: function(y, **k), (s,), (jnp.ones_like(s),))[1]


def test_it_is_smooth_where_the_angle_jumps():
    network = FourierSeries(3, 1, harmonics=7, key=KEY)
    bend = _derivative(_derivative(partial(_series, z=jnp.array(0.2), network=network)))
    left, right = bend(jnp.array(np.pi - 1e-9)), bend(jnp.array(-np.pi + 1e-9))
    np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_steepening_wave_to_four_digits(seed):
    """Burgers until the front forms, against Cole and Hopf: conditions exact, 20 steps."""
    problem = library.burgers_periodic(0.02, time=0.1)
    method = pm.PINN(
        network=partial(FourierSeries, harmonics=24, inner=partial(MLP, width=8, depth=1)),
        optimizer=GaussNewton(),
        points=700,
        sampling="sobol",
        resample=None,
    )
    solution = method.solve(problem, Run(steps=20, seed=seed))
    x = jnp.linspace(0.0, 1.0, 101)[:, None]
    t = jnp.full(101, 0.1)
    exact = np.asarray(jax.vmap(lambda y, s: problem.exact_value("u", y, s))(x, t))
    found = np.asarray(solution["u"](x, t))
    assert np.linalg.norm(found - exact) < 1e-4 * np.linalg.norm(exact)


def test_the_number_of_inputs_is_checked():
    with pytest.raises(ValueError, match=r"at least one more input.*got in_size=2"):
        FourierSeries(2, 1, key=KEY)
    with pytest.raises(ValueError, match="harmonics must be an integer of at least 1, got 0"):
        FourierSeries(3, 1, harmonics=0, key=KEY)
    with pytest.raises(ValueError, match='parity must be "even", "odd" or None, got \'both\''):
        FourierSeries(3, 1, parity="both", key=KEY)
