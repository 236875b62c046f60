"""Multigrid cycles on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.linear._hierarchy import Hierarchy, scaled_radius

# The part of the spectrum of D⁻¹A, from its upper end down, that a smoother damps.
SMOOTHED = 0.2
DEGREE = 2


def chebyshev(
    a: Any, inverse: NDArray, radius: float, r: NDArray, x: NDArray | None, degree: int
) -> tuple[NDArray, NDArray]:
    """x after a Chebyshev polynomial in D⁻¹A, and the last change, whose part of the residual is
    still to be taken from r.

    Arguments:
        r: the residual of x. x: None for zero.

    Source: Saad (2003), algorithm 12.1.
    """
    low, high = SMOOTHED * radius, radius
    centre, half = (high + low) / 2, (high - low) / 2
    sigma = centre / half
    rho = 1 / sigma
    change = inverse * r
    change /= centre
    x = change.copy() if x is None else x + change
    for _ in range(degree - 1):
        r -= a @ change
        following = 1 / (2 * sigma - rho)
        change *= following * rho
        change += (2 * following / half) * inverse * r
        x += change
        rho = following
    return x, change


class Cycle:
    """One V-cycle from zero, with Chebyshev smoothing."""

    def __init__(self, hierarchy: Hierarchy):
        self.hierarchy = hierarchy
        self.factor = spla.splu(hierarchy.coarse) if hierarchy.coarse.shape[0] else None

    def __call__(self, b: NDArray) -> NDArray:
        return self._descend(0, b)

    def _descend(self, k: int, b: NDArray) -> NDArray:
        levels = self.hierarchy.levels
        if k == len(levels):
            return self.factor.solve(b) if self.factor is not None else b
        level = levels[k]
        a, inverse, radius = level.matrix, level.inverse, level.radius
        r = b.copy()
        x, change = chebyshev(a, inverse, radius, r, None, DEGREE)
        r -= a @ change
        x += level.up @ self._descend(k + 1, level.down @ r)
        return chebyshev(a, inverse, radius, b - a @ x, x, DEGREE)[0]


class TwoLevel:
    """Chebyshev smoothing on elements of degree p around a solve on those of degree 1."""

    def __init__(
        self, matrix: sp.csr_matrix, interpolation: sp.csr_matrix, coarse: Callable, blocks: int
    ):
        self.matrix: Any = matrix.tobsr((blocks, blocks)) if blocks > 1 else matrix
        self.up, self.down = interpolation, interpolation.T.tocsr()
        self.inverse, self.radius = scaled_radius(self.matrix)
        self.coarse = coarse

    def __call__(self, b: NDArray) -> NDArray:
        r = b.copy()
        x, change = chebyshev(self.matrix, self.inverse, self.radius, r, None, DEGREE + 1)
        r -= self.matrix @ change
        x += self.up @ self.coarse(self.down @ r)
        rest = b - self.matrix @ x
        return chebyshev(self.matrix, self.inverse, self.radius, rest, x, DEGREE + 1)[0]
