"""Trained surrogates: as methods, on disk, resumed, without data, and refused."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes.library import burgers, burgers_periodic
from physml.compare import compare
from physml.surrogates import train_surrogate
from physml.training import CheckpointError
from tests.surrogates._families import burgers_family, heat_family
from tests.surrogates._spectral import PeriodicBurgers

SOLVER = PeriodicBurgers(n=32, steps=40, frames=4)
SMALL = functools.partial(pm.FNO, width=12, modes=6, depth=2)


@pytest.fixture(scope="module")
def family():
    return burgers_family()


@pytest.fixture(scope="module")
def data(family, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "burgers.h5"
    return pm.generate(family, SOLVER, 160, path, points=32, batched=True)


@pytest.fixture(scope="module")
def surrogate(data):
    return train_surrogate(data, SMALL, epochs=40, learning_rate=5e-3, seed=1)


@pytest.fixture(scope="module")
def unseen(family, tmp_path_factory):
    path = tmp_path_factory.mktemp("unseen") / "burgers.h5"
    return pm.generate(family, SOLVER, 60, path, seed=9, points=32, batched=True)


def errors(surrogate, data):
    gap = np.asarray(surrogate.predict(data.inputs)) - data.outputs
    norm = lambda a: np.linalg.norm(a.reshape(len(a), -1), axis=1)
    return norm(gap) / norm(data.outputs)


def test_it_learns_and_knows_its_error(surrogate, unseen):
    found = errors(surrogate, unseen)
    assert found.mean() < 0.1
    said = surrogate.training.expected_error
    assert said / 2 < found.mean() < 2 * said  # two samples of one distribution


def test_it_is_a_method_beside_the_solver(surrogate, family):
    problem = family.problem(3, 9)
    result = compare(problem, [surrogate, SOLVER, surrogate.at_resolution(64)], resolution=64)
    rows = {row.label: row for row in result.rows}
    assert [row.status for row in result.rows] == ["solved"] * 3
    assert rows["test spectral"].reference
    assert rows["FNO"].median.l2 < 0.5
    solution = surrogate.solve(problem)
    x = np.linspace(0, 1, 32, endpoint=False)
    grid = surrogate.predict(np.asarray(surrogate.discretize(problem))[None])[0, 0, :, 0]
    np.testing.assert_allclose(solution["u"](x[:, None], 1.0), grid, atol=2e-6)
    assert rows["FNO"].median.sample.times.tolist() == [1.0]
    assert solution.stats.extra["expected_error"] == surrogate.training.expected_error
    assert not solution.stats.extra["outside_training"]
    assert "expected relative L2 error" in solution.stats.notes[0]


def test_other_times_are_an_error(surrogate, family):
    solution = surrogate.solve(family.problem(0))
    with pytest.raises(Exception, match=r"answers at t = \[1.0\] only"):
        jax.block_until_ready(solution["u"](0.3, 0.5))


def test_an_input_unlike_the_training_is_said(surrogate):
    large = surrogate.solve(burgers_periodic(initial=lambda x: 9 * jnp.sin(2 * jnp.pi * x[0])))
    assert large.stats.extra["outside_training"]
    assert "outside the training distribution" in large.stats.notes[1]
    rough = surrogate.solve(burgers_periodic(initial=lambda x: jnp.sin(2 * jnp.pi * 13 * x[0])))
    assert rough.stats.extra["outside_training"]


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (burgers(), "trained on"),
        (burgers_periodic(nu=0.2), "coefficients or boundary data"),
        (burgers_periodic(time=2.0), "time interval"),
        (pm.library.poisson(), "trained on"),
    ],
)
def test_problems_outside_the_family_are_refused(surrogate, problem, message):
    assert message in surrogate.inapplicable(problem)
    with pytest.raises(pm.NotApplicable, match="FNO can't solve"):
        surrogate.solve(problem)


def test_saved_and_loaded_it_is_the_same(surrogate, unseen, tmp_path):
    path = surrogate.save(tmp_path / "s")
    again = pm.load_surrogate(path)
    np.testing.assert_array_equal(again.predict(unseen.inputs), surrogate.predict(unseen.inputs))
    assert again.training == surrogate.training and again.layout == surrogate.layout
    with np.load(path, allow_pickle=False) as file:
        assert json.loads(file["json"].tobytes())["kind"] == "FNO"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="truncated or holds no surrogate"):
        pm.load_surrogate(path)
    with pytest.raises(FileNotFoundError, match="no surrogate at"):
        pm.load_surrogate(tmp_path / "none.npz")


def test_gradients_pass_through_it(surrogate):
    def mean_square(a):
        problem = burgers_periodic(initial=lambda x: a * jnp.cos(2 * jnp.pi * x[0]) + 0.3)
        u = surrogate.solve(problem)["u"]
        return jnp.sum(jax.vmap(lambda x: u(x, 1.0))(jnp.linspace(0, 1, 9)[:, None]) ** 2)

    h = 2e-2
    slope = (mean_square(0.5 + h) - mean_square(0.5 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(mean_square)(0.5), slope, rtol=2e-2)


def test_a_stopped_training_goes_on_to_the_same_weights(data, tmp_path, monkeypatch):
    options = {"epochs": 3, "seed": 2, "batch": 24}
    whole = train_surrogate(data, SMALL, **options)
    from physml.surrogates import _train

    sample = _train._Sampler.__call__

    def stop(self, key, params, step):
        if step == 10:
            raise KeyboardInterrupt
        return sample(self, key, params, step)

    monkeypatch.setattr(_train._Sampler, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        train_surrogate(data, SMALL, out=tmp_path, **options)
    monkeypatch.undo()
    resumed = train_surrogate(data, SMALL, out=tmp_path, resume=True, **options)
    for a, b in zip(
        jax.tree.leaves(resumed.operator), jax.tree.leaves(whole.operator), strict=True
    ):
        if hasattr(a, "shape"):
            np.testing.assert_array_equal(a, b)
    assert resumed.training.expected_error == whole.training.expected_error
    loaded = pm.load_surrogate(tmp_path / "surrogate.npz")
    assert loaded.training.expected_error == whole.training.expected_error
    with pytest.raises(CheckpointError):
        train_surrogate(data, SMALL, out=tmp_path, resume=True, epochs=3, seed=3, batch=24)


def test_a_deeponet_learns_the_heat_equation_without_data():
    family = heat_family(modes=2)
    network = functools.partial(pm.DeepONet, width=32, depth=2, basis=24)
    surrogate = train_surrogate(
        family, network, loss="residual", count=64, points=12, steps=2500, batch=16,
        residual_points=24, learning_rate=5e-3, weights={"initial": 20.0, "boundary": 10.0},
    )  # fmt: skip
    assert surrogate.training.expected_error is None
    x = np.linspace(0, 1, 21)
    found, true = [], []
    for i in range(20):
        problem = family.problem(i, 5)
        u0 = family.latent(i, 5)["u0"]
        u = surrogate.solve(problem)["u"]
        for t in (0.1, 0.5):
            found.append(np.asarray(u(x[:, None], t)))
            waves = np.sqrt(2) * np.sin(np.pi * np.outer([1, 2], x))
            decay = np.exp(-0.1 * (np.pi * np.array([1, 2])) ** 2 * t)
            true.append((u0 * decay) @ waves)
    error = np.linalg.norm(np.array(found) - true) / np.linalg.norm(true)
    assert error < 0.05


def test_nonsense_is_refused(data, family):
    with pytest.raises(ValueError, match=r"use pm\.DeepONet"):
        train_surrogate(family, pm.FNO, loss="residual")
    with pytest.raises(ValueError, match="needs solved samples"):
        train_surrogate(family, pm.DeepONet, loss="data")
    with pytest.raises(ValueError, match="give family="):
        train_surrogate(data, pm.DeepONet, loss="both")
    with pytest.raises(ValueError, match="of the family"):
        train_surrogate(data, pm.DeepONet, loss="both", family=heat_family())
    with pytest.raises(ValueError, match="loss is one of"):
        train_surrogate(data, loss="l2")
    with pytest.raises(TypeError, match="network is"):
        train_surrogate(data, "transformer")
    with pytest.raises(TypeError, match="numbers, strings"):
        train_surrogate(data, functools.partial(pm.FNO, activation=jnp.tanh))
    with pytest.raises(TypeError, match="Dataset"):
        train_surrogate(np.zeros((3, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="epochs or steps"):
        train_surrogate(data, epochs=1, steps=1)
    with pytest.raises(ValueError, match="validation is a share"):
        train_surrogate(data, validation=1.5, epochs=1)
    with pytest.raises(ValueError, match="needs out="):
        train_surrogate(data, resume=True, epochs=1)
    with pytest.raises(ValueError, match="takes inputs of shape"):
        train_surrogate(data, SMALL, steps=1).predict(np.zeros((3, 32)))
