"""The levels of smoothed aggregation as tables for JAX: computed on the host from the values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers._host_call import HostFunction
from solvers._same import held
from solvers.linear._hierarchy import scaled_radius
from solvers.linear._journal import Failure
from solvers.linear._pattern import SparsePattern
from solvers.linear._preconditioners import coupled
from solvers.linear._reduced import Reduced
from solvers.linear._tower import Shapes, Tower, tower_of

Tables = tuple[NDArray, ...]


def table_shapes(shapes: Shapes) -> list[tuple[tuple[int, ...], Any]]:
    """Shapes and types of what `LevelTables` gives: for each level the blocks and columns of A
    (but the finest), P and Pᵀ, 1/diag(A), and the radius of D⁻¹A; the coarsest inverse; whether
    the matrix may be solved by conjugate gradients."""
    out: list[tuple[tuple[int, ...], Any]] = []
    sizes = [*[(s.nodes, s.components) for s in shapes.levels], shapes.coarse]
    for k, level in enumerate(shapes.levels):
        n, p = sizes[k]
        m, q = sizes[k + 1]
        if k:
            out += [((level.matrix, p, p, n), np.float32), ((level.matrix, n), np.int32)]
        out += [((level.up, p, q, n), np.float32), ((level.up, n), np.int32)]
        out += [((level.down, q, p, m), np.float32), ((level.down, m), np.int32)]
        out += [((p, n), np.float32), ((), np.float32)]
    total = shapes.coarse[0] * shapes.coarse[1]
    return [*out, ((total, total), np.float32), ((), np.bool_)]


@dataclasses.dataclass(frozen=True)
class LevelTables(HostFunction):
    """(number of a pattern, values) ↦ the tables of `table_shapes`.

    Levels are divided by the largest entry of the matrix and kept in single precision, which a
    preconditioner does not feel; the iteration around it has the precision of the values.
    """

    shapes: Shapes
    components: int

    def __call__(self, *arrays: np.ndarray) -> Tables:
        number, values = arrays
        pattern: SparsePattern = held(number)
        data = values[: pattern.count]
        return pattern.factor(f"tables {self}", data, lambda kept: self._made(pattern, kept))

    @property
    def stacks(self) -> tuple[bool, ...]:
        return (False, False)

    def _made(self, pattern: SparsePattern, values: NDArray) -> Tables:
        nothing = tuple(np.zeros(shape, dtype) for shape, dtype in table_shapes(self.shapes))
        tower = tower_of(pattern, self.components)
        fault = _unusable(pattern, values, tower)
        if fault is not None:
            pattern.journal.fail(fault)
            return nothing
        return _levels(pattern, values, tower, self.shapes)


def _unusable(pattern: SparsePattern, values: NDArray, tower: Tower) -> Failure | None:
    if not np.isfinite(values).all():
        return Failure("singular_matrix", "the matrix has entries that are not finite")
    reduced = Reduced(pattern, values, tower.layout)
    if reduced.fault is not None:
        return Failure("singular_matrix", reduced.fault)
    if reduced.symmetric and (reduced.matrix.diagonal() > 0).all():
        return None
    return Failure(
        "linear_not_converged",
        'device="jax" runs conjugate gradients, and the matrix is not symmetric positive definite: '
        'use device="host"',
    )


def _levels(pattern: SparsePattern, values: NDArray, tower: Tower, shapes: Shapes) -> Tables:
    """P = (1 − ω D⁻¹A) T with ω = 4 / (3 ρ(D⁻¹A)); Vaněk, Mandel and Brezina (1996)."""
    from pyamg.aggregation.tentative import fit_candidates

    fine: Any = pattern.matrix(values / max(float(np.abs(values).max()), 1e-300))
    s = tower.components
    near = _near_null_space(fine, tower)
    a: Any = fine.tobsr((s, s))
    out: list[NDArray] = []
    for k, (level, groups) in enumerate(zip(shapes.levels, tower.groups, strict=True)):
        below = shapes.levels[k + 1].nodes if k + 1 < len(shapes.levels) else shapes.coarse[0]
        tentative, near = fit_candidates(groups, near)
        inverse, radius = scaled_radius(a)
        rows = np.repeat(np.arange(len(a.indptr) - 1), np.diff(a.indptr))
        weights = (4 / (3 * radius) * inverse).reshape(-1, a.blocksize[0])
        scaled = sp.bsr_matrix((a.data * weights[rows][:, :, None], a.indices, a.indptr), a.shape)
        up: Any = _blocks(tentative - scaled @ tentative, tentative.blocksize)
        down = _blocks(up.T, up.blocksize[::-1])
        out += _packed(a, level.matrix, level.nodes) if k else []
        out += _packed(up, level.up, level.nodes) + _packed(down, level.down, below)
        diagonal = np.ones((level.nodes, level.components))
        diagonal[: a.shape[0] // level.components] = inverse.reshape(-1, level.components)
        out += [diagonal.T, np.asarray(radius)]
        a = _blocks(down @ (a @ up), (up.blocksize[1], up.blocksize[1]))
    out += [_inverse(a, shapes.coarse), np.asarray(True)]
    kinds = table_shapes(shapes)
    return tuple(np.asarray(x, d, order="C") for x, (_, d) in zip(out, kinds, strict=True))


def _blocks(a: Any, size: tuple[int, int]) -> sp.bsr_matrix:
    return a if a.format == "bsr" and a.blocksize == size else a.tobsr(size)


def _near_null_space(fine: Any, tower: Tower) -> NDArray:
    """Constants and rotations, zero where an unknown is prescribed."""
    modes, _ = tower.layout.modes(fine.shape[0], True)
    return modes * coupled(fine)[:, None]


def _packed(a: Any, width: int, nodes: int) -> list[NDArray]:
    """Blocks (width, p, q, nodes) by the n-th entry of every row, and their columns."""
    p, q = a.blocksize
    data, columns = np.zeros((width, p, q, nodes), np.float32), np.zeros((width, nodes), np.int32)
    lengths = np.diff(a.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(a.indices)) - np.repeat(a.indptr[:-1], lengths)
    data[place, :, :, rows] = a.data
    columns[place, rows] = a.indices
    return [data, columns]


def _inverse(a: Any, size: tuple[int, int]) -> NDArray:
    """Of the coarsest matrix, with nothing in the rows that are empty."""
    dense = a.toarray()
    inverse = scipy.linalg.pinvh(0.5 * (dense + dense.T), rtol=1e-12) if len(dense) else dense
    out = np.zeros((size[0] * size[1],) * 2)
    out[: len(dense), : len(dense)] = inverse
    return out


@dataclasses.dataclass(frozen=True)
class Report(HostFunction):
    """(number of a pattern, iterations, relative residual, whether it converged) ↦ the last."""

    name: str
    tolerance: float
    remedy: str

    def __call__(self, *arrays: np.ndarray) -> tuple[NDArray]:
        number, count, residual, good = arrays
        journal = held(number).journal
        if bool(good):
            journal.count(self.name, int(count))
        elif journal.failure is None or int(count):
            text = (
                f"{self.name} did not reach a relative residual of {self.tolerance:.0e} in "
                f"{int(count)} iterations ({float(residual):.1e} was left): {self.remedy}"
            )
            journal.fail(Failure("linear_not_converged", text))
        return (np.asarray(good),)

    @property
    def stacks(self) -> tuple[bool, ...]:
        return (False,) * 4
