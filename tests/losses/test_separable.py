"""Separable networks: residuals on the grid are those at its points, Jacobian included."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from pdes import library
from physml.losses import Separable, SeparableTrial, equation_residual
from physml.networks import MLP

SMALL = functools.partial(MLP, width=4, depth=1)


@pytest.mark.parametrize("make", [library.burgers, library.poisson])
def test_grid_residuals_are_those_at_its_points(make):
    """A nonlinear equation in time, and a steady one."""
    problem = make()
    setup = pm.SPINN(network=SMALL, rank=2, points=(3, 4)).setup(problem, 0)
    objective = setup.objective
    assert isinstance(objective, Separable)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    blocks = objective.blocks(batch)
    conditions = objective.conditions
    fields = conditions.fields(setup.params)
    grid = jnp.stack(jnp.meshgrid(*batch["axes"], indexing="ij"), -1).reshape(12, 2)
    timed = problem.time is not None
    theta, unravel = ravel_pytree(setup.params)
    name = conditions.trial.names[0]

    def at(z):
        x, t = (z[:1], z[1]) if timed else (z, jnp.zeros(()))
        return equation_residual(problem, name, fields, x, t)

    expected = jax.jit(jax.vmap(at))(grid).reshape(-1) / 12**0.5
    block = blocks[f"equation {name}"]
    residual, jacobian = eqx.filter_jit(block.jacobian)(setup.params)
    np.testing.assert_allclose(residual, expected, atol=1e-12 * float(jnp.abs(expected).max()))
    slope = jax.jit(jax.jacfwd(lambda v: block.residual(unravel(v))))(theta)
    np.testing.assert_allclose(jacobian, slope, atol=1e-11 * float(jnp.abs(slope).max()))
    assert "grid point" in block.locate(5, len(residual))


def test_sum_of_products():
    """rank 2 in two directions: u = f₁ g₁ + f₂ g₂."""
    trial = SeparableTrial(
        axes=pm.SPINN(points=2).setup(library.poisson(), 0).objective.conditions.trial.axes,
        rank=2,
        shapes=(("u", ()),),
        scales=(1.0,),
        shaping={},
    )
    network = (lambda s: jnp.stack([s[0], s[0] ** 2]), lambda s: jnp.stack([1.0, jnp.sin(s[0])]))
    found = trial(network, jnp.array([0.75, 0.9]), jnp.zeros(()))["u"]
    assert float(found) == pytest.approx(0.5 + 0.25 * np.sin(0.8), rel=1e-14)


def test_boxes_only():
    with pytest.raises(pm.NotApplicable, match=r"no box; use pm\.PINN"):
        pm.SPINN().discretize(library.poisson_disk())
    with pytest.raises(ValueError, match="expected 2 positive whole numbers"):
        pm.SPINN(points=(3,)).discretize(library.poisson())
