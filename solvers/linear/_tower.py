"""Aggregations of a pattern, known before any values: shapes for a multigrid cycle in JAX.

A compiled program must know the sizes of all levels. Aggregates are therefore made from the places
of a matrix alone, by pyamg on the host, once a pattern; what depends on the values (prolongations,
coarse matrices) is computed later and fits into tables of the sizes found here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers._same import padded_size
from solvers.linear._hierarchy import require_pyamg
from solvers.linear._layout import Layout, plain_layout
from solvers.linear._pattern import SparsePattern

# Unknowns of the coarsest level, whose inverse is kept.
_COARSE = 500
_LEVELS = 12


@dataclasses.dataclass(frozen=True)
class LevelShape:
    """Sizes of one level's tables, padded.

    Attributes:
        nodes: rows of blocks. components: of a node. matrix, up, down: longest rows of A, P and
            Pᵀ, in blocks; 0 for the finest A, whose values are the program's own.
    """

    nodes: int
    components: int
    matrix: int
    up: int
    down: int


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Of all levels, with nodes and components of the coarsest."""

    levels: tuple[LevelShape, ...]
    coarse: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Tower:
    """Aggregates from fine to coarse, (nodes, aggregates) each, and the shapes of the levels.

    Attributes:
        layout: of the unknowns. graph: of the finest nodes.
    """

    layout: Layout
    graph: sp.csr_matrix
    groups: tuple[Any, ...]
    shapes: Shapes

    @property
    def components(self) -> int:
        return self.layout.blocks[0].components


def tower_of(pattern: SparsePattern, components: int = 1) -> Tower:
    """The tower of a pattern, made once.

    Raises:
        ValueError: there are several fields, or a multiplier.
    """
    return pattern.once(f"tower {components}", lambda: _make(pattern, components))


def _make(pattern: SparsePattern, components: int) -> Tower:
    require_pyamg()
    from pyamg.aggregation.aggregate import standard_aggregation

    layout = pattern.layout or plain_layout(pattern.size, components)
    _check(layout, pattern)
    block = layout.blocks[0]
    graph: Any = _node_graph(pattern, block.components)
    modes = _mode_count(layout)
    # Aggregates follow the couplings that may be there, tables have room for all places.
    a: Any = graph
    strong: Any = graph if block.couplings is None else _padded(block.couplings(), graph)
    groups, levels = [], []
    nodes, each, width = graph.shape[0], block.components, 0
    while nodes * each > _COARSE and len(levels) < _LEVELS:
        found: Any = standard_aggregation(strong)[0]
        if found.shape[1] == 0 or found.shape[1] * modes >= 0.9 * a.shape[0] * each:
            break
        found = _ones(found.tocsr())
        up, below = _coarser(a, found)
        strong = below if strong is a else _coarser(strong, found)[1]
        k = len(levels)
        levels.append(
            LevelShape(
                nodes,
                each,
                width,
                padded_size(_longest(up), f"multigrid up {k}"),
                padded_size(_longest(up.T.tocsr()), f"multigrid down {k}"),
            )
        )
        groups.append(found)
        a, each = below, modes
        nodes = padded_size(a.shape[0], f"multigrid nodes {k}")
        width = padded_size(_longest(a), f"multigrid matrix {k}")
    return Tower(layout, graph, tuple(groups), Shapes(tuple(levels), (nodes, each)))


def _check(layout: Layout, pattern: SparsePattern) -> None:
    """Beyond the fields there may be padding, which is coupled to nothing."""
    last = layout.blocks[-1].stop
    bordered = bool(((pattern.rows >= last) & (pattern.indices < last)).any())
    whole = pattern.size % layout.blocks[0].components == 0
    if len(layout.blocks) == 1 and not layout.multipliers and not bordered and whole:
        return
    names = ", ".join(block.name for block in layout.blocks)
    more = " and multipliers of mean values" if bordered else ""
    raise ValueError(
        f'device="jax" with preconditioner="amg" is for one field without multipliers, got {names}'
        f'{more}: use device="host"'
    )


def _mode_count(layout: Layout) -> int:
    """Constants by component, and the rotations of a vector."""
    block = layout.blocks[0]
    dim = block.coordinates.shape[1]
    return block.components + (dim * (dim - 1) // 2 if block.vector else 0)


def _node_graph(pattern: SparsePattern, components: int) -> sp.csr_matrix:
    """Which nodes have a place in common."""
    ones = pattern.matrix(np.ones(pattern.count))
    if components == 1:
        return ones
    blocks: Any = ones.tobsr((components, components))
    n = pattern.size // components
    data = np.ones(len(blocks.indices))
    return sp.csr_matrix((data, blocks.indices, blocks.indptr), shape=(n, n))


def _padded(couplings: sp.csr_matrix, graph: sp.csr_matrix) -> sp.csr_matrix:
    """With rows for the nodes that pad a field."""
    out = sp.csr_matrix(couplings, copy=True)
    out.resize(graph.shape)
    return out


def _coarser(a: Any, groups: Any) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Places of P = (1 − ω D⁻¹A) T and of PᵀAP."""
    up = _ones((a @ groups + groups).tocsr())
    return up, _ones((up.T.tocsr() @ (a @ up)).tocsr())


def _ones(a: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(a.indices)), a.indices, a.indptr), shape=a.shape)


def _longest(a: Any) -> int:
    return int(np.diff(a.indptr).max(initial=0))


def block_slots(pattern: SparsePattern, tower: Tower) -> tuple[NDArray, NDArray]:
    """Slots of a matrix's values by the n-th block of every row of blocks, and its column.

    Returns:
        slots (longest row, components, components, nodes), −1 where there is none, and columns
        (longest row, nodes).
    """
    graph: Any = tower.graph.tocsr()
    s = tower.components
    graph.sort_indices()
    n = graph.shape[0]
    width = padded_size(_longest(graph), "multigrid row")
    lengths = np.diff(graph.indptr)
    rows = np.repeat(np.arange(n), lengths)
    place = np.arange(len(graph.indices)) - np.repeat(graph.indptr[:-1], lengths)
    columns = np.zeros((width, n), np.int32)
    columns[place, rows] = graph.indices
    keys = rows.astype(np.int64) * n + graph.indices
    row, column = pattern.rows // s, pattern.indices // s
    found = np.searchsorted(keys, row.astype(np.int64) * n + column)
    slots = np.full((width, s, s, n), -1, np.int32)
    slots[place[found], pattern.rows % s, pattern.indices % s, row] = np.arange(pattern.count)
    return slots, columns
