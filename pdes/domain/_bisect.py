"""Local refinement of simplices by bisection of edges; the mesh stays conforming.

Edges of the marked cells are marked, then the longest edge of every cell that has a marked one,
until nothing changes (Rivara 1984). Each cell is then cut through its marked edges, the longest
first. A facet is cut by its own marked edges in the same order from both sides, so that no node
hangs (Plaza & Carey, Local refinement of simplicial grids based on the skeleton, 2000).
"""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from pdes.domain._base import Floats
from pdes.domain._mesh import FACETS, Integers, Mesh
from pdes.domain._refine import periodic_shifts, quadratic_nodes, refined_pairs


def bisect(mesh: Mesh, marked: Any) -> tuple[Mesh, Integers]:
    """A mesh in which every edge of the marked cells is halved, and each cell's parent, (cells,).

    Old points keep their numbers. Names, regions, periodic pairs and curved geometry are kept.

    Arguments:
        marked: numbers of cells, or a mask (cells,).

    Raises:
        ValueError: cells that are no simplices, or that don't exist.
    """
    chosen = check_marked(mesh, marked)
    if not len(chosen):
        return mesh, np.arange(len(mesh.cells))
    edges = _Edges(mesh)
    cut = edges.closed(chosen)
    middle = np.full(len(edges.ends), -1)
    middle[cut] = len(mesh.points) + np.arange(int(cut.sum()))
    cells, parents, shares = _cut_cells(mesh, edges, middle)
    points = np.concatenate([mesh.points, edges.middles[cut]])
    ends = np.concatenate([np.repeat(np.arange(len(mesh.points))[:, None], 2, 1), edges.ends[cut]])
    facets, parts = _facets_of_children(mesh, cells, parents, ends)
    out = dataclasses.replace(
        mesh,
        points=points,
        cells=cells,
        facets=facets,
        facet_parts=parts,
        cell_regions=mesh.cell_regions[parents],
        geometry=None if mesh.geometry is None else _geometry(mesh, parents, shares),
    )
    return dataclasses.replace(out, periodic_pairs=refined_pairs(mesh, points)), parents


def check_marked(mesh: Mesh, marked: Any) -> Integers:
    """Numbers of the marked cells.

    Raises:
        ValueError: cells that are no simplices, or that don't exist.
    """
    if mesh.shape not in ("interval", "triangle", "tetrahedron"):
        raise ValueError(
            f"{mesh.shape} cells can't be refined one by one: their neighbours would have hanging "
            'nodes. Use cells of shape "triangle" or "tetrahedron", or refine() all of them'
        )
    marked = np.asarray(marked)
    if marked.dtype == bool:
        if marked.shape != (len(mesh.cells),):
            raise ValueError(f"a mask of shape {marked.shape} for {len(mesh.cells)} cells")
        return np.flatnonzero(marked)
    chosen = np.unique(marked.astype(int))
    if len(chosen) and (chosen[0] < 0 or chosen[-1] >= len(mesh.cells)):
        raise ValueError(
            f"cells {chosen[0]} to {chosen[-1]} are marked, the mesh has {len(mesh.cells)}"
        )
    return chosen


