"""IterativeFactor: a matrix with a preconditioner, kept and used like a factor."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.linear._direct import SparseFactor
from solvers.linear._iterations import ITERATIONS, Outcome
from solvers.linear._journal import Failure
from solvers.linear._layout import Layout
from solvers.linear._pattern import SparsePattern
from solvers.linear._preconditioners import PRECONDITIONERS, by_degree
from solvers.linear._reach import Reach
from solvers.linear._reduced import Reduced
from solvers.linear._saddle import stokes

NAMES = {
    "cg": "conjugate gradients",
    "minres": "MINRES",
    "gmres": "GMRES",
    "bicgstab": "BiCGStab",
    "none": "no preconditioner",
    "jacobi": "the diagonal (Jacobi)",
    "block": "point blocks",
    "amg": "algebraic multigrid (smoothed aggregation)",
    "ruge-stuben": "algebraic multigrid (Ruge–Stüben)",
    "p-multigrid": "p-multigrid over algebraic multigrid",
    "stokes": "a block preconditioner",
}
REMEDY = (
    'use another `linear` solver ("direct" where it fits in memory), a stronger preconditioner, '
    "LinearSolver(max_iterations=…), or a looser tolerance"
)


# Where LU in three dimensions still takes seconds rather than minutes.
_DIRECT_LIMIT = 50_000


class _Kept:
    """A preconditioner, the structure that it was made for, and how well it did when new."""

    def __init__(self, apply: Any, structure: Any, maker: IterativeFactor):
        self.apply, self.structure, self.maker = apply, structure, weakref.ref(maker)
        self.fresh = 0.0
        self.worn = False


class IterativeFactor:
    """A Krylov method with a preconditioner of this matrix, or of an earlier one of its kind.

    A preconditioner is kept when values change, as in Newton's method or in time, for as long as
    the iterations stay within half as many again as when it was new.
    """

    def __init__(
        self,
        pattern: SparsePattern,
        values: NDArray,
        iteration: str,
        preconditioner: str,
        tolerance: float,
        limit: int,
        layout: Layout,
    ):
        self.pattern, self.layout = pattern, layout
        self.tolerance, self.limit = tolerance, limit
        self.reduced = Reduced(pattern, values, layout)
        self.singular = self.reduced.fault is not None or not np.isfinite(values).all()
        if self.singular:
            self._name_singular(values)
            return
        matrix = self.reduced.matrix
        symmetric = self.reduced.symmetric
        definite = symmetric and bool((matrix.diagonal() > 0).all())
        saddle = bool(layout.multipliers)
        self.preconditioner = preconditioner
        if preconditioner == "auto":
            high = any(block.degree > 1 and block.linear is not None for block in layout.blocks)
            one = len(layout.blocks) == 1
            self.preconditioner = "stokes" if saddle else "p-multigrid" if high and one else "amg"
        self.iteration = iteration
        if iteration == "auto":
            self.iteration = "cg" if definite else "minres" if symmetric and saddle else "gmres"
        self.symmetric = symmetric
        self.kept: dict[bool, _Kept] = {}
        self.name = f"{NAMES[self.iteration]} with {NAMES[self.preconditioner]}"
        self.direct: SparseFactor | None = None
        self.replaceable = "auto" in (iteration, preconditioner)

    def _name_singular(self, values: NDArray) -> None:
        text = self.reduced.fault or "the matrix has entries that are not finite"
        self.pattern.journal.fail(Failure("singular_matrix", text))

    def solve(self, b: NDArray, transpose: bool, enough: float = 0.0) -> NDArray:
        """A⁻¹b or A⁻ᵀb, to the tolerance or to the reduction of the residual that is enough."""
        if not b.any():
            return np.zeros_like(b)
        transpose = transpose and not self.symmetric
        return self.reduced.solve(b, lambda right: self._inner(right, transpose, enough))

    def _inner(self, b: NDArray, transpose: bool, enough: float) -> NDArray:
        if self.direct is not None:
            return self.direct.inner(b, transpose)
        matrix = self.reduced.matrix
        if transpose:
            matrix = matrix.T.tocsr()
        size = float(np.linalg.norm(b))
        goal = max(self.tolerance, enough) * size
        # The part of the way to the full tolerance, in iterations.
        share = float(np.log(max(self.tolerance, enough)) / np.log(self.tolerance))
        outcome = self._iterate(matrix, b, transpose, goal, share)
        # The residual of a recurrence drifts from the true one, which stalls near rounding.
        if outcome.residual <= 10 * goal + 1e-14 * size and np.isfinite(outcome.x).all():
            self.pattern.journal.count(self.name, outcome.iterations)
            return outcome.x
        return self._failed(outcome, b, transpose)

    def _iterate(
        self, matrix: sp.csr_matrix, b: NDArray, transpose: bool, goal: float, share: float
    ) -> Outcome:
        run = ITERATIONS[self.iteration]
        kept = self._preconditioner(matrix, transpose)
        mine = kept.maker() is self
        fresh = kept.fresh * share
        limit = self.limit if mine else min(self.limit, int(max(2 * fresh, fresh + 10)))
        outcome = run(matrix, kept.apply, b, None, goal, limit)
        if not mine and not outcome.residual <= goal:
            kept = self._make(matrix, transpose)
            mine, start = True, outcome.x if np.isfinite(outcome.x).all() else None
            outcome = run(matrix, kept.apply, b, start, goal, self.limit)
        if mine:
            kept.fresh = max(kept.fresh, outcome.iterations / share)
        else:
            kept.worn |= outcome.iterations > 1.5 * fresh + 3
        return outcome

    def _preconditioner(self, matrix: sp.csr_matrix, transpose: bool) -> _Kept:
        if transpose not in self.kept:
            old = self.pattern.peek(self._key(transpose))
            usable = old is not None and old.structure is self.reduced.structure and not old.worn
            if usable and old is not None:
                self.kept[transpose] = old
            else:
                self._make(matrix, transpose)
        return self.kept[transpose]

    def _key(self, transpose: bool) -> str:
        return f"preconditioner {self.name} {transpose}"

    def _make(self, matrix: sp.csr_matrix, transpose: bool) -> _Kept:
        reach = Reach(matrix, self.reduced.structure.keep, self.pattern.size, self.layout)
        if self.preconditioner == "stokes":
            apply = stokes(reach, self.symmetric, by_degree)
        else:
            apply = PRECONDITIONERS[self.preconditioner](reach)
        made = _Kept(apply, self.reduced.structure, self)
        self.kept[transpose] = made
        self.pattern.keep(self._key(transpose), made)
        return made

    def _failed(self, outcome: Outcome, b: NDArray, transpose: bool) -> NDArray:
        size = float(np.linalg.norm(b))
        history = tuple(value / size for value in outcome.history)
        text = (
            f"{self.name} did not reach a relative residual of {self.tolerance:.0e} in "
            f"{outcome.iterations} iterations ({outcome.residual / size:.1e} was left)"
        )
        n = len(b)
        if self.replaceable and n <= _DIRECT_LIMIT:
            self.pattern.journal.record(f"{text}: sparse LU took over")
            self.direct = SparseFactor(self.pattern, self.reduced)
            if not self.direct.singular:
                return self.direct.inner(b, transpose)
            self.direct = None
        failure = Failure("linear_not_converged", f"{text}: {REMEDY}", history)
        self.pattern.journal.fail(failure)
        return np.full_like(b, np.nan)
