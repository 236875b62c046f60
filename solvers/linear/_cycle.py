"""Multigrid cycles on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.linear._hierarchy import Hierarchy, scaled_radius
from solvers.linear._superlu import SparseLU

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


class Chebyshev:
    """Before the coarse correction from zero, and after it.

    Arguments:
        scaled: 1/diag(A) and a bound of the spectrum of D⁻¹A. degree: of the polynomial.
    """

    def __init__(self, matrix: Any, scaled: tuple[NDArray, float], degree: int = DEGREE):
        self.matrix, self.degree = matrix, degree
        self.inverse, self.radius = scaled

    def before(self, b: NDArray) -> tuple[NDArray, NDArray]:
        """x and the residual that it leaves."""
        r = b.copy()
        x, change = chebyshev(self.matrix, self.inverse, self.radius, r, None, self.degree)
        r -= self.matrix @ change
        return x, r

    def after(self, x: NDArray, b: NDArray) -> NDArray:
        rest = b - self.matrix @ x
        return chebyshev(self.matrix, self.inverse, self.radius, rest, x, self.degree)[0]


class GaussSeidel:
    """Forward sweeps before the coarse correction, backward ones after it: symmetric together.

    A sweep costs one product; a polynomial of the same strength costs two. A row without a
    diagonal entry is left alone.
    """

    def __init__(self, matrix: Any, sweeps: int = 1):
        from pyamg.relaxation.relaxation import gauss_seidel

        self.matrix, self.sweeps, self.relax = matrix, sweeps, gauss_seidel

    def before(self, b: NDArray) -> tuple[NDArray, NDArray]:
        x = np.zeros_like(b)
        self.relax(self.matrix, x, b, self.sweeps, "forward")
        return x, b - self.matrix @ x

    def after(self, x: NDArray, b: NDArray) -> NDArray:
        self.relax(self.matrix, x, b, self.sweeps, "backward")
        return x


class Cycle:
    """One V-cycle from zero."""

    def __init__(self, hierarchy: Hierarchy):
        self.hierarchy = hierarchy
        sweeps = hierarchy.smoother == "gauss-seidel"
        self.smoothers = [
            GaussSeidel(level.matrix) if sweeps else Chebyshev(level.matrix, level.scaled)
            for level in hierarchy.levels
        ]
        self.factor = SparseLU(hierarchy.coarse) if hierarchy.coarse.shape[0] else None

    def __call__(self, b: NDArray) -> NDArray:
        return self._descend(0, b)

    def _descend(self, k: int, b: NDArray) -> NDArray:
        if k == len(self.smoothers):
            return self.factor.solve(b) if self.factor is not None else b
        level, smoother = self.hierarchy.levels[k], self.smoothers[k]
        x, r = smoother.before(b)
        x += level.up @ self._descend(k + 1, level.down @ r)
        return smoother.after(x, b)


class TwoLevel:
    """Smoothing on elements of degree p around a solve on those of degree 1."""

    def __init__(
        self, matrix: sp.csr_matrix, interpolation: sp.csr_matrix, coarse: Callable, blocks: int
    ):
        self.up, self.down = interpolation, interpolation.T.tocsr()
        if blocks > 1:
            a: Any = matrix.tobsr((blocks, blocks))
            self.smoother: Any = Chebyshev(a, scaled_radius(a), DEGREE + 1)
        else:
            self.smoother = GaussSeidel(matrix, 2)
        self.coarse = coarse

    def __call__(self, b: NDArray) -> NDArray:
        x, r = self.smoother.before(b)
        x += self.up @ self.coarse(self.down @ r)
        return self.smoother.after(x, b)
