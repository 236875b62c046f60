"""Cells as simplices: volumes, uniform points, and the cell that holds a point."""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Floats
from pdes.domain._mesh import Integers, Mesh

# The two triangles of a square, the six tetrahedra around a cube's main diagonal (Kuhn).
SPLIT = {
    "interval": ((0, 1),),
    "triangle": ((0, 1, 2),),
    "quadrilateral": ((0, 1, 3), (0, 3, 2)),
    "tetrahedron": ((0, 1, 2, 3),),
    "hexahedron": (
        (0, 1, 3, 7),
        (0, 1, 7, 5),
        (0, 5, 7, 4),
        (0, 3, 2, 7),
        (0, 6, 7, 2),
        (0, 4, 7, 6),
    ),
}


def simplices(mesh: Mesh) -> tuple[Floats, Integers]:
    """Corners of the simplices that make up the cells, (n, dim + 1, dim), and their cells, (n,)."""
    split = np.array(SPLIT[mesh.shape])
    corners = mesh.points[mesh.cells[:, split].reshape(-1, split.shape[1])]
    return corners, np.repeat(np.arange(len(mesh.cells)), len(split))


def measures(corners: Floats) -> Floats:
    """Length, area or volume of simplices (n, k + 1, dim) with k ≤ dim."""
    edges = corners[:, 1:] - corners[:, :1]
    k = edges.shape[1]
    if k == 0:
        return np.ones(len(corners))
    gram = np.einsum("nid,njd->nij", edges, edges)
    return np.sqrt(np.maximum(np.linalg.det(gram), 0.0)) / factorial(k)


def uniform_in_simplex(corners: Floats, unit: Floats) -> Floats:
    """Points of equal density: one of the unit cube (n, k) into each simplex (n, k + 1, dim)."""
    n = len(unit)
    # Gaps between sorted uniform numbers are uniform barycentric coordinates.
    ordered = np.sort(unit, axis=1)
    weights = np.diff(ordered, axis=1, prepend=np.zeros((n, 1)), append=np.ones((n, 1)))
    return np.einsum("nk,nkd->nd", weights, corners)


def mesh_volume(mesh: Mesh) -> float:
    """Exact for straight simplices and quadrilaterals; by quadrature for curved cells."""
    if mesh.geometry is None and mesh.shape != "hexahedron":
        return float(measures(simplices(mesh)[0]).sum())
    import basix

    degree = 1 if mesh.geometry is None else 2
    cell = basix.CellType[mesh.shape]
    variant = basix.LagrangeVariant.gll_warped
    element = basix.create_element(basix.ElementFamily.P, cell, degree, variant)
    nodes = mesh.points[mesh.cells] if mesh.geometry is None else mesh.geometry
    x, w = basix.make_quadrature(cell, 2 * degree + 2)
    gradients = np.asarray(element.tabulate(1, np.asarray(x)))[1:, :, :, 0]
    jacobians = np.einsum("kqn,cnd->cqdk", gradients, nodes)
    return float((np.linalg.det(jacobians) @ w).sum())


class Locator:
    """Finds the cells of points by a grid of buckets; exact for straight cells with flat sides."""

    def __init__(self, mesh: Mesh):
        corners, self._cells = simplices(mesh)
        dim = mesh.dim
        low, high = corners.min(axis=1), corners.max(axis=1)
        self._low, self._high = low.min(axis=0), high.max(axis=0)
        extent = self._high - self._low
        edge = (float(np.prod(extent)) / len(corners)) ** (1 / dim)
        self._counts = np.clip(np.ceil(extent / edge).astype(int), 1, 4096)
        self._origin = corners[:, 0]
        self._inverse = np.linalg.inv(np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2))
        slack = 1e-9 * extent
        first, last = self._bucket(low - slack), self._bucket(high + slack)
        spans = last - first + 1
        number = np.repeat(np.arange(len(corners)), spans.prod(axis=1))
        starts = np.concatenate([[0], np.cumsum(spans.prod(axis=1))[:-1]])
        rest = np.arange(len(number)) - starts[number]
        flat = np.zeros(len(number), int)
        for axis in range(dim):
            step = rest % spans[number, axis]
            rest = rest // spans[number, axis]
            flat = flat * self._counts[axis] + first[number, axis] + step
        order = np.argsort(flat, kind="stable")
        self._members = number[order]
        self._offsets = np.searchsorted(flat[order], np.arange(self._counts.prod() + 1))

    def _bucket(self, x: Floats) -> Integers:
        scaled = (x - self._low) / (self._high - self._low) * self._counts
        return np.clip(np.floor(scaled).astype(int), 0, self._counts - 1)

    def find(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.integer]:
        """Number of a cell that holds each point (n, dim), −1 where none does, (n,)."""
        x = np.asarray(x, float)
        found = np.full(len(x), -1)
        slack = (1e-9 + abs(tolerance)) * (self._high - self._low)
        inside = np.flatnonzero(((x >= self._low - slack) & (x <= self._high + slack)).all(axis=1))
        for chunk in np.array_split(inside, max(1, len(inside) // 100_000)):
            self._find(x, chunk, found, tolerance)
        return found

    def _find(self, x: Floats, rows: Integers, found: Integers, tolerance: float) -> None:
        if not len(rows):
            return
        bucket = self._bucket(x[rows])
        flat = np.zeros(len(rows), int)
        for axis in range(x.shape[1]):
            flat = flat * self._counts[axis] + bucket[:, axis]
        counts = self._offsets[flat + 1] - self._offsets[flat]
        point = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(point)) - np.repeat(np.cumsum(counts) - counts, counts)
        simplex = self._members[self._offsets[flat][point] + within]
        local = np.einsum(
            "nij,nj->ni", self._inverse[simplex], x[rows][point] - self._origin[simplex]
        )
        depth = np.minimum(local.min(axis=1), 1 - local.sum(axis=1))
        hit = depth >= -max(abs(tolerance), 1e-12) * 10
        # Of several simplices that share a point, the one that holds it best; ties to the first.
        order = np.lexsort((-simplex[hit], depth[hit]))
        found[rows[point[hit][order]]] = self._cells[simplex[hit][order]]
