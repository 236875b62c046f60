"""Iterations with preconditioners: right answers, few iterations, and failures by name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import pdes
from pdes import library
from solvers._result import SolverError
from solvers.fem import FiniteElement
from solvers.linear import Block, Layout, LinearSolver, pattern_of, solve_sparse
from solvers.linear._cycle import Cycle
from solvers.linear._hierarchy import scaled_radius, smoothed_aggregation
from solvers.linear._iterations import conjugate_gradients
from solvers.linear._iterative import NAMES
from solvers.linear._preconditioners import algebraic_multigrid, jacobi, p_multigrid, point_blocks
from solvers.linear._reach import Reach
from solvers.linear._reduced import Reduced
from solvers.linear._saddle import stokes


def pattern_with(matrix):
    matrix = sp.coo_matrix(matrix)
    pattern, slots = pattern_of(matrix.row, matrix.col, matrix.shape[0])
    values = np.zeros(pattern.count)
    values[slots] = matrix.data
    return pattern, values


def line(n):
    return sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))


def plane(n, k=1.0):
    return sp.kron(line(n), sp.identity(n)) + k * sp.kron(sp.identity(n), line(n))


def iterations(matrix, apply):
    b = np.sin(np.arange(matrix.shape[0]))
    outcome = conjugate_gradients(matrix, apply, b, None, 1e-10 * np.linalg.norm(b), 500)
    assert np.linalg.norm(matrix @ outcome.x - b) <= 2e-10 * np.linalg.norm(b)
    return outcome.iterations


def reach_of(matrix, layout):
    n = matrix.shape[0]
    return Reach(matrix.tocsr(), np.arange(n), n, layout)


@functools.cache
def elasticity(degree, cells):
    """A clamped square and its reduced matrix."""
    problem = pdes.Problem(
        library.Elasticity(young=10.0, poisson=0.3),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=(0.0, 0.0)),
            "bottom": pdes.Dirichlet(u=(None, 0.0)),
            "right": pdes.Traction(u=(0.1, -0.2)),
            "top": pdes.Traction(u=(0.0, 0.0)),
        },
    )
    system = FiniteElement(degree=degree, cells=cells).discretize(problem)
    fixed = np.asarray(system.fixed)
    pattern, found = system.pattern, system.matrix().data
    values = np.zeros(pattern.count)
    values[: len(found)] = found
    values[fixed[pattern.rows] | fixed[pattern.indices]] = 0.0
    values[(pattern.rows == pattern.indices) & fixed[pattern.rows]] = 1.0
    reduced = Reduced(pattern, values, pattern.layout)
    keep = reduced.structure.keep
    return Reach(reduced.matrix, keep, pattern.size, pattern.layout), reduced


def test_algebraic_multigrid_needs_as_many_iterations_on_any_size():
    counts = []
    for n in (40, 80):
        matrix = plane(n).tocsr()
        layout = Layout((Block("u", 0, 1, np.zeros((n * n, 2))),))
        counts.append(iterations(matrix, algebraic_multigrid(reach_of(matrix, layout))))
        assert counts[-1] < 0.3 * iterations(matrix, jacobi(reach_of(matrix, layout)))
    assert counts[1] <= counts[0] + 4


def test_the_bound_of_the_spectrum_is_one():
    matrix = plane(30, 0.01).tocsr()
    _, radius = scaled_radius(matrix)
    scaled = (sp.diags(1 / matrix.diagonal()) @ matrix).toarray()
    largest = np.abs(np.linalg.eigvals(scaled)).max()
    assert 0.98 * largest <= radius <= 1.1 * largest


def test_rigid_body_modes_serve_elasticity():
    reach, _ = elasticity(1, 24)
    with_modes = iterations(reach.matrix, algebraic_multigrid(reach))
    near = reach.layout.modes(reach.size, False)[0][reach.keep]
    without = iterations(reach.matrix, Cycle(smoothed_aggregation(reach.matrix, near, 2)))
    assert with_modes < without
    assert iterations(reach.matrix, point_blocks(reach)) > 3 * with_modes


def test_p_multigrid_serves_degree_two():
    reach, _ = elasticity(2, 12)
    assert iterations(reach.matrix, p_multigrid(reach)) < 25
    assert iterations(reach.matrix, p_multigrid(reach)) < iterations(
        reach.matrix, algebraic_multigrid(reach)
    )


def test_unknowns_coupled_to_no_other_are_divided_out():
    _, reduced = elasticity(2, 12)
    # The nodes of the left side are gone; those of the bottom stay, since they slide.
    assert len(reduced.structure.keep) == 2 * 25**2 - 2 * 25
    matrix = sp.block_diag([line(6), sp.diags([2.0, 4.0]), line(5)]).tocsr()
    pattern, values = pattern_with(matrix)
    b = np.cos(np.arange(13.0))
    for kind in ("direct", "cg"):
        x = solve_sparse(pattern, jnp.asarray(values), jnp.asarray(b), LinearSolver(kind))
        np.testing.assert_allclose(x, np.linalg.solve(matrix.toarray(), b), rtol=1e-9)


@pytest.mark.parametrize("kind", ["gmres", "bicgstab"])
@pytest.mark.parametrize("preconditioner", ["none", "jacobi", "amg", "ruge-stuben"])
def test_unsymmetric_systems_and_their_gradients(kind, preconditioner):
    pattern, values = pattern_with(plane(30) + 0.2 * sp.diags([1.0, -1.0], [1, -1], (900, 900)))
    solver = LinearSolver(kind, preconditioner)
    b, weights = np.sin(np.arange(900.0)), np.cos(np.arange(900.0) ** 2)

    def objective(v, r):
        return weights @ solve_sparse(pattern, v, r, solver)

    gradient = jax.jit(jax.grad(objective, (0, 1)))
    by_values, by_right = gradient(jnp.asarray(values), jnp.asarray(b))
    dense = pattern.matrix(values).toarray()
    x, adjoint = np.linalg.solve(dense, b), np.linalg.solve(dense.T, weights)
    np.testing.assert_allclose(by_right, adjoint, rtol=1e-8, atol=1e-9)
    expected = -adjoint[pattern.rows] * x[pattern.indices]
    np.testing.assert_allclose(by_values, expected, rtol=1e-7, atol=1e-8)


def test_minres_solves_what_is_indefinite():
    matrix = (plane(12) - 0.7 * sp.identity(144)).tocsr()
    assert np.linalg.eigvalsh(matrix.toarray())[0] < 0
    pattern, values = pattern_with(matrix)
    b = np.sin(np.arange(144.0))
    x = solve_sparse(pattern, jnp.asarray(values), jnp.asarray(b), LinearSolver("minres", "none"))
    np.testing.assert_allclose(x, np.linalg.solve(matrix.toarray(), b), rtol=1e-8, atol=1e-9)


def test_a_preconditioner_is_kept_while_values_change_little():
    pattern, values = pattern_with(plane(30))
    solver = LinearSolver("cg", "amg")
    b = jnp.ones(pattern.size)
    kept = []
    for scale in (1.0, 1.01, 50.0):
        changed = values + (pattern.rows == pattern.indices) * (scale - 1.0)
        x = solve_sparse(pattern, jnp.asarray(changed), b, solver)
        np.testing.assert_allclose(pattern.matrix(changed) @ x, b, rtol=1e-9)
        key = f"preconditioner {NAMES['cg']} with {NAMES['amg']} False"
        kept.append(pattern.peek(key))
        assert kept[-1] is not None
    assert kept[0] is kept[1]
    assert pattern.journal.events[-1].startswith("conjugate gradients with algebraic multigrid")
    assert "3 solves" in pattern.journal.events[-1]


@pytest.mark.parametrize("linear", ["stokes", LinearSolver("gmres", "stokes")])
def test_block_preconditioners_of_stokes(linear):
    problem = library.stokes()
    ours, direct = (
        FiniteElement(degree=2, cells=4, linear=choice).solve(problem)
        for choice in (linear, "direct")
    )
    x = jnp.array([[0.3, 0.4], [0.71, 0.2]])
    for field in ("u", "p"):
        np.testing.assert_allclose(ours[field](x), direct[field](x), rtol=1e-8, atol=1e-9)
    assert any("block preconditioner: 1 solve" in note for note in ours.stats.notes)


def poisson(**conditions):
    return pdes.Problem(library.Poisson(f=1.0), pdes.Rectangle(), boundary=conditions)


def test_an_iteration_that_does_not_converge_says_so():
    method = FiniteElement(degree=1, cells=24, linear=LinearSolver("cg", max_iterations=5))
    with pytest.raises(SolverError, match=r"diagonal.*1e-12 in 5 iterations.*was left.*direct"):
        method.solve(poisson(all=pdes.Dirichlet(u=0.0)))


def test_automatic_choices_fall_back_on_a_factor_and_say_so():
    pattern, values = pattern_with(plane(20) - 0.7 * sp.identity(400))
    b = jnp.ones(400)
    x = solve_sparse(pattern, jnp.asarray(values), b, LinearSolver("amg", max_iterations=20))
    np.testing.assert_allclose(pattern.matrix(values) @ x, b, rtol=1e-8)
    assert any("sparse LU took over" in event for event in pattern.journal.events)


def two_squares():
    """The second, around x = 2.5, touches nothing."""
    one = pdes.Rectangle().mesh(3)
    count = len(one.points)
    return pdes.Mesh(
        points=np.concatenate([one.points, one.points + np.array([2.0, 0.0])]),
        cells=np.concatenate([one.cells, one.cells + count]),
        shape=one.shape,
        facets=np.concatenate([one.facets, one.facets + np.array([len(one.cells), 0])]),
        facet_parts=np.concatenate([np.zeros(len(one.facets), int), np.ones(len(one.facets), int)]),
        boundary_names=("first", "second"),
        cell_regions=np.zeros(2 * len(one.cells), int),
    )


@pytest.mark.parametrize(
    ("linear", "vector", "held", "missing"),
    [
        ("amg", False, {}, r"u"),
        ("direct", True, {}, r"u_x, u_y"),
        ("direct", True, {"u": (0.0, None)}, r"u_y"),
    ],
)
def test_a_part_without_support_is_named(linear, vector, held, missing):
    pde = library.Elasticity(young=10.0, poisson=0.3) if vector else library.Poisson(f=1.0)
    zero = (0.0, 0.0) if vector else 0.0
    force = pdes.Neumann(u=zero)
    second = [force, pdes.Dirichlet(**held)] if vector and held else force
    problem = pdes.Problem(
        pde,
        pdes.MeshDomain(two_squares()),
        boundary={"first": pdes.Dirichlet(u=zero), "second": second},
    )
    expected = (
        rf"2 separate parts, around x = \(2\.5, 0\.5\) with 16 nodes.*no support in {missing}"
    )
    with pytest.raises(SolverError, match=expected) as caught:
        FiniteElement(degree=1, linear=linear).solve(problem)
    assert caught.value.reason == "singular_matrix"


def test_a_factor_that_does_not_fit_is_refused_with_the_estimate():
    method = FiniteElement(degree=1, cells=16, linear=LinearSolver("direct", memory=10_000))
    with pytest.raises(SolverError, match=r"takes about .* 10 kB are available.*amg"):
        method.solve(poisson(all=pdes.Dirichlet(u=0.0)))


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="preconditioner='ilu' is unknown"):
        LinearSolver("cg", "ilu")
    matrix = plane(8).tocsr()
    layout = Layout((Block("u", 0, 1, np.zeros((64, 2))),))
    with pytest.raises(ValueError, match="for problems with a constraint"):
        stokes(reach_of(matrix, layout), True, jacobi)
