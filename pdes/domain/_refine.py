"""Uniform refinement: every cell into 2^dim, names, regions and periodicity kept."""

from __future__ import annotations

import functools
from itertools import combinations

import numpy as np
from scipy.spatial import KDTree

from pdes.domain._base import Floats
from pdes.domain._mesh import CELL_DIMENSION, FACETS, Integers, Mesh


@functools.cache
def quadratic_nodes(shape: str) -> tuple[tuple[int, ...], ...]:
    """Nodes of degree 2 in basix's order, each as the corners that it is the mean of."""
    corners = {"interval": 2, "triangle": 3, "quadrilateral": 4, "tetrahedron": 4, "hexahedron": 8}
    single = [(c,) for c in range(corners[shape])]
    edges: dict[str, list[tuple[int, ...]]] = {
        "interval": [(0, 1)],
        "triangle": [(1, 2), (0, 2), (0, 1)],
        "quadrilateral": [(0, 1), (0, 2), (1, 3), (2, 3)],
        "tetrahedron": [(2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)],
        "hexahedron": [
            *((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3)),
            *((2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7)),
        ],
    }
    nodes = single + edges[shape]
    if shape == "quadrilateral":
        nodes.append((0, 1, 2, 3))
    if shape == "hexahedron":
        nodes += [tuple(f) for f in FACETS[shape]] + [tuple(range(8))]
    return tuple(nodes)


