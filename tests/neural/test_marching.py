"""The spectral PINN's own slabs: as long, as many and with as many waves as its residual asks."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.training import CheckpointError


class Driven(pm.PDE):
    """∂ₜu = ν ∂²u + s(x, t)."""

    fields = {"u": pm.Scalar()}
    source: object = eqx.field(static=True)
    diffusivity: float = 0.01

    def equations(self):
        return {"u": pm.Balance(flux=self.diffusion, source=self.drive)}

    def diffusion(self, p):
        return -self.diffusivity * p.grad.u

    def drive(self, p):
        return self.source(p)


class Waves(pm.PDE):
    """∂²ₜu = ∂²u."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=self.tension, inertia=1.0)}

    def tension(self, p):
        return -p.grad.u


def periodic(pde, exact, time, **options):
    return pm.Problem(
        pde,
        pm.Interval(0.0, 1.0, periodic=True),
        time=time,
        initial={"u": lambda x: exact(x, time[0])},
        exact={"u": exact},
        **options,
    )


def error(solution, problem, times):
    """Relative L2 at these times, the largest."""
    x = jnp.linspace(*(float(end[0]) for end in problem.domain.bounds), 201)[:, None]
    found = []
    for t in times:
        exact = np.array([problem.exact_value("u", y, jnp.asarray(t)) for y in x])
        gap = np.asarray(solution["u"](x, t)) - exact
        found.append(np.linalg.norm(gap) / np.linalg.norm(exact))
    return max(found)


def relative(stats):
    """What the residual says, of the size."""
    return sum(stats.extra[n]["u"] for n in ("dual_norm", "untested")) / stats.extra["size"]["u"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_long_time_is_cut_until_the_accuracy_is_there(seed):
    problem = library.burgers_periodic(0.02, time=1.0)
    solution = pm.solve(problem, pm.SpectralPINN(accuracy=1e-7), seed=seed, steps=200)
    edges = np.array(solution.stats.extra["edges"])
    assert edges[0] == 0.0 and edges[-1] == 1.0 and np.all(np.diff(edges) > 0)
    # It is smooth at first, and short slabs grow.
    assert np.diff(edges).max() > 2 * np.diff(edges).min()
    # The size falls tenfold until the end: relative to the largest, as the accuracy is.
    exact = np.asarray(
        [problem.exact_value("u", jnp.ones(1) * 0.2, jnp.asarray(t)) for t in (0, 1)]
    )
    assert error(solution, problem, [0.1, 0.4, 0.7, 1.0]) < 1e-7 * exact[0] / exact[1]
    assert not any("NOT" in note or "LESS" in note for note in solution.stats.notes)


def travelling(x, t):
    """Its rate changes with the time, and every term of its equation with both."""
    return (1.5 + jnp.cos(3 * t)) * jnp.exp(jnp.sin(2 * np.pi * (x[0] - 0.2 * t)))


def source_of(exact, diffusivity):
    """∂ₜu − ν ∂²u of a known function, by JAX."""

    def source(p):
        along = lambda y, t: jax.grad(lambda z: exact(z, t))(y)[0]
        rate = jax.grad(lambda t: exact(p.x, t))(p.t)
        return rate - diffusivity * jax.grad(lambda y: along(y, p.t))(p.x)[0]

    return source


@pytest.mark.parametrize("accuracy", [1e-4, 1e-6, 1e-8])
def test_the_error_is_less_than_asked_for_and_than_the_residual_says(accuracy):
    problem = periodic(Driven(source_of(travelling, 0.01)), travelling, time=(0.5, 4.0))
    method = pm.SpectralPINN(accuracy=accuracy, harmonics=24)
    solution = pm.solve(problem, method, steps=300)
    assert solution.stats.extra["edges"][-1] == 4.0
    assert error(solution, problem, np.linspace(0.5, 4.0, 11)) < accuracy
    assert relative(solution.stats) < 2 * accuracy


def test_waves_in_time_hand_over_their_rate():
    """Slabs of different lengths: a rate is that of the clock of the next one."""
    exact = lambda x, t: (
        jnp.sin(2 * np.pi * x[0]) * jnp.cos(2 * np.pi * t)
        + 0.1 * jnp.cos(6 * np.pi * x[0]) * jnp.sin(6 * np.pi * t)
    )
    rate = {"u": lambda x: 0.6 * np.pi * jnp.cos(6 * np.pi * x[0])}
    problem = periodic(Waves(), exact, time=(0.0, 1.5), initial_rate=rate)
    solution = pm.solve(problem, pm.SpectralPINN(harmonics=6), steps=300)
    lengths = np.diff(solution.stats.extra["edges"])
    assert lengths.max() > 1.2 * lengths.min()
    assert error(solution, problem, [0.1, 0.5, 0.9, 1.5]) < 1e-6


def test_a_source_that_sets_in_between_is_found():
    """At no time that a training sees, in the slab that ends just before."""
    exact = lambda x, t: 1.0 + jnp.maximum(t - 0.3, 0.0) + 0.0 * x[0]
    pde = Driven(lambda p: jnp.where(p.t > 0.3, 1.0, 0.0))
    problem = periodic(pde, exact, time=(0.0, 1.0))
    solution = pm.solve(problem, pm.SpectralPINN(harmonics=4), steps=500)
    edges = np.array(solution.stats.extra["edges"])
    assert np.abs(edges - 0.3).min() < 1e-4 and np.diff(edges).max() > 0.05
    assert error(solution, problem, [0.2, 0.301, 0.6, 1.0]) < 1e-6


def test_waves_are_doubled_where_the_residual_asks_for_more():
    """A wave of 40 alone makes one of 80, which the 48 of the start don't have."""

    class Squared(Driven):
        def drive(self, p):
            return p.u**2

    x = lambda p: 2 * np.pi * p[0]
    problem = pm.Problem(
        Squared(None, 1e-5),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 0.5),
        initial={"u": lambda y: jnp.sin(40 * x(y))},
    )
    solution = pm.solve(problem, pm.SpectralPINN(accuracy=1e-5), steps=100)
    fourier = pm.solve(problem, pm.Fourier(points=1024, dt=1e-3, frames=6))
    y = jnp.linspace(0.0, 1.0, 333)[:, None]
    exact = np.asarray(fourier["u"](y, 0.5))
    gap = np.asarray(solution["u"](y, 0.5)) - exact
    assert np.linalg.norm(gap) < 1e-5 * np.linalg.norm(exact)
    assert any("waves up to 192 on" in note for note in solution.stats.notes)


