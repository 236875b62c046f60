"""SPRING, sketches and trust regions, conjugate gradients: what each is on paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physml.networks import MLP, combine, partition
from physml.optimizers import (
    DSGNAR,
    EnergyNaturalGradient,
    HessianFree,
    LeastSquares,
    PointBlock,
    QuadratureBlock,
    ScalarObjective,
    VectorBlock,
)
from physml.optimizers._conjugate_gradients import (
    conjugate_gradients,
    jacobi,
    nystrom,
    row_samples,
    units,
)
from physml.optimizers._linear_algebra import TrustRegion
from physml.optimizers._sketch import ColumnSketch, RowSketch
from tests.optimizers.problems import linear

KEY = jax.random.key(7)


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def steps(optimizer, objective, params, count, batch=None):
    state = optimizer.init(objective, params, batch)
    infos = []
    for _ in range(count):
        params, state, info = optimizer.step(objective, params, state, batch)
        infos.append(info)
    return params, state, infos


def levenberg_marquardt(objective, residual, damping):
    a = np.asarray(objective.matrix)
    return np.linalg.solve(a.T @ a + damping * np.eye(a.shape[1]), a.T @ residual)


@pytest.mark.parametrize("shape", [(40, 15), (15, 40)])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_spring_is_its_formula_and_without_momentum_gauss_newton(momentum, shape):
    objective, params = linear(*shape)
    optimizer = EnergyNaturalGradient(damping=0.5, momentum=momentum, probes=1)
    matrix, theta = np.asarray(objective.matrix), np.zeros(shape[1])
    direction, state = np.zeros(shape[1]), optimizer.init(objective, params, None)
    for _ in range(2):
        residual = matrix @ theta - np.asarray(objective.right)
        damping = 0.5 * (residual @ residual)
        rest = residual - momentum * matrix @ direction
        # The dual form, whichever of the two the optimizer takes.
        kernel = np.linalg.solve(matrix @ matrix.T + damping * np.eye(shape[0]), rest)
        direction = momentum * direction + matrix.T @ kernel
        if momentum == 0:
            expected = levenberg_marquardt(objective, residual, damping)
            np.testing.assert_allclose(direction, expected, rtol=1e-9, atol=1e-12)
        params, state, info = optimizer.step(objective, params, state, None)
        assert info.accepted and info.damping == pytest.approx(damping, rel=1e-8)
        theta = theta - direction
        np.testing.assert_allclose(params["theta"], theta, rtol=1e-7, atol=1e-11)


def test_the_column_sketch_has_orthonormal_columns(draw):
    sketch = ColumnSketch(13, 6, KEY)
    matrix = np.asarray(sketch.project(jnp.eye(13)))
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(6), atol=1e-14)
    vector = jnp.asarray(draw.normal(size=6))
    np.testing.assert_allclose(sketch.lift(vector), matrix @ vector, atol=1e-14)
    whole = ColumnSketch(13, 13, KEY)
    np.testing.assert_array_equal(whole.project(jnp.eye(13)), np.eye(13))


def test_the_row_sketch_keeps_squares_in_the_mean(draw):
    vector = jnp.asarray(draw.normal(size=30))
    keys = jax.random.split(KEY, 4000)
    squares = jax.vmap(lambda key: jnp.sum(RowSketch(30, 8, key).apply(vector) ** 2))(keys)
    # The deviation of one square is at most √(2/8) of its mean.
    deviation = (2 / 8 / 4000) ** 0.5
    assert abs(jnp.mean(squares) / jnp.sum(vector**2) - 1) < 4 * deviation
    matrix = np.asarray(RowSketch(30, 8, KEY).apply(jnp.eye(30)))
    assert matrix.shape == (8, 30) and (np.count_nonzero(matrix, axis=0) <= 4).all()
    whole = RowSketch(30, 30, KEY)
    np.testing.assert_array_equal(whole.apply(jnp.eye(30)), np.eye(30))


def test_blocks_project_the_rows_of_their_jacobian(draw):
    params, static = partition(MLP(2, 2, width=3, depth=1, key=KEY))
    network = lambda p, x: combine(p, static)(x)
    points = jnp.asarray(draw.normal(size=(6, 2)))
    elements, tests = points.reshape(3, 2, 2), jnp.asarray(draw.normal(size=(2, 2, 2)))
    every = lambda p, data: jnp.cumsum(jax.vmap(lambda x: network(p, x)[0])(data))
    blocks = (
        PointBlock(network, points, 0.7, chunk=4),
        QuadratureBlock(network, elements, tests, 0.7),
        VectorBlock(every, points),
    )
    sketch = ColumnSketch(ravel_pytree(params)[0].size, 5, KEY)

    @jax.jit
    def both(params):
        return [(b.jacobian(params), b.jacobian(params, sketch.project)) for b in blocks]

    for (residual, jacobian), (same, projected) in both(params):
        np.testing.assert_allclose(same, residual, rtol=1e-14)
        np.testing.assert_allclose(projected, sketch.project(jacobian), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_the_trust_region_solution(shape, draw):
    jacobian, residual = draw.normal(size=shape), draw.normal(size=shape[0])
    system = TrustRegion(jacobian, residual)
    least = np.linalg.lstsq(jacobian, residual, rcond=None)[0]
    assert system.longest == pytest.approx(np.linalg.norm(least), rel=1e-9)
    for radius in (1e-6, 0.1, 0.9 * system.longest):
        point, damping = system.solve(radius)
        assert np.linalg.norm(point) == pytest.approx(radius, rel=1e-10)
        matrix = jacobian.T @ jacobian + damping * np.eye(shape[1])
        np.testing.assert_allclose(matrix @ point, jacobian.T @ residual, rtol=1e-8, atol=1e-9)
    point, _ = system.solve(2 * system.longest)
    np.testing.assert_allclose(point, least, rtol=1e-8, atol=1e-11)


def test_a_sketch_of_full_size_is_levenberg_marquardt():
    objective, params = linear(40, 15)
    optimizer = DSGNAR(oversampling=3.0, radius=0.01, growth=2.0)
    params, state, (info,) = steps(optimizer, objective, params, 1)
    # A linear model is exact: the largest radius that may be tried is taken.
    assert float(state.radius) == info.step_size == 0.02
    expected = levenberg_marquardt(objective, np.asarray(objective.right), info.damping)
    np.testing.assert_allclose(params["theta"], expected, rtol=1e-9)
    params, _, _ = steps(DSGNAR(oversampling=3.0, radius=1e3), objective, params, 1)
    least = np.linalg.lstsq(objective.matrix, objective.right, rcond=None)[0]
    np.testing.assert_allclose(params["theta"], least, rtol=1e-9)


def test_sketched_steps_solve_a_consistent_system(draw):
    objective, params = linear(60, 24)
    # Right sides in the range, so that the least loss is zero.
    right = jnp.asarray(np.asarray(objective.matrix) @ draw.normal(size=24))
    objective = type(objective)(objective.matrix, right)
    optimizer = DSGNAR(size=20, radius=10.0)
    _, _, infos = steps(optimizer, objective, params, 60)
    losses = np.array([info.loss for info in infos])
    assert (np.diff(losses) <= 0).all() and losses[-1] < 1e-3 * losses[0]
    assert "40×20 of 60×24" in infos[0].linear_solver


def test_conjugate_gradients(draw):
    root = draw.normal(size=(9, 9))
    matrix, right = jnp.asarray(root @ root.T + np.eye(9)), jnp.asarray(draw.normal(size=9))
    product = lambda v: matrix @ v
    exact = np.linalg.solve(matrix, right)
    plain = conjugate_gradients(product, right, lambda v: v, 9, 1e-14)
    np.testing.assert_allclose(plain.solution, exact, rtol=1e-7)
    # The whole matrix as its own preconditioner: one product.
    whole = nystrom(lambda v: product(v) - v, 9, 9, jnp.ones(()), KEY)
    solved = conjugate_gradients(product, right, whole, 9, 1e-8)
    np.testing.assert_allclose(solved.solution, exact, rtol=1e-7)
    assert solved.products == 1
    # Signs cancel in v ⊙ A v where A is diagonal.
    diagonal = jacobi(lambda v: jnp.arange(1.0, 5.0) * v, 4, 2, jnp.ones(()), KEY)
    np.testing.assert_allclose(diagonal(jnp.ones(4)), 1 / jnp.arange(2.0, 6.0), rtol=1e-14)
    saddle = conjugate_gradients(lambda v: -v, right, lambda v: v, 9, 1e-14)
    assert saddle.indefinite and np.array_equal(saddle.solution, right)


@pytest.mark.parametrize("kind", ["nystrom", "units", "diagonal", "none"])
def test_matrix_free_steps_with_all_iterations_are_the_dense_ones(kind):
    objective, params = linear(40, 15)
    # Of "units" λ multiplies an estimate of the diagonal.
    damping = 1e-14 if kind == "units" else 1e-3
    optimizer = HessianFree(damping=damping, tolerance=1e-13, preconditioner=kind, rank=8)
    params, _, (info,) = steps(optimizer, objective, params, 1)
    expected = levenberg_marquardt(objective, np.asarray(objective.right), info.damping)
    np.testing.assert_allclose(params["theta"], expected, rtol=1e-9, atol=1e-11)
    assert info.step_size == 1.0 and kind in info.linear_solver


def test_blocks_of_units_solve_what_is_a_block_for_each():
    """Of one sign a unit, Jᵀw has no other unit's in it where each residual is of one unit."""
    draw = np.random.default_rng(0)
    factors = draw.normal(size=(5, 40, 3))
    offset = draw.normal(size=(2,))

    def pull(w):
        return ravel_pytree(
            {
                "offset": jnp.asarray(offset) * w[200:202],
                "weight": jnp.einsum("unk,un->uk", factors, w[:200].reshape(5, 40)),
            }
        )[0]

    like, unravel = ravel_pytree({"offset": jnp.zeros(2), "weight": jnp.zeros((5, 3))})
    samples = row_samples(pull, jnp.zeros(202), 4000, KEY)
    precondition = units(samples, unravel, jnp.asarray(0.5)).precondition
    blocks = np.einsum("uni,unj->uij", factors, factors)
    vector = draw.normal(size=like.shape)
    found, given = unravel(precondition(jnp.asarray(vector))), unravel(jnp.asarray(vector))
    # Numbers of their own have one residual each: exact. Their λ is that of all in the mean.
    damped = offset**2 + 0.5 * np.mean(np.asarray(samples) ** 2)
    np.testing.assert_allclose(found["offset"], given["offset"] / damped, rtol=1e-10)
    damped = blocks + 0.5 * blocks * np.eye(3)
    exact = np.linalg.solve(damped, np.asarray(given["weight"])[..., None])
    # Of 4000 samples, each entry to about 1/√4000.
    np.testing.assert_allclose(found["weight"], exact[..., 0], rtol=0.15, atol=2e-3)


