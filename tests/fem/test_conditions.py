"""Boundary conditions, gauges, periodicity, materials; conservation; errors by name."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers import NotApplicable, SolverError
from solvers.fem import FiniteElement

Poisson = library.Poisson


def scattered(problem, count=200):
    return jnp.asarray(problem.domain.sample_interior(count, seed=2))


def test_neumann_robin_and_outward_sign():
    """u = x² − 2y is reproduced by quadratics: F = −∇u, so F·n = −∂u/∂n."""
    problem = pdes.Problem(
        Poisson(f=-2.0),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=lambda x, t: -2 * x[1]),
            "right": pdes.Neumann(u=-2.0),
            "bottom": pdes.Neumann(u=lambda x, t: -2.0),
            "top": pdes.Robin(u=lambda p: 3.0 * (p.u - (p.x[0] ** 2 - 2.0)) + 2.0),
        },
    )
    solution = FiniteElement(degree=2, cells=3).solve(problem)
    x = scattered(problem)
    np.testing.assert_allclose(solution["u"](x), x[:, 0] ** 2 - 2 * x[:, 1], atol=1e-12)
    flow = solution.integrate(lambda p: -p.grad.u @ p.n, over="all")
    load = solution.integrate(lambda p: -2.0 + 0 * p.u)
    np.testing.assert_allclose(flow, load, rtol=1e-11)


def test_pure_neumann_with_zero_mean():
    problem = pdes.Problem(
        Poisson(f=lambda p: jnp.pi**2 * jnp.cos(jnp.pi * p.x[0])),
        pdes.Rectangle(),
        boundary={"all": pdes.Neumann(u=0.0)},
        gauge={"u": pdes.ZeroMean(0.5)},
    )
    system = FiniteElement(degree=2, cells=8).discretize(problem)
    matrix = system.matrix()
    assert abs(matrix - matrix.T).max() <= 1e-14 * abs(matrix).max()
    solution = FiniteElement(degree=2, cells=8).solve(problem)
    np.testing.assert_allclose(solution.integrate(lambda p: p.u), 0.5, rtol=1e-12)
    x = scattered(problem)
    np.testing.assert_allclose(solution["u"](x), jnp.cos(jnp.pi * x[:, 0]) + 0.5, atol=2e-3)


def test_periodic_rectangle_and_pin():
    problem = pdes.Problem(
        Poisson(f=lambda p: 4 * jnp.pi**2 * jnp.sin(2 * jnp.pi * p.x[0])),
        pdes.Rectangle(periodic=True),
        gauge={"u": pdes.Pin((0.0, 0.0), u=0.0)},
    )
    solution = FiniteElement(degree=2, cells=8).solve(problem)
    assert solution.stats.unknowns == 16**2
    x = scattered(problem)
    np.testing.assert_allclose(solution["u"](x), jnp.sin(2 * jnp.pi * x[:, 0]), atol=5e-3)
    left, right = jnp.array([0.0, 0.3]), jnp.array([1.0, 0.3])
    np.testing.assert_allclose(solution["u"](left), solution["u"](right), atol=1e-13)


def test_components_free_and_slip():
    """Uniaxial strain between slipping walls: u = (x/2, 0); the stress is (2μ + λ)/2."""
    young, nu = 2.0, 0.25
    lam, mu = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
    problem = pdes.Problem(
        library.Elasticity(young=young, poisson=nu),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=(0.0, None)),
            "right": pdes.Dirichlet(u=(0.5, None)),
            "bottom": pdes.Slip("u"),
            "top": pdes.Slip("u"),
        },
    )
    solution = FiniteElement(degree=1, cells=3).solve(problem)
    x = scattered(problem)
    expected = jnp.stack([0.5 * x[:, 0], 0 * x[:, 0]], 1)
    np.testing.assert_allclose(solution["u"](x), expected, atol=1e-13)
    stress = problem.pde.stress
    pull = solution.integrate(lambda p: -stress(p)[0, 0], over="right")
    np.testing.assert_allclose(pull, 0.5 * (lam + 2 * mu), rtol=1e-12)


def test_the_later_entry_wins_at_a_corner():
    problem = pdes.Problem(
        Poisson(),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=1.0),
            "right": pdes.Dirichlet(u=1.0),
            "top": pdes.Dirichlet(u=1.0),
            "bottom": pdes.Dirichlet(u=0.0),
        },
    )
    solution = FiniteElement(degree=1, cells=4).solve(problem)
    assert float(solution["u"](jnp.array([0.0, 0.0]))) == 0.0
    assert float(solution["u"](jnp.array([0.0, 1.0]))) == 1.0


def test_materials_by_region():
    """Two layers in series: the flow is that of the resistances added."""
    mesh = pdes.Interval(0.0, 1.0).mesh(8)
    regions = (mesh.points[mesh.cells].mean(axis=(1, 2)) > 0.5).astype(int)
    mesh = dataclasses.replace(mesh, cell_regions=regions, regions=("soft", "hard"))
    table = pdes.ByRegion({"hard": 4.0, "soft": 1.0}).bind(("soft", "hard"))
    problem = pdes.Problem(
        Poisson(k=lambda p: table(p) if p.region is not None else jnp.ones(())),
        pdes.Interval(0.0, 1.0),
        boundary={"left": pdes.Dirichlet(u=0.0), "right": pdes.Dirichlet(u=1.0)},
    )
    solution = FiniteElement(degree=1, mesh=mesh).solve(problem)
    flow = 1.0 / (0.5 / 1.0 + 0.5 / 4.0)
    np.testing.assert_allclose(solution["u"](jnp.array([0.5])), 0.5 * flow, rtol=1e-13)
    np.testing.assert_allclose(
        solution.integrate(lambda p: p.grad.u[0], over="hard"), 0.5 * flow / 4, rtol=1e-12
    )


def test_a_problem_beyond_three_dimensions_is_refused():
    problem = pdes.Problem(
        Poisson(f=1.0), pdes.Box([0.0] * 4, [1.0] * 4), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    with pytest.raises(NotApplicable, match="1 to 3 dimensions"):
        FiniteElement().solve(problem)


def test_a_constraint_needs_quadratic_elements():
    with pytest.raises(NotApplicable, match="Taylor–Hood"):
        FiniteElement(degree=1).solve(library.stokes())


def test_degenerate_cells_are_named():
    mesh = pdes.Rectangle().mesh(3)
    points = mesh.points.copy()
    points[5] = points[6]
    problem = pdes.Problem(
        Poisson(f=1.0), pdes.Rectangle(), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    with pytest.raises(ValueError, match="degenerate or turned inside out"):
        FiniteElement(mesh=dataclasses.replace(mesh, points=points)).solve(problem)


class Runaway(Poisson):
    """−∇·∇u = 8 eᵘ: beyond the fold, no solution exists (Bratu)."""

    def load(self, p):
        return 8.0 * jnp.exp(p.u)


def test_newton_that_does_not_converge_is_named():
    problem = pdes.Problem(
        Runaway(), pdes.Interval(0.0, 1.0), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    with pytest.raises(SolverError) as caught:
        FiniteElement(cells=8).solve(problem)
    assert caught.value.reason in ("newton_diverged", "not_finite")
    assert len(caught.value.history) > 1


def test_an_unsupported_solid_is_a_singular_matrix():
    problem = pdes.Problem(
        library.Elasticity(),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=(0.0, None)),
            "right": pdes.Dirichlet(u=(1.0, None)),
            "bottom": pdes.Traction(u=0.0),
            "top": pdes.Traction(u=0.0),
        },
    )
    with pytest.raises(SolverError, match="singular_matrix"):
        FiniteElement(degree=1, cells=4).solve(problem)
