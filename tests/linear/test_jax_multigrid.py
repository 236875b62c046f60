"""Algebraic multigrid whose cycles run in JAX: answers, iterations, derivatives, refusals."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import pdes
from pdes import library
from solvers import SolverError
from solvers.fem import FiniteElement
from solvers.linear import LinearSolver, pattern_of, solve_sparse

DEVICE = LinearSolver("amg", device="jax", tolerance=1e-11)


def poisson(k=1.0, f=1.0, g=0.0):
    return pdes.Problem(
        library.Poisson(k=k, f=f),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=g),
            "right": pdes.Dirichlet(u=0.0),
            "top": pdes.Neumann(u=0.0),
            "bottom": pdes.Neumann(u=0.3),
        },
    )


def clamped(shape="quadrilateral"):
    dim = 2 if shape in ("triangle", "quadrilateral") else 3
    return pdes.Problem(
        library.Elasticity(young=10.0, poisson=0.3),
        pdes.Box([0.0] * dim, [1.0] * dim),
        boundary={
            "all": pdes.Traction(u=0.0),
            "left": pdes.Dirichlet(u=0.0),
            "right": pdes.Traction(u=tuple([0.1, -0.2, 0.05][:dim])),
        },
    )


def iterations(solution):
    (note,) = [n for n in solution.stats.notes if "in JAX" in n]
    return int(re.search(r"(\d+) iterations", note)[1])


def state(solution):
    return np.asarray(solution.representation.state)


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
def test_the_answer_is_that_of_a_factor_in_few_iterations_on_any_size(shape):
    counts = []
    for cells in (40, 80):
        method = FiniteElement(degree=1, cells=cells, cell_shape=shape, linear=DEVICE)
        ours = method.solve(poisson(k=lambda p: 1.0 + 0.5 * jnp.sin(9 * p.x[0])))
        direct = FiniteElement(degree=1, cells=cells, cell_shape=shape, linear="direct")
        exact = state(direct.solve(poisson(k=lambda p: 1.0 + 0.5 * jnp.sin(9 * p.x[0]))))
        np.testing.assert_allclose(state(ours), exact, atol=1e-8 * np.abs(exact).max())
        counts.append(iterations(ours))
    assert counts[0] < 30 and counts[1] <= counts[0] + 5


@pytest.mark.parametrize("shape", ["quadrilateral", "tetrahedron"])
def test_solids_with_their_rigid_body_modes(shape):
    cells = {"quadrilateral": 32, "tetrahedron": 7}[shape]
    method = FiniteElement(degree=1, cells=cells, cell_shape=shape, linear=DEVICE)
    ours = method.solve(clamped(shape))
    direct = FiniteElement(degree=1, cells=cells, cell_shape=shape, linear="direct")
    exact = state(direct.solve(clamped(shape)))
    np.testing.assert_allclose(state(ours), exact, atol=1e-8 * np.abs(exact).max())
    assert iterations(ours) < 40


def test_gradients_by_one_more_solve_equal_differences():
    x = jnp.array([[0.3, 0.4], [0.7, 0.2]])
    method = FiniteElement(degree=1, cells=24, linear=DEVICE)

    def objective(k, f, g):
        return method.solve(poisson(k, f, g))["u"](x).sum()

    at = (jnp.asarray(1.2), jnp.asarray(0.8), jnp.asarray(0.5))
    both = jax.jit(jax.value_and_grad(objective, (0, 1, 2)))
    found = both(*at)[1]
    h = 1e-3
    for i, slope in enumerate(found):
        up, down = (both(*(a + s * h * (j == i) for j, a in enumerate(at)))[0] for s in (1.0, -1.0))
        np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=2e-6)


def test_a_plain_matrix_and_many_right_sides():
    n = 30
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))
    matrix = sp.coo_matrix(sp.kron(line, sp.identity(n)) + sp.kron(sp.identity(n), line))
    pattern, slots = pattern_of(matrix.row, matrix.col, matrix.shape[0])
    values = np.zeros(pattern.count)
    values[slots] = matrix.data
    b = jnp.asarray(np.random.default_rng(0).standard_normal((3, n * n)))
    # One program: operation by operation a cycle is dozens of small ones.
    solve = lambda right: solve_sparse(pattern, jnp.asarray(values), right, DEVICE)
    many = jax.jit(jax.vmap(solve))(b)
    np.testing.assert_allclose(many @ matrix.toarray(), b, atol=1e-8)


def test_what_it_is_not_for_is_refused():
    with pytest.raises(ValueError, match='device="host"'):
        LinearSolver("gmres", device="jax")
    with pytest.raises(ValueError, match="one field"):
        FiniteElement(degree=2, cells=4, linear=DEVICE).solve(library.stokes())


def test_failures_are_named():
    few = LinearSolver("amg", device="jax", tolerance=1e-12, max_iterations=2)
    with pytest.raises(SolverError, match="in JAX did not reach"):
        FiniteElement(degree=1, cells=40, linear=few).solve(poisson())

    class Wind(library.Poisson):
        def equations(self):
            flux = (self.carried, *super().equations()["u"].flux)
            return {"u": pdes.Balance(flux=flux, source=(self.load,), storage=pdes.NoStorage)}

        def carried(self, p):
            return p.u * jnp.array([30.0, 10.0])

    windy = pdes.Problem(Wind(f=1.0), pdes.Rectangle(), boundary={"all": pdes.Dirichlet(u=0.0)})
    with pytest.raises(SolverError, match="not symmetric positive definite"):
        FiniteElement(degree=1, cells=40, linear=DEVICE).solve(windy)
