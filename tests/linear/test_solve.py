"""Sparse solves: all back ends agree, have right derivatives, and name singular matrices."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from solvers.linear import LinearSolver, pattern_of, solve_sparse
from solvers.linear._superlu import SparseLU


def laplacian(n, dim):
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))
    matrix = line
    for _ in range(dim - 1):
        size = matrix.shape[0]
        matrix = sp.kron(matrix, sp.eye(n)) + sp.kron(sp.eye(size), line)
    matrix = sp.coo_matrix(matrix)
    pattern, slots = pattern_of(matrix.row, matrix.col, matrix.shape[0])
    values = np.zeros(pattern.count)
    values[slots] = matrix.data
    return pattern, jnp.asarray(values)


@pytest.mark.parametrize("kind", ["banded", "direct", "amg", "cg", "auto"])
def test_every_back_end_solves(kind):
    pattern, values = laplacian(12, 2)
    b = jnp.cos(jnp.arange(pattern.size) * 1.0)
    x = jax.jit(lambda v, r: solve_sparse(pattern, v, r, LinearSolver(kind)))(values, b)
    dense = pattern.matrix(values).toarray()
    np.testing.assert_allclose(x, np.linalg.solve(dense, np.asarray(b)), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", ["banded", "direct"])
def test_unsymmetric_matrices_and_their_transpose(kind):
    pattern, values = laplacian(15, 1)
    values = values + 0.3 * jnp.sin(jnp.arange(pattern.count) * 1.0)
    b = jnp.cos(jnp.arange(pattern.size) * 1.0)
    weights = jnp.sin(jnp.arange(pattern.size) * 2.0)

    def sparse(v, r):
        return weights @ solve_sparse(pattern, v, r, LinearSolver(kind))

    def dense(v, r):
        matrix = jnp.zeros((pattern.size, pattern.size))
        return weights @ jnp.linalg.solve(matrix.at[pattern.rows, pattern.indices].set(v), r)

    value, ours = jax.jit(jax.value_and_grad(sparse, (0, 1)))(values, b)
    expected, theirs = jax.jit(jax.value_and_grad(dense, (0, 1)))(values, b)
    np.testing.assert_allclose(value, expected, rtol=1e-11)
    for a, c in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-12)


def test_batches_of_matrices_and_of_right_hand_sides():
    pattern, values = laplacian(10, 1)
    scales = jnp.array([1.0, 2.0, 5.0])
    b = jnp.ones(pattern.size)
    x = jax.vmap(lambda s: solve_sparse(pattern, s * values, b))(scales)
    np.testing.assert_allclose(x, solve_sparse(pattern, values, b)[None] / scales[:, None])


def test_many_right_hand_sides_share_one_factor():
    pattern, values = laplacian(9, 2)
    many = jnp.sin(jnp.arange(3.0 * pattern.size)).reshape(3, -1)
    made = []
    before = pattern.factor

    def counted(kind, data, make):
        return before(kind, data, lambda kept: made.append(kind) or make(kept))

    pattern.factor = counted
    x = jax.jit(jax.vmap(lambda r: solve_sparse(pattern, values, r)))(many)
    np.testing.assert_allclose(x @ pattern.matrix(values).toarray(), many, rtol=1e-10, atol=1e-12)
    assert len(made) == 1


@pytest.mark.parametrize("kind", ["banded", "direct"])
def test_a_singular_matrix_gives_no_number(kind):
    pattern, values = laplacian(8, 1)
    ends = jnp.asarray((pattern.rows == pattern.indices) & np.isin(pattern.rows, [0, 7]))
    values = jnp.where(ends, 1.0, values)
    x = solve_sparse(pattern, values, jnp.ones(8), LinearSolver(kind))
    assert bool(jnp.all(jnp.isnan(x)))


def test_conjugate_gradients_that_do_not_converge_give_no_number():
    pattern, values = laplacian(30, 1)
    x = solve_sparse(pattern, values, jnp.ones(30), LinearSolver("cg", max_iterations=3))
    assert bool(jnp.all(jnp.isnan(x)))


def test_a_factor_is_reused_only_for_the_same_values():
    pattern, values = laplacian(6, 1)
    made = []

    def make(tag):
        return lambda _: made.append(tag) or tag

    first, second = np.asarray(values), np.asarray(2 * values)
    assert pattern.factor("direct", first, make("a")) == "a"
    assert pattern.factor("direct", first.copy(), make("b")) == "a"
    assert pattern.factor("direct", second, make("c")) == "c"
    assert made == ["a", "c"]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown"):
        LinearSolver("petsc")


def test_factors_give_their_memory_back_whatever_thread_drops_them():
    """SciPy keeps what another thread drops: 60 factors of 3 MB each."""
    resource = pytest.importorskip("resource")
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(64, 64))
    matrix = sp.kronsum(line, line).tocsc()
    b = np.ones(matrix.shape[0])

    def made_and_dropped():
        made.append(matrix @ SparseLU(matrix).solve(b))

    def run(count):
        for _ in range(count):
            thread = threading.Thread(target=made_and_dropped)
            thread.start()
            thread.join()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    made: list = []
    before = run(20)
    assert run(60) - before < 60_000  # kB; 160 000 if each stayed
    np.testing.assert_allclose(made, np.broadcast_to(b, (80, len(b))), rtol=1e-10)
