"""Strong residuals at points: they vanish on exact solutions, and their Jacobians are right."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from pdes import library
from physml.losses import (
    SOFT,
    Collocation,
    Trial,
    build_network,
    output_shapes,
    problem_inputs,
    stacked,
)
from physml.networks import MLP, partition
from tests.losses._exact import exact_collocation, largest

COUNTS = {"interior": 64, "boundary": 16, "initial": 32}


@pytest.mark.parametrize(
    "name",
    ["poisson", "anisotropic_diffusion", "heat", "convection", "burgers_2d", "wave", "helmholtz",
     "klein_gordon", "elasticity", "stokes", "kovasznay"],
)  # fmt: skip
def test_every_block_vanishes_on_the_exact_solution(name):
    problem = getattr(library, name)()
    objective, params = exact_collocation(problem)
    batch = stacked(objective.sample(COUNTS, seed=3))
    found = largest(eqx.filter_jit(objective.residuals)(params, batch))
    equations = [block for block in found if block.startswith("equation")]
    assert len(equations) == len(problem.exact)
    for block, size in found.items():
        # A gauge by 512 sample points is as exact as their quadrature, no more.
        assert size < (2e-2 if block.startswith("mean") else 1e-9), (block, size)


def test_burgers_exact_solution_leaves_round_off_only():
    objective, params = exact_collocation(library.burgers(nu=0.1))
    batch = stacked(objective.sample(COUNTS, seed=3))
    found = largest(eqx.filter_jit(objective.residuals)(params, batch))
    assert set(found) == {"equation u", "boundary left u", "boundary right u", "initial u"}
    assert max(found.values()) < 1e-8


def test_a_wrong_solution_is_seen_in_the_block_that_it_violates():
    problem = library.heat()
    exact = problem.exact["u"]
    objective, params = exact_collocation(problem, {"u": lambda x, t: exact(x, t) + 0.5})
    batch = stacked(objective.sample(COUNTS, seed=0))
    found = largest(eqx.filter_jit(objective.residuals)(params, batch))
    assert found["equation u"] < 1e-10
    # Each residual is divided by √N of its points.
    assert found["boundary left u"] == pytest.approx(0.5 / 4.0)
    assert found["initial u"] == pytest.approx(0.5 / 32**0.5)


class Cooling(pm.PDE):
    """−∇²u = 0 with flux −∇u, for conditions on the flux."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.drift, self.diffusion), storage=pm.NoStorage)}

    def drift(self, p):
        return jnp.stack([p.u, 0.0 * p.u])

    def diffusion(self, p):
        return -p.grad.u


def test_natural_conditions_by_term_by_robin_and_free():
    # u = x² + 2y: F = (u − 2x, −2).
    problem = pm.Problem(
        Cooling(),
        pm.Rectangle(),
        boundary={
            "left": pm.Neumann(u=0.0, terms=("diffusion",)),
            "right": pm.Robin(u=lambda p: p.u - 2.0 * p.x[0] + 0.25),
            "bottom": pm.Neumann(u=2.0),
            "top": pm.Dirichlet(u=lambda x, t: x[0] ** 2 + 2.0),
        },
    )
    objective, params = exact_collocation(problem, {"u": lambda x, t: x[0] ** 2 + 2 * x[1]})
    found = largest(
        eqx.filter_jit(objective.residuals)(params, stacked(objective.sample(COUNTS, 0)))
    )
    assert found["boundary left u"] < 1e-14
    assert found["boundary right u"] == pytest.approx(0.25 / 4.0)
    assert found["boundary bottom u"] < 1e-14
    assert found["boundary top u"] < 1e-14


def test_free_boundaries_have_no_block():
    problem = pm.Problem(
        Cooling(),
        pm.Rectangle(),
        boundary={"all": pm.Free("u"), "left": pm.Dirichlet(u=0.0)},
    )
    objective, _ = exact_collocation(problem, {"u": lambda x, t: x[0]})
    assert objective.names() == ["equation u", "boundary left u"]


def network_collocation(problem, mixed=False, **options):
    shapes = output_shapes(problem, mixed)
    inputs = problem_inputs(problem)
    trial = Trial(
        inputs=inputs, shapes=tuple(shapes.items()), scales=(1.0,) * len(shapes), shaping={}
    )
    factory = functools.partial(MLP, width=6, depth=2)
    network = build_network(
        factory, inputs.size, trial.out_size, jax.random.key(1), jnp.result_type(float)
    )
    params, static = partition({"network": network, "pde": None})
    return Collocation(problem, trial, static, SOFT, **options), params