class _Edges:
    """Every edge once, in an order from the longest down that periodic images share.

    Attributes:
        ends: points, (edges, 2). of_cell: edges of each cell, (cells, edges a cell). middles:
        where each is cut, on the curve of degree 2 where cells are curved. rank: 0 for the longest.
    """

    def __init__(self, mesh: Mesh):
        self.local = np.array(list(combinations(range(mesh.cells.shape[1]), 2)))
        pairs = np.sort(mesh.cells[:, self.local].reshape(-1, 2), axis=1).astype(np.int64)
        count = len(mesh.points)
        keys, inverse = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
        self.ends = np.stack([keys // count, keys % count], axis=1)
        self.of_cell = inverse.reshape(len(mesh.cells), -1)
        x = mesh.points[self.ends]
        self.middles = x.mean(axis=1)
        length = np.linalg.norm(x[:, 1] - x[:, 0], axis=1)
        if mesh.geometry is not None:
            nodes = [frozenset(n) for n in quadratic_nodes(mesh.shape)]
            columns = [nodes.index(frozenset(e)) for e in self.local.tolist()]
            self.middles[self.of_cell] = mesh.geometry[:, columns]
        self.images = _images(mesh, x.mean(axis=1))
        # Round-off must not decide, lest two images of one edge be ordered differently.
        rough = np.round(length / length.max(), 10)
        group = np.arange(len(length))
        for a, b in self.images.tolist():
            group[max(a, b)] = min(group[a], group[b])
        order = np.lexsort((np.arange(len(length)), group, -rough))
        self.rank = np.empty(len(order), int)
        self.rank[order] = np.arange(len(order))

    def closed(self, cells: Integers) -> np.ndarray:
        """The edges of these cells and what follows from them: mask (edges,)."""
        cut = np.zeros(len(self.ends), bool)
        cut[self.of_cell[cells]] = True
        longest = np.take_along_axis(
            self.of_cell, np.argmin(self.rank[self.of_cell], axis=1)[:, None], axis=1
        )[:, 0]
        while True:
            before = int(cut.sum())
            cut[longest[cut[self.of_cell].any(axis=1)]] = True
            for a, b in (self.images.T, self.images.T[::-1]):
                cut[a[cut[b]]] = True
            if int(cut.sum()) == before:
                return cut


def _images(mesh: Mesh, middles: Floats) -> Integers:
    """Pairs of edges that a periodic direction identifies."""
    pairs = [np.zeros((0, 2), int)]
    size = float(np.ptp(mesh.points, axis=0).max())
    for shift in periodic_shifts(mesh):
        distance, nearest = KDTree(middles).query(middles - shift)
        hit = np.flatnonzero(np.asarray(distance) <= 1e-9 * size)
        pairs.append(np.stack([hit, np.asarray(nearest)[hit]], axis=1))
    return np.concatenate(pairs)


def _cut_cells(mesh: Mesh, edges: _Edges, middle: Integers) -> tuple[Integers, Integers, Floats]:
    """Children, their parents, and their corners as weights of the parent's, (n, k, k)."""
    corners = mesh.cells.shape[1]
    cells, parents = mesh.cells.astype(int), np.arange(len(mesh.cells))
    shares = np.broadcast_to(np.eye(corners), (len(cells), corners, corners))
    count = len(mesh.points)
    cut = np.flatnonzero(middle >= 0)
    keys = edges.ends[cut, 0] * count + edges.ends[cut, 1]
    done: list[tuple[Integers, Integers, Floats]] = []
    while len(cells):
        pairs = np.sort(cells[:, edges.local], axis=2)
        wanted = pairs[..., 0] * count + pairs[..., 1]
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        # New points have numbers beyond the old ones, and their edges are cut no more.
        hit = (keys[place] == wanted) & (pairs[..., 1] < count)
        rank = np.where(hit, edges.rank[cut[place]], len(edges.rank))
        best = np.argmin(rank, axis=1)
        todo = np.take_along_axis(hit, best[:, None], axis=1)[:, 0]
        done.append((cells[~todo], parents[~todo], shares[~todo]))
        cells, parents, shares, best = cells[todo], parents[todo], shares[todo], best[todo]
        new = middle[cut[np.take_along_axis(place[todo], best[:, None], axis=1)[:, 0]]]
        rows = np.arange(len(cells))
        halves = []
        ends = edges.local[best]
        between = 0.5 * (shares[rows, ends[:, 0]] + shares[rows, ends[:, 1]])
        for side in range(2):
            half, share = cells.copy(), shares.copy()
            half[rows, ends[:, side]] = new
            share[rows, ends[:, side]] = between
            halves.append((half, share))
        cells, shares = (np.concatenate(two) for two in zip(*halves, strict=True))
        parents = np.concatenate([parents, parents])
    cells, parents, shares = (np.concatenate(all_) for all_ in zip(*done, strict=True))
    order = np.argsort(parents, kind="stable")
    return cells[order], parents[order], shares[order]


def _facets_of_children(
    mesh: Mesh, cells: Integers, parents: Integers, ends: Integers
) -> tuple[Integers, Integers]:
    """Facets of children that lie on a boundary facet of their parent, and the parent's part.

    Arguments:
        ends: for each point, the two ends of the edge that it halves; an old one itself, twice.
    """
    local = np.array(FACETS[mesh.shape])
    part_of = np.full((len(mesh.cells), len(local)), -1)
    part_of[mesh.facets[:, 0], mesh.facets[:, 1]] = mesh.facet_parts
    rim = np.flatnonzero(np.any(part_of[parents] >= 0, axis=1))
    cells, parents = cells[rim], parents[rim]
    found, parts = [], []
    for own in range(len(local)):
        on_facet = mesh.cells[parents][:, local[own]]
        for child in range(len(local)):
            reach = ends[cells[:, local[child]]]
            same = np.equal(reach[..., None], on_facet[:, None, None, :])
            inside = np.any(same, axis=-1).all(axis=(1, 2))
            hit = np.flatnonzero(inside & (part_of[parents, own] >= 0))
            found.append(np.stack([rim[hit], np.full(len(hit), child)], axis=1))
            parts.append(part_of[parents[hit], own])
    return np.concatenate(found), np.concatenate(parts)


def _geometry(mesh: Mesh, parents: Integers, shares: Floats) -> Floats:
    """Nodes of degree 2 of the children, on the map of their parent."""
    assert mesh.geometry is not None
    nodes = quadratic_nodes(mesh.shape)
    at = np.stack([shares[:, list(n)].mean(axis=1) for n in nodes], axis=1)
    # λᵢ(2λᵢ − 1) at corners, 4 λᵢλⱼ at the middles of edges.
    basis = np.stack(
        [
            at[..., n[0]] * (2 * at[..., n[0]] - 1)
            if len(n) == 1
            else 4 * at[..., n[0]] * at[..., n[1]]
            for n in nodes
        ],
        axis=-1,
    )
    return np.einsum("cqn,cnd->cqd", basis, mesh.geometry[parents])