class Rows(LeastSquares):
    """A vec(W) = b."""

    matrix: np.ndarray
    right: np.ndarray

    def blocks(self, batch):
        fn = lambda params, data: data[0] @ params["weight"].reshape(-1) - data[1]
        return {"fit": VectorBlock(fn, (self.matrix, self.right))}


def test_units_that_hardly_meet_take_few_products():
    """Sizes of units over two decades, and a coupling of a tenth."""
    draw = np.random.default_rng(0)
    own = draw.normal(size=(30, 12, 6)) * np.logspace(0, -2, 30)[:, None, None]
    own = own * np.logspace(0, -1, 6)
    matrix = np.zeros((360, 180))
    for u in range(30):
        matrix[12 * u : 12 * u + 12, 6 * u : 6 * u + 6] = own[u]
        if u:
            matrix[12 * u : 12 * u + 12, 6 * u - 6 : 6 * u] += 0.1 * own[u]
    right = draw.normal(size=360)
    objective = Rows(matrix, right)
    params = {"weight": jnp.zeros((30, 6))}
    counts = {}
    for kind in ("units", "diagonal"):
        optimizer = HessianFree(
            damping=1e-14, tolerance=1e-8, preconditioner=kind, iterations=3000, probes=1
        )
        found, _, (info,) = steps(optimizer, objective, params, 1)
        exact = np.linalg.lstsq(matrix, right, rcond=None)[0]
        scale = np.linalg.norm(matrix, axis=0)
        gap = scale * (np.asarray(found["weight"]).reshape(-1) - exact)
        assert np.abs(gap).max() < 1e-5 * np.abs(scale * exact).max()
        counts[kind] = info.evaluations - optimizer.rank
    assert counts["units"] < 60 and counts["diagonal"] > 3 * counts["units"]