@pytest.mark.parametrize("name", ["burgers", "stokes", "wave"])
def test_jacobians_are_the_derivatives_of_the_residual(name):
    objective, params = network_collocation(getattr(library, name)())
    batch = stacked(objective.sample({"interior": 12, "boundary": 6, "initial": 6}, 0))
    theta, unravel = ravel_pytree(params)
    residual, jacobian = eqx.filter_jit(objective.jacobian)(params, batch)
    expected = jax.jit(jax.jacfwd(lambda flat: objective.residual(unravel(flat), batch)))(theta)
    np.testing.assert_allclose(jacobian, expected, atol=1e-11 * float(jnp.abs(expected).max()))
    np.testing.assert_allclose(
        residual, eqx.filter_jit(objective.residual)(params, batch), atol=1e-13
    )


def test_periodic_inputs_are_exact_for_value_and_slope():
    objective, params = network_collocation(library.convection())
    fields = objective.fields(params)
    t = jnp.asarray(0.3)
    low, high = objective.problem.domain.bounds
    ends = [
        jax.value_and_grad(lambda s: fields(jnp.asarray([s]), t)["u"])(end[0])
        for end in (low, high)
    ]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-13)


def test_weights_scale_the_loss_of_their_blocks():
    problem = library.heat()
    plain, params = network_collocation(problem)
    heavy, _ = network_collocation(problem, weights={"boundary": 9.0, "initial u": 4.0})
    batch = stacked(plain.sample(COUNTS, 0))
    before, after = (
        eqx.filter_jit(plain.terms)(params, batch),
        eqx.filter_jit(heavy.terms)(params, batch),
    )
    factors = {"equation u": 1, "boundary left u": 9, "boundary right u": 9, "initial u": 4}
    for name, factor in factors.items():
        assert float(after[name]) == pytest.approx(factor * float(before[name]))


def test_unknown_weight_is_refused():
    with pytest.raises(ValueError, match=r"no block 'boundry'.*boundary left u"):
        network_collocation(library.heat(), weights={"boundry": 1.0})


def test_observations_are_divided_by_their_noise():
    problem = library.heat()
    x, t = np.full((5, 1), 0.3), np.linspace(0, 1, 5)
    values = np.asarray(
        [float(problem.exact_value("u", jnp.asarray(p), s)) for p, s in zip(x, t, strict=True)]
    )
    data = pm.Observations(x, t, values + 0.02, "u", noise=0.1)
    objective, params = exact_collocation(problem, observations=(data,))
    found = eqx.filter_jit(objective.residuals)(params, stacked(objective.sample(COUNTS, 0)))
    np.testing.assert_allclose(found["observations u"], -0.2 / 5**0.5, rtol=1e-9)


class Biharmonic(pm.PDE):
    """∇²w = f with w = ∇²u, w a definition."""

    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.slope,), source=(self.load,), storage=pm.NoStorage),
            "w": pm.Definition(flux=(self.curve,)),
        }

    def slope(self, p):
        return p.grad.w

    def load(self, p):
        return jnp.pi**4 * jnp.sin(jnp.pi * p.x[0])

    def curve(self, p):
        return p.grad.u


@pytest.mark.parametrize("mixed", [False, True])
def test_definitions_are_substituted_or_outputs(mixed):
    problem = pm.Problem(
        Biharmonic(), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0, w=0.0)}
    )
    functions = {"u": lambda x, t: jnp.sin(jnp.pi * x[0])}
    if mixed:
        functions["w"] = lambda x, t: -(jnp.pi**2) * jnp.sin(jnp.pi * x[0])
    objective, params = exact_collocation(problem, functions)
    found = largest(
        eqx.filter_jit(objective.residuals)(params, stacked(objective.sample(COUNTS, 0)))
    )
    assert ("equation w" in found) == mixed
    assert "boundary left w" in found
    assert max(found.values()) < 1e-11


def test_networks_of_another_arity_are_refused():
    problem = library.burgers()
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"needs a network \(2,\) -> \(1,\)"):
        build_network(MLP(3, 1, key=key), 2, 1, key, jnp.float64)
    with pytest.raises(ValueError, match=r"returned shape \(2,\)"):
        build_network(MLP(2, 2, key=key), 2, 1, key, jnp.float64)
    with pytest.raises(TypeError, match=r"factory\(in_size, out_size, key=key\)"):
        pm.PINN(network=lambda size: MLP(size, 1, key=key)).discretize(problem)
    with pytest.raises(TypeError, match="network is a module"):
        pm.PINN(network=3).discretize(problem)