def test_data_with_many_waves_or_a_kink():
    exact = lambda x, t: jnp.exp(-0.1 * t) * jnp.sin(120 * np.pi * x[0])
    nothing = lambda p: 0.0
    problem = periodic(Driven(nothing, 0.1 / (120 * np.pi) ** 2), exact, time=(0.0, 1.0))
    solution = pm.solve(problem, pm.SpectralPINN(), steps=50)
    # They are not tried with the 48 waves that do not have them.
    assert "tried again" in solution.stats.notes[-1] and "; 0 tried" in solution.stats.notes[-1]
    assert error(solution, problem, [0.3, 1.0]) < 1e-6

    # |x| has waves of 4/(kπ)², k odd: what 192 of them leave out, by Parseval.
    kinked = pm.Problem(
        Driven(nothing, 1e-2),
        pm.Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 0.1),
        initial={"u": lambda x: jnp.abs(x[0])},
    )
    solution = pm.solve(kinked, pm.SpectralPINN(accuracy=5e-6), steps=50)
    k = np.arange(193, 20001, 2)
    left = np.sqrt(0.5 * np.sum((4 / (k * np.pi) ** 2) ** 2) / (1 / 3))
    note = next(n for n in solution.stats.notes if "at the start" in n and "LESS" in n)
    assert float(note.split("left out, ")[1].split()[0]) == pytest.approx(left, rel=0.03)
    k = np.arange(1, 4001, 2)
    x = np.linspace(-1, 1, 101)
    decayed = np.exp(-1e-2 * (k * np.pi) ** 2 * 0.1) * 4 / (k * np.pi) ** 2
    expected = 0.5 - np.cos(np.pi * x[:, None] * k) @ decayed
    found = np.asarray(solution["u"](jnp.asarray(x)[:, None], 0.1))
    assert np.linalg.norm(found - expected) < 5e-6 * np.linalg.norm(expected)


HEAT = pm.SpectralPINN(harmonics=6)


def heat():
    exact = lambda x, t: jnp.exp(-4 * np.pi**2 * t) * jnp.sin(2 * np.pi * x[0]) + jnp.cos(5 * t)
    pde = Driven(lambda p: -5 * jnp.sin(5 * p.t), 1.0)
    return periodic(pde, exact, time=(0.0, 1.0))


