"""A few smooth tests in the place of many nodal ones, and the Gram matrix's factor on them."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp


def coarse_tests(gram: sp.csr_matrix, places: np.ndarray, count: int) -> np.ndarray:
    """About `count` smooth combinations of nodal functions, (nodes, tests).

    Neighbouring nodes are joined to groups of one size, and the groups' sums smoothed by Jacobi
    steps (I − ω D⁻¹G), as many as a group has nodes across: smoothed aggregation. Groups are
    disjoint and every step is injective, so that the tests are independent.

    Source: Vaněk, Mandel and Brezina (1996).

    Arguments:
        gram: G on the nodes that are kept. places: the nodes, (nodes, dim).
    """
    groups = _groups(places, count)
    joined = sp.csr_matrix((np.ones(len(groups)), (np.arange(len(groups)), groups)))
    scaled = sp.diags(1 / gram.diagonal()) @ gram
    # No eigenvalue of D⁻¹G is above its largest row sum.
    damping = 0.9 / float(abs(scaled).sum(axis=1).max())
    across = (len(places) / (groups.max() + 1)) ** (1 / places.shape[1])
    for _ in range(2 * max(round(across), 1)):
        joined = joined - damping * (scaled @ joined)
    return joined.toarray()


def _groups(places: np.ndarray, count: int) -> np.ndarray:
    """The number of each node's group: the nodes of one cube of a grid with `count` in use."""
    low, extent = places.min(axis=0), np.ptp(places, axis=0).max()
    coarse, fine = 1, 2
    while _cubes(places, low, extent / fine)[1] < min(count, len(places)):
        coarse, fine = fine, 2 * fine
    while fine - coarse > 1:
        middle = (coarse + fine) // 2
        enough = _cubes(places, low, extent / middle)[1] >= count
        coarse, fine = (coarse, middle) if enough else (middle, fine)
    return _cubes(places, low, extent / fine)[0]


def _cubes(places: np.ndarray, low: np.ndarray, size: float) -> tuple[np.ndarray, int]:
    cubes = np.floor((places - low) / size).astype(int)
    found, numbers = np.unique(cubes, axis=0, return_inverse=True)
    return numbers.reshape(-1), len(found)


def whitening(gram: sp.csr_matrix, tests: np.ndarray) -> np.ndarray:
    """L⁻¹Tᵀ with L Lᵀ = TᵀGT, so that |L⁻¹Tᵀr|² is the dual norm of r on the span of T."""
    factor = scipy.linalg.cholesky(tests.T @ (gram @ tests), lower=True)
    return scipy.linalg.solve_triangular(factor, tests.T, lower=True)
