"""The energy behind a weak form: closed forms, symmetry, natural conditions, one exact step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from pdes import library
from physml.losses import Energy, no_energy
from physml.losses._energy import along_path, place, weak_force
from physml.optimizers._energy_newton import EnergyNewton


class Cubic(pm.PDE):
    """−∇·((1 + |∇u|²) ∇u) + u³ = 2: the variation of ½|∇u|² + ¼|∇u|⁴ + ¼u⁴ − 2u."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.flux,), source=(self.reaction,), storage=pm.NoStorage)}

    def flux(self, p):
        return -(1 + jnp.sum(p.grad.u**2)) * p.grad.u

    def reaction(self, p):
        return 2 - p.u**3


def test_energy_density_of_a_nonlinear_problem():
    problem = pm.Problem(Cubic(), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)})
    assert no_energy(problem) is None
    p = place(problem, jnp.array([0.2, 0.3]))
    jet = jnp.array([0.7, -0.4, 1.1])
    slope = 0.4**2 + 1.1**2
    exact = 0.5 * slope + 0.25 * slope**2 + 0.25 * 0.7**4 - 2 * 0.7
    force = lambda z: weak_force(problem, p, z)
    both = jax.jit(jax.value_and_grad(lambda z: along_path(force, z)))
    value, slope = both(jet)
    assert float(value) == pytest.approx(exact, rel=1e-13)
    np.testing.assert_allclose(slope, jax.jit(force)(jet), rtol=1e-12)


class Conduction(pm.PDE):
    """−∇·((1 + u²)∇u) = 0: no energy, though elliptic."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.flux,), storage=pm.NoStorage)}

    def flux(self, p):
        return -(1 + p.u**2) * p.grad.u


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (lambda: library.heat(), "depends on time.*pm.PINN"),
        (lambda: library.stokes(), "constraint, with which the solution is a saddle"),
        (
            lambda: pm.Problem(Conduction(), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}),
            "tangent of its weak form is not symmetric",
        ),
        (
            lambda: pm.Problem(
                library.Elasticity(),
                pm.Rectangle(),
                boundary={
                    "all": pm.Dirichlet(u=0.0),
                    "top": pm.Robin(u=lambda p: jnp.stack([p.u[1], 0 * p.u[0]])),
                },
            ),
            "condition of 'u' on 'top' is not the variation",
        ),
    ],
)
def test_what_has_no_energy(problem, reason):
    with pytest.raises(pm.NotApplicable, match=reason):
        pm.DeepRitz().discretize(problem())
    assert no_energy(library.elasticity()) is None


class Parabola(eqx.Module):
    coefficients: jax.Array

    def __call__(self, z):
        return jnp.stack([self.coefficients @ jnp.array([1.0, z[0], z[0] ** 2])])


def line():
    """−u″ = 2 on (0, 1) with −u′·n = u on the left and u′ = 1 on the right: u = 3 + 3x − x²."""
    boundary = {"left": pm.Robin(u=lambda p: p.u), "right": pm.Neumann(u=-1.0)}
    return pm.Problem(
        library.Poisson(f=2.0),
        pm.Interval(0.0, 1.0),
        boundary=boundary,
        exact={"u": lambda x, t: 3 + 3 * x[0] - x[0] ** 2},
    )


def test_one_undamped_step_reaches_the_minimum_of_a_quadratic_energy():
    """Natural conditions, Neumann and Robin, are part of the energy."""
    method = pm.DeepRitz(network=Parabola(jnp.zeros(3)), cells=2, quadrature=4)
    setup = method.setup(line(), 0)
    objective = setup.objective
    assert isinstance(objective, Energy)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    theta, unravel = ravel_pytree(setup.params)
    value = eqx.filter_jit(lambda v: objective.loss(unravel(v), batch))
    gradient, matrix = eqx.filter_jit(objective.linearised)(setup.params, batch)
    slopes, bends = jax.jit(lambda v: (jax.grad(value)(v), jax.hessian(value)(v)))(theta)
    np.testing.assert_allclose(gradient, slopes, atol=1e-12)
    np.testing.assert_allclose(matrix, bends, atol=1e-12)
    optimizer = EnergyNewton(damping=1e-12)
    state = optimizer.init(objective, setup.params, batch)
    params, _, info = optimizer.step(objective, setup.params, state, batch)
    # In ξ = 2x − 1: 3 + 3x − x² = 4.25 + ξ − ξ²/4.
    scale = objective.conditions.trial.scales[0]
    found = scale * np.asarray(params["network"].coefficients)
    np.testing.assert_allclose(found, [4.25, 1.0, -0.25], atol=1e-9)
    # E(u) = −½ ∫ 2u − ½ u(1) at the minimum.
    assert info.loss == pytest.approx(-(3 + 1.5 - 1 / 3) - 2.5, rel=1e-10)


def test_newton_needs_an_energy():
    setup = pm.PINN(points=8).setup(library.poisson(), 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    with pytest.raises(TypeError, match="knows its curvature"):
        EnergyNewton().init(setup.objective, setup.params, batch)
