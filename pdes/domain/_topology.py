"""From points and cells of a file to a checked mesh: facets, names, orientation, defects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from pdes.domain._base import Floats
from pdes.domain._mesh import CELL_DIMENSION, FACETS, Integers, Mesh

# Corners that neighbour each corner along x, y, z, and the sign of the corner's frame.
_NEIGHBOURS = {
    "quadrilateral": [[c ^ 1, c ^ 2] for c in range(4)],
    "hexahedron": [[c ^ 1, c ^ 2, c ^ 4] for c in range(8)],
}
_REVERSED = {
    "interval": [1, 0],
    "triangle": [0, 2, 1],
    "quadrilateral": [0, 2, 1, 3],
    "tetrahedron": [0, 1, 3, 2],
    "hexahedron": [0, 2, 1, 3, 4, 6, 5, 7],
}
_DEGENERATE = 1e-12


@dataclasses.dataclass(frozen=True)
class Tagged:
    """A named group of facets, given by their corners, (facets, corners)."""

    name: str
    corners: Integers


def build_mesh(
    points: Floats,
    cells: Integers,
    shape: str,
    tagged: Sequence[Tagged] = (),
    cell_regions: Integers | None = None,
    regions: tuple[str, ...] = (),
    geometry: Floats | None = None,
    source: str = "mesh",
) -> Mesh:
    """A mesh with its boundary facets found and named, unused points dropped.

    Where groups overlap a facet belongs to the first; facets of no group are called "boundary".
    Cells that are numbered the other way round are turned.

    Raises:
        ValueError: no cells, points that don't exist or are not finite, cells that are degenerate
            or inverted, facets of more than two cells, hanging nodes.
    """
    points, cells = np.asarray(points, float), np.asarray(cells)
    if cells.ndim != 2 or not len(cells) or not len(points):
        raise ValueError(f"{source}: the mesh has no cells")
    if shape not in FACETS:
        raise ValueError(f"{source}: cells of shape {shape!r}; supported are {', '.join(FACETS)}")
    if points.ndim != 2 or points.shape[1] != CELL_DIMENSION[shape]:
        raise ValueError(
            f"{source}: {shape} cells need points of {CELL_DIMENSION[shape]} coordinates, got an "
            f"array of shape {points.shape}"
        )
    if cells.min() < 0 or cells.max() >= len(points):
        raise ValueError(
            f"{source}: a cell refers to point {int(cells.max())}, the mesh has {len(points)}"
        )
    used, numbers = np.unique(cells, return_inverse=True)
    renumber = np.full(len(points), -1)
    renumber[used] = np.arange(len(used))
    cells = numbers.reshape(cells.shape)
    points = points[used]
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(f"{source}: point {used[bad]} has coordinates {points[bad].tolist()}")
    cells, geometry = orient(points, cells, shape, geometry, source)
    facets, corners = boundary_facets(points, cells, shape, source)
    check_hanging(points, corners, shape, source)
    groups = [(t.name, renumber[t.corners]) for t in tagged]
    names, parts = _name_facets(groups, corners)
    return Mesh(
        points=points,
        cells=cells,
        shape=shape,
        facets=facets,
        facet_parts=parts,
        boundary_names=names,
        cell_regions=np.zeros(len(cells), int) if cell_regions is None else cell_regions,
        regions=regions,
        geometry=geometry,
    )


def check_mesh(mesh: Mesh, source: str) -> None:
    """Refuses a mesh made by hand that a solver would get wrong.

    Raises:
        ValueError: as `build_mesh`; also cells that are numbered backwards, and boundary facets
            or names that don't fit the cells.
    """
    checked = build_mesh(mesh.points, mesh.cells, mesh.shape, source=source)
    if len(checked.points) != len(mesh.points):
        raise ValueError(f"{source}: some points belong to no cell; remove them")
    if (checked.cells != mesh.cells).any():
        number = int(np.argmax((checked.cells != mesh.cells).any(axis=1)))
        centre = np.round(mesh.points[mesh.cells[number]].mean(axis=0), 6).tolist()
        raise ValueError(
            f"{source}: cell {number} with centre {centre} is inverted (numbered backwards); swap "
            "two of its corners"
        )
    if len(mesh.facet_parts) != len(mesh.facets) or (
        len(mesh.facet_parts) and mesh.facet_parts.max() >= len(mesh.boundary_names)
    ):
        raise ValueError(f"{source}: every boundary facet needs the index of a boundary name")
    rim = {tuple(f) for f in checked.facets.tolist()}
    wrong = [f for f in mesh.facets.tolist() if tuple(f) not in rim]
    if wrong or (len(mesh.facets) != len(rim) and not len(mesh.periodic_pairs)):
        raise ValueError(
            f"{source}: {len(mesh.facets)} boundary facets are given, the cells have {len(rim)}"
        )


def corner_jacobians(points: Floats, cells: Integers, shape: str) -> Floats:
    """Determinant of the map at each corner of each cell, (cells, corners); one for simplices."""
    if shape in _NEIGHBOURS:
        columns = []
        for corner, neighbours in enumerate(_NEIGHBOURS[shape]):
            edges = points[cells[:, neighbours]] - points[cells[:, corner]][:, None]
            sign = (-1) ** bin(corner).count("1")
            columns.append(sign * np.linalg.det(edges))
        return np.stack(columns, axis=1)
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    return np.linalg.det(edges)[:, None]


def orient(
    points: Floats, cells: Integers, shape: str, geometry: Floats | None, source: str
) -> tuple[Integers, Floats | None]:
    """Cells turned so that every Jacobian is positive.

    Raises:
        ValueError: a cell that no turn makes positive: names it and its centre.
    """
    jacobians = corner_jacobians(points, cells, shape)
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    scale = np.linalg.norm(edges, axis=2).max(axis=1) ** points.shape[1]
    relative = jacobians / np.where(scale > 0, scale, 1.0)[:, None]
    flat = np.abs(relative) <= _DEGENERATE
    backwards = (relative < 0).all(axis=1)
    bad = flat.any(axis=1) | ((relative < 0).any(axis=1) & ~backwards)
    if bad.any():
        number = int(np.argmax(bad))
        centre = points[cells[number]].mean(axis=0)
        what = (
            "degenerate (it has no volume, or two corners coincide)"
            if flat[number].any()
            else "inverted (the Jacobian changes sign: its corners cross or it is not convex)"
        )
        raise ValueError(
            f"{source}: cell {number} with centre {np.round(centre, 6).tolist()} is {what}; "
            f"{int(bad.sum())} of {len(cells)} cells are bad. Mesh the domain again"
        )
    if backwards.any():
        cells = cells.copy()
        cells[backwards] = cells[backwards][:, _REVERSED[shape]]
        if geometry is not None:
            geometry = geometry.copy()
            geometry[backwards] = geometry[backwards][:, _reversed_nodes(shape)]
    return cells, geometry


def _reversed_nodes(shape: str) -> Integers:
    """Order of the nodes of degree 2 after the corners were turned."""
    from pdes.domain._refine import quadratic_nodes

    keys = [frozenset(k) for k in quadratic_nodes(shape)]
    turn = _REVERSED[shape]
    return np.array([keys.index(frozenset(turn[c] for c in key)) for key in keys])


def boundary_facets(
    points: Floats, cells: Integers, shape: str, source: str
) -> tuple[Integers, Integers]:
    """Facets of one cell: (cell, local facet), and their corners.

    Raises:
        ValueError: a facet that more than two cells share.
    """
    local = np.array(FACETS[shape])
    corners = cells[:, local].reshape(-1, local.shape[1])
    _, first, inverse, counts = np.unique(
        np.sort(corners, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    if counts.max() > 2:
        worst = int(np.argmax(counts))
        centre = points[corners[first[worst]]].mean(axis=0)
        raise ValueError(
            f"{source}: the facet at {np.round(centre, 6).tolist()} is shared by "
            f"{int(counts[worst])} cells; at most two can meet there. Look for duplicate or "
            "overlapping cells"
        )
    rows = np.flatnonzero(counts[inverse.ravel()] == 1)
    facets = np.stack([rows // len(local), rows % len(local)], axis=1)
    return facets, corners[rows]


def check_hanging(points: Floats, corners: Integers, shape: str, source: str) -> None:
    """Refuses points of the mesh in the middle of a facet's edge.

    Raises:
        ValueError: names the point.
    """
    if shape == "interval" or not len(corners):
        return
    pairs = {
        "triangle": [(0, 1)],
        "quadrilateral": [(0, 1)],
        "tetrahedron": [(0, 1), (1, 2), (0, 2)],
        "hexahedron": [(0, 1), (0, 2), (1, 3), (2, 3)],
    }[shape]
    edges = np.unique(np.sort(np.concatenate([corners[:, list(p)] for p in pairs]), 1), axis=0)
    vertices = np.unique(edges)
    a, b = points[edges[:, 0]], points[edges[:, 1]]
    length = np.linalg.norm(b - a, axis=1)
    found = KDTree(points[vertices]).query_ball_point((a + b) / 2, 0.5 * length * (1 - 1e-9))
    for edge, near in enumerate(found):
        if not near:
            continue
        x = points[vertices[near]]
        along = (x - a[edge]) @ (b[edge] - a[edge]) / length[edge] ** 2
        away = np.linalg.norm(x - a[edge] - along[:, None] * (b[edge] - a[edge]), axis=1)
        hanging = away <= 1e-9 * length[edge]
        if hanging.any():
            where = np.round(x[np.argmax(hanging)], 6).tolist()
            raise ValueError(
                f"{source}: hanging node at {where}: it lies inside the edge of another cell, so "
                "that the cells do not fit. Refine that cell too, or mesh again"
            )


def _name_facets(
    groups: Sequence[tuple[str, Integers]], corners: Integers
) -> tuple[tuple[str, ...], Integers]:
    index = {tuple(row): i for i, row in enumerate(np.sort(corners, axis=1).tolist())}
    parts = np.full(len(corners), -1)
    names: list[str] = []
    for name, rows in groups:
        # Facets of a group that are inside the domain are no boundary.
        hits = [index.get(tuple(row), -1) for row in np.sort(rows, axis=1).tolist()]
        chosen = np.array([h for h in hits if h >= 0 and parts[h] < 0], int)
        if not len(chosen):
            continue
        if name not in names:
            names.append(name)
        parts[chosen] = names.index(name)
    if (parts < 0).any():
        if "boundary" not in names:
            names.append("boundary")
        parts[parts < 0] = names.index("boundary")
    return tuple(names), parts
