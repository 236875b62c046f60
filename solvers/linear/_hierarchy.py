"""Hierarchies of algebraic multigrid, from pyamg's coarsenings."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_COARSE = 500
_LEVELS = 15
# An entry this small beside the least of the diagonal is what rounding left of zero.
_NOTHING = 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """One matrix of a hierarchy and the way to the next.

    Attributes:
        matrix: A, in compressed rows (or blocks of rows). up: P, so that the next matrix is
            PᵀAP. down: Pᵀ. known: 1/diag(A) and the radius, where they are at hand.
    """

    matrix: Any
    up: Any
    down: Any
    known: tuple[NDArray, float] | None = None

    @functools.cached_property
    def scaled(self) -> tuple[NDArray, float]:
        """1/diag(A), and a bound of the spectrum of D⁻¹A."""
        return scaled_radius(self.matrix) if self.known is None else self.known


@dataclasses.dataclass(frozen=True, eq=False)
class Hierarchy:
    """Levels from fine to coarse.

    Attributes:
        coarse: the last matrix. smoother: that suits it, "chebyshev" or "gauss-seidel".
    """

    levels: tuple[Level, ...]
    coarse: Any
    smoother: str = "chebyshev"

    @property
    def sizes(self) -> list[int]:
        return [*(level.matrix.shape[0] for level in self.levels), self.coarse.shape[0]]


def require_pyamg() -> Any:
    """The library, or the line that says what to install."""
    try:
        import pyamg
    except ImportError as error:
        raise ImportError("algebraic multigrid needs pyamg: pip install pyamg") from error
    return pyamg


def smoothed_aggregation(matrix: Any, near: NDArray | None, blocks: int) -> Hierarchy:
    """P = (1 − ω D⁻¹A) T, with T piecewise the near null space and ω = 4 / (3 ρ(D⁻¹A)).

    Every neighbour counts as strongly coupled, but for those whose entries are zero. pyamg's own
    set-up spends most of its time on the spectral radius, of which a bound is enough.

    Arguments:
        near: near null space (n, modes), None for constants. blocks: components of a node.

    Source: Vaněk, Mandel and Brezina (1996).
    """
    require_pyamg()
    from pyamg.aggregation.aggregate import standard_aggregation
    from pyamg.aggregation.tentative import fit_candidates

    a: Any = matrix.tobsr((blocks, blocks)) if blocks > 1 else without_zeros(matrix)
    candidates = np.ones((matrix.shape[0], 1)) if near is None else near
    levels: list[Level] = []
    while a.shape[0] > _COARSE and len(levels) < _LEVELS:
        groups: Any = standard_aggregation(_graph(a))[0]
        if groups.shape[1] == 0 or groups.shape[1] * candidates.shape[1] >= 0.9 * a.shape[0]:
            break
        tentative, candidates = fit_candidates(groups, candidates)
        inverse, radius = scaled_radius(a)
        correction = a @ tentative
        scale = sp.diags(4 / (3 * radius) * inverse)
        if blocks == 1 and candidates.shape[1] == 1:
            up = (tentative.tocsr() - scale @ correction.tocsr()).tocsr()
            down = up.T.tocsr()
        else:
            correction = _scaled_rows(correction, 4 / (3 * radius) * inverse)
            up = tentative - correction
            down = up.T.tobsr()
        levels.append(Level(a, up, down, (inverse, radius)))
        a = down @ (a @ up)
        blocks = candidates.shape[1]
    return Hierarchy(tuple(levels), a.tocsc())


def without_zeros(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The matrix without entries that are zero but for rounding, where there are many.

    On regular meshes of triangles and tetrahedra half of the neighbours are not coupled. Taken as
    such they make aggregates that are too large, twice the iterations, and products twice as long.
    """
    diagonal = np.abs(matrix.diagonal())
    kept = np.abs(matrix.data) > _NOTHING * diagonal.min(initial=np.inf)
    if np.count_nonzero(kept) > 0.9 * len(kept):
        return matrix
    ends = np.concatenate([[0], np.cumsum(kept, dtype=np.int32)])
    parts = (matrix.data[kept], matrix.indices[kept], ends[matrix.indptr])
    out = sp.csr_matrix(parts, shape=matrix.shape)
    out.has_sorted_indices = matrix.has_sorted_indices
    return out


def _graph(a: Any) -> sp.csr_matrix:
    """Which nodes are coupled; values don't matter."""
    if a.format == "bsr":
        n = a.shape[0] // a.blocksize[0]
        return sp.csr_matrix((np.ones(len(a.indices)), a.indices, a.indptr), shape=(n, n))
    a = a.tocsr()
    return sp.csr_matrix((a.data, a.indices, a.indptr), shape=a.shape)


def _scaled_rows(a: sp.bsr_matrix, scale: NDArray) -> sp.bsr_matrix:
    rows = np.repeat(np.arange(len(a.indptr) - 1), np.diff(a.indptr))
    data = a.data * scale.reshape(-1, a.blocksize[0])[rows][:, :, None]
    return sp.bsr_matrix((data, a.indices, a.indptr), shape=a.shape, blocksize=a.blocksize)


def classical(matrix: sp.csr_matrix) -> Hierarchy:
    """Ruge and Stüben (1987).

    Smoothed by Gauss–Seidel sweeps, which need no spectral radius and half the products that a
    Chebyshev polynomial does.
    """
    found = require_pyamg().ruge_stuben_solver(
        without_zeros(matrix), presmoother=None, postsmoother=None, max_coarse=_COARSE
    )
    levels = [Level(level.A, level.P.tocsr(), level.R.tocsr()) for level in found.levels[:-1]]
    return Hierarchy(tuple(levels), found.levels[-1].A.tocsc(), "gauss-seidel")


def scaled_radius(a: Any) -> tuple[NDArray, float]:
    """1/diag(A), and about the largest |eigenvalue| of D⁻¹A, not less by much.

    The power method comes from below: a tenth is added, but never more than Gershgorin's circles
    allow.
    """
    diagonal = a.diagonal()
    inverse = 1.0 / np.where(diagonal == 0, 1.0, diagonal)
    row_sums = np.abs(a.data)
    if a.format == "bsr":
        magnitudes = sp.bsr_matrix((row_sums, a.indices, a.indptr), shape=a.shape)
    else:
        magnitudes = sp.csr_matrix((row_sums, a.indices, a.indptr), shape=a.shape)
    bound = float((np.abs(inverse) * (magnitudes @ np.ones(a.shape[0]))).max())
    # Oscillating, and the same for every run.
    v = np.cos(2.4 * np.arange(a.shape[0]) ** 1.1)
    size = 0.0
    for _ in range(8):
        v /= np.linalg.norm(v)
        v = inverse * (a @ v)
        size = float(np.linalg.norm(v))
        if not size > 0:
            break
    return inverse, min(1.1 * size, bound) if size > 0 else max(bound, 1.0)
