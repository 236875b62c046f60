"""Neural methods end to end: errors that they reach, budgets, failures that have a name."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.networks import MLP
from physml.optimizers import Adam, GaussNewton
from physml.training import CheckpointError
from solvers import Run, SolverError

SMALL = functools.partial(MLP, width=10, depth=2)
# Made once: its functions are part of what is compiled.
POISSON = library.poisson()


def relative_l2(solution, field="u"):
    problem = solution.problem
    x = jnp.asarray(problem.domain.sample_interior(400, seed=9, scheme="uniform"))
    t = jnp.full(len(x), 0.0)
    if problem.time is not None:
        t = jnp.linspace(*problem.time, len(x))
    exact = jax.jit(jax.vmap(lambda y, s: problem.exact_value(field, y, s)))(x, t)
    return float(jnp.linalg.norm(solution[field](x, t) - exact) / jnp.linalg.norm(exact))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pinn_solves_poisson(seed):
    method = pm.PINN(network=SMALL, points=400)
    solution = method.solve(POISSON, Run(seed=seed, steps=40))
    assert relative_l2(solution) < 1e-5
    assert solution.stats.iterations <= 40
    assert solution.stats.unknowns == 151
    losses = [loss for _, _, loss in solution.stats.history]
    assert losses[-1] < 1e-6 * losses[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vpinn_solves_poisson(seed):
    method = pm.VPINN(network=SMALL, elements=3, tests=4, quadrature=7)
    solution = method.solve(POISSON, Run(seed=seed, steps=40))
    assert relative_l2(solution) < 1e-4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cpinn_solves_poisson_and_keeps_the_flux(seed):
    network = functools.partial(MLP, width=8, depth=2, adaptive=1.0)
    method = pm.CPINN(partition=(2, 1), network=network, points=400, interface_points=60)
    solution = method.solve(POISSON, Run(seed=seed, steps=40))
    assert relative_l2(solution) < 1e-4
    assert solution.stats.extra["flux_jump"]["u"] < 1e-3


def test_random_features_solve_poisson_to_round_off():
    method = pm.RandomFeatures(features=240, bandwidth=2.5)
    solution = method.solve(POISSON)
    assert relative_l2(solution) < 1e-11


def test_random_features_choose_their_bandwidth():
    solution = pm.RandomFeatures(features=600).solve(library.helmholtz(k=12.0))
    assert relative_l2(solution) < 1e-9
    assert 6.0 < solution.stats.extra["bandwidth"][0] < 17.0
    assert "held-out residual" in solution.stats.notes[0]


def test_pinn_solves_heat_in_time():
    solution = pm.PINN(network=SMALL, points=400).solve(library.heat(), Run(steps=40))
    assert relative_l2(solution) < 1e-5


def test_pinn_solves_poisson_on_a_disk_with_soft_conditions():
    solution = pm.PINN(network=SMALL, points=300).solve(library.poisson_disk(), Run(steps=30))
    assert relative_l2(solution) < 1e-6


def test_vpinn_solves_a_nonlinear_equation_in_time():
    method = pm.VPINN(
        network=SMALL, elements=(8, 3), tests=(4, 3), quadrature=(7, 5), optimizer=GaussNewton()
    )
    solution = method.solve(library.burgers(nu=0.2), Run(steps=60))
    assert relative_l2(solution) < 1e-3


def test_pinn_fixes_a_null_space_by_its_gauge():
    problem = pm.Problem(
        library.Poisson(f=lambda p: jnp.pi**2 * jnp.cos(jnp.pi * p.x[0])),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Neumann(u=0.0)},
        gauge={"u": pm.Pin((0.0,), u=3.0)},
        exact={"u": lambda x, t: 2.0 + jnp.cos(jnp.pi * x[0])},
    )
    solution = pm.PINN(network=SMALL, points=300).solve(problem, Run(steps=30))
    assert relative_l2(solution) < 1e-5


def test_the_viscosity_of_burgers_is_identified():
    truth = library.burgers(nu=0.1)
    rng = np.random.default_rng(0)
    x, t = rng.uniform(-1, 1, (100, 1)), rng.uniform(0, 1, 100)
    values = jax.vmap(lambda y, s: truth.exact_value("u", y, s))(jnp.asarray(x), jnp.asarray(t))
    data = pm.Observations(x, t, np.asarray(values), "u", noise=1e-2)
    guess = library.burgers(nu=0.3)
    method = pm.PINN(network=SMALL, points=400)
    solution = method.fit(guess, (data,), lambda pde: pde.nu, Run(steps=80))
    assert float(solution.problem.pde.nu.value) == pytest.approx(0.1, rel=1e-2)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    problem = POISSON
    method = pm.PINN(network=SMALL, points=50, resample=4)
    whole = method.solve(problem, Run(steps=12))
    method.solve(problem, Run(steps=6, directory=tmp_path))
    resumed = method.solve(problem, Run(steps=12, directory=tmp_path, resume=True))
    for a, b in zip(
        jax.tree.leaves(whole.parameters), jax.tree.leaves(resumed.parameters), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "log.jsonl").stat().st_size > 0
    other = library.helmholtz(k=2.0)
    with pytest.raises(CheckpointError, match="of another run"):
        method.solve(other, Run(steps=12, directory=tmp_path, resume=True))


def test_monitor_sees_solutions_and_the_budget_ends_the_run():
    seen = []
    method = pm.PINN(network=SMALL, points=50)

    def monitor(solution, seconds):
        seen.append((seconds, relative_l2(solution)))

    solution = method.solve(POISSON, Run(steps=5, monitor=monitor))
    assert solution.stats.iterations == 5
    assert len(seen) >= 2 and seen[0][1] > seen[-1][1]


def test_single_precision_is_refused_with_the_line_that_mends_it(float32):
    for method in (pm.PINN(), pm.CPINN(), pm.VPINN(), pm.RandomFeatures()):
        with pytest.raises(ValueError, match=r'jax\.config\.update\("jax_enable_x64", True\)'):
            method.solve(library.poisson(), Run(steps=1))


def test_gauss_newton_refuses_float32_networks():
    method = pm.PINN(network=SMALL, dtype="float32", points=50, optimizer=GaussNewton())
    with pytest.raises(TypeError, match="float64"):
        method.solve(POISSON, Run(steps=1))


def test_single_precision_trains_by_a_first_order_optimizer_and_says_so(tmp_path):
    method = pm.PINN(network=SMALL, dtype="float32", points=50)
    solution = method.solve(POISSON, Run(steps=3, directory=tmp_path))
    assert solution.stats.iterations == 3
    note = next(text for text in solution.stats.notes if text.startswith("optimizer by size"))
    assert "SOAP" in note
    assert "float32" in note
    assert note in json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["notes"]


def test_adam_in_single_precision():
    optimizer = Adam(1e-3)
    method = pm.PINN(network=SMALL, dtype="float32", points=50, optimizer=optimizer)
    solution = method.solve(POISSON, Run(steps=3))
    assert solution.stats.iterations == 3


class Root(pm.PDE):
    """−∇²u = √(x − ½): not a number on half of the interval."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.slope,), source=(self.load,), storage=pm.NoStorage)}

    def slope(self, p):
        return -p.grad.u

    def load(self, p):
        return jnp.sqrt(p.x[0] - 0.5)


