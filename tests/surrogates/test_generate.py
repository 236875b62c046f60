"""Families and data sets: reproducible, resumable at any kill, and refused when they differ."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from physml.surrogates import DatasetError, Family
from tests.surrogates._families import CIRCLE, burgers_family, make_burgers
from tests.surrogates._spectral import PeriodicBurgers

ROOT = Path(__file__).resolve().parents[2]
METHOD = PeriodicBurgers(n=32, steps=20, frames=2)


def test_a_sample_depends_on_seed_and_index_alone():
    family = burgers_family()
    np.testing.assert_array_equal(family.latent(7, 3)["u0"], family.latents([2, 7], 3)["u0"][1])
    assert not np.array_equal(family.latent(7, 3)["u0"], family.latent(7, 4)["u0"])
    more = Family(
        lambda nu, u0: make_burgers(u0),
        {"nu": pm.Uniform(0, 1), "u0": pm.GaussianField(CIRCLE, modes=8)},
    )
    np.testing.assert_array_equal(more.latent(7, 3)["u0"], family.latent(7, 3)["u0"])


def test_samples_are_solutions_and_do_not_depend_on_chunks(tmp_path):
    family = burgers_family()
    data = pm.generate(family, METHOD, 7, tmp_path / "a.h5", points=16, chunk=3, batched=True)
    other = pm.generate(family, METHOD, 7, tmp_path / "b.h5", points=16, chunk=7, batched=False)
    np.testing.assert_array_equal(data.inputs, other.inputs)
    np.testing.assert_allclose(data.outputs, other.outputs, atol=1e-13)
    solution = METHOD.solve(family.problem(5))
    x = data.axes[0]
    np.testing.assert_allclose(data.field("u")[5, 0], solution["u"](x[:, None], 1.0), atol=1e-13)
    np.testing.assert_allclose(
        data.inputs[5, :, 0], [family.problem(5).initial_value("u", jnp.array([y])) for y in x]
    )
    assert data.meta["seed"] == 0 and data.meta["method"] == "test spectral"
    assert [len(data), len(data[2:5]), len(data[3])] == [7, 3, 1]


SCRIPT = """
import jax, sys; jax.config.update("jax_enable_x64", True)
import physml as pm
from tests.surrogates._families import burgers_family
from tests.surrogates._spectral import PeriodicBurgers
pm.generate(burgers_family(), PeriodicBurgers(n=32, steps=20, frames=2), 400, sys.argv[1],
            points=16, chunk=2, batched=True)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(tmp_path):
    path, whole = tmp_path / "killed.h5", tmp_path / "whole.h5"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], cwd=ROOT, env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and _done(path) > 4:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = _done(path)
    assert 4 < before < 400
    with pytest.raises(DatasetError, match=f"unfinished: {before} of 400"):
        pm.load_dataset(path)
    part = pm.load_dataset(path, partial=True)
    assert len(part) == before
    resumed = pm.generate(burgers_family(), METHOD, 400, path, points=16, chunk=2, batched=True)
    once = pm.generate(burgers_family(), METHOD, 400, whole, points=16, chunk=2, batched=True)
    np.testing.assert_array_equal(resumed.outputs, once.outputs)
    np.testing.assert_array_equal(resumed.inputs, once.inputs)


def _done(path) -> int:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return int(np.sum(file["done"][:]))
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another seed"),
        ({"count": 5}, "another count"),
        ({"points": 24}, "another layout"),
        ({"method": PeriodicBurgers(n=32, steps=40, frames=2)}, "another method options"),
        ({"family": burgers_family(tau=7.0)}, "another family"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change, message):
    arguments = {"family": burgers_family(), "method": METHOD, "count": 4, "points": 16}
    arguments |= {"path": tmp_path / "a.h5", "batched": True}
    pm.generate(**arguments)
    with pytest.raises(DatasetError, match=message):
        pm.generate(**(arguments | change))


def test_a_family_with_another_equation_is_refused(tmp_path):
    from pdes.library import burgers_periodic

    pm.generate(burgers_family(), METHOD, 2, tmp_path / "a.h5", points=16)
    field = pm.GaussianField(CIRCLE, modes=8)
    other = pm.Family(lambda u0: burgers_periodic(nu=0.2, initial=u0), {"u0": field})
    with pytest.raises(DatasetError, match="another layout: probe"):
        pm.generate(other, METHOD, 2, tmp_path / "a.h5", points=16)


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "a.h5"
    pm.generate(burgers_family(), METHOD, 4, path, points=16)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DatasetError, match="truncated"):
        pm.load_dataset(path)
    path.write_text("not a data set")
    with pytest.raises(DatasetError, match="no HDF5"):
        pm.generate(burgers_family(), METHOD, 4, path, points=16)
    with pytest.raises(FileNotFoundError, match="make one with"):
        pm.load_dataset(tmp_path / "none.h5")


def test_a_solver_that_fails_names_the_sample(tmp_path):
    def blow_up(a):
        return make_burgers(lambda x: a * 1e200 * jnp.sin(2 * jnp.pi * x[0]))

    family = pm.Family(blow_up, {"a": pm.Uniform(1.0, 2.0)})
    with pytest.raises(pm.SolverError, match="sample 0 of seed 0 of the family"):
        pm.generate(family, METHOD, 2, tmp_path / "a.h5", points=16, batched=True)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: pm.Family(make_burgers, {}), ValueError, "parameters to draw"),
        (lambda: pm.Family(make_burgers, {"u0": 1.0}), ValueError, "nothing varies"),
        (lambda: pm.Family(make_burgers, {"u0": "sin"}), TypeError, "expected a distribution"),
        (lambda: pm.Family(lambda a: a, {"a": pm.Uniform(0, 1)}), TypeError, "pm.Problem"),
        (
            lambda: pm.Family(lambda a: pm.library.poisson(2), {"a": pm.Uniform(0, 1)}, input=None),
            ValueError,
            "say what the surrogate is given",
        ),
        (
            lambda: pm.Family(make_burgers, {"u0": pm.GaussianField(CIRCLE)}, output="v"),
            ValueError,
            "no field 'v'",
        ),
        (
            lambda: pm.Family(
                make_burgers, {"u0": pm.GaussianField(CIRCLE)}, input=lambda problem, p: p.v
            ),
            ValueError,
            "input failed",
        ),
        (lambda: burgers_family().layout(times=[2.0]), ValueError, "lie in the problem's interval"),
        (lambda: burgers_family().layout(points=2), ValueError, "at least 4"),
    ],
)
def test_nonsense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_coefficient_can_be_the_input():
    family = pm.Family(
        lambda k: pm.Problem(
            pm.library.Poisson(k=k, f=1.0), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}
        ),
        {"k": pm.GaussianField(pm.Rectangle(), modes=3, transform=jnp.exp)},
        input=lambda problem, p: problem.pde.k(p),
    )
    problem, x = family.problem(2), jnp.array([0.2, 0.6])
    k = family.parameters["k"].make(jnp.asarray(family.latent(2)["k"]))
    np.testing.assert_allclose(family.input_at(problem, x), [k(x)], rtol=1e-14)
