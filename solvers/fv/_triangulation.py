"""What finite volumes read off a mesh of triangles: faces, neighbours, weights of gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pdes.domain import Mesh

Integers = NDArray[np.integer]
Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Triangulation:
    """Faces are those between two cells, then those of the boundary; arrays have them last.

    Attributes:
        areas: (cells,). centroids: (2, cells).
        behind, ahead: cells at both sides of a face, the boundary's own cell behind it, (faces,)
            and (inner faces,). slots: local numbers of the face in these cells, likewise.
        offsets: from the centroid of a cell to the middles of its three faces, (3, 2, cells).
        faces, signs: of each cell, +1 where it is behind, (3, cells).
        middles, normals: unit, out of the cell behind, (2, faces). lengths: (faces,).
        gaps: from the centroid behind to the one ahead, (2, inner faces).
        parts: of the boundary's faces.
        neighbours: cells that share a corner, padded by the cell itself, (most, cells).
        weights: of the differences to neighbours in the gradient, least squares,
            (most, 2, cells).
    """

    areas: Floats
    centroids: Floats
    behind: Integers
    ahead: Integers
    slots: tuple[Integers, Integers]
    offsets: Floats
    faces: Integers
    signs: Floats
    middles: Floats
    normals: Floats
    lengths: Floats
    gaps: Floats
    parts: Integers
    neighbours: Integers
    weights: Floats

    @property
    def inner(self) -> int:
        return len(self.ahead)


_LOCAL = np.array([(1, 2), (0, 2), (0, 1)])


def triangulation(mesh: Mesh) -> Triangulation:
    """Raises ValueError for a mesh of other cells, or one whose faces don't fit together."""
    if mesh.shape != "triangle" or mesh.dim != 2:
        raise ValueError(
            f"finite volumes take meshes of triangles in the plane, got {mesh.shape} cells in "
            f"{mesh.dim} dimensions"
        )
    corners = mesh.points[mesh.cells]
    edges = corners[:, 1:] - corners[:, :1]
    areas = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]) / 2
    centroids = corners.mean(axis=1)
    count = len(areas)
    ends = corners[:, _LOCAL]
    middles = ends.mean(axis=2)
    along = ends[:, :, 1] - ends[:, :, 0]
    lengths = np.linalg.norm(along, axis=-1)
    normals = np.stack([along[..., 1], -along[..., 0]], axis=-1) / lengths[..., None]
    outward = np.sum(normals * (middles - centroids[:, None]), axis=-1)
    normals = normals * np.sign(outward)[..., None]
    first, second, boundary, parts = _pairs(mesh)
    order = np.concatenate([first, boundary])
    behind, local = np.divmod(order, 3)
    ahead, other = np.divmod(second, 3)
    faces = np.empty(3 * count, int)
    faces[order] = np.arange(len(order))
    faces[second] = np.arange(len(second))
    signs = np.ones(3 * count)
    signs[second] = -1.0
    offsets = middles - centroids[:, None]
    gaps = offsets[behind[: len(ahead)], local[: len(ahead)]] - offsets[ahead, other]
    neighbours, weights = _gradients(mesh, centroids, behind[: len(ahead)], ahead, gaps)
    return Triangulation(
        areas,
        centroids.T,
        behind,
        ahead,
        (local, other),
        offsets.transpose(1, 2, 0),
        faces.reshape(count, 3).T,
        signs.reshape(count, 3).T,
        middles.reshape(-1, 2)[order].T,
        normals.reshape(-1, 2)[order].T,
        lengths.reshape(-1)[order],
        gaps.T,
        parts,
        neighbours,
        weights,
    )


def _pairs(mesh: Mesh) -> tuple[Integers, Integers, Integers, Integers]:
    """Faces (3 cell + local number) behind and ahead, of the boundary, and the latter's parts."""
    master = np.arange(len(mesh.points))
    for slave, owner in mesh.periodic_pairs:
        master[slave] = owner
    for _ in range(2):
        master = master[master]
    boundary = mesh.facets[:, 0] * 3 + mesh.facets[:, 1]
    names = np.sort(master[mesh.cells[:, _LOCAL].reshape(-1, 2)], axis=1)
    inside = np.setdiff1d(np.arange(len(names)), boundary)
    inside = inside[np.lexsort(names[inside].T)]
    pairs = inside.reshape(-1, 2) if len(inside) % 2 == 0 else np.zeros((0, 2), int)
    if 2 * len(pairs) != len(inside) or (names[pairs[:, 0]] != names[pairs[:, 1]]).any():
        raise ValueError(
            "faces of the mesh belong to one cell only and to no named part of the boundary, or to "
            "more than two cells; check the mesh (in periodic boxes take at least 3 cells a side)"
        )
    return pairs[:, 0], pairs[:, 1], boundary, mesh.facet_parts


def _gradients(mesh, centroids, behind, ahead, gaps) -> tuple[Integers, Floats]:
    """Neighbours by corners with weights of least squares, nearer ones weighing more.

    Across periodic sides neighbours are those by faces.
    """
    count = len(centroids)
    lists: list[dict[int, np.ndarray]] = [{} for _ in range(count)]
    if not len(mesh.periodic_pairs):
        touching: list[list[int]] = [[] for _ in mesh.points]
        for cell, corners in enumerate(mesh.cells):
            for corner in corners:
                touching[corner].append(cell)
        for cell, corners in enumerate(mesh.cells):
            for corner in corners:
                for other in touching[corner]:
                    if other != cell:
                        lists[cell][other] = centroids[other] - centroids[cell]
    for a, b, gap in zip(behind, ahead, gaps, strict=True):
        lists[a][b], lists[b][a] = gap, -gap
    most = max(map(len, lists))
    neighbours = np.tile(np.arange(count), (most, 1))
    weights = np.zeros((most, 2, count))
    for cell, found in enumerate(lists):
        d = np.array(list(found.values())).reshape(-1, 2)
        inverse = np.linalg.pinv(d / np.linalg.norm(d, axis=1)[:, None]) if len(d) else d.T
        neighbours[: len(d), cell] = list(found)
        weights[: len(d), :, cell] = (inverse / np.linalg.norm(d, axis=1)).T
    return neighbours, weights
