"""Answers that a small loss hides have a name."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import physml as pm
from pdes import library
from physml.methods._failures import check_answer
from physml.networks import MLP, Network, partition
from physml.optimizers import Adam
from solvers import Run, SolverError


class Parabola(Network):
    """u = a + b ξ + c ξ²."""

    coefficients: jax.Array
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)

    def __init__(self, *coefficients):
        self.coefficients = jnp.asarray(coefficients)
        self.in_size = self.out_size = 1

    def __call__(self, x):
        return (self.coefficients @ jnp.stack([jnp.ones(()), x[0], x[0] ** 2]))[None]


# −u″ = 0 from 0 to 3; ξ = 2x − 1, and the outputs are in units of 3.
LAPLACE = pm.Problem(
    library.Poisson(f=0.0),
    pm.Interval(0.0, 1.0),
    boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=3.0)},
)


def judged(weights, end, start=(0.0, 0.0, 1.0), adapted=None):
    method = pm.PINN(network=Parabola(*start), points=20, constraints="soft", weights=weights)
    setup = method.discretize(LAPLACE)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    after = partition({"network": Parabola(*end), "pde": None})[0]
    check_answer(setup.objective, setup.params, after, batch, adapted)


def test_the_solution_itself_is_accepted_whatever_its_weights():
    judged({"boundary": 1e-12}, (0.5, 0.5, 0.0))


def test_a_constant_that_misses_its_condition_is_trivial():
    with pytest.raises(SolverError, match=r"almost constant.*'boundary right u' by 100 %") as found:
        judged({"boundary": 1e-6}, (0.0, 0.0, 0.0))
    assert found.value.reason == "trivial_solution"


def test_a_condition_that_its_weight_starves_is_named():
    with pytest.raises(SolverError, match=r"'boundary right u' is starved.*1e-06.*67 %") as found:
        judged({"boundary right u": 1e-6}, (5 / 6, 5 / 6, 0.0), start=(0.0, 0.0, 9.0))
    assert found.value.reason == "starved_condition"
    assert "weights={'boundary right u': …}" in str(found.value)
    # So is one whose weight a weighting took away.
    with pytest.raises(SolverError, match=r"starved.*0\.001"):
        judged(None, (5 / 6, 5 / 6, 0.0), adapted={"boundary right u": jnp.asarray(1e-3)})


def test_what_has_not_been_solved_yet_is_no_failure():
    # The equation is as bad as at the start; and a missed condition of full weight is not starved.
    judged({"boundary": 1e-6}, (0.0, 0.0, 1.0))
    judged(None, (5 / 6, 5 / 6, 0.0))


def test_training_refuses_a_trivial_solution():
    """The heat equation without its initial data has the solution 0."""
    network = functools.partial(MLP, width=8, depth=2)
    method = pm.PINN(
        network=network, optimizer=Adam(1e-2), points=60, constraints="soft", resample=None,
        weights={"initial": 1e-12},
    )  # fmt: skip
    with pytest.raises(SolverError, match=r"trivial_solution.*'u'.*'initial u'.*1e-12"):
        method.solve(library.heat(), Run(steps=600))


def test_a_network_of_the_wrong_arity_is_refused_by_every_way_to_give_it():
    wide = MLP(3, 1, width=4, depth=1, key=jax.random.key(0))
    method = pm.PINN(network=wide, points=20)
    for solver in (method, pm.TimeSlabs(method, 2)):
        with pytest.raises(ValueError, match=r"needs a network \(2,\) -> \(1,\)"):
            solver.solve(library.heat(), Run(steps=2))
