"""PirateNet, factorised weights, multi-scale features, separable and multi-stage networks."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.methods._multi_stage import remainder
from physml.networks import (
    MLP,
    SIREN,
    ModifiedMLP,
    MultiscaleFourier,
    MultiStage,
    PirateNet,
    Scaled,
    SeparableNetwork,
    combine,
    partition,
)
from physml.optimizers import GaussNewton
from solvers import Run

KEY = jax.random.key(0)
X = jnp.array([0.3, -0.7])
BATCH = jax.random.uniform(jax.random.key(1), (50, 2), minval=-1.0)


@pytest.mark.parametrize(
    "make",
    [PirateNet, partial(PirateNet, factorisation=(1.0, 0.1)), MultiscaleFourier,
     partial(SeparableNetwork, inner=partial(MLP, width=4, depth=1)),
     partial(Scaled, size=1e-3, frequency=(2.0, 5.0))],
)  # fmt: skip
def test_architectures_are_factories_of_functions_of_one_point(make):
    network = make(2, 3, key=KEY)
    value = network(X)
    assert value.shape == (3,)
    np.testing.assert_array_equal(combine(*partition(network))(X), value)
    np.testing.assert_array_equal(make(2, 3, key=KEY)(X), value)
    with pytest.raises(ValueError, match=r"one point of shape \(2,\), got \(3,\)"):
        network(jnp.zeros(3))


def test_a_pirate_net_starts_linear_in_its_embedding_however_deep():
    network = PirateNet(2, 3, width=10, depth=4, key=KEY)
    angle = network.frequencies.value @ X
    embedding = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])
    np.testing.assert_array_equal(network.features(X), embedding)
    np.testing.assert_allclose(network(X), network.last @ embedding, rtol=1e-14)
    shallow = PirateNet(2, 3, width=10, depth=1, key=KEY)
    assert shallow.blocks[0].gate == 0 and len(network.blocks) == 4
    # The gates have a gradient from the start, so that depth is learnt.
    gradient = eqx.filter_grad(lambda n: jnp.sum(n(X)))(network)
    assert all(abs(float(block.gate)) > 0 for block in gradient.blocks)


def test_a_pirate_net_equals_its_formula_when_its_gates_are_open():
    network = PirateNet(2, 1, width=6, depth=1, key=KEY)
    network = eqx.tree_at(lambda n: n.blocks[0].gate, network, jnp.asarray(0.3))
    angle = network.frequencies.value @ X
    x = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])
    layer = lambda dense, z: jnp.tanh(dense.weight @ z + dense.bias)
    a, b = (layer(encoder, x) for encoder in network.encoders)
    w1, w2, w3 = network.blocks[0].layers
    f = layer(w1, x)
    g = layer(w2, f * a + (1 - f) * b)
    h = layer(w3, g * a + (1 - g) * b)
    np.testing.assert_allclose(network(X), network.last @ (0.3 * h + 0.7 * x), rtol=1e-13)


def test_the_last_layer_is_fitted_by_least_squares():
    network = PirateNet(2, 2, width=12, key=KEY)
    wanted = jax.random.normal(jax.random.key(3), (2, 12))
    values = jax.vmap(lambda x: wanted @ network.features(x))(BATCH)
    fitted = network.fitted(BATCH, values)
    np.testing.assert_allclose(jax.vmap(fitted)(BATCH), values, atol=1e-11)
    # What remains is orthogonal to every feature.
    other = jnp.sin(7 * BATCH)
    left = other - jax.vmap(network.fitted(BATCH, other))(BATCH)
    features = jax.vmap(network.features)(BATCH)
    np.testing.assert_allclose(features.T @ left, 0.0, atol=1e-11)


def test_a_pirate_net_starts_from_soft_initial_data():
    method = pm.PINN(network=partial(PirateNet, width=64, depth=1), constraints="soft", points=8)
    problem = library.burgers(nu=0.1)
    setup = method.setup(problem, 0)
    blocks = eqx.filter_jit(setup.objective.terms)(
        setup.params, setup.sampler(KEY, setup.params, 0)
    )
    assert float(blocks["initial u"]) < 1e-3


@pytest.mark.parametrize("make", [MLP, ModifiedMLP, SIREN])
def test_factorised_weights_start_where_they_change_nothing(make):
    plain = make(2, 1, width=8, depth=2, key=KEY)
    network = make(2, 1, width=8, depth=2, factorisation=(1.0, 0.1), key=KEY)
    np.testing.assert_allclose(network(X), plain(X), rtol=1e-12)
    for layer, same in zip(network.layers, plain.layers, strict=True):
        np.testing.assert_allclose(layer.matrix, same.weight, rtol=1e-12)
    # ∂/∂sₖ scales row k of W: Σⱼ Wₖⱼ ∂/∂Wₖⱼ.
    slopes = eqx.filter_grad(lambda n: n(X)[0])(network)
    expected = eqx.filter_grad(lambda n: n(X)[0])(plain)
    for layer, slope, right in zip(network.layers, slopes.layers, expected.layers, strict=True):
        np.testing.assert_allclose(
            slope.exponents, jnp.sum(layer.matrix * right.weight, axis=1), rtol=1e-10
        )


def test_the_factors_of_weights_are_normal():
    layer = MLP(1, 1, width=10_000, depth=1, factorisation=(1.0, 0.1), key=KEY).layers[0]
    # Deviations of mean and deviation of 10 000 samples: 0.001 and 0.0007.
    np.testing.assert_allclose(jnp.mean(layer.exponents), 1.0, atol=0.005)
    np.testing.assert_allclose(jnp.std(layer.exponents), 0.1, atol=0.0035)


def test_scales_share_their_hidden_layers():
    network = MultiscaleFourier(2, 1, sigma=(1.0, 8.0), features=5, width=6, depth=2, key=KEY)
    parts = []
    for b in network.frequencies.value:
        z = jnp.concatenate([jnp.cos(2 * np.pi * b @ X), jnp.sin(2 * np.pi * b @ X)])
        for layer in network.layers:
            z = jnp.tanh(layer.weight @ z + layer.bias)
        parts.append(z)
    expected = network.last.weight @ jnp.concatenate(parts) + network.last.bias
    np.testing.assert_allclose(network(X), expected, rtol=1e-12)
    wide = MultiscaleFourier(2, 1, sigma=(1.0, 8.0), features=5000, width=2, depth=1, key=KEY)
    deviations = jnp.std(wide.frequencies.value, axis=(1, 2))
    np.testing.assert_allclose(deviations, [1.0, 8.0], rtol=0.035)


def test_a_separable_network_of_rank_one_is_a_product():
    inner = partial(MLP, width=4, depth=1)
    network = SeparableNetwork(2, 1, rank=1, inner=inner, key=KEY)
    u = lambda a, b: network(jnp.array([a, b]))[0]
    # u = f g: u(a, b) u(c, d) = u(a, d) u(c, b).
    left, right = u(0.2, 0.5) * u(-0.4, 0.9), u(0.2, 0.9) * u(-0.4, 0.5)
    np.testing.assert_allclose(left, right, rtol=1e-12)
    two = SeparableNetwork(2, 3, rank=2, inner=inner, key=KEY)
    np.testing.assert_allclose(two(X), jnp.prod(two.factors(X), axis=0).sum(axis=1), rtol=1e-13)


def test_only_the_last_stage_is_trained():
    first, second = PirateNet(2, 1, key=KEY), Scaled(2, 1, size=1e-4, frequency=3.0, key=KEY)
    network = MultiStage((first, second))
    np.testing.assert_allclose(network(X), first(X) + 1e-4 * second.inner(3.0 * X), rtol=1e-14)
    trained = jax.tree.leaves(partition(network)[0])
    assert len(trained) == len(jax.tree.leaves(partition(second)[0]))
    gradient = eqx.filter_grad(lambda n: n(X)[0])(network)
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(gradient.earlier))
    third = MultiStage((*network.stages, second))
    np.testing.assert_allclose(third(X), first(X) + 2 * second(X), rtol=1e-14)


def test_the_remainder_of_a_known_error_is_found():
    # −u″ = 0 with u = 10⁻³ sin 6πξ left over, in a network whose output is that.
    def wave(z):
        return 1e-3 * jnp.sin(6 * jnp.pi * z)

    problem = pm.Problem(
        library.Poisson(), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0)}
    )
    network = eqx.nn.Lambda(wave)
    setup = pm.PINN(network=network, constraints="soft").setup(problem, 0)
    found = remainder(setup.objective, setup.params, 0)
    # ξ in [−1, 1] takes 6 periods.
    assert found.frequency == (6.0,)
    # A wave of the same frequency and another phase: their norms agree on many points.
    assert found.size == pytest.approx(1e-3, rel=0.1)


LINE = library.poisson(dim=1)
SMALL = {
    "modified": partial(ModifiedMLP, width=8, depth=2, factorisation=(1.0, 0.1)),
    "siren": partial(SIREN, width=8, depth=2, frequency=3.0),
    "multiscale": partial(MultiscaleFourier, features=4, sigma=(0.3, 1.0), width=6, depth=1),
    "pirate": partial(PirateNet, width=8, depth=1),
    "separable": partial(SeparableNetwork, rank=4, inner=partial(MLP, width=6, depth=1)),
}


def error_on_the_line(solution):
    x = jnp.linspace(0.0, 1.0, 101)[:, None]
    exact = jax.vmap(lambda y: LINE.exact_value("u", y))(x)
    return float(jnp.linalg.norm(solution["u"](x) - exact) / jnp.linalg.norm(exact))


@pytest.mark.parametrize("name", SMALL)
def test_every_network_solves_poisson(name):
    method = pm.PINN(
        network=SMALL[name], points=64, sampling="sobol", resample=None, optimizer=GaussNewton()
    )
    for seed in (0, 1, 2):
        assert error_on_the_line(method.solve(LINE, Run(seed=seed, steps=30))) < 1e-4


def test_a_second_stage_goes_on_from_the_first():
    network = partial(MLP, width=5, depth=1)
    options = dict(network=network, points=64, sampling="sobol", resample=None)
    first = pm.PINN(**options).solve(LINE, Run(steps=15))
    both = pm.PINN(stages=2, **options).solve(LINE, Run(steps=30))
    kept, second = both.representation.network.stages
    for a, b in zip(
        jax.tree.leaves(partition(first.representation.network)[0]),
        jax.tree.leaves(partition(kept)[0]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    # The second stage starts at the size of what the first one leaves, in outputs.
    error = error_on_the_line(first)
    assert 0.1 * error < second.size < 100 * error
    assert error_on_the_line(both) < 2 * error
    assert both.stats.iterations <= 30 and both.stats.unknowns == 32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PirateNet(2, 1, width=7, key=KEY), "width must be even"),
        (lambda: PirateNet(2, 1, sigma=0.0, key=KEY), "sigma must be > 0"),
        (lambda: MultiscaleFourier(2, 1, sigma=(1.0, -1.0), key=KEY), "sigma must be"),
        (lambda: MLP(2, 1, factorisation=(1.0, -0.1), key=KEY), "deviation >= 0"),
        (lambda: SeparableNetwork(2, 1, rank=0, key=KEY), "rank must be an integer"),
        (lambda: Scaled(2, 1, size=0.0, key=KEY), "size must be > 0"),
        (lambda: MultiStage((MLP(2, 1, key=KEY), MLP(1, 1, key=KEY))), "the same size"),
        (lambda: pm.PINN(stages=0), "stages must be positive"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
