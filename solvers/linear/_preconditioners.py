"""Preconditioners on the host: functions r ↦ M⁻¹ r, made from a reduced matrix and its layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.linear._cycle import Cycle, TwoLevel
from solvers.linear._hierarchy import classical, smoothed_aggregation
from solvers.linear._layout import Block, Layout
from solvers.linear._reach import Reach

Apply = Callable[[NDArray], NDArray]


def nothing(reach: Reach) -> Apply:
    return lambda r: r.copy()


def jacobi(reach: Reach) -> Apply:
    """The diagonal."""
    diagonal = reach.matrix.diagonal()
    inverse = 1.0 / np.where(diagonal == 0, 1.0, diagonal)
    return lambda r: inverse * r


def point_blocks(reach: Reach) -> Apply:
    """The couplings of each node's components, inverted."""
    s = reach.components
    if s == 1:
        return jacobi(reach)
    n = reach.matrix.shape[0] // s
    coo: Any = reach.matrix.tocoo()
    inside = coo.row // s == coo.col // s
    dense = np.zeros((n, s, s))
    row, column = coo.row[inside], coo.col[inside]
    np.add.at(dense, (row // s, row % s, column % s), coo.data[inside])
    singular = np.abs(np.linalg.det(dense)) == 0
    dense[singular] = np.eye(s)
    inverse = np.linalg.inv(dense)
    return lambda r: np.einsum("nij,nj->ni", inverse, r.reshape(n, s)).ravel()


def near_null_space(reach: Reach) -> NDArray | None:
    """Constants by component; rotations too where the components of a vector are coupled."""
    block = reach.block
    if block is None and all(b.components == 1 for b in reach.layout.blocks):
        return reach.layout.modes(reach.size, False)[0][reach.keep]
    if block is None or block.components == 1:
        return None
    s = block.components
    coupled = False
    if block.vector:
        coo: Any = reach.matrix.tocoo()
        cross = np.abs(coo.data[coo.row % s != coo.col % s])
        coupled = bool(cross.max(initial=0.0) > 1e-10 * np.abs(coo.data).max())
    return reach.layout.modes(reach.size, coupled)[0][reach.keep]


def algebraic_multigrid(reach: Reach) -> Apply:
    """One V-cycle of smoothed aggregation."""
    near = near_null_space(reach)
    if near is not None and reach.components > 1:
        near = near * coupled(reach.matrix)[:, None]
    return Cycle(smoothed_aggregation(reach.matrix, near, reach.components))


def coupled(matrix: Any) -> NDArray[np.bool_]:
    """Unknowns with an entry off the diagonal; the others are prescribed ones whose node has
    components that are not."""
    off = np.bincount(
        np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)),
        weights=np.abs(matrix.data),
        minlength=matrix.shape[0],
    )
    return off > np.abs(matrix.diagonal())


def classical_multigrid(reach: Reach) -> Apply:
    """One V-cycle after Ruge and Stüben."""
    return Cycle(classical(reach.matrix))


def p_multigrid(reach: Reach) -> Apply:
    """Gauss–Seidel on the elements themselves, algebraic multigrid on those of degree 1."""
    block = reach.block
    if block is None or block.degree < 2 or block.linear is None:
        return algebraic_multigrid(reach)
    up, vertices = _interpolation(reach, block)
    if reach.components > 1:
        free = coupled(reach.matrix)
        lower = free[np.searchsorted(reach.keep, vertices)]
        up = (sp.diags(free * 1.0) @ up @ sp.diags(lower * 1.0)).tocsr()
        coarse = (up.T @ (reach.matrix @ up) + sp.diags((~lower) * 1.0)).tocsr()
    else:
        coarse = (up.T @ (reach.matrix @ up)).tocsr()
    coarse.sort_indices()
    linear = dataclasses.replace(block, degree=1, linear=None, mass=None)
    below = Reach(coarse, vertices, reach.size, Layout((linear,)))
    return TwoLevel(reach.matrix, up, algebraic_multigrid(below), reach.components)


def _interpolation(reach: Reach, block: Block) -> tuple[sp.csr_matrix, NDArray]:
    """From the unknowns at the vertices that are kept, and their numbers."""
    assert block.linear is not None
    nodal: Any = block.linear()
    exact = np.flatnonzero(np.diff(nodal.indptr) == 1)
    at = np.empty(nodal.shape[1], np.int64)
    at[nodal.indices[nodal.indptr[exact]]] = exact
    s = block.components
    full = sp.kron(nodal, sp.identity(s), format="csr") if s > 1 else nodal
    numbers = block.start + (at[:, None] * s + np.arange(s)).ravel()
    kept = np.zeros(reach.size, bool)
    kept[reach.keep] = True
    chosen = np.flatnonzero(kept[numbers])
    up = full[reach.keep - block.start][:, chosen].tocsr()
    order = np.argsort(numbers[chosen], kind="stable")
    up = up[:, order].tocsr()
    up.sort_indices()
    return up, numbers[chosen][order]


def by_degree(reach: Reach) -> Apply:
    """p-multigrid for degree 2 and above, else algebraic multigrid."""
    block = reach.block
    high = block is not None and block.degree > 1 and block.linear is not None
    return p_multigrid(reach) if high else algebraic_multigrid(reach)


PRECONDITIONERS: dict[str, Callable[[Reach], Any]] = {
    "none": nothing,
    "jacobi": jacobi,
    "block": point_blocks,
    "amg": algebraic_multigrid,
    "ruge-stuben": classical_multigrid,
    "p-multigrid": p_multigrid,
}
