"""Smooth tests joined from nodal ones: independent, a partition of unity, and their dual norm."""

import numpy as np
import pytest

import physml as pm
from physml.losses import coarse_tests, nodal_tests, whitening


@pytest.fixture(scope="module")
def grid():
    """The Gram matrix (∇v, ∇w) of the nodes inside a square, and those nodes."""
    tests = nodal_tests(pm.Rectangle().mesh(cells=24), 1, 4)
    x = tests.space.coordinates
    kept = np.flatnonzero(((x > 1e-9) & (x < 1 - 1e-9)).all(axis=1))
    return tests.gram(0.0)[kept][:, kept], x[kept]


def test_tests_are_independent_and_add_up_to_one_away_from_the_boundary(grid):
    gram, places = grid
    found = coarse_tests(gram, places, 30)
    assert 30 <= found.shape[1] <= 50
    assert np.linalg.matrix_rank(found) == found.shape[1]
    # Constants have no slope, so that smoothing keeps them where the boundary is far.
    middle = np.abs(places - 0.5).max(axis=1) < 0.05
    assert middle.any()
    np.testing.assert_allclose(found.sum(axis=1)[middle], 1.0, rtol=1e-12)


def test_as_many_tests_as_nodes_are_a_basis(grid):
    gram, places = grid
    found = coarse_tests(gram, places, len(places))
    assert found.shape == (len(places), len(places))


def test_the_dual_norm_is_that_on_the_span(grid):
    """r = G v has the dual norm |v|_G where v is in the span, and at most that elsewhere."""
    gram, places = grid
    tests = coarse_tests(gram, places, 30)
    matrix = whitening(gram, tests)
    rng = np.random.default_rng(0)
    inside, any_one = tests @ rng.normal(size=tests.shape[1]), rng.normal(size=len(places))
    for v, bound in ((inside, 1e-12), (any_one, None)):
        norm, energy = np.sum((matrix @ (gram @ v)) ** 2), v @ (gram @ v)
        if bound is None:
            assert norm < energy
        else:
            assert norm == pytest.approx(energy, rel=bound)
