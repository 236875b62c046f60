"""Ultraspherical: operators, thin layers, Newton, systems, time, gradients, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.polynomial.chebyshev as chebyshev
import pytest

import physml as pm
from solvers.spectral import _ultraspherical_matrices as operators
from solvers.spectral import _ultraspherical_system as system


class Layer(pm.PDE):
    """d/dx (u − ε du/dx) = 0."""

    eps: pm.Coefficient = pm.coefficient(1e-4)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.flow,), storage=pm.NoStorage)}

    def flow(self, p):
        return p.u * jnp.ones_like(p.x) - self.eps(p) * p.grad.u


class Bending(pm.PDE):
    """(k u″)″ = f by the moment w = k u″, with k = 2 + x."""

    f: pm.Coefficient = pm.coefficient(1.0)
    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.shear,), source=(self.load,), storage=pm.NoStorage),
            "w": pm.Balance(flux=(self.slope,), source=(self.curvature,), storage=pm.NoStorage),
        }

    def shear(self, p):
        return p.grad.w

    def load(self, p):
        return self.f(p)

    def slope(self, p):
        return -p.grad.u

    def curvature(self, p):
        return -p.w / (2 + p.x[0])


class Reaction(pm.PDE):
    """−∂/∂x ((1 + u²) ∂u/∂x) = s − u³."""

    s: pm.Coefficient = pm.coefficient(1.0)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.diffusion,), source=(self.reaction,))}

    def diffusion(self, p):
        return -(1 + p.u**2) * p.grad.u

    def reaction(self, p):
        return self.s(p) - p.u**3


def reaction(s):
    """A Dirichlet and a Robin condition."""
    return pm.Problem(
        Reaction(s=s),
        pm.Interval(0.0, 2.0),
        boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Robin(u=lambda p: p.u - 0.2)},
    )


def test_operators_act_on_coefficients():
    n = 14
    rng = np.random.default_rng(1)
    a, c = rng.normal(size=5), np.pad(rng.normal(size=n - 8), (0, 8))
    into = operators.first_conversion(n)
    product = operators.multiplication(a, n, 0.0) @ into @ c
    np.testing.assert_allclose(
        product, into @ np.pad(chebyshev.chebmul(a, c), (0, 4))[:n], atol=1e-13
    )
    second = operators.second_derivative(n) @ operators.first_derivative(n) @ c
    exact = np.pad(chebyshev.chebder(c, 2), (0, 2))
    np.testing.assert_allclose(second, operators.second_conversion(n) @ into @ exact, atol=1e-10)
    for points in (n, n + 1):
        series = rng.normal(size=(2, points))
        x = np.cos(np.pi * np.arange(points) / (points - 1))
        values = np.stack([chebyshev.chebval(x, row) for row in series])
        np.testing.assert_allclose(system.to_values(jnp.asarray(series)), values, atol=1e-12)
        np.testing.assert_allclose(system.to_series(jnp.asarray(values)), series, atol=1e-12)
        slope = np.stack([np.pad(chebyshev.chebder(row), (0, 1)) for row in series])
        np.testing.assert_allclose(system.derivative(jnp.asarray(series)), slope, atol=1e-12)


def test_boundary_layer_of_a_ten_thousandth():
    def solve(eps):
        problem = pm.Problem(
            Layer(eps=eps),
            pm.Interval(-1.0, 1.0),
            boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=1.0)},
        )
        return pm.solve(problem, pm.Ultraspherical(points=1024))

    solution = solve(1e-4)
    x = 1.0 - np.concatenate([np.linspace(0.0, 2.0, 101), np.logspace(-8, -2, 200)])
    error = solution["u"](x[:, None]) - np.exp((x - 1.0) / 1e-4)
    assert jnp.abs(error).max() < 1e-13
    assert solution.stats.notes == ()
    # A layer a hundred times thinner is not resolved.
    assert "more points" in solve(1e-6).stats.notes[0]


def test_newton_agrees_with_collocation():
    fine = pm.solve(reaction(2.0), pm.Ultraspherical(points=48))
    other = pm.solve(reaction(2.0), pm.Chebyshev(points=30, panels=1))
    x = jnp.linspace(0.0, 2.0, 41)[:, None]
    np.testing.assert_allclose(fine["u"](x), other["u"](x), atol=1e-11)


def test_beam_of_varying_stiffness():
    exact = lambda x, t: x[0] ** 2 * (1 - x[0]) ** 2
    moment = lambda x: (2 + x) * (2 - 12 * x + 12 * x**2)
    load = lambda p: jax.grad(jax.grad(moment))(p.x[0])
    problem = pm.Problem(
        Bending(f=load),
        pm.Interval(0.0, 1.0),
        boundary={"all": [pm.Dirichlet(u=0.0), pm.Neumann(w=0.0)]},
        exact={"u": exact},
    )
    solution = pm.solve(problem, pm.Ultraspherical(points=40))
    x = jnp.linspace(0.0, 1.0, 21)[:, None]
    np.testing.assert_allclose(solution["u"](x), jax.vmap(lambda y: exact(y, 0.0))(x), atol=1e-13)


def test_in_time_against_the_exact_decay():
    problem = pm.Problem(
        pm.library.Heat(),
        pm.Interval(0.0, jnp.pi),
        time=(0.0, 0.5),
        initial={"u": lambda x: jnp.sin(x[0]) + jnp.sin(2 * x[0])},
        boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=0.0)},
    )
    solution = pm.solve(problem, pm.Ultraspherical(points=24, dt=0.01))
    x = jnp.linspace(0.0, jnp.pi, 21)[:, None]
    exact = jnp.exp(-0.5) * jnp.sin(x[:, 0]) + jnp.exp(-2.0) * jnp.sin(2 * x[:, 0])
    np.testing.assert_allclose(solution["u"](x, 0.5), exact, atol=1e-8)


def test_gradient_against_differences():
    problem = reaction(2.0)

    def functional(s):
        moved = eqx.tree_at(lambda p: p.pde.s.value, problem, s)
        solution = pm.Ultraspherical(points=32).solve(moved)
        return jnp.sum(solution["u"](jnp.array([[0.5], [1.4]])) ** 2)

    both = jax.jit(jax.value_and_grad(functional))
    value, gradient = both(2.0)
    h = 1e-5
    difference = (both(2.0 + h)[0] - both(2.0 - h)[0]) / (2 * h)
    assert abs(difference / gradient - 1) < 1e-7
    assert np.isfinite(value)


def test_what_does_not_apply_says_what_does():
    with pytest.raises(pm.NotApplicable, match="for intervals"):
        pm.solve(pm.library.poisson(), pm.Ultraspherical())
    with pytest.raises(pm.NotApplicable, match="periodic"):
        pm.solve(pm.library.kdv(), pm.Ultraspherical())
    with pytest.raises(pm.NotApplicable, match="second order in time"):
        pm.solve(pm.library.wave(), pm.Ultraspherical())
    with pytest.raises(ValueError, match="at least 8"):
        pm.Ultraspherical(points=4)


def test_a_front_that_outgrows_the_default_is_named():
    # pm.library.burgers() until its front has its full slope, at t = 0.51.
    front = pm.Problem(
        pm.library.Burgers(),
        pm.Interval(-1.0, 1.0),
        time=(0.0, 0.55),
        initial={"u": lambda x: -jnp.sin(jnp.pi * x[0])},
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    with pytest.raises(
        pm.SolverError, match=r"64 coefficients do not resolve.*points=256"
    ) as found:
        pm.solve(front, pm.Ultraspherical(rtol=1e-5, atol=1e-7))
    assert found.value.reason == "not_resolved"
