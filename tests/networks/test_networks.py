"""Networks: their shapes, exact symmetries, initialisation and which arrays are trained."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physml.networks import (
    MLP,
    SIREN,
    FourierFeatures,
    ModifiedMLP,
    Periodic,
    RandomFeatures,
    Rescale,
    Select,
    combine,
    partition,
)

KEY = jax.random.key(0)
ARCHITECTURES = {
    "mlp": MLP,
    "adaptive": partial(MLP, adaptive=5.0),
    "modified": ModifiedMLP,
    "siren": SIREN,
    "rescaled": partial(Rescale, lower=0.0, upper=2.0),
    "periodic": partial(Periodic, periods=(2.0, None)),
    "selected": partial(Select, inputs=(-1,)),
    "fourier": partial(FourierFeatures, sigma=(1.0, 5.0), features=7),
    "random": partial(RandomFeatures, features=20, bandwidth=(2.0, 3.0)),
    "nested": partial(
        Rescale, lower=0.0, upper=2.0, inner=partial(FourierFeatures, inner=ModifiedMLP)
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name):
    network = ARCHITECTURES[name](2, 3, key=KEY)
    assert (network.in_size, network.out_size) == (2, 3)
    x = jnp.array([0.3, 0.7])
    value = network(x)
    assert value.shape == (3,)
    again = combine(*partition(network))
    np.testing.assert_array_equal(again(x), value)
    np.testing.assert_array_equal(ARCHITECTURES[name](2, 3, key=KEY)(x), value)
    batch = jax.vmap(network)(jnp.stack([x, 2 * x]))
    np.testing.assert_allclose(batch[0], value, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match=r"one point of shape \(2,\), got \(3,\)"):
        network(jnp.zeros(3))


def test_mlp_equals_its_formula_and_counts_its_parameters():
    network = MLP(2, 1, width=30, depth=3, key=KEY)
    sizes = [leaf.size for leaf in jax.tree.leaves(partition(network)[0])]
    assert sum(sizes) == 2 * 30 + 30 + 2 * (30 * 30 + 30) + 30 + 1
    z = x = jnp.array([0.2, -0.5])
    for layer in network.layers[:-1]:
        z = jnp.tanh(layer.weight @ z + layer.bias)
    expected = network.layers[-1].weight @ z + network.layers[-1].bias
    np.testing.assert_allclose(network(x), expected, rtol=1e-12)


def test_glorot_variance():
    network = MLP(2, 1, width=400, depth=2, key=KEY)
    weight = network.layers[1].weight
    # The variance of 160 000 samples has a relative deviation of √(2/160 000) = 0.35 %.
    np.testing.assert_allclose(jnp.var(weight), 2 / 800, rtol=0.02)
    assert jnp.all(network.layers[1].bias == 0)


def test_siren_keeps_the_bounds_of_its_initialisation():
    network = SIREN(3, 1, width=64, depth=2, frequency=10.0, key=KEY)
    first, hidden = network.layers[0].weight, network.layers[1].weight
    assert 0.9 / 3 < jnp.max(jnp.abs(first)) <= 1 / 3
    bound = (6 / 64) ** 0.5 / 10
    assert 0.99 * bound < jnp.max(jnp.abs(hidden)) <= bound


def test_adaptive_slopes_start_where_they_change_nothing():
    plain, adaptive = MLP(2, 1, key=KEY), MLP(2, 1, adaptive=10.0, key=KEY)
    x = jnp.array([0.4, 0.1])
    np.testing.assert_allclose(adaptive(x), plain(x), rtol=1e-12)
    slopes = partition(adaptive)[0].slopes
    assert slopes.shape == (3,)


def test_modified_mlp_with_equal_encoders_ignores_its_gates():
    network = ModifiedMLP(2, 1, depth=2, key=KEY)
    a, _ = network.encoders
    import equinox as eqx

    network = eqx.tree_at(lambda n: n.encoders, network, (a, a))
    x = jnp.array([0.4, 0.1])
    expected = network.layers[-1](jnp.tanh(a(x)))
    np.testing.assert_allclose(network(x), expected, rtol=1e-12)


def test_periodic_in_value_and_derivatives():
    network = Periodic(2, 1, periods=(2.0, None), harmonics=3, key=KEY)
    u = lambda x: network(x)[0]
    x, y = jnp.array([0.3, 0.5]), jnp.array([2.3, 0.5])
    np.testing.assert_allclose(u(y), u(x), rtol=1e-12)
    bends = jax.jit(jax.hessian(u))
    np.testing.assert_allclose(bends(y), bends(x), rtol=1e-10, atol=1e-12)
    assert abs(u(x) - u(jnp.array([0.3, 2.5]))) > 1e-6


def test_rescale_maps_the_box_to_the_unit_one():
    inner = MLP(2, 1, key=KEY)
    network = Rescale(2, 1, lower=(0.0, -3.0), upper=(4.0, 1.0), key=KEY)
    np.testing.assert_allclose(
        network(jnp.array([4.0, -3.0])), inner(jnp.array([1.0, -1.0])), rtol=1e-12
    )


def test_frozen_arrays_are_not_trained():
    features = RandomFeatures(2, 3, features=20, key=KEY)
    leaves = jax.tree.leaves(partition(features)[0])
    assert [leaf.shape for leaf in leaves] == [(3, 20)]
    fourier = FourierFeatures(2, 1, features=5, key=KEY)
    assert partition(fourier)[0].frequencies.array is None
    gradient = jax.jit(jax.grad(lambda n: n(jnp.ones(2))[0], allow_int=True))(fourier)
    assert jnp.all(gradient.frequencies.array == 0)


@pytest.mark.parametrize("activation", ["tanh", "sin"])
def test_random_features_are_linear_in_their_coefficients(activation):
    network = RandomFeatures(
        2, 1, features=50, activation=activation, lower=0.0, upper=1.0, bandwidth=4.0, key=KEY
    )
    x = jnp.array([0.1, 0.9])
    params, static = partition(network)
    jacobian = jax.jit(jax.jacobian(lambda p: combine(p, static)(x)))(params)
    np.testing.assert_allclose(jacobian.coefficients[0, 0], network.features(x), rtol=1e-12)
    assert jnp.max(jnp.abs(network.weight.value)) <= 4.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(0, 1, key=KEY), "in_size must be an integer"),
        (lambda: MLP(2, 1, width=0, key=KEY), "width must be an integer"),
        (lambda: MLP(2, 1, activation="thanh", key=KEY), "unknown activation 'thanh'"),
        (lambda: Rescale(2, 1, lower=1.0, upper=0.0, key=KEY), "below its upper"),
        (lambda: Rescale(2, 1, lower=(0, 0, 0), upper=1.0, key=KEY), "each of the 2 inputs"),
        (lambda: Periodic(2, 1, periods=(1.0,), key=KEY), "each of the 2 inputs, got 1"),
        (lambda: Periodic(1, 1, periods=(-1.0,), key=KEY), "a period must be > 0"),
        (lambda: FourierFeatures(2, 1, sigma=-1.0, key=KEY), "sigma must be"),
        (lambda: RandomFeatures(2, 1, activation="relu", key=KEY), "'tanh' or 'sin'"),
        (lambda: RandomFeatures(2, 1, lower=0.0, key=KEY), "both lower and upper"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_cosines_alone_make_an_even_function():
    network = Select(3, 1, inputs=(0, -1), key=KEY)
    inner = network.inner(jnp.array([0.2, 0.5]))
    np.testing.assert_array_equal(network(jnp.array([0.2, 0.9, 0.5])), inner)
    value = lambda theta: network(jnp.stack([jnp.cos(theta), jnp.sin(theta), jnp.array(0.3)]))[0]
    np.testing.assert_allclose(value(jnp.array(1.1)), value(jnp.array(-1.1)), rtol=1e-12)
    assert jax.grad(value)(jnp.array(0.0)) == 0.0


@pytest.mark.parametrize("inputs", [(), (0, 0), (0, 3), (0, -4)])
def test_selected_inputs_are_checked(inputs):
    with pytest.raises(ValueError, match="different indices of the 3 inputs, at least one, got"):
        Select(3, 1, inputs=inputs, key=KEY)
