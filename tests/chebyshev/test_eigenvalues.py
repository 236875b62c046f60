"""Eigenproblems: known spectra; Orr–Sommerfeld and the onset of convection from the flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from solvers._pencil import finite_eigenvalues


class Wave(pm.PDE):
    """∂²u/∂t² = ∂²u/∂x²."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.tension,), inertia=1.0)}

    def tension(self, p):
        return -p.grad.u


def heat(**changes):
    options = {"time": (0.0, 1.0), "initial": {"u": 0.0}} | changes
    return pm.Problem(
        pm.library.Heat(),
        pm.Interval(0.0, np.pi),
        boundary={"all": pm.Dirichlet(u=0.0)},
        **options,
    )


@pytest.mark.parametrize(
    ("method", "error"),
    [
        (pm.Chebyshev(points=20, panels=2), 1e-9),
        (pm.Ultraspherical(points=40), 1e-9),
        (pm.FiniteElement(degree=4, cells=12), 1e-4),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_decay_rates_of_heat(method, error):
    modes = pm.eigenvalues(heat(), method, count=5)
    np.testing.assert_allclose(modes.values, -(np.arange(1.0, 6.0) ** 2), rtol=error)
    assert np.abs(modes.values.imag).max() < 1e-9
    # The third mode is sin 3x, decaying as e^{−9t}, of size 1.
    x = np.array([[0.3], [1.0], [2.2]])
    found = np.asarray(modes[2]["u"](x, 0.1)) / np.exp(-0.9)
    shape = np.sin(3 * x[:, 0])
    assert abs(abs(found @ shape) - np.linalg.norm(found) * np.linalg.norm(shape)) < 1e-5


def test_frequencies_of_a_string_near_a_target():
    problem = pm.Problem(
        Wave(),
        pm.Interval(0.0, np.pi),
        time=(0.0, 1.0),
        initial={"u": 0.0},
        initial_rate={"u": 0.0},
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    modes = pm.eigenvalues(problem, pm.Chebyshev(points=24, panels=1), count=3, target=3.1j)
    np.testing.assert_allclose(modes.values, [3j, 4j, 2j], atol=1e-8)


def test_orr_sommerfeld_from_navier_stokes():
    problem = pm.library.poiseuille(reynolds=10_000.0, wavenumber=1.0)
    method = pm.Chebyshev(points=(3, 60))
    modes = pm.eigenvalues(problem, method, count=2, about=problem.exact)
    # Orszag (1971): c = 0.23752649 + 0.00373967i.
    np.testing.assert_allclose(modes.values[0].real, 0.00373967, atol=1e-8)
    np.testing.assert_allclose(np.abs(modes.values.imag), 0.23752649, atol=1e-8)
    # The mode is incompressible, and after a quarter of its period moved by a quarter wave.
    mode = modes[0]
    point = mode.point(jnp.array([0.7, 0.3]), 0.0)
    assert abs(jnp.trace(point.grad.u)) < 1e-7 * jnp.abs(point.grad.u).max()
    quarter = 0.5 * np.pi / abs(modes.values[0].imag)
    growth = np.exp(modes.values[0].real * quarter)
    later = mode["u"](jnp.array([0.7, 0.3]), quarter)
    moved = mode["u"](jnp.array([0.7 - 0.5 * np.pi, 0.3]), 0.0)
    np.testing.assert_allclose(later, growth * moved, rtol=1e-9)


def test_onset_of_convection():
    problem = pm.library.rayleigh_benard(1700.0, 1.0, 2 * np.pi / 3.1163)
    method = pm.Chebyshev(points=(3, 18))

    def growth(rayleigh):
        pde = eqx.tree_at(lambda p: p.rayleigh.value, problem.pde, jnp.asarray(rayleigh))
        moved = problem.replace(pde=pde)
        rest = pm.library.conduction(moved)
        return pm.eigenvalues(moved, method, count=1, about=rest).values[0].real

    first, second = growth(1700.0), growth(1715.0)
    found = 1700.0 - 15.0 * first / (second - first)
    # The growth bends a little between the two: a secant from there.
    third = growth(found)
    found -= third * (found - 1715.0) / (third - second)
    assert abs(found / 1707.762 - 1) < 1e-6


def test_growth_is_differentiable():
    problem = pm.library.rayleigh_benard(2000.0, 1.0, 2.016)
    method = pm.Chebyshev(points=(3, 10))

    def growth(rayleigh):
        pde = eqx.tree_at(lambda p: p.rayleigh.value, problem.pde, rayleigh)
        moved = problem.replace(pde=pde)
        rest = pm.library.conduction(moved)
        return pm.eigenvalues(moved, method, count=1, about=rest).values[0].real

    value, slope = jax.jit(jax.value_and_grad(growth))(jnp.asarray(2000.0))
    np.testing.assert_allclose(value, growth(jnp.asarray(2000.0)), rtol=1e-9)
    difference = (growth(jnp.asarray(2000.1)) - growth(jnp.asarray(1999.9))) / 0.2
    assert abs(difference / slope - 1) < 1e-6


def test_infinite_eigenvalues_are_not_computed():
    # x′ = −2x + p, 0 = x + y, y′ = −y: the constraint fixes p, one mode is left.
    jacobian = np.array([[-2.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 1.0, 0.0]])
    values, vectors = finite_eigenvalues(jacobian, np.diag([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(values, [-1.0], atol=1e-14)
    v = vectors[:, 0]
    np.testing.assert_allclose(jacobian @ v, -1.0 * np.array([v[0], v[1], 0.0]), atol=1e-13)
    with pytest.raises(pm.SolverError, match="not determined"):
        finite_eigenvalues(np.zeros((2, 2)), np.diag([1.0, 0.0]))


def test_what_is_no_eigenproblem_says_why():
    method = pm.Chebyshev(points=8, panels=1)
    burgers = pm.library.burgers()
    with pytest.raises(ValueError, match=r"'convection' of 'u' is not affine.*about="):
        pm.eigenvalues(burgers, method)
    with pytest.raises(ValueError, match="is not steady"):
        pm.eigenvalues(burgers, method, about={"u": lambda x: jnp.sin(jnp.pi * x[0])})
    with pytest.raises(ValueError, match="no field 'v'"):
        pm.eigenvalues(burgers, method, about={"v": 0.0})
    with pytest.raises(ValueError, match="is steady"):
        pm.eigenvalues(heat(time=None, initial=None), method)
    with pytest.raises(ValueError, match="at least 1"):
        pm.eigenvalues(heat(), method, count=0)
    with pytest.raises(pm.NotApplicable, match="no matrices"):
        pm.eigenvalues(pm.library.kuramoto_sivashinsky(), pm.Fourier(points=16), about={"u": 0.0})