def test_rows_too_wide_for_their_samples_have_a_diagonal():
    """Of 40 columns by 8 samples no block is known."""
    samples = jnp.asarray(np.random.default_rng(0).normal(size=(8, 80)))
    found = units(samples, lambda v: v.reshape(2, 40), jnp.asarray(0.0))
    expected = 1 / np.mean(np.asarray(samples) ** 2, axis=0)
    np.testing.assert_allclose(found.precondition(jnp.ones(80)), expected, rtol=1e-12)


def test_too_few_products_are_told():
    objective, params = linear(40, 15)
    for iterations, told in ((3, ", at its limit of 3"), (60, "preconditioner none")):
        optimizer = HessianFree(preconditioner="none", iterations=iterations)
        _, _, (info,) = steps(optimizer, objective, params, 1)
        assert info.linear_solver.endswith(told)


def test_conjugate_gradients_end_in_the_norm_of_the_preconditioner(draw):
    """With M = A⁻¹ but for one direction: what is left there alone, in any units."""
    sizes = jnp.logspace(0, 12, 6)
    right = jnp.asarray(draw.normal(size=6)) * jnp.sqrt(sizes)
    found = conjugate_gradients(lambda v: sizes * v, right, lambda v: v / sizes, 9, 1e-12)
    assert found.products == 1
    np.testing.assert_allclose(found.solution, right / sizes, rtol=1e-14)
    # The same energy in each: the small ones are found as well as the large ones.
    rough = conjugate_gradients(
        lambda v: sizes * v, right, lambda v: v / sizes * jnp.linspace(0.5, 1.5, 6), 30, 1e-8
    )
    np.testing.assert_allclose(rough.solution, right / sizes, rtol=1e-7)
    np.testing.assert_allclose(rough.residual, right - sizes * rough.solution, atol=1e-3)


