"""Methods of several stages: slabs of time, a curriculum, an ensemble."""

import dataclasses
import functools
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.methods import _time_slabs
from physml.methods._handover import Previous, Series, handover
from physml.networks import MLP
from physml.optimizers import GaussNewton
from solvers import Representation, Run, Stats

SMALL = functools.partial(MLP, width=8, depth=2)
HEAT = library.heat()
METHOD = pm.PINN(network=SMALL, points=120, optimizer=GaussNewton())
X = jnp.linspace(0.05, 0.95, 19)[:, None]


def equal(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_slabs_solve_heat_and_are_one_continuous_function(seed):
    slabs = pm.TimeSlabs(METHOD, 3)
    solution = slabs.solve(HEAT, Run(seed=seed, steps=120))
    for t in (0.0, 0.2, 1 / 3, 0.5, 0.8, 1.0):
        exact = jax.vmap(lambda y, t=t: HEAT.exact_value("u", y, t))(X)
        np.testing.assert_allclose(solution["u"](X, t), exact, atol=2e-5)
    # Initial data of a slab are the end of the one before, exactly.
    for edge in (1 / 3, 2 / 3):
        gap = solution["u"](X, edge + 1e-13) - solution["u"](X, edge - 1e-13)
        np.testing.assert_allclose(gap, 0.0, atol=1e-11)
    assert solution.stats.iterations == sum(s["steps"] for s in solution.stats.extra["slabs"])
    assert [s["steps"] <= 40 for s in solution.stats.extra["slabs"]] == [True] * 3


def test_time_that_slabs_leave_over_is_for_the_next_one():
    budget = _time_slabs.slab_budget
    # On time: a quarter each. Early by 15 s: all of them. Late: the rest in equal parts.
    assert budget(100.0, 0.0, 0, 4) == pytest.approx(25.0)
    assert budget(75.0, 25.0, 1, 4) == pytest.approx(25.0)
    assert budget(90.0, 10.0, 1, 4) == pytest.approx(40.0)
    assert budget(60.0, 40.0, 1, 4) == pytest.approx(20.0)
    assert budget(30.0, 70.0, 3, 4) == pytest.approx(30.0)


def _slab(loss, status="target", notes=(), **extra):
    return Stats(1, 0.0, 1.0, 5, notes=notes, extra={"loss": loss, "status": status, **extra})


def test_a_slab_that_is_cut_off_is_named():
    cut_off = _time_slabs._cut_off
    early = [_slab(1e-12), _slab(2e-5, "seconds"), _slab(3e-12), _slab(2e-12)]
    (note,) = cut_off(early)
    assert note.startswith("NOT CONVERGED in slab 2 of 4: the budget ended at a loss of 2.0e-05")
    # None is far from the others; or it ended by itself, and its loss is what it can do.
    assert cut_off([_slab(1e-6, "seconds"), _slab(2e-5, "seconds"), _slab(1e-5, "seconds")]) == []
    assert cut_off([_slab(1e-12), _slab(2e-5, "stalled"), _slab(3e-12)]) == []


def test_notes_of_slabs_are_told_once():
    every, other = "exact by construction: u", "the target loss was reached after {} steps"
    stats = [
        _slab(1e-9, notes=(every, other.format(3))),
        _slab(1e-9, notes=(every, other.format(4), "Cholesky of 5")),
        _slab(1e-9, notes=(every, other.format(3), "NOT CONVERGED: about 1.5e-01")),
    ]
    assert _time_slabs._notes_by_slab(stats) == [
        every,
        "each slab, such as 1 of 3: " + other.format(3),
        "slab 2 of 3: Cholesky of 5",
        "slab 3 of 3: NOT CONVERGED: about 1.5e-01",
    ]
    names = _time_slabs._slabs
    assert names([1, 4], 9) == "slabs 1 and 4 of 9"
    assert names(list(range(1, 8)), 9) == "slabs 1, 2, 3, 4, 5, … (7 of 9)"


def test_estimates_of_slabs_add_up():
    method = pm.TimeSlabs(pm.SpectralPINN(harmonics=8), 3, warm=False)
    problem = pm.library.burgers_periodic(nu=0.1).replace(time=(0.0, 0.3))
    extra = method.solve(problem, Run(steps=9)).stats.extra
    each = [slab["dual_norm"]["u"] for slab in extra["slabs"]]
    assert len(each) == 3 and min(each) > 0
    assert extra["dual_norm"]["u"] == pytest.approx(sum(each))
    assert extra["untested"]["u"] > 0


def test_many_slabs_are_evaluated_as_few(monkeypatch):
    """Each point by its own slab alone, in parts, and by all slabs in turn."""
    solution = pm.TimeSlabs(METHOD, 6).solve(HEAT, Run(steps=6))
    fields = solution.representation
    assert fields.at_once is not None
    x = jnp.linspace(0.05, 0.95, 23)[:, None]
    t = jnp.linspace(-0.1, 1.1, 23) * HEAT.time[1]
    parts = [jax.lax.map(lambda p: fields.values(*p)["u"], (x, t), batch_size=5)]
    parts += [solution["u"](x, t)]
    monkeypatch.setattr(_time_slabs, "_FEW", 6)
    assert fields.at_once is None
    whole = jax.vmap(lambda y, s: fields.values(y, s)["u"])(x, t)
    for part in parts:
        np.testing.assert_allclose(part, whole, atol=1e-13)


def test_interrupted_slabs_resume_to_the_same_end(tmp_path):
    slabs, seen = pm.TimeSlabs(METHOD, 3), []

    def monitor(solution, seconds):
        seen.append(float(jnp.max(jnp.abs(solution["u"](X, 1.0)))))

    whole = slabs.solve(HEAT, Run(steps=9, directory=tmp_path, monitor=monitor))
    assert len(seen) >= 6 and np.isfinite(seen).all()
    first = (tmp_path / "slab-000" / "log.jsonl").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "slab-002")
    shutil.rmtree(tmp_path / "slab-001" / "finished")
    resumed = slabs.solve(HEAT, Run(steps=9, directory=tmp_path, resume=True))
    assert equal(whole.parameters, resumed.parameters)
    assert (tmp_path / "slab-000" / "log.jsonl").stat().st_mtime_ns == first
    assert [s["steps"] for s in resumed.stats.extra["slabs"]] == [3, 3, 3]


