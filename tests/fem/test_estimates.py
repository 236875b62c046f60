"""Estimates of the error and meshes adapted to them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers import NotApplicable
from solvers.fem import AdaptiveFiniteElement, FiniteElement, estimate


def h1_error(solution, exact):
    """‖∇(u − u_h)‖."""
    gradient = jax.grad(lambda y: exact(y, 0.0))
    square = solution.integrate(lambda p: jnp.sum((p.grad.u - gradient(p.x)) ** 2), degree=6)
    return float(jnp.sqrt(square))


def test_indicators_of_a_line_by_hand():
    """−u″ = 1, degree 1: R = 1 and [u′] = −h, so that η_K² = h³ + ½·2·h·h² inside."""
    problem = pdes.Problem(
        library.Poisson(f=1.0), pdes.Interval(0.0, 1.0), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    found = estimate(FiniteElement(degree=1, cells=4).solve(problem))
    h = 0.25
    np.testing.assert_allclose(found.indicators**2, h**3 * np.array([1.5, 2, 2, 1.5]), rtol=1e-10)
    np.testing.assert_array_equal(found.mark(0.5), [1, 2])
    np.testing.assert_array_equal(found.mark(1.0), [0, 1, 2, 3])


def test_an_exact_solution_has_no_residual():
    """Quadratics are exact, on straight and on curved cells, with Neumann and Robin data."""
    problem = pdes.Problem(
        library.Poisson(f=-2.0),
        pdes.Rectangle() - pdes.Disk((0.0, 0.0), 0.5, boundary="arc"),
        boundary={
            "left": pdes.Dirichlet(u=lambda x, t: -2 * x[1]),
            "right": pdes.Neumann(u=-2.0),
            "bottom": pdes.Dirichlet(u=lambda x, t: x[0] ** 2),
            "top": pdes.Robin(u=lambda p: 3.0 * (p.u - (p.x[0] ** 2 - 2.0)) + 2.0),
            "arc": pdes.Dirichlet(u=lambda x, t: x[0] ** 2 - 2 * x[1]),
        },
    )
    mesh = problem.domain.mesh(cells=4)
    solution = FiniteElement(degree=2, mesh=mesh).solve(problem)
    assert estimate(solution).total < 1e-10
    assert estimate(solution, "zz").total < 1e-8
    # Data that the solution does not meet show in the cells of their part alone.
    moved = pdes.Problem(
        problem.pde,
        problem.domain,
        boundary={
            **{n: pdes.Dirichlet(u=0.0) for n in ("left", "bottom", "top", "arc")},
            "right": pdes.Neumann(u=-1.0),
        },
    )
    found = estimate(dataclasses.replace(solution, problem=moved))
    facets = mesh.facets[mesh.facet_parts == mesh.boundary_names.index("right")]
    assert set(np.flatnonzero(found.indicators > 1e-6)) == set(facets[:, 0])
    lengths = np.ptp(mesh.points[mesh.facet_corners], axis=1)[:, 1]
    lengths = lengths[mesh.facet_parts == mesh.boundary_names.index("right")]
    np.testing.assert_allclose(found.indicators[facets[:, 0]] ** 2, lengths**2, rtol=1e-8)


def test_vector_fields_materials_and_bent_cells():
    """Two bars in a row, u₁ linear in each: the flux is continuous, the gradient jumps."""
    mesh = pdes.Rectangle((0.0, 0.0), (2.0, 1.0)).mesh(cells=4, shape="quadrilateral")
    right = (mesh.points[mesh.cells].mean(axis=1)[:, 0] > 1).astype(int)
    points = mesh.points.copy()
    inside = (points[:, 1] > 0) & (points[:, 1] < 1)
    points[inside, 1] += 0.1
    mesh = dataclasses.replace(mesh, points=points, cell_regions=right, regions=("soft", "stiff"))
    problem = pdes.Problem(
        library.Elasticity(young=pdes.ByRegion({"soft": 1.0, "stiff": 4.0}), poisson=0.0),
        pdes.MeshDomain(mesh),
        boundary={
            "left": pdes.Dirichlet(u=(0.0, None)),
            "bottom": pdes.Dirichlet(u=(None, 0.0)),
            "right": pdes.Traction(u=(1.0, 0.0)),
            "top": pdes.Traction(u=(0.0, 0.0)),
        },
    )
    solution = FiniteElement(degree=1).solve(problem)
    np.testing.assert_allclose(solution["u"](jnp.array([2.0, 0.5])), [1.25, 0.0], atol=1e-11)
    assert estimate(solution).total < 1e-10
    assert estimate(solution, "zz").total < 1e-8


def test_effectivity_and_rate_of_a_smooth_problem():
    problem = library.poisson()
    solutions = [FiniteElement(degree=1, cells=n).solve(problem) for n in (8, 16)]
    residual = [estimate(s).total for s in solutions]
    assert np.log2(residual[0] / residual[1]) == pytest.approx(1.0, abs=0.05)
    # The recovered gradient is of higher order on a uniform mesh: asymptotically exact.
    error = h1_error(solutions[1], problem.exact["u"])
    assert estimate(solutions[1], "zz").total == pytest.approx(error, rel=0.02)
    assert 1 < residual[1] / error < 10


def test_constraints_and_unsteady_problems_are_estimated():
    solutions = [FiniteElement(cells=n).solve(library.stokes()) for n in (3, 6)]
    totals = [estimate(s) for s in solutions]
    assert np.log2(totals[0].total / totals[1].total) == pytest.approx(2.0, abs=0.3)
    assert set(totals[0].by_field) == {"u", "p"}
    heat = [
        FiniteElement(degree=1, cells=n, dt=1 / 64, scheme="sdirk2").solve(library.heat())
        for n in (16, 32)
    ]
    # The residual of the heat equation has its rate in time: without it, R would be of order 1.
    late = [estimate(s, t=0.5).total for s in heat]
    assert np.log2(late[0] / late[1]) == pytest.approx(1.0, abs=0.1)


def test_the_corner_of_an_l_shape_is_refined_at_the_optimal_rate():
    problem = library.poisson_lshape()
    method = AdaptiveFiniteElement(FiniteElement(degree=1, cells=4), max_unknowns=900)
    solution = method.solve(problem)
    stats = solution.stats
    n, eta = (np.array(stats.extra[k], float) for k in ("unknowns", "estimate"))
    slope = np.polyfit(np.log(n[-4:]), np.log(eta[-4:]), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)
    effectivity = eta[-1] / h1_error(solution, problem.exact["u"])
    assert 3.0 < effectivity < 4.0
    # Uniform refinement has the slope −1/3: with as many unknowns its error is larger.
    assert stats.unknowns <= 900 and stats.unknowns == n[-1]
    size = np.ptp(solution.method.mesh.points[solution.method.mesh.cells], axis=1).max(axis=1)
    assert size.min() <= size.max() / 64
    assert [h[1] for h in stats.history] == list(range(1, len(n) + 1))
    assert "max_unknowns=900 is reached" in stats.notes[-1]


def test_adapted_meshes_keep_materials_data_and_curves():
    values = np.linspace(1.0, 2.0, len(pdes.Disk().mesh(cells=4).cells))
    problem = pdes.Problem(
        library.Poisson(k=pdes.CellData(values), f=1.0),
        pdes.Disk(),
        boundary={"all": pdes.Dirichlet(u=0.0)},
    )
    method = AdaptiveFiniteElement(FiniteElement(cells=4), max_levels=2, max_unknowns=10**6)
    solution = method.solve(problem)
    mesh = solution.method.mesh
    assert mesh.geometry is not None and abs(mesh.volume - np.pi) < 1e-3
    np.testing.assert_allclose(solution.problem.pde.k.values.shape, (len(mesh.cells),))
    # Each child has its parent's value: it is constant on the coarse cells.
    coarse = pdes.MeshDomain(pdes.Disk().mesh(cells=4))
    parents = coarse.locate(mesh.points[mesh.cells].mean(axis=1), 1e-9)
    held = parents >= 0
    np.testing.assert_allclose(solution.problem.pde.k.values[held], values[parents[held]])
    within = AdaptiveFiniteElement(method.method, tolerance=10.0).solve(problem)
    assert within.stats.iterations == 1 and "within the tolerance" in within.stats.notes[-1]


def test_what_can_not_be_estimated_or_adapted():
    problem = library.poisson()
    with pytest.raises(NotApplicable, match="hanging nodes"):
        AdaptiveFiniteElement(FiniteElement(cells=2, cell_shape="quadrilateral")).solve(problem)
    with pytest.raises(NotApplicable, match=r"pm\.estimate\(solution, t=…\)"):
        AdaptiveFiniteElement().solve(library.heat())
    with pytest.raises(ValueError, match="a fraction in"):
        AdaptiveFiniteElement(marking=0.0)
    with pytest.raises(ValueError, match='"residual" or "zz"'):
        AdaptiveFiniteElement(estimator="magic")
    with pytest.raises(TypeError, match="wraps a FiniteElement"):
        AdaptiveFiniteElement(3)


def test_points_are_found_in_meshes_of_very_different_cells():
    from solvers.fem._locate import Locator
    from solvers.fem._search import Tree

    mesh = pdes.LShape().mesh(cells=4)
    for _ in range(10):
        distance = np.linalg.norm(mesh.points[mesh.cells].mean(axis=1), axis=1)
        mesh = mesh.refine(np.argsort(distance)[:20])
    locator = Locator(mesh, jnp.asarray(mesh.points))
    assert isinstance(locator.search, Tree)
    middles = jnp.asarray(mesh.points[mesh.cells].mean(axis=1))
    found, _ = jax.jit(jax.vmap(locator))(middles)
    np.testing.assert_array_equal(found, np.arange(len(mesh.cells)))
