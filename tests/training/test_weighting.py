"""Weights that adapt: each scheme against its formula, and how training uses them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physml.optimizers import Adam, GaussNewton, PointBlock, ResidualObjective, ScalarObjective
from physml.training import (
    NTK,
    Causal,
    GradientNorm,
    Phase,
    Resampler,
    ResidualAttention,
    Run,
    SelfAdaptive,
    Weights,
    residual_refined,
    retain_resample_release,
    train,
)
from physml.training._weighting import Weighted, weighted_batch

N = 24
RNG = np.random.default_rng(0)
POINTS = {
    "inside": {
        "a": jnp.asarray(RNG.normal(size=(N, 2))),
        "b": jnp.asarray(RNG.normal(size=N)),
        "t": jnp.linspace(0.0, 2.0, N),
    },
    "start": {"a": jnp.asarray(RNG.normal(size=(5, 2))), "b": jnp.ones(5)},
}
THETA = jnp.asarray([0.3, -0.7])


def misfit(theta, point):
    return point["a"] @ theta - point["b"]


def make_blocks(batch):
    return {
        "equation u": PointBlock(misfit, batch["inside"], N**-0.5),
        "initial u": PointBlock(misfit, batch["start"], 5**-0.5),
    }


OBJECTIVE = ResidualObjective(make_blocks)
INSIDE = np.asarray(POINTS["inside"]["a"] @ THETA - POINTS["inside"]["b"])
START = np.asarray(POINTS["start"]["a"] @ THETA - POINTS["start"]["b"])


def test_weights_scale_the_rows_for_scalar_losses_and_for_gauss_newton():
    w = RNG.uniform(0.1, 3.0, N)
    weights = Weights({"equation u": jnp.asarray(w), "initial u": jnp.asarray(4.0)}, ())
    objective, batch = Weighted(OBJECTIVE), weighted_batch(POINTS, weights)
    expected = np.mean(w * INSIDE**2) + 4 * np.mean(START**2)
    np.testing.assert_allclose(objective.loss(THETA, batch), expected, rtol=1e-13)
    rows = np.concatenate([np.asarray(POINTS[k]["a"]) for k in ("inside", "start")])
    right = np.concatenate([np.asarray(POINTS[k]["b"]) for k in ("inside", "start")])
    root = np.sqrt(np.concatenate([w / N, np.full(5, 4 / 5)]))
    best = np.linalg.lstsq(rows * root[:, None], right * root, rcond=None)[0]
    newton = GaussNewton(geodesic=False)
    theta, state = THETA, newton.init(objective, THETA, batch)
    for _ in range(8):
        theta, state, _ = newton.step(objective, theta, state, batch)
    np.testing.assert_allclose(theta, best, rtol=1e-8)


def test_two_residuals_at_a_point_share_its_weight():
    def pair(theta, point):
        return jnp.stack([theta[0] * point["b"], theta[1] * jnp.ones(())])

    two = ResidualObjective(lambda p: {"equation u": PointBlock(pair, p, jnp.ones((N, 2)))})
    w = RNG.uniform(0.1, 3.0, N)
    batch = weighted_batch(POINTS["inside"], Weights({"equation u": jnp.asarray(w)}, ()))
    b = np.asarray(POINTS["inside"]["b"])
    expected = np.sum(w * ((THETA[0] * b) ** 2 + THETA[1] ** 2))
    np.testing.assert_allclose(Weighted(two).loss(THETA, batch), expected, rtol=1e-13)


def causal_by_hand(epsilon, chunks):
    chunk = np.minimum((np.asarray(POINTS["inside"]["t"]) / 2.0 * chunks).astype(int), chunks - 1)
    losses = np.array([np.mean(INSIDE[chunk == j] ** 2) for j in range(chunks)])
    first = np.mean(START**2)
    return np.array([np.exp(-epsilon * (first + losses[:i].sum())) for i in chunk])


def test_causal_weights_are_their_formula_and_epsilon_moves_on():
    scheme = Causal(chunks=4, tolerances=(1e-5, 0.5))
    weights = scheme.init(OBJECTIVE, THETA, POINTS)
    np.testing.assert_allclose(weights.values["equation u"], causal_by_hand(1e-5, 4), rtol=1e-12)
    assert set(weights.values) == {"equation u"} and int(weights.memory) == 1
    weights = scheme.update(OBJECTIVE, THETA, POINTS, weights)
    np.testing.assert_allclose(weights.values["equation u"], causal_by_hand(0.5, 4), rtol=1e-12)
    # The last part weighs less than the threshold, and there is no further value in any case.
    assert int(scheme.update(OBJECTIVE, THETA, POINTS, weights).memory) == 1


@pytest.mark.parametrize("potential", ["quadratic", "exponential"])
def test_residual_attention_is_its_recursion(potential):
    scheme = ResidualAttention(decay=0.8, rate=0.1, potential=potential, temperature=0.5)
    weights = scheme.init(OBJECTIVE, THETA, POINTS)
    np.testing.assert_array_equal(weights.values["equation u"], scheme.bound)
    share = np.abs(INSIDE) / np.abs(INSIDE).max()
    if potential == "exponential":
        q = np.exp(np.abs(INSIDE) / (0.5 * np.abs(INSIDE).max()))
        share = q / q.max()
    expected = np.full(N, 0.5)
    for _ in range(3):
        weights = scheme.update(OBJECTIVE, THETA, POINTS, weights)
        expected = 0.8 * expected + 0.1 * share
    np.testing.assert_allclose(weights.values["equation u"], expected, rtol=1e-12)


def test_self_adaptive_weights_climb_the_gradient_of_the_masked_loss():
    scheme = SelfAdaptive(rate=0.05)
    weights = scheme.init(OBJECTIVE, THETA, POINTS)
    for _ in range(2):
        before = weights.memory
        weights = scheme.update(OBJECTIVE, THETA, POINTS, weights)
    for name, r in (("equation u", INSIDE), ("initial u", START)):
        ascent = jax.grad(lambda mask, r=r: 0.5 * jnp.sum(mask**2 * r**2))(before[name])
        np.testing.assert_allclose(weights.memory[name], before[name] + 0.05 * ascent, rtol=1e-12)
    total = np.concatenate([np.asarray(v) for v in weights.values.values()])
    np.testing.assert_allclose(total.mean(), 1.0, rtol=1e-12)


def test_gradient_norm_weights_are_the_ratio_of_norms():
    scheme = GradientNorm(momentum=0.6)
    weights = scheme.update(OBJECTIVE, THETA, POINTS, scheme.init(OBJECTIVE, THETA, POINTS))
    losses = {"equation u": "inside", "initial u": "start"}
    norms = {}
    for name, key in losses.items():
        points = POINTS[key]
        gradient = jax.grad(lambda th, p=points: jnp.mean((p["a"] @ th - p["b"]) ** 2))(THETA)
        norms[name] = np.linalg.norm(gradient)
    for name, norm in norms.items():
        expected = 0.6 + 0.4 * sum(norms.values()) / norm
        np.testing.assert_allclose(weights.values[name], expected, rtol=1e-12)


def test_ntk_weights_are_the_ratio_of_dense_traces():
    scheme = NTK(momentum=0.0)
    weights = scheme.update(OBJECTIVE, THETA, POINTS, scheme.init(OBJECTIVE, THETA, POINTS))
    traces = {}
    for name, key in (("equation u", "inside"), ("initial u", "start")):
        jacobian = jax.jacobian(lambda th, p=POINTS[key]: p["a"] @ th - p["b"])(THETA)
        traces[name] = float(jnp.trace(jacobian @ jacobian.T)) / len(jacobian)
    for name, trace in traces.items():
        np.testing.assert_allclose(weights.values[name], sum(traces.values()) / trace, rtol=1e-12)


def test_a_block_whose_gradient_vanishes_keeps_its_weight():
    objective = ResidualObjective(
        lambda p: {**make_blocks(p), "zero": PointBlock(lambda th, q: 0.0 * th[0], p["start"])}
    )
    for scheme in (GradientNorm(momentum=0.5), NTK(momentum=0.5)):
        weights = scheme.update(objective, THETA, POINTS, scheme.init(objective, THETA, POINTS))
        assert float(weights.values["zero"]) == 1.0


def test_training_updates_the_weights_before_each_step():
    scheme, adam = Causal(chunks=3, tolerances=(0.5,)), Adam(0.05)
    weighted = Weighted(OBJECTIVE)
    weights = scheme.init(OBJECTIVE, THETA, POINTS)
    theta, state = THETA, adam.init(weighted, THETA, weighted_batch(POINTS, weights))
    for step in range(5):
        if step:
            weights = scheme.update(OBJECTIVE, theta, POINTS, weights)
        theta, state, _ = adam.step(weighted, theta, state, weighted_batch(POINTS, weights))
    result = train(OBJECTIVE, THETA, adam, batch=POINTS, weighting=scheme, run=Run(steps=5))
    np.testing.assert_array_equal(result.params, theta)
    assert result.weights is not None
    np.testing.assert_array_equal(result.weights["equation u"], weights.values["equation u"])
    np.testing.assert_array_equal(result.batch["inside"]["t"], POINTS["inside"]["t"])


class Keep(Resampler):
    """R3 of the points inside, by the known residual."""

    def __call__(self, key, params, step):
        return POINTS

    def again(self, key, params, step, batch):
        inside = batch["inside"]
        fresh = {**inside, "b": inside["b"] + jax.random.normal(key, (N,))}
        size = jnp.abs(inside["a"] @ params - inside["b"])
        return {**batch, "inside": retain_resample_release(inside, size, fresh)}


@pytest.mark.parametrize("scheme", [ResidualAttention(), NTK(every=3)])
def test_a_weighted_run_in_two_parts_equals_one(tmp_path, scheme):
    def run(steps, folder=None):
        options = Run(steps=steps, resample_every=2, checkpoint=folder)
        phases = [Phase(Adam(0.05), steps=4, dtype="float32"), Adam(0.02)]
        return train(OBJECTIVE, THETA, phases, sampler=Keep(), weighting=scheme, run=options)

    whole = run(9)
    run(3, tmp_path)
    run(5, tmp_path)
    parts = run(9, tmp_path)
    np.testing.assert_array_equal(whole.params, parts.params)
    for a, b in zip(jax.tree.leaves(whole.weights), jax.tree.leaves(parts.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_points_that_stay_keep_their_weight_and_new_ones_start_again():
    scheme = ResidualAttention(decay=0.5, rate=0.1)
    values = {"equation u": jnp.arange(1.0, N + 1)}
    inside = POINTS["inside"]
    new = {**POINTS, "inside": {**inside, "b": inside["b"].at[3:5].add(1.0)}}
    carried = scheme.carry(OBJECTIVE, POINTS, new, Weights(values, ())).values["equation u"]
    expected = np.arange(1.0, N + 1)
    expected[3:5] = scheme.bound
    np.testing.assert_array_equal(carried, expected)


def test_r3_keeps_exactly_the_points_above_the_mean():
    size = jnp.asarray([1.0, 5.0, 2.0, jnp.nan, 4.0, 0.0])
    points = {"x": jnp.arange(12.0).reshape(6, 2), "t": jnp.arange(6.0)}
    fresh = jax.tree.map(lambda leaf: leaf - 100.0, points)
    kept = retain_resample_release(points, size, fresh)
    # The mean is 2, with what is not a number as zero: a point at the mean is released.
    stays = np.array([False, True, False, False, True, False])
    np.testing.assert_array_equal(np.asarray(kept["t"]) >= 0, stays)
    np.testing.assert_array_equal(kept["x"][stays], points["x"][stays])
    np.testing.assert_array_equal(kept["x"][~stays], fresh["x"][~stays])


def test_rar_puts_the_largest_residuals_in_the_next_places():
    points, pool = jnp.zeros(5), jnp.arange(1.0, 9.0)
    size = jnp.asarray([0.0, 3.0, jnp.nan, 9.0, 1.0, 2.0, 8.0, 0.0])
    key = jax.random.key(0)
    refined = residual_refined(key, points, pool, size, 2, 4)
    np.testing.assert_array_equal(refined, [7.0, 0.0, 0.0, 0.0, 4.0])
    # RAR-D draws: with the density of one point alone it is that point.
    only = jnp.where(jnp.arange(8) == 2, 1.0, 0.0)
    drawn = residual_refined(key, points, pool, only, 1, 0, greedy=False, offset=0.0)
    np.testing.assert_array_equal(drawn, [3.0, 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="9 points can't be chosen from 8"):
        residual_refined(key, points, pool, size, 9, 0)


def test_a_single_precision_phase_is_a_run_in_single_precision():
    def single(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.astype("float32"), tree)

    first = Phase(Adam(0.05), steps=6, dtype="float32")
    result = train(OBJECTIVE, THETA, first, batch=POINTS, run=Run(steps=6))
    adam, theta, points = Adam(0.05), single(THETA), single(POINTS)
    state = adam.init(OBJECTIVE, theta, points)
    for _ in range(6):
        theta, state, _ = adam.step(OBJECTIVE, theta, state, points)
    assert theta.dtype == jnp.float32 and result.params.dtype == jnp.float64
    np.testing.assert_array_equal(result.params, np.asarray(theta, float))
    # Gauss–Newton then finishes in float64, to the digits of float64.
    both = train(OBJECTIVE, THETA, [first, GaussNewton()], batch=POINTS, run=Run(steps=20))
    alone = train(OBJECTIVE, THETA, GaussNewton(), batch=POINTS, run=Run(steps=20))
    np.testing.assert_allclose(both.params, alone.params, rtol=5e-9)


def test_bad_schemes_are_refused():
    with pytest.raises(TypeError, match="ScalarObjective does not have"):
        train(ScalarObjective(lambda p, b: jnp.sum(p**2)), THETA, Adam(), weighting=NTK(),
              run=Run(steps=1))  # fmt: skip
    for make, message in (
        (lambda: Causal(tolerances=(1.0, 0.1)), "ascending"),
        (lambda: Causal(chunks=1), "at least 2 chunks"),
        (lambda: Causal(threshold=1.0), "between 0 and 1"),
        (lambda: ResidualAttention(potential="cubic"), "'quadratic' or 'exponential'"),
        (lambda: ResidualAttention(decay=1.0), "0 ≤ decay < 1"),
        (lambda: SelfAdaptive(rate=0.0), "rate > 0"),
        (lambda: GradientNorm(momentum=1.0), "less than 1"),
        (lambda: Phase(Adam(), dtype="float16"), "'float32', 'float64' or None"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(ValueError, match="no block of points is called"):
        ResidualAttention(blocks=("flux",)).init(OBJECTIVE, THETA, POINTS)
    timeless = ResidualObjective(lambda p: {"equation u": PointBlock(misfit, p["start"])})
    with pytest.raises(ValueError, match="points of time"):
        Causal().init(timeless, THETA, POINTS)
