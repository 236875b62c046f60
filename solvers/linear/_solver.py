"""LinearSolver: which iteration or factor solves a sparse system, and with what."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jaxtyping import Array
from numpy.typing import NDArray

from solvers.linear._device import device_tables, multigrid_conjugate_gradients
from solvers.linear._direct import BandedFactor, SparseFactor, is_narrow
from solvers.linear._iterative import NAMES, IterativeFactor
from solvers.linear._krylov import conjugate_gradients, ell
from solvers.linear._layout import plain_layout
from solvers.linear._memory import refuse_factor
from solvers.linear._pattern import SparsePattern
from solvers.linear._places import Places
from solvers.linear._reduced import Reduced

KINDS = ("auto", "banded", "direct", "iterative", "cg", "minres", "gmres", "bicgstab")
PRECONDITIONERS = ("none", "jacobi", "block", "amg", "ruge-stuben", "p-multigrid", "stokes")


@dataclasses.dataclass(frozen=True)
class LinearSolver:
    """Which back end does the work.

    Attributes:
        kind: "banded" (LAPACK, narrow bands), "direct" (SuperLU); "cg" for symmetric positive
            definite matrices, "minres" for symmetric ones, "gmres" and "bicgstab" for any;
            "iterative" for whichever of these suits the matrix; or "auto", by size too. The name
            of a preconditioner stands for "iterative" with it; "geometric" is the matrix-free
            multigrid of uniform meshes, see `FiniteElement`.
        preconditioner: "none", "jacobi", "block" (the couplings of each node's components), "amg"
            (smoothed aggregation, with rigid-body modes where a vector's components are coupled),
            "ruge-stuben", "p-multigrid" (Gauss–Seidel on elements of degree 2 and more over "amg"
            on those of degree 1), "stokes" (by blocks, for constraints), or "auto".
        tolerance: relative residual of iterative ones. max_iterations: of one solve.
        components: of a node, where the pattern has no layout that says more.
        memory: bytes that a factor may take; by default, what is available.
        device: "host" (SciPy's products and cycles: fastest on a CPU), "jax" (conjugate gradients
            in JAX, on any device, with Jacobi or with "amg" for one field: the host aggregates
            nodes and multiplies the coarse matrices out, the device iterates), or "auto".

    Preconditioners are kept as long as values change little: a matrix of a later Newton or time
    step is solved with an earlier one's until that takes half as many iterations again.
    """

    kind: str = "auto"
    preconditioner: str = "auto"
    tolerance: float = 1e-12
    max_iterations: int = 2000
    components: int = 1
    memory: int | None = None
    device: str = "auto"

    def __post_init__(self):
        if self.kind in PRECONDITIONERS and self.preconditioner == "auto":
            object.__setattr__(self, "preconditioner", self.kind)
            object.__setattr__(self, "kind", "iterative")
        if self.kind not in (*KINDS, "geometric"):
            known = (*KINDS, *PRECONDITIONERS, "geometric")
            raise ValueError(f"linear={self.kind!r} is unknown: use one of {known}")
        if self.preconditioner not in (*PRECONDITIONERS, "auto"):
            raise ValueError(
                f"preconditioner={self.preconditioner!r} is unknown: use one of {PRECONDITIONERS}"
            )
        if self.device not in ("auto", "host", "jax"):
            raise ValueError(f'device={self.device!r} is unknown: use "auto", "host" or "jax"')
        if self.device == "jax" and not self._able:
            raise ValueError(
                f'device="jax" runs kind="cg" with a preconditioner of {_IN_JAX}, got '
                f'kind={self.kind!r} with {self.preconditioner!r}: use device="host"'
            )

    def chosen(self, pattern: SparsePattern, dim: int, definite: bool) -> LinearSolver:
        """With "auto" replaced by what suits the size; what suits the values is found with them.

        Arguments:
            definite: it may be symmetric positive definite (no multipliers).
        """
        solver = self
        if solver.kind == "auto":
            solver = dataclasses.replace(solver, kind=_choose(pattern, dim, definite))
        if solver.kind == "direct":
            refuse_factor(pattern, dim, solver.memory)
        return solver

    def tables(self, pattern: SparsePattern) -> Any:
        """What the solver in JAX needs to know of the pattern, as arrays of padded sizes.

        Raises:
            ValueError: it is not for this pattern.
        """
        if not self.in_jax:
            return None
        if self.preconditioner == "amg":
            return device_tables(pattern, self.components)
        return ell(pattern)

    def iterate(self, places: Places, values: Array, b: Array) -> Array:
        """A x = b in JAX; NaN where it does not converge."""
        multigrid = self.preconditioner == "amg"
        run = multigrid_conjugate_gradients if multigrid else conjugate_gradients
        return run(places, values, b, self.tolerance, self.max_iterations)

    @property
    def _able(self) -> bool:
        if self.kind == "iterative":
            return self.preconditioner == "amg"
        return self.kind == "cg" and self.preconditioner in _IN_JAX

    @property
    def in_jax(self) -> bool:
        """Whether the iteration runs in JAX rather than on the host."""
        if self.device == "auto":
            # Not every matrix and layout is for multigrid in JAX: it is chosen by name alone.
            return jax.default_backend() != "cpu" and self._able and self.preconditioner != "amg"
        return self.device == "jax"

    def describe(self, pattern: SparsePattern) -> str:
        """For reports."""
        if self.kind in ("banded", "direct", "auto"):
            name = {"banded": "banded LU", "direct": "sparse LU (SuperLU)"}.get(
                self.kind, "chosen by size"
            )
        elif self.kind == "iterative":
            with_ = f" with {NAMES[self.preconditioner]}" if self.preconditioner in NAMES else ""
            name = f"iteration by symmetry{with_}"
        else:
            name = NAMES.get(self.kind, self.kind)
        return f"linear solver: {name}, {pattern.size} unknowns"

    def factor(self, pattern: SparsePattern, values: NDArray) -> Any:
        """What solves with this matrix: has `singular` and `solve(b, transpose)`."""
        if self.kind == "banded":
            return BandedFactor(pattern, values)
        layout = pattern.layout or plain_layout(pattern.size, self.components)
        if self.kind == "direct":
            return SparseFactor(pattern, Reduced(pattern, values, layout))
        iteration = "auto" if self.kind == "iterative" else self.kind
        preconditioner = self.preconditioner
        if preconditioner == "auto" and iteration != "auto":
            preconditioner = "jacobi"
        return IterativeFactor(
            pattern,
            values,
            iteration,
            preconditioner,
            self.tolerance,
            self.max_iterations,
            layout,
        )


_IN_JAX = ("auto", "jacobi", "amg")


def _choose(pattern: SparsePattern, dim: int, definite: bool) -> str:
    if is_narrow(pattern):
        return "banded"
    # Fill-in: nested dissection costs n^1.5 in the plane but n² in space.
    limit = {1: 2_000_000, 2: 250_000}.get(dim, 15_000)
    if not definite:
        limit *= 4
    return "iterative" if pattern.size > limit else "direct"