def test_a_loss_that_is_not_finite_names_its_block():
    problem = pm.Problem(Root(), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0)})
    with pytest.raises(SolverError, match="equation u"):
        pm.PINN(network=SMALL, points=50).solve(problem, Run(steps=3))
    with pytest.raises(SolverError, match="equation u"):
        pm.RandomFeatures(features=40, bandwidth=2.0).solve(problem)


def test_random_features_name_the_term_that_is_not_affine():
    with pytest.raises(pm.NotApplicable, match=r"'convection' in the equation of 'u'"):
        pm.RandomFeatures().solve(library.burgers())
    cooled = pm.Problem(
        library.Poisson(f=1.0),
        pm.Interval(0.0, 1.0),
        boundary={"left": pm.Robin(u=lambda p: p.u**4), "right": pm.Dirichlet(u=0.0)},
    )
    with pytest.raises(pm.NotApplicable, match="condition of 'u' on 'left'"):
        pm.RandomFeatures().solve(cooled)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pm.PINN(sampling="hammersley"), "sampling is one of"),
        (lambda: pm.PINN(points=0), "points must be positive"),
        (lambda: pm.VPINN(elements=(2, 2, 2)).discretize(POISSON), "elements: expected 2"),
        (lambda: pm.VPINN(tests=5, quadrature=5).discretize(POISSON), "more than 5"),
        (lambda: pm.CPINN(network=MLP(2, 1, key=jax.random.key(0))).discretize(POISSON),
         "network for each subdomain"),
        (lambda: pm.RandomFeatures(features=0), "features must be positive"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_user_phases_are_used():
    phases = (Adam(1e-3), GaussNewton())
    method = pm.PINN(network=SMALL, points=50, optimizer=[*phases])
    solution = method.solve(POISSON, Run(steps=4))
    assert solution.stats.iterations == 4
