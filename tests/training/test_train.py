"""The training loop: budgets, early stop, guard, records, sampling."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physml.optimizers import (
    LBFGS,
    Adam,
    GaussNewton,
    PointBlock,
    ResidualObjective,
    ScalarObjective,
)
from physml.training import Phase, ResidualAdaptive, Run, residual_adaptive, train
from solvers import SolverError
from tests.training.problems import OBJECTIVE, PARAMS, PHASES, POINTS, draw


def test_train_equals_a_loop_written_by_hand():
    adam, state, params = Adam(1e-2), None, PARAMS
    state = adam.init(OBJECTIVE, params, POINTS)
    for _ in range(7):
        params, state, _ = adam.step(OBJECTIVE, params, state, POINTS)
    newton = GaussNewton()
    state = newton.init(OBJECTIVE, params, POINTS)
    for _ in range(5):
        params, state, info = newton.step(OBJECTIVE, params, state, POINTS)
    result = train(
        OBJECTIVE, PARAMS, [Phase(adam, steps=7), newton], batch=POINTS, run=Run(steps=12)
    )
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(result.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (result.steps, result.status) == (12, "steps")
    np.testing.assert_allclose(result.loss, info.loss, rtol=1e-12)
    np.testing.assert_array_equal(result.history[:, 1], range(1, 13))
    assert set(result.terms) == {"misfit"} and result.notes


def test_the_best_on_points_kept_apart_is_returned():
    """The last batch is a single place, which the last steps fit at the cost of the others."""

    def sampler(key, params, step):
        return draw(key, params, step) if step < 20 else jnp.full((32, 1), 0.9)

    def run(validation):
        return train(
            OBJECTIVE, PARAMS, GaussNewton(), sampler=sampler, validation=validation,
            run=Run(steps=30, resample_every=10),
        )  # fmt: skip

    def misfit(params):
        return float(OBJECTIVE.loss(params, POINTS))

    last, best = run(None), run(POINTS)
    before = train(
        OBJECTIVE, PARAMS, GaussNewton(), sampler=sampler, run=Run(steps=20, resample_every=10)
    )
    np.testing.assert_allclose(misfit(best.params), misfit(before.params), rtol=1e-9)
    assert misfit(best.params) < misfit(last.params)
    assert "step 20 was the best" in best.message
    np.testing.assert_allclose(best.loss, OBJECTIVE.loss(best.params, best.batch), rtol=1e-9)


def test_resampling_calls_the_sampler_when_it_is_due_and_recompiles_nothing():
    calls, traces = [], []

    def sampler(key, params, step):
        calls.append(step)
        return draw(key, params, step)

    def blocks(batch):
        traces.append(None)
        return OBJECTIVE.blocks(batch)

    train(
        ResidualObjective(blocks), PARAMS, LBFGS(), sampler=sampler,
        run=Run(steps=3, resample_every=3),
    )  # fmt: skip
    first = len(traces)
    objective = ResidualObjective(blocks)
    train(objective, PARAMS, LBFGS(), sampler=sampler, run=Run(steps=10, resample_every=3))
    assert calls == [0, 0, 3, 6, 9]
    assert len(traces) == first


def test_target_stops_the_run_at_its_loss():
    result = train(
        OBJECTIVE, PARAMS, GaussNewton(), batch=POINTS, run=Run(steps=100, target_loss=1e-4)
    )
    assert result.status == "target" and result.loss <= 1e-4 < result.history[-2, 2]


def flat(params, batch):
    return {"constant": 1.0 + 0.0 * jnp.sum(params)}


def test_plateau_and_stall_end_a_phase():
    run = Run(steps=100, patience=5)
    result = train(ScalarObjective(flat), jnp.ones(2), Adam(), run=run)
    assert result.status == "plateau" and result.steps == 6
    result = train(ScalarObjective(flat), jnp.ones(2), [LBFGS(), Adam()], run=Run(steps=10))
    assert result.status == "steps" and result.steps == 10
    result = train(ScalarObjective(flat), jnp.ones(2), LBFGS(), run=Run(steps=10))
    assert result.status == "stalled" and "round-off" in result.message


def test_budget_in_seconds_leaves_out_the_monitor():
    import time

    def monitor(params, seconds, step):
        time.sleep(0.2)
        return {"norm": sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))}

    run = Run(seconds=0.3, monitor=monitor, monitor_every=0.1)
    result = train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, run=run)
    assert result.status == "seconds"
    assert result.monitored[0]["step"] == 0 and result.monitored[-1]["step"] == result.steps
    spent = np.diff(np.concatenate([[0.0], result.history[:, 0]])).sum()
    np.testing.assert_allclose(spent, result.seconds, rtol=1e-9)
    assert result.compile_seconds > 0
    # Compilation counts in the total: this budget is used up by it, and the step that compiled is
    # not thrown away.
    one = train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, run=Run(total_seconds=1e-9))
    same = train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, run=Run(steps=1))
    assert one.steps == 1 and one.status == "seconds"
    jax.tree.map(np.testing.assert_array_equal, one.params, same.params)


def root(params, x):
    return jnp.sqrt(1.0 - params * x[0])


def test_a_loss_that_becomes_non_finite_names_term_and_place():
    # Adam raises the parameter by 0.1 a step, until 1 − θx < 0 at the point x = 2.
    points = jnp.array([[0.5], [2.0], [1.0]])
    objective = ResidualObjective(lambda batch: {"root": PointBlock(root, batch)})
    result = train(objective, jnp.zeros(()), Adam(0.1), batch=points, run=Run(steps=50))
    assert result.status == "non_finite"
    assert "'root' in 1 of 3 residuals, first at point 1, [2.]" in result.message
    assert np.isfinite(result.loss) and 0.35 < result.params < 0.5
    with pytest.raises(SolverError, match=r"not_finite.*'root'"):
        result.check()


def test_a_gradient_that_is_not_finite_is_named():
    def terms(params, batch):
        return {"cone": jnp.sqrt(jnp.sum(params**2)), "bowl": jnp.sum(params**2)}

    result = train(ScalarObjective(terms), jnp.zeros(2), Adam(), run=Run(steps=5))
    assert result.status == "non_finite" and "the gradient of 'cone'" in result.message
    np.testing.assert_array_equal(result.params, 0.0)


def test_log_has_every_step(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    train(OBJECTIVE, PARAMS, PHASES, batch=POINTS, run=Run(steps=25, log=path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    *steps, end = lines
    assert [entry["step"] for entry in steps] == list(range(1, 26))
    assert [entry["optimizer"] for entry in steps[9:11]] == ["Adam", "LBFGS"]
    assert steps[-1]["damping"] > 0 and "Cholesky" in steps[-1]["linear_solver"]
    for entry in steps:
        assert sum(entry["terms"].values()) == pytest.approx(entry["loss"], rel=1e-12)
    assert (end["event"], end["status"]) == ("end", "steps")


def test_progress_is_shown_only_when_asked_for(capsys):
    train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, run=Run(steps=3))
    assert capsys.readouterr() == ("", "")
    train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, run=Run(steps=3, progress=True))
    assert "loss" in capsys.readouterr().out


def test_residual_adaptive_draws_by_its_density():
    magnitude = jnp.array([1.0, 3.0, 0.0, jnp.nan])
    keys = jax.random.split(jax.random.key(0), 20_000)
    one = jax.vmap(lambda key: residual_adaptive(key, jnp.arange(4), magnitude, 1)[0])(keys)
    # p ∝ |r|/mean|r| + 1 with mean 1: 2, 4, 1, 1 of 8.
    frequency = np.bincount(one, minlength=4) / len(one)
    np.testing.assert_allclose(frequency, [0.25, 0.5, 0.125, 0.125], atol=5 * 0.0036)
    several = residual_adaptive(keys[0], jnp.arange(4), magnitude, 4)
    assert sorted(several.tolist()) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="5 points can't be drawn from 4"):
        residual_adaptive(keys[0], jnp.arange(4), magnitude, 5)


def test_residual_adaptive_sampler_goes_where_the_residual_is():
    sampler = ResidualAdaptive(
        candidates=lambda key: jax.random.uniform(key, (1000, 1)),
        residual=lambda params, x: jnp.where(x[0] > 0.9, 1.0, 0.0),
        count=100,
        offset=0.0,
        complete=lambda key, points: {"inside": points},
    )
    key = jax.random.key(1)
    adapted = sampler(key, PARAMS, 7)["inside"]
    assert adapted.shape == (100, 1) and np.mean(adapted > 0.9) > 0.85
    assert np.mean(sampler(key, PARAMS, 0)["inside"] > 0.9) < 0.3


def test_bad_arguments():
    with pytest.raises(ValueError, match="the run has no end"):
        train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, run=Run())
    with pytest.raises(ValueError, match="either a fixed batch or a sampler"):
        train(OBJECTIVE, PARAMS, Adam(), batch=POINTS, sampler=draw, run=Run(steps=1))
    with pytest.raises(ValueError, match="at least one optimizer"):
        train(OBJECTIVE, PARAMS, [], batch=POINTS, run=Run(steps=1))
    for options in ({"steps": -1}, {"seconds": 0.0}, {"resample_every": 0}):
        with pytest.raises(ValueError, match="got"):
            Run(**options)


@pytest.mark.skipif("PHYSML_TEST_TYPES" in os.environ, reason="the type checker is faster")
def test_bad_types():
    with pytest.raises(TypeError, match="wrap a gradient transformation"):
        train(OBJECTIVE, PARAMS, object(), batch=POINTS, run=Run(steps=1))  # pyright: ignore
    with pytest.raises(ValueError, match=r"whole number of at least 0, got 1\.5"):
        Run(steps=1.5)  # pyright: ignore


def test_the_average_weights_the_steps_of_the_last_phase(tmp_path):
    """Shamir and Zhang (2013): the mean of θ₁ … θₙ with the weights k (k + 1) (k + 2)."""
    phases = (Phase(Adam(1e-2), steps=3), Phase(Adam(3e-2)))
    run = lambda steps, **options: train(
        OBJECTIVE, PARAMS, phases, batch=POINTS, run=Run(steps=steps, **options)
    )
    ends = [ravel_pytree(run(3 + k).params)[0] for k in range(1, 6)]
    weights = np.array([k * (k + 1) * (k + 2) for k in range(1, 6)], float)
    expected = np.average(np.stack(ends), axis=0, weights=weights)
    found = run(8, average=True)
    np.testing.assert_allclose(ravel_pytree(found.params)[0], expected, rtol=1e-12)
    terms = OBJECTIVE.terms(found.params, POINTS)
    np.testing.assert_allclose(found.loss, sum(float(v) for v in terms.values()), rtol=1e-10)
    # A run that goes on from its checkpoint has the same mean.
    run(6, average=True, checkpoint=tmp_path)
    resumed = run(8, average=True, checkpoint=tmp_path)
    np.testing.assert_array_equal(ravel_pytree(resumed.params)[0], ravel_pytree(found.params)[0])
