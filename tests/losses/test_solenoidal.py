"""Divergence-free velocities: exact for every network, and refused where there is no constraint."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.losses import SolenoidalTrial, problem_inputs, solenoidal_constraint
from physml.networks import MLP

SMALL = functools.partial(MLP, width=10, depth=2)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_divergence_vanishes_for_any_network(dim):
    problem = pm.Problem(
        library.Stokes(),
        pm.Box((0.0,) * dim, (1.0,) * dim),
        boundary={"all": pm.Dirichlet(u=0.0)},
        gauge={"p": pm.ZeroMean()},
    )
    trial = SolenoidalTrial(
        inputs=problem_inputs(problem),
        shapes=tuple(problem.shapes.items()),
        scales=(1.0, 1.0),
        shaping={},
        velocity="u",
        length=0.5,
    )
    assert trial.outputs == {2: 2, 3: 4}[dim]
    network = MLP(dim, trial.outputs, width=8, depth=2, key=jax.random.key(0))
    u = lambda x: trial(network, x, jnp.zeros(()))["u"]
    points = jax.random.uniform(jax.random.key(1), (50, dim))
    slopes = jax.jit(jax.vmap(jax.jacfwd(u)))(points)
    np.testing.assert_allclose(jnp.trace(slopes, axis1=1, axis2=2), 0.0, atol=1e-14)
    assert float(jnp.abs(slopes).max()) > 0.1


def test_the_constraint_of_stokes_has_no_residual():
    problem = library.stokes()
    setup = pm.PINN(divergence_free=True, network=SMALL, points=20).discretize(problem)
    names = setup.objective.names()
    assert "equation u" in names and "equation p" not in names
    assert "the equation of p" in setup.notes[0]
    fields, _ = setup.represent(setup.params)
    x = jnp.asarray(problem.domain.sample_interior(50, seed=5))
    u = lambda y: fields.values(y, jnp.zeros(()))["u"]
    slopes = jax.jit(jax.vmap(jax.jacfwd(u)))(x)
    divergence = jnp.abs(jnp.trace(slopes, axis1=1, axis2=2)).max()
    assert float(divergence) < 1e-14 * float(jnp.abs(slopes).max())


class Sources(pm.PDE):
    """Stokes with ∇·u = g, or with the divergence written as a source."""

    g: pm.Coefficient = pm.coefficient(0.0)
    fields = {"u": pm.Vector(), "p": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.stress,), storage=pm.NoStorage),
            "p": pm.Constraint(source=(self.divergence, self.supply)),
        }

    def stress(self, p):
        return p.p * jnp.eye(2) - p.grad.u

    def divergence(self, p):
        return 2.0 * p.div.u

    def supply(self, p):
        return self.g(p) + 0.0 * p.x[0]


def enclosed(pde, **options):
    return pm.Problem(
        pde, pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}, gauge={"p": pm.ZeroMean()},
        **options,
    )  # fmt: skip


def test_the_constraint_is_recognised_as_it_is_written():
    assert solenoidal_constraint(enclosed(Sources())) == ("p", "u")
    assert solenoidal_constraint(library.kovasznay()) == ("p", "u")
    for problem in (enclosed(Sources(g=1.0)), library.poisson(), library.elasticity()):
        with pytest.raises(ValueError, match="has no constraint ∇·u = 0"):
            solenoidal_constraint(problem)
    with pytest.raises(ValueError, match="two or three dimensions"):
        pm.PINN(divergence_free=True).discretize(library.heat())
    with pytest.raises(ValueError, match="constraints='hard' can't be had"):
        pm.PINN(divergence_free=True, constraints="hard").discretize(library.stokes())


def test_a_mean_flow_across_a_periodic_box_is_refused():
    problem = pm.Problem(
        library.NavierStokes(),
        pm.Rectangle(periodic=True),
        time=(0.0, 1.0),
        initial={"u": (1.0, 0.0)},
        gauge={"p": pm.ZeroMean()},
    )
    with pytest.raises(ValueError, match="the mean of component 0"):
        solenoidal_constraint(problem)