@functools.cache
def _children(shape: str) -> np.ndarray:
    """Corners of the children as numbers of `quadratic_nodes`, (children, corners)."""
    nodes = quadratic_nodes(shape)
    number = {frozenset(n): i for i, n in enumerate(nodes)}
    if shape in ("interval", "quadrilateral", "hexahedron"):
        dim = CELL_DIMENSION[shape]
        rows = []
        for child in range(2**dim):
            row = []
            for corner in range(2**dim):
                # Along each axis the position is 0, ½ or 1: half of the sum of two bits.
                position = [((child >> a) & 1) + ((corner >> a) & 1) for a in range(dim)]
                touched = [
                    c
                    for c in range(2**dim)
                    if all(p == 1 or (c >> a) & 1 == p // 2 for a, p in enumerate(position))
                ]
                row.append(number[frozenset(touched)])
            rows.append(row)
        return np.array(rows)

    def middle(*corners: int) -> int:
        return number[frozenset(corners)]

    if shape == "triangle":
        a, b, c = middle(1, 2), middle(0, 2), middle(0, 1)
        return np.array([[0, c, b], [c, 1, a], [b, a, 2], [a, b, c]])
    e = {p: middle(*p) for p in combinations(range(4), 2)}
    # Bey (1995): four corner tetrahedra, and an octahedron cut along the diagonal 02-13.
    return np.array(
        [
            [0, e[0, 1], e[0, 2], e[0, 3]],
            [e[0, 1], 1, e[1, 2], e[1, 3]],
            [e[0, 2], e[1, 2], 2, e[2, 3]],
            [e[0, 3], e[1, 3], e[2, 3], 3],
            [e[0, 1], e[0, 2], e[0, 3], e[1, 3]],
            [e[0, 1], e[0, 2], e[1, 2], e[1, 3]],
            [e[0, 2], e[0, 3], e[1, 3], e[2, 3]],
            [e[0, 2], e[1, 2], e[1, 3], e[2, 3]],
        ]
    )


def refine(mesh: Mesh) -> Mesh:
    """See `Mesh.refine`."""
    nodes = quadratic_nodes(mesh.shape)
    width = max(map(len, nodes))
    keys = np.full((len(mesh.cells), len(nodes), width), -1)
    for i, node in enumerate(nodes):
        keys[:, i, : len(node)] = mesh.cells[:, node]
    keys = np.sort(keys.reshape(-1, width), axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    # Corners first, so that the points of the coarse mesh keep their numbers.
    is_corner = (unique >= 0).sum(axis=1) == 1
    order = np.concatenate([np.flatnonzero(is_corner), np.flatnonzero(~is_corner)])
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    unique = unique[order]
    numbers = rank[inverse.ravel()].reshape(len(mesh.cells), len(nodes))
    present = unique >= 0
    points = np.where(present[..., None], mesh.points[unique], 0.0).sum(axis=1)
    points /= present.sum(axis=1)[:, None]
    geometry = None
    if mesh.geometry is not None:
        points[numbers] = mesh.geometry
        geometry = _refined_geometry(mesh)
    children = _children(mesh.shape)
    cells = numbers[:, children].reshape(-1, children.shape[1])
    cells, geometry = _turned(points, cells, mesh.shape, geometry)
    facets, parts = _refined_facets(mesh, cells, numbers)
    return Mesh(
        points=points,
        cells=cells,
        shape=mesh.shape,
        facets=facets,
        facet_parts=parts,
        boundary_names=mesh.boundary_names,
        cell_regions=np.repeat(mesh.cell_regions, len(children)),
        regions=mesh.regions,
        periodic_pairs=refined_pairs(mesh, points),
        geometry=geometry,
    )


def _turned(points, cells, shape, geometry):
    from pdes.domain._topology import orient

    return orient(points, cells, shape, geometry, "refined mesh")


def _refined_facets(mesh: Mesh, cells: Integers, numbers: Integers) -> tuple[Integers, Integers]:
    """Facets of children all of whose corners lie on a boundary facet of the parent."""
    children = len(_children(mesh.shape))
    local = np.array(FACETS[mesh.shape])
    nodes = [frozenset(n) for n in quadratic_nodes(mesh.shape)]
    found, parts = [], []
    for facet, corners in enumerate(local):
        rows = np.flatnonzero(mesh.facets[:, 1] == facet)
        if not len(rows):
            continue
        on_facet = [i for i, n in enumerate(nodes) if n <= set(corners.tolist())]
        parents = mesh.facets[rows, 0]
        own = (parents[:, None] * children + np.arange(children)).reshape(-1)
        allowed = np.repeat(numbers[parents][:, on_facet], children, axis=0)
        child_facets = cells[own][:, local]
        inside = (child_facets[..., None] == allowed[:, None, None, :]).any(-1).all(-1)
        cell, number = np.nonzero(inside)
        found.append(np.stack([own[cell], number], axis=1))
        parts.append(np.repeat(mesh.facet_parts[rows], children)[cell])
    if not found:
        return np.zeros((0, 2), int), np.zeros(0, int)
    return np.concatenate(found), np.concatenate(parts)


def periodic_shifts(mesh: Mesh) -> Floats:
    """Vectors from masters to slaves, each once, (shifts, dim)."""
    pairs = mesh.periodic_pairs
    if not len(pairs):
        return np.zeros((0, mesh.dim))
    shifts = mesh.points[pairs[:, 0]] - mesh.points[pairs[:, 1]]
    size = float(np.ptp(mesh.points, axis=0).max())
    _, first = np.unique(np.round(shifts / size, 9), axis=0, return_index=True)
    return shifts[first]


def refined_pairs(mesh: Mesh, points: Floats) -> Integers:
    """Pairs of slaves and masters among the points of a refinement."""
    if not len(mesh.periodic_pairs):
        return mesh.periodic_pairs
    shifts = periodic_shifts(mesh)
    size = float(np.ptp(mesh.points, axis=0).max())
    tree = KDTree(points)
    master = np.arange(len(points))
    # Short shifts first: a corner that several reach keeps the longest, whose end is no slave.
    for shift in shifts[np.argsort(np.linalg.norm(shifts, axis=1))]:
        distance, nearest = tree.query(points - shift)
        hit = np.asarray(distance) <= 1e-9 * size
        master[hit] = np.asarray(nearest)[hit]
    while (master[master] != master).any():
        master = master[master]
    slaves = np.flatnonzero(master != np.arange(len(points)))
    return np.stack([slaves, master[slaves]], axis=1)


def _refined_geometry(mesh: Mesh) -> Floats:
    """Nodes of the children on the parent's own map of degree 2."""
    import basix

    assert mesh.geometry is not None
    element = basix.create_element(
        basix.ElementFamily.P,
        basix.CellType[mesh.shape],
        2,
        basix.LagrangeVariant.gll_warped,
    )
    reference = np.asarray(element.points)
    nodes = quadratic_nodes(mesh.shape)
    out = []
    for child in _children(mesh.shape):
        corners = reference[child]
        x = np.array([corners[list(n)].mean(axis=0) for n in nodes])
        basis = np.asarray(element.tabulate(0, x))[0, :, :, 0]
        out.append(np.einsum("qn,cnd->cqd", basis, mesh.geometry))
    return np.stack(out, axis=1).reshape(-1, len(nodes), mesh.dim)
