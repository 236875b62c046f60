"""Tensor grids: constraints, Fourier × Chebyshev, three dimensions, SBDF2, convection."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from solvers.spectral._chebyshev_axis import Axis


@eqx.filter_jit
def exact_values(problem, field, x, t):
    return jax.vmap(lambda y: problem.exact_value(field, y, t))(x)


def largest_error(solution, field, count=9, t=0.0):
    problem = solution.problem
    low, high = problem.domain.bounds
    axes = [np.linspace(a, b, count) for a, b in zip(low, high, strict=True)]
    x = jnp.asarray(np.stack(np.meshgrid(*axes), -1).reshape(-1, problem.dim))
    t = jnp.asarray(t)
    return float(np.abs(solution[field](x, t) - exact_values(problem, field, x, t)).max())


def test_axes_differentiate_interpolate_and_extrapolate():
    wave = lambda x: np.sin(3 * np.pi * x) + np.cos(4 * np.pi * x)
    slope = lambda x: 3 * np.pi * np.cos(3 * np.pi * x) - 4 * np.pi * np.sin(4 * np.pi * x)
    axis = Axis(1.0, 3.0, 9, True)
    x = axis.nodes
    np.testing.assert_allclose(axis.derivative @ wave(x), slope(x), atol=1e-12)
    table = np.asarray(axis.table(jnp.asarray(1.37)))
    np.testing.assert_allclose(table @ axis.coefficients @ wave(x), wave(1.37), atol=1e-13)
    fine = axis.finer(2 / 3)
    there, back = axis.interpolation(fine)
    assert fine.points == 15
    np.testing.assert_allclose(there @ wave(x), wave(fine.nodes), atol=1e-13)
    np.testing.assert_allclose(back @ there, np.eye(9), atol=1e-13)
    # Of the product of two modes 4, mode 8 is cut off and none comes back as mode 1.
    squared = back @ (there @ np.cos(4 * np.pi * x)) ** 2
    np.testing.assert_allclose(squared, 0.5, atol=1e-13)
    axis = Axis(0.0, 2.0, 8, False)
    x = axis.nodes
    np.testing.assert_allclose(axis.extrapolation @ x**5, x**5, atol=1e-12)
    assert abs(axis.extrapolation @ x**6 - x**6).max() > 0.1


def test_stokes_flow_with_its_pressure():
    solution = pm.solve(pm.library.stokes(), pm.Chebyshev(points=16))
    assert largest_error(solution, "u") < 1e-9
    assert largest_error(solution, "p") < 1e-6


def test_cube_to_spectral_accuracy():
    exact = lambda x, t: jnp.exp(0.5 * x[0] - x[1]) * jnp.sin(x[2])
    gradient = jax.grad(exact)
    problem = pm.Problem(
        pm.library.Poisson(f=lambda p: -0.25 * exact(p.x, 0.0)),
        pm.Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        boundary={
            "all": pm.Dirichlet(u=exact),
            "back": pm.Neumann(u=lambda x, t: gradient(x, t)[2]),
        },
        exact={"u": exact},
    )
    assert largest_error(pm.solve(problem, pm.Chebyshev(points=(8, 8, 7))), "u", 5) < 1e-6


def test_fourier_times_chebyshev_to_round_off():
    exact = lambda x, t: jnp.exp(jnp.sin(2 * jnp.pi * x[0])) * jnp.cos(x[1])
    gradient = jax.grad(exact)
    problem = pm.Problem(
        pm.library.Poisson(f=lambda p: -jnp.trace(jax.hessian(lambda y: exact(y, 0.0))(p.x))),
        pm.Rectangle(periodic=(True, False)),
        boundary={
            "bottom": pm.Dirichlet(u=exact),
            "top": pm.Neumann(u=lambda x, t: -gradient(x, t)[1]),
        },
        exact={"u": exact},
    )
    assert largest_error(pm.solve(problem, pm.Chebyshev(points=(27, 13))), "u") < 1e-11


@pytest.fixture(scope="module")
def rolls():
    """Convection at Ra 5000 by three time steps, until it is steady; points (15, 16)."""
    problem = pm.library.rayleigh_benard(5000.0, 0.71, 2.016, time=1.2)
    method = pm.Chebyshev(points=(15, 16), stepper="sbdf2", dt=4e-3, frames=4)
    return pm.solve(problem, method)


def nusselt(solution, height, t):
    x = jnp.stack([jnp.linspace(0.0, 2.016, 32, endpoint=False), jnp.full(32, height)], axis=1)
    return float(solution.evaluate(lambda p: p.u[1] * p.T - p.grad.T[1], x, t).mean())


def test_heat_that_rolls_carry(rolls):
    # Clever and Busse (1974): 2.116.
    found = nusselt(rolls, 0.0, 1.2)
    assert abs(found / 2.116 - 1) < 5e-3
    np.testing.assert_allclose(nusselt(rolls, 1.0, 1.2), found, rtol=1e-8)
    np.testing.assert_allclose(nusselt(rolls, 0.37, 1.2), found, rtol=2e-4)
    x = jnp.array([[0.2, 0.3], [1.1, 0.8], [1.9, 0.45]])
    divergence = rolls.evaluate(lambda p: jnp.trace(p.grad.u), x, 1.2)
    size = rolls.evaluate(lambda p: jnp.abs(p.grad.u).max(), x, 1.2)
    assert float(jnp.abs(divergence / size).max()) < 1e-3


class Decay(pm.PDE):
    """∂u/∂t = ∇²u − u³ + s."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.diffusion,), source=(self.reaction,))}

    def diffusion(self, p):
        return -p.grad.u

    def reaction(self, p):
        return -(p.u**3)