def test_a_run_that_ends_early_says_how_far_it_came():
    problem = heat()
    solution = pm.solve(problem, HEAT, steps=7)
    reached = solution.stats.extra["edges"][-1]
    assert 0.0 < reached < 1.0
    note = f"NOT SOLVED beyond t = {reached:.4g} of 1, where the last state is kept: the steps"
    assert any(note in n for n in solution.stats.notes)
    assert error(solution, problem, [0.5 * reached, reached]) < 1e-5
    x = jnp.linspace(0.0, 1.0, 9)[:, None]
    np.testing.assert_array_equal(solution["u"](x, 1.0), solution["u"](x, 0.9))
    np.testing.assert_allclose(solution["u"](x, 1.0), solution["u"](x, reached), atol=1e-6)


def test_a_solution_that_blows_up_is_not_followed_for_ever():
    """u = 1/(1 − t): the slabs shrink towards t = 1."""

    class Squared(Driven):
        def drive(self, p):
            return p.u**2

    problem = pm.Problem(
        Squared(None),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 1.5),
        initial={"u": 1.0},
    )
    solution = pm.solve(problem, pm.SpectralPINN(harmonics=2), steps=1000)
    (note,) = [n for n in solution.stats.notes if n.startswith("NOT SOLVED beyond")]
    assert "no longer hold, as where a solution blows up" in note
    assert solution.stats.extra["edges"][-1] == pytest.approx(1.0, abs=1e-3)
    x = jnp.zeros((1, 1))
    np.testing.assert_allclose(solution["u"](x, 0.9)[0], 10.0, rtol=1e-5)


def test_where_round_off_ends_it_slabs_do_not_shrink_for_ever():
    """The residual of fifty radians is 4e-9 h however short a slab is."""
    problem = library.convection()
    solution = pm.solve(problem, pm.SpectralPINN(accuracy=1e-9, harmonics=4), steps=400)
    edges = solution.stats.extra["edges"]
    assert edges[-1] == 1.0 and len(edges) < 120
    assert error(solution, problem, [0.3, 1.0]) < 1e-9


def test_a_killed_run_goes_on(tmp_path):
    problem = heat()
    whole = pm.solve(problem, HEAT, steps=100)
    pm.solve(problem, HEAT, steps=7, out=tmp_path)
    resumed = pm.solve(problem, HEAT, steps=100, out=tmp_path, resume=True)
    assert resumed.stats.extra["edges"] == whole.stats.extra["edges"]
    assert resumed.stats.iterations == whole.stats.iterations
    x = jnp.linspace(0.0, 1.0, 9)[:, None]
    for t in (0.05, 0.6, 1.0):
        np.testing.assert_allclose(resumed["u"](x, t), whole["u"](x, t), rtol=1e-12, atol=1e-12)
    with pytest.raises(CheckpointError, match="is of another run"):
        other = pm.SpectralPINN(harmonics=6, accuracy=1e-5)
        pm.solve(problem, other, steps=100, out=tmp_path, resume=True)


def test_a_monitor_sees_the_slabs_so_far():
    problem, seen = heat(), []
    x = jnp.full((1, 1), 0.3)
    pm.solve(
        problem, HEAT, steps=100,
        monitor=lambda solution, seconds: seen.append((seconds, float(solution["u"](x, 0.05)[0]))),
    )  # fmt: skip
    assert len(seen) > 2 and all(a[0] <= b[0] for a, b in itertools.pairwise(seen))
    exact = float(problem.exact_value("u", x[0], jnp.asarray(0.05)))
    assert abs(seen[-1][1] - exact) < 1e-5


def test_slabs_of_slabs_are_slabs():
    """Where the number is given, each is one network."""
    solution = pm.solve(heat(), pm.TimeSlabs(HEAT, 4, warm=False), steps=20)
    assert len(solution.parameters) == 4 and "edges" not in solution.stats.extra


def test_what_one_network_needs_is_one_slab():
    network = pm.FourierSeries(3, 1, harmonics=6, inner=pm.MLP, key=jax.random.key(0))
    for method in (pm.SpectralPINN(harmonics=6, network=network), HEAT.one_slab):
        solution = pm.solve(heat(), method, steps=2)
        assert "edges" not in solution.stats.extra


@pytest.mark.parametrize("accuracy", [0.0, -1e-6, 1.0, np.nan])
def test_an_accuracy_is_a_small_number(accuracy):
    with pytest.raises(ValueError, match="accuracy is a relative error between 0 and 1"):
        pm.SpectralPINN(accuracy=accuracy)
