"""Reduced matrices: unknowns that are coupled to no other are divided out."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.csgraph as csgraph
from numpy.typing import NDArray

from solvers.linear._layout import Layout
from solvers.linear._pattern import SparsePattern

_PARTS = 200
# Of what a mode could do to a part: less than this is round-off.
_FREE = 1e-11


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """The places of a matrix without the unknowns that are coupled to no other.

    Attributes:
        kept: their mask, (size,). keep: the numbers of the others. slots: their values.
    """

    kept: NDArray[np.bool_]
    keep: NDArray[np.integer]
    slots: NDArray[np.integer] | None
    indptr: NDArray[np.integer]
    indices: NDArray[np.integer]

    @functools.cached_property
    def mirror(self) -> NDArray[np.integer] | None:
        """The place of the transpose's value for each value; None where it has other places."""
        count, n = len(self.indices), len(self.keep)
        numbers = np.arange(count, dtype=np.int32)
        other = sp.csr_matrix((numbers, self.indices, self.indptr), shape=(n, n)).T.tocsr()
        same = np.array_equal(other.indptr, self.indptr)
        return other.data if same and np.array_equal(other.indices, self.indices) else None

    def matrix(self, values: NDArray) -> sp.csr_matrix:
        data = values if self.slots is None else values[self.slots]
        n = len(self.keep)
        out = sp.csr_matrix((data, self.indices, self.indptr), shape=(n, n))
        out.has_sorted_indices = True
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """By which few values it shows that new ones couple the same unknowns.

    Attributes:
        witness: a slot off the diagonal in each row that has a nonzero one.
        watched: the slots in rows, and in columns, of unknowns whose row has none.
        nonzero: which of the watched are not zero.
    """

    layout: Layout
    witness: NDArray[np.integer]
    watched: NDArray[np.integer]
    nonzero: NDArray[np.bool_]

    def holds(self, values: NDArray, layout: Layout) -> bool:
        return (
            self.layout is layout
            and bool((values[self.witness] != 0).all())
            and np.array_equal(values[self.watched] != 0, self.nonzero)
        )


class Reduced:
    """A matrix in the unknowns that are coupled, and the others' diagonal.

    Prescribed unknowns of a discretisation have the rows and columns of the identity. Taken out,
    they cost nothing, and an aggregation or an ordering does not see them.

    Attributes:
        structure: shared by matrices with the same such unknowns. matrix: reduced.
        fault: why the matrix is singular, or None.
    """

    def __init__(self, pattern: SparsePattern, values: NDArray, layout: Layout):
        self.size = pattern.size
        diagonal = values[_diagonal_slots(pattern)]
        known = pattern.peek("structure")
        if known is None or not known[2].holds(values, layout):
            kept, evidence = _coupled(pattern, values, layout)
            known = pattern.latest(
                "structure",
                lambda old: np.array_equal(old[0].kept, kept),
                lambda: (*_with_fault(pattern, values, kept, layout), evidence),
            )
        self.structure, self.fault, _ = known
        kept = self.structure.kept
        self.matrix = self.structure.matrix(values)
        self.rest = np.where(kept, 1.0, diagonal)
        zero = np.flatnonzero(self.rest == 0)
        if len(zero) and self.fault is None:
            self.fault = f"{len(zero)} equations have no entry at all, the first is {zero[0]}"

    @functools.cached_property
    def symmetric(self) -> bool:
        """To rounding."""
        mirror, data = self.structure.mirror, self.matrix.data
        if mirror is None:
            return is_symmetric(self.matrix)
        size = np.abs(data).max(initial=0.0)
        return bool(np.abs(data - data[mirror]).max(initial=0.0) <= 1e-12 * size)

    def solve(self, b: NDArray, inner: Any) -> NDArray:
        """x, where `inner` solves the reduced system."""
        x = b / self.rest
        keep = self.structure.keep
        if len(keep):
            x[keep] = inner(b[keep])
        return x


def _diagonal_slots(pattern: SparsePattern) -> NDArray[np.integer]:
    """Slots of the diagonal; a diagonal place that the pattern lacks has the slot of a neighbour
    and is found by `_coupled` to be coupled."""

    def find() -> NDArray[np.integer]:
        slots = np.full(pattern.size, 0)
        on = np.flatnonzero(pattern.rows == pattern.indices)
        slots[pattern.rows[on]] = on
        return slots

    return pattern.once("diagonal", find)


