"""Coupling: the sparsity pattern of a space, and where every element's blocks go in it."""

from __future__ import annotations

import functools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.fem._interior import neighbours
from solvers.fem._space import Space
from solvers.linear import SparsePattern

Integers = NDArray[np.integer]
Pairs = frozenset[tuple[str, str]]
_AT_ONCE = 4_000_000


class Coupling:
    """Which unknowns meet in an element or across a facet, found for nodes and expanded to their
    components.

    Attributes:
        pattern: of the matrix, padding and multipliers of mean values included.
        diagonal: slots of the diagonal.
        borders: for each mean value its unknowns, and the slots of its column and row.
    """

    def __init__(self, space: Space, pairs: Pairs, borders: tuple[str, ...], across: Pairs):
        self.space = space
        self._first = {}
        count = 0
        widths = []
        for name in space.scalars:
            self._first[name] = count
            nodes = space.padded_nodes[name]
            widths.append(np.full(nodes, space.components[name], np.int32))
            count += nodes
        widths.append(np.ones(len(borders), np.int32))
        multipliers = count + np.arange(len(borders))
        count += len(borders)
        self._nodes = self._meeting(pairs, across, borders, multipliers, count)
        self._expand(np.concatenate(widths))
        self.diagonal = self._diagonal(np.concatenate(widths))
        self.borders = [self._border(b, int(i)) for b, i in zip(borders, multipliers, strict=True)]

    def _numbers(self, field: str, cells: Integers | None = None) -> Integers:
        nodes = self.space.scalars[field].cell_nodes
        nodes = nodes if cells is None else nodes[cells]
        return nodes.astype(np.int32) + np.int32(self._first[field])

    def _meeting(self, pairs, across, borders, multipliers, count: int) -> sp.csr_matrix:
        """The pattern of nodes: products of incidence matrices of cells and nodes."""
        incidence = {}
        for field in {name for pair in pairs | across for name in pair}:
            numbers = self._numbers(field)
            indptr = np.arange(len(numbers) + 1, dtype=np.int64) * numbers.shape[1]
            ones = np.ones(numbers.size, bool)
            shape = (len(numbers), count)
            incidence[field] = sp.csr_matrix((ones, numbers.ravel(), indptr), shape=shape)
        total = sp.csr_matrix(sp.eye_array(count, dtype=bool))
        for row, column in sorted(pairs):
            total = total + incidence[row].T.tocsr() @ incidence[column]
        if across:
            beside = neighbours(self.space.mesh)
        for row, column in sorted(across):
            total = total + incidence[row].T.tocsr() @ (beside @ incidence[column])
        for border, number in zip(borders, multipliers, strict=True):
            field = border.rsplit("|", 1)[0]
            nodes = self._first[field] + np.arange(self.space.scalars[field].size)
            ones, place = np.ones(len(nodes), bool), np.full(len(nodes), number)
            column = sp.csr_matrix((ones, (nodes, place)), shape=(count, count))
            total = total + column + column.T.tocsr()
        total = sp.csr_matrix(total)
        total.sort_indices()
        slots = np.arange(total.nnz, dtype=np.int32)
        return sp.csr_matrix((slots, total.indices, total.indptr), shape=total.shape)

    def _expand(self, widths: Integers) -> None:
        """Rows and columns of the components, and the first slot of each pair of nodes."""
        nodes = self._nodes
        starts = np.concatenate([[0], np.cumsum(widths)])
        if (widths == 1).all():
            self._base, self._stride = None, None
            self.pattern = SparsePattern(len(widths), nodes.indptr, nodes.indices)
            return
        row = np.repeat(np.arange(len(widths)), np.diff(nodes.indptr))
        wide = widths[nodes.indices]
        before = np.concatenate([[0], np.cumsum(wide)])
        self._stride = (before[nodes.indptr[1:]] - before[nodes.indptr[:-1]]).astype(np.int64)
        first = np.concatenate([[0], np.cumsum(widths * self._stride)])
        self._base = first[row] + before[:-1] - before[nodes.indptr[row]]
        count = int(first[-1])
        indices = np.empty(count, np.int32)
        for a in range(int(widths.max(initial=1))):
            for b in range(int(widths.max(initial=1))):
                held = (widths[row] > a) & (wide > b)
                slots = self._base[held] + a * self._stride[row[held]] + b
                indices[slots] = starts[nodes.indices[held]] + b
        lengths = np.repeat(self._stride, widths)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        self.pattern = SparsePattern(int(starts[-1]), indptr, indices)

    def _slot(self, rows: Integers, columns: Integers, a: int, b: int) -> Integers:
        """Slots of component a of some nodes and b of others, of equal shapes."""
        found = np.asarray(self._nodes[rows.ravel(), columns.ravel()]).reshape(rows.shape)
        if self._base is None:
            return found
        assert self._stride is not None
        return self._base[found] + a * self._stride[rows] + b

    def _diagonal(self, widths: Integers) -> Integers:
        number = np.arange(len(widths))
        out = np.empty(int(widths.sum()), np.int32)
        starts = np.cumsum(widths) - widths
        for a in range(int(widths.max(initial=1))):
            held = number[widths > a]
            out[starts[held] + a] = self._slot(held, held, a, a)
        return out

    def _border(self, border: str, number: int) -> tuple[Integers, Integers, Integers]:
        field, component = border.rsplit("|", 1)
        a = int(component)
        nodes = np.arange(self.space.scalars[field].size)
        unknowns = self.space.offsets[field] + nodes * self.space.components[field] + a
        nodes = nodes + self._first[field]
        other = np.full(len(nodes), number)
        return unknowns, self._slot(nodes, other, a, 0), self._slot(other, nodes, 0, a)

    def slots(
        self, row: str, column: str, cells: Integers, others: Integers | None = None
    ) -> Integers:
        """Of one block of the element matrices, (column components, row components, cells, row
        nodes × column nodes); the columns are those of `others`, by default the same cells."""
        left = self._numbers(row, cells)
        right = self._numbers(column, cells if others is None else others)
        n, m = left.shape[1], right.shape[1]
        sizes = self.space.components[column], self.space.components[row]
        out = np.empty((*sizes, len(cells), n * m), np.int32)
        step = max(1, _AT_ONCE // (n * m))
        for start in range(0, len(cells), step):
            here = slice(start, start + step)
            shape = (len(left[here]), n, m)
            rows = np.ascontiguousarray(np.broadcast_to(left[here, :, None], shape))
            columns = np.ascontiguousarray(np.broadcast_to(right[here, None, :], shape))
            first = self._slot(rows, columns, 0, 0).reshape(-1, n * m)
            for b in range(sizes[0]):
                for a in range(sizes[1]):
                    if a and self._stride is not None:
                        out[b, a, here] = first + a * self._stride[rows].reshape(-1, n * m) + b
                    else:
                        out[b, a, here] = first + b
        return out


@functools.lru_cache(maxsize=8)
def coupling_of(
    space: Space, pairs: Pairs, borders: tuple[str, ...], across: Pairs = frozenset()
) -> Coupling:
    """The same space and coupled fields keep one pattern, and with it its factors.

    Arguments:
        pairs: fields that meet in a cell. across: those that meet across a facet as well.
    """
    return Coupling(space, pairs, borders, across)