class Known(Representation):
    """u = e^{sin θ} (1 + t)², θ = x − ½, with a rate that is known."""

    def values(self, x, t):
        return {"u": jnp.exp(jnp.sin(x[0] - 0.5)) * (1 + t) ** 2}

    def frames(self):
        return None


def fourth(function, x):
    for _ in range(4):
        function = jax.grad(function)
    return function(x)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_series_of_a_state_is_the_state_with_its_derivatives(periodic):
    domain = pm.Interval(0.0, 2 * np.pi, periodic=periodic)
    boundary = {} if periodic else {"all": pm.Dirichlet(u=0.0)}
    problem = pm.Problem(library.Wave(), domain, time=(0.0, 1.0), initial={"u": 0.0},
                         initial_rate={"u": 0.0}, boundary=boundary)  # fmt: skip
    values, rates, count = handover(problem, Known(), 0.5)
    assert count == 64 and isinstance(values["u"], Series)

    @jax.jit
    def all_of(x):
        exact = lambda y: jnp.exp(jnp.sin(y - 0.5))
        functions = (exact, lambda y: values["u"](y[None]), lambda y: rates["u"](y[None]))
        return [(function(x), fourth(function, x)) for function in functions]

    for x in (0.3, 2.0, 6.1):
        (value, bend), *found = all_of(x)
        for (one, other), factor in zip(found, (2.25, 3.0), strict=True):
            np.testing.assert_allclose(one, factor * value, rtol=1e-12)
            np.testing.assert_allclose(other, factor * bend, rtol=1e-6, atol=1e-6)


class Jump(Representation):
    """A state that no series resolves."""

    def values(self, x, t):
        return {"u": jnp.sign(x[0] - 0.3) + t}

    def frames(self):
        return None


def test_a_state_without_a_series_is_kept_as_it_is():
    values, rates, _ = handover(HEAT, Jump(), 0.5)
    assert isinstance(values["u"], Previous) and rates == {}
    np.testing.assert_allclose(values["u"](jnp.asarray([0.4])), 1.5)


def test_a_curriculum_is_its_stages_by_hand():
    def kappa(pde):
        return pde.kappa

    found = pm.Curriculum(METHOD, kappa, (0.5,)).solve(HEAT, Run(steps=6))
    easy = eqx.tree_at(lambda p: p.pde.kappa.value, HEAT, jnp.asarray(0.5))
    first = METHOD.solve(easy, Run(steps=3))
    warm = dataclasses.replace(METHOD, network=first.representation.network)
    second = warm.solve(HEAT, Run(steps=3))
    assert equal(found.parameters, second.parameters)
    assert float(found.problem.pde.kappa.value) == 0.25
    assert [s["steps"] for s in found.stats.extra["stages"]] == [3, 3]


def test_an_ensemble_has_the_mean_and_the_deviation_of_its_members():
    found = pm.ensemble(HEAT, METHOD, (0, 1, 4), steps=2)
    members = np.stack([s["u"](X, 0.7) for s in found.solutions])
    np.testing.assert_allclose(found["u"](X, 0.7), members.mean(axis=0), rtol=1e-12)
    deviation = members.std(axis=0, ddof=1)
    np.testing.assert_allclose(found.deviation["u"](X, 0.7), deviation, rtol=1e-9)
    assert deviation.max() > 0
    alone = METHOD.solve(HEAT, Run(seed=4, steps=2))
    assert equal(alone.parameters, found.solutions[2].parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pm.TimeSlabs(pm.Fourier()), "neural method"),
        (lambda: pm.TimeSlabs(METHOD, 1), "slabs ≥ 2"),
        (lambda: pm.TimeSlabs(METHOD).solve(library.poisson()), "no time to cut"),
        (lambda: pm.Curriculum(METHOD, lambda pde: pde.kappa, ()), "needs values"),
        (lambda: pm.Curriculum(METHOD, lambda pde: pde, (1.0,)).solve(HEAT, Run(steps=2)),
         "must give a coefficient"),
        (lambda: pm.ensemble(HEAT, METHOD, (1,)), "at least two seeds"),
        (lambda: pm.ensemble(HEAT, METHOD, (1, 1)), "all different"),
        (lambda: pm.ensemble(HEAT, pm.Chebyshev()), "same answer for every seed"),
        (lambda: pm.PINN(sampling="rare"), "sampling is one of"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