def _coupled(
    pattern: SparsePattern, values: NDArray, layout: Layout
) -> tuple[NDArray[np.bool_], Evidence]:
    """Unknowns whose row or column has an entry off the diagonal; whole nodes together."""
    off = values != 0
    on_diagonal = _diagonal_slots(pattern)
    has = np.zeros(pattern.size, bool)
    proper = pattern.indices[on_diagonal] == np.arange(pattern.size)
    proper &= pattern.rows[on_diagonal] == np.arange(pattern.size)
    has[proper] = True
    off[on_diagonal[proper]] = False
    filled = np.flatnonzero(np.diff(pattern.indptr))
    alone = np.zeros(pattern.size, bool)
    alone[filled] = ~np.logical_or.reduceat(off, pattern.indptr[filled])
    evidence = _evidence(pattern, off, alone, layout)
    alone &= has
    if alone.any():
        reached = pattern.indices[np.flatnonzero(alone[pattern.indices] & off)]
        alone[reached] = False
    for block in layout.blocks:
        if block.components > 1:
            part = alone[block.start : block.stop].reshape(-1, block.components)
            part &= part.all(axis=1, keepdims=True)
    return ~alone, evidence


def _evidence(
    pattern: SparsePattern, off: NDArray[np.bool_], alone: NDArray[np.bool_], layout: Layout
) -> Evidence:
    slots = np.flatnonzero(off)
    rows = pattern.rows[slots]
    first = slots[np.flatnonzero(np.diff(rows, prepend=-1))]
    touched = np.flatnonzero(alone[pattern.rows] | alone[pattern.indices])
    touched = touched[pattern.rows[touched] != pattern.indices[touched]]
    return Evidence(layout, first, touched, off[touched])


def _with_fault(
    pattern: SparsePattern, values: NDArray, kept: NDArray[np.bool_], layout: Layout
) -> tuple[Structure, str | None]:
    structure = _structure(pattern, kept)
    return structure, unsupported(structure.matrix(values), structure.keep, pattern.size, layout)


def _structure(pattern: SparsePattern, kept: NDArray[np.bool_]) -> Structure:
    keep = np.flatnonzero(kept)
    if len(keep) == pattern.size:
        return Structure(kept, keep, None, pattern.indptr, pattern.indices)
    place = np.cumsum(kept, dtype=np.int32) - 1
    chosen = kept[pattern.rows] & kept[pattern.indices]
    slots = np.flatnonzero(chosen).astype(np.int32)
    counts = np.bincount(place[pattern.rows[slots]], minlength=len(keep))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Structure(kept, keep, slots, indptr, place[pattern.indices[slots]].astype(np.int32))


def unsupported(
    matrix: sp.csr_matrix, keep: NDArray[np.integer], size: int, layout: Layout
) -> str | None:
    """Which connected part of a matrix is held by nothing, in which modes; None if all are.

    A part is singular where a combination of constants and rotations is in its null space.
    """
    modes, names = layout.modes(size, True)
    modes = modes[keep]
    image, scale = matrix @ modes, abs(matrix) @ abs(modes)
    parts, label = csgraph.connected_components(matrix, directed=False)
    for part in range(min(parts, _PARTS)):
        rows = np.flatnonzero(label == part) if parts > 1 else slice(None)
        weights = np.linalg.norm(scale[rows], axis=0)
        present = np.flatnonzero(weights > 0)
        if not len(present):
            continue
        scaled = image[rows][:, present] / weights[present]
        # Not by eigenvalues of the Gram matrix, which has half of the digits.
        _, sizes, vectors = np.linalg.svd(np.linalg.qr(scaled, mode="r"))
        sizes = np.append(sizes, np.zeros(len(vectors) - len(sizes)))
        free = vectors[sizes <= _FREE].T
        if free.size:
            share = (free**2).sum(axis=1)
            found = [names[present[i]] for i in np.flatnonzero(share > 0.05)]
            return _describe(keep[rows], parts, found, layout)
    return None


def _describe(unknowns: NDArray[np.integer], parts: int, found: list[str], layout: Layout) -> str:
    for block in layout.blocks:
        inside = (unknowns >= block.start) & (unknowns < block.stop)
        if inside.any():
            nodes = np.unique((unknowns[inside] - block.start) // block.components)
            centre = block.coordinates[nodes].mean(axis=0)
            where = ", ".join(f"{c:.3g}" for c in centre)
            one = "the domain" if parts == 1 else f"one of {parts} separate parts"
            return (
                f"{one}, around x = ({where}) with {len(nodes)} nodes, has no support in "
                f"{', '.join(found)}: fix these there by a condition, a pin or a gauge"
            )
    return f"nothing holds {', '.join(found)}"


def is_symmetric(matrix: Any) -> bool:
    """To rounding."""
    other = matrix.T.tocsr()
    other.sort_indices()
    same = np.array_equal(matrix.indptr, other.indptr)
    if same and np.array_equal(matrix.indices, other.indices):
        size = np.abs(matrix.data).max(initial=0.0)
        return bool(np.abs(matrix.data - other.data).max(initial=0.0) <= 1e-12 * size)
    difference = abs(matrix - other)
    return difference.nnz == 0 or difference.max() <= 1e-12 * abs(matrix).max()