def test_matrix_free_newton_on_any_loss():
    matrix = jnp.diag(jnp.arange(1.0, 7.0))
    objective = ScalarObjective(lambda p, b: 0.5 * p @ matrix @ p - jnp.sum(p))
    optimizer = HessianFree(damping=1e-12, tolerance=1e-13)
    params, _, _ = steps(optimizer, objective, jnp.zeros(6), 2)
    np.testing.assert_allclose(params, 1 / jnp.arange(1.0, 7.0), rtol=1e-9)
    # Not convex at the start: (x² − 1)² has its maximum at 0.
    well = ScalarObjective(lambda p, b: jnp.sum((p**2 - 1) ** 2))
    params, _, infos = steps(HessianFree(), well, jnp.array([0.1, -0.2]), 12)
    np.testing.assert_allclose(params, [1.0, -1.0], rtol=1e-8)
    assert all(np.isfinite(info.loss) for info in infos)


def test_matrices_must_fit():
    objective, params = linear(40, 15)
    with pytest.raises(ValueError, match=r"40 residuals by 15 parameters takes 4.8 kB.*DSGNAR"):
        EnergyNaturalGradient(memory=100.0).init(objective, params, None)
    with pytest.raises(ValueError, match=r"40 residuals, 4 of 15 columns.*HessianFree or LBFGS"):
        DSGNAR(size=4, memory=100.0).init(objective, params, None)
    with pytest.raises(ValueError, match="preconditioner must be one of"):
        HessianFree(preconditioner="ilu")
    with pytest.raises(ValueError, match="0 ≤ momentum < 1"):
        EnergyNaturalGradient(momentum=1.0)
