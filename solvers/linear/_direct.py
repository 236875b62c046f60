"""Direct factors on the host: banded LU for narrow matrices, SuperLU otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.csgraph as csgraph
from numpy.typing import NDArray

from solvers.linear._journal import Failure
from solvers.linear._pattern import SparsePattern
from solvers.linear._reduced import Reduced
from solvers.linear._superlu import SparseLU

# A pivot this much smaller than the largest is nothing but rounding.
_SINGULAR = 1e-14
_WIDTH = 48


class Band:
    """How a pattern fits into a band after reverse Cuthill–McKee ordering.

    Attributes:
        order: unknowns in the order of the band. lower, upper: its half widths.
        slots: place of each value in LAPACK's band storage, flattened by columns.
    """

    def __init__(self, pattern: SparsePattern):
        ones = pattern.matrix(np.ones(pattern.count))
        self.order = np.asarray(csgraph.reverse_cuthill_mckee((ones + ones.T).tocsr(), True))
        place = np.empty(pattern.size, dtype=np.int64)
        place[self.order] = np.arange(pattern.size)
        i, j = place[pattern.rows], place[pattern.indices]
        self.lower = int(max((i - j).max(initial=0), 0))
        self.upper = int(max((j - i).max(initial=0), 0))
        self.height = 2 * self.lower + self.upper + 1
        self.slots = self.lower + self.upper + i - j + j * self.height


def band_of(pattern: SparsePattern) -> Band:
    """The band of a pattern, found once."""
    return pattern.once("band", lambda: Band(pattern))


def is_narrow(pattern: SparsePattern) -> bool:
    """Whether a banded factor beats a sparse one."""
    if pattern.count > 2 * _WIDTH * pattern.size:
        return pattern.size <= _WIDTH
    if np.diff(pattern.indptr).max(initial=0) > _WIDTH:
        return pattern.size <= _WIDTH
    band = band_of(pattern)
    return band.lower + band.upper <= _WIDTH


def _lapack(storage: NDArray) -> tuple[Any, Any]:
    return tuple(scipy.linalg.get_lapack_funcs(("gbtrf", "gbtrs"), (storage,)))  # type: ignore


class BandedFactor:
    """LU with partial pivoting in a band (LAPACK gbtrf)."""

    def __init__(self, pattern: SparsePattern, values: NDArray):
        band = band_of(pattern)
        storage = np.zeros(band.height * pattern.size)
        storage[band.slots] = values
        storage = storage.reshape((band.height, pattern.size), order="F")
        self.band = band
        factorize, self._substitute = _lapack(storage)
        self.lu, self.pivots, info = factorize(storage, band.lower, band.upper, overwrite_ab=1)
        pivots = np.abs(self.lu[band.lower + band.upper])
        self.singular = bool(
            info != 0 or not np.isfinite(values).all() or pivots.min() < _SINGULAR * pivots.max()
        )

    def solve(self, b: NDArray, transpose: bool, enough: float = 0.0) -> NDArray:
        band = self.band
        x, _ = self._substitute(
            self.lu, band.lower, band.upper, b[band.order], self.pivots, trans=int(transpose)
        )
        out = np.empty_like(b)
        out[band.order] = x
        return out


class SparseFactor:
    """Sparse LU (SuperLU) of the transpose, whose columns are the rows that are at hand."""

    def __init__(self, pattern: SparsePattern, reduced: Reduced):
        self.reduced = reduced
        matrix = reduced.matrix
        self.singular = reduced.fault is not None or not np.isfinite(matrix.data).all()
        if reduced.fault is not None:
            pattern.journal.fail(Failure("singular_matrix", reduced.fault))
        if self.singular or not matrix.shape[0]:
            return
        transposed = matrix.T.tocsc()
        options: dict[str, Any] = {}
        diagonal = matrix.diagonal()
        if (diagonal > 0).all() and reduced.symmetric:
            # Minimum degree on the symmetric pattern fills less; the diagonal serves as pivot.
            options = {
                "permc_spec": "MMD_AT_PLUS_A",
                "diag_pivot_thresh": 0.01,
                "options": {"SymmetricMode": True},
            }
        try:
            self.lu = SparseLU(transposed, **options)
        except RuntimeError:  # SuperLU's word for an exactly singular matrix
            self.singular = True
            return
        pivots = self.lu.pivots
        self.singular = bool(pivots.min(initial=1.0) < _SINGULAR * pivots.max(initial=1.0))

    def solve(self, b: NDArray, transpose: bool, enough: float = 0.0) -> NDArray:
        return self.reduced.solve(b, lambda right: self.inner(right, transpose))

    def inner(self, b: NDArray, transpose: bool) -> NDArray:
        """In the reduced unknowns."""
        return self.lu.solve(b, trans="N" if transpose else "T")
