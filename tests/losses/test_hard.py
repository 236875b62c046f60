"""Conditions built into the trial function hold to round-off for any network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.losses import (
    Trial,
    build_network,
    data_scales,
    hard_constraints,
    output_shapes,
    problem_inputs,
)
from physml.networks import MLP


def random_fields(problem, mode="auto"):
    """fields(x, t) of an untrained network with the exact conditions built in."""
    shapes = output_shapes(problem, mixed=True)
    hard = hard_constraints(problem, shapes, mode)
    inputs = problem_inputs(problem)
    trial = Trial(
        inputs=inputs,
        shapes=tuple(shapes.items()),
        scales=(1.0,) * len(shapes),
        shaping=hard.shaping,
    )
    factory = functools.partial(MLP, width=6, depth=2)
    key = jax.random.key(0)
    network = build_network(factory, inputs.size, trial.out_size, key, jnp.result_type(float))
    fields = jax.jit(lambda x, t: trial(network, x, t))
    return hard, lambda x, t=0.0: fields(jnp.asarray(x), jnp.asarray(t))


def test_burgers_boundary_and_initial_values_are_exact():
    hard, fields = random_fields(library.burgers())
    assert hard.boundary == {("left", "u"), ("right", "u")}
    assert hard.initial == {"u"}
    for t in (0.0, 0.3, 1.0):
        assert abs(fields([-1.0], t)["u"]) < 1e-15
        assert abs(fields([1.0], t)["u"]) < 1e-15
    for x in np.linspace(-1, 1, 7):
        assert fields([x])["u"] == pytest.approx(-np.sin(np.pi * x), abs=1e-15)
    assert abs(fields([0.3], 0.7)["u"] + np.sin(np.pi * 0.3)) > 1e-3


def test_near_starts_at_the_data_and_leaves_them_to_a_residual():
    """u = u₀ + (1 − x²) N for Burgers: exact on the ends, and N is left at the start."""
    hard, near = random_fields(library.burgers(), "near")
    assert hard.boundary == {("left", "u"), ("right", "u")} and hard.initial == frozenset()
    for t in (0.0, 0.6):
        assert max(abs(near([x], t)["u"]) for x in (-1.0, 1.0)) < 1e-15
    _, exact = random_fields(library.burgers())
    # At the end of the interval the time factor of exact data is 1: both are the same function.
    np.testing.assert_allclose(near([0.4], 1.0)["u"], exact([0.4], 1.0)["u"], rtol=1e-14)
    assert abs(near([0.4], 0.0)["u"] - exact([0.4], 0.0)["u"]) > 1e-3


def test_near_has_a_residual_at_the_start_that_training_removes():
    problem = library.burgers_periodic(0.05, time=0.1)
    method = pm.PINN(
        network=functools.partial(MLP, width=12, depth=2),
        points=300,
        boundary_points=50,
        constraints="near",
        weights={"initial": 1e4},
    )
    setup = method.setup(problem, 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    assert "initial u" in setup.objective.terms(setup.params, batch)
    solution = pm.solve(problem, method, seed=0, steps=40)
    x = jnp.linspace(0.0, 1.0, 21)[:, None]
    start = np.asarray(jax.vmap(lambda y: problem.initial_value("u", y))(x)).reshape(-1)
    gap = np.abs(np.asarray(solution["u"](x, jnp.zeros(21))) - start).max()
    assert 0 < gap < 1e-4


def test_wave_starts_with_its_value_and_its_rate():
    problem = library.wave()
    _, fields = random_fields(problem)
    x = jnp.asarray([0.37])
    value, rate = jax.jvp(lambda t: fields(x, t)["u"], (jnp.asarray(0.0),), (jnp.asarray(1.0),))
    assert value == pytest.approx(float(problem.initial_value("u", x)), abs=1e-14)
    assert rate == pytest.approx(float(problem.initial_rate["u"](x)), abs=1e-13)


def test_boundary_values_of_two_dimensions_and_time_meet_at_corners():
    def g(x, t):
        return jnp.sin(x[0]) * jnp.cos(2 * x[1]) + t * x[0] * x[1] ** 2

    problem = pm.Problem(
        library.Heat(),
        pm.Rectangle((0.0, 0.0), (2.0, 1.0)),
        time=(0.0, 1.0),
        initial={"u": lambda x: g(x, 0.0) + x[0] * (2 - x[0]) * x[1] * (1 - x[1])},
        boundary={"all": pm.Dirichlet(u=g)},
    )
    hard, fields = random_fields(problem)
    assert hard.initial == {"u"} and len(hard.boundary) == 4
    sample = problem.domain.sample_boundary(40, seed=1)
    for x, t in zip(sample.points, np.linspace(0, 1, len(sample.points)), strict=True):
        assert fields(x, t)["u"] == pytest.approx(float(g(x, t)), abs=1e-13)
    inside = [0.7, 0.4]
    assert fields(inside)["u"] == pytest.approx(
        float(problem.initial_value("u", jnp.asarray(inside)))
    )


def test_one_component_may_be_free():
    problem = pm.Problem(
        library.Elasticity(young=1.0, poisson=0.3),
        pm.Rectangle(),
        boundary={
            "left": pm.Dirichlet(u=(0.0, None)),
            "bottom": pm.Dirichlet(u=(None, 1.0)),
            "right": pm.Traction(u=(0.1, 0.0)),
            "top": pm.Traction(u=(0.0, 0.0)),
        },
    )
    hard, fields = random_fields(problem)
    assert hard.boundary == {("left", "u"), ("bottom", "u")}
    left, bottom = fields([0.0, 0.4])["u"], fields([0.4, 0.0])["u"]
    assert left[0] == 0.0 and abs(left[1]) > 1e-3
    assert bottom[1] == 1.0 and abs(bottom[0]) > 1e-3


def test_an_initial_kink_under_periodicity_stays_soft():
    # x² cos πx on the periodic [−1, 1]: continuous, but its slope jumps at ±1.
    problem = pm.Problem(
        library.Heat(),
        pm.Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: x[0] ** 2 * jnp.cos(jnp.pi * x[0])},
    )
    hard, _ = random_fields(problem)
    assert hard.initial == frozenset()
    assert any("kink" in note for note in hard.notes)
    with pytest.raises(ValueError, match=r"constraints='hard' for 'u'.*kink"):
        random_fields(problem, "hard")


def test_values_that_disagree_at_corners_stay_soft():
    hard, _ = random_fields(library.cavity())
    assert not any(part == "lid" and name == "u" for part, name in hard.boundary)
    assert any("corners" in note for note in hard.notes)


def test_initial_data_that_contradict_the_boundary_stay_soft():
    problem = pm.Problem(
        library.Heat(),
        pm.Interval(0.0, 1.0),
        time=(0.0, 1.0),
        initial={"u": 1.0},
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    hard, fields = random_fields(problem)
    assert hard.initial == frozenset()
    assert hard.boundary == {("left", "u"), ("right", "u")}
    assert fields([0.0], 0.0)["u"] == 0.0


def test_unknown_mode():
    with pytest.raises(ValueError, match="'auto', 'hard', 'near' or 'soft', got 'stiff'"):
        hard_constraints(library.heat(), ["u"], "stiff")


def test_scales_belong_to_their_fields_and_ignore_round_off():
    def wall(x, t):
        return jnp.stack([5.0 * jnp.cos(x[1]), jnp.sin(jnp.pi) * x[0]])

    problem = pm.Problem(
        library.Stokes(),
        pm.Rectangle(),
        boundary={"all": pm.Dirichlet(u=wall)},
        gauge={"p": pm.ZeroMean()},
    )
    scales = data_scales(problem, problem.shapes)
    assert list(scales) == ["u", "p"]
    assert 4.0 < scales["u"] <= 5.0 and scales["p"] == 1.0
    # sin π is 1.2e-16 in float64, not a scale of the solution.
    problem = pm.Problem(
        library.Poisson(f=1.0),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Dirichlet(u=lambda x, t: jnp.sin(jnp.pi * x[0]))},
    )
    assert data_scales(problem, ["u"]) == {"u": 1.0}