@functools.cache
def decay(end):
    """One object: what is compiled for it once serves other steps as well."""
    exact = lambda x, t: (
        jnp.cos(5 * t) * (1 + 0.5 * jnp.cos(2 * jnp.pi * x[0])) * (1 + x[1] * (1 - x[1]))
    )
    square = pm.Rectangle(periodic=(True, False))
    return pm.manufactured(Decay(), square, {"u": exact}, time=(0.0, end))


def test_sbdf2_is_of_second_order():
    def error(steps):
        method = pm.Chebyshev(points=(7, 7), stepper="sbdf2", dt=0.5 / steps, frames=2)
        return largest_error(pm.solve(decay(0.5), method), "u", t=0.5)

    assert 3.4 < error(40) / error(80) < 4.6


def test_implicit_steps_by_wavenumber_and_krylov():
    # ESDIRK4: the reaction varies along x, so that the blocks only precondition.
    solution = pm.solve(decay(0.2), pm.Chebyshev(points=(7, 7), dt=0.02))
    assert largest_error(solution, "u", t=0.2) < 1e-6


def test_gradient_through_a_constrained_flow():
    problem = pm.library.rayleigh_benard(3000.0, 1.0, 2.016, time=0.02)
    method = pm.Chebyshev(points=(5, 8), stepper="sbdf2", dt=2e-3, frames=2)

    def functional(rayleigh):
        moved = eqx.tree_at(lambda p: p.pde.rayleigh.value, problem, rayleigh)
        solution = method.solve(moved)
        return jnp.sum(solution["u"](jnp.array([[0.3, 0.4]]), 0.02) ** 2)

    both = jax.jit(jax.value_and_grad(functional))
    gradient = both(3000.0)[1]
    difference = (both(3003.0)[0] - both(2997.0)[0]) / 6.0
    assert abs(difference / gradient - 1) < 1e-6


def test_what_does_not_fit_a_grid_says_so():
    convection = pm.library.rayleigh_benard()
    with pytest.raises(ValueError, match="odd number of at least 3"):
        pm.Chebyshev(points=(16, 16)).discretize(convection)
    with pytest.raises(ValueError, match="at least 4"):
        pm.Chebyshev(points=(5, 3)).discretize(convection)
    with pytest.raises(ValueError, match="2 directions"):
        pm.Chebyshev(points=(5, 5, 5)).discretize(convection)
    with pytest.raises(ValueError, match="'rk4' is unknown"):
        pm.Chebyshev(stepper="rk4")
    with pytest.raises(ValueError, match="takes fixed steps"):
        pm.solve(convection, pm.Chebyshev(points=(5, 6), stepper="sbdf2"))
    with pytest.raises(pm.NotApplicable, match="in 2-D and 3-D"):
        pm.solve(pm.library.burgers(), pm.Chebyshev(stepper="sbdf2", dt=0.1, panels=2))
    jump = pm.Problem(
        pm.library.Heat(),
        pm.Rectangle(periodic=(True, False)),
        time=(0.0, 1.0),
        initial={"u": lambda x: x[0] * x[1] * (1 - x[1])},
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    with pytest.raises(ValueError, match="jumps across it"):
        pm.solve(jump, pm.Chebyshev(points=(5, 6)))
    with pytest.raises(pm.NotApplicable, match="periodic"):
        pm.solve(jump, pm.Fourier(points=16))


def test_a_pressure_has_no_conditions_of_its_own():
    fluid = pm.library.Stokes()
    walls = {"all": pm.Dirichlet(u=0.0), "left": [pm.Dirichlet(p=0.0), pm.Dirichlet(u=0.0)]}
    prescribed = pm.Problem(fluid, pm.Rectangle(), boundary=walls)
    with pytest.raises(pm.NotApplicable, match=r"'p' is the multiplier.*'left'"):
        pm.solve(prescribed, pm.Chebyshev(points=8))
    inflow = pm.Problem(
        fluid,
        pm.Rectangle(),
        boundary={"all": pm.Dirichlet(u=0.0), "left": pm.Dirichlet(u=(1.0, 0.0))},
        gauge={"p": pm.ZeroMean()},
    )
    with pytest.raises(pm.SolverError, match="what flows in") as error:
        pm.solve(inflow, pm.Chebyshev(points=8))
    assert error.value.reason == "incompatible_data"
