"""Meshes of extrusions: layers of a planar mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pdes.domain._base import Floats
from pdes.domain._csg import curves_of
from pdes.domain._curved import nearest_label, with_curved_cells
from pdes.domain._mesh import Integers, Mesh
from pdes.domain._size import size_range
from pdes.domain._topology import boundary_facets, orient

if TYPE_CHECKING:
    from pdes.domain._extrusion import Extrusion


def extruded_mesh(
    solid: Extrusion, cells: Any, shape: str | None, size: Any, mesher: str, curved: bool
) -> Mesh:
    """See `Extrusion.mesh`.

    Raises:
        ValueError: an unknown shape or mesher. ImportError: gmsh is needed and not installed.
    """
    low, high = solid.bounds
    h, local, _ = size_range(solid, cells, size, float((high - low).max()) / 16)
    shape = shape or "tetrahedron"
    if shape not in ("tetrahedron", "hexahedron"):
        raise ValueError(f'cells are "tetrahedron" or "hexahedron", got {shape!r}')
    if mesher not in ("default", "gmsh"):
        raise ValueError(f'mesher is "default" or "gmsh", got {mesher!r}')
    if mesher == "gmsh" or local is not None:
        from pdes.domain._gmsh import solid_mesh

        mesh = solid_mesh(solid, h, local, shape)
    else:
        mesh = _layered(solid, h, shape)
    return with_curved_cells(solid, mesh) if curved else mesh


def _layered(solid: Extrusion, h: float, shape: str) -> Mesh:
    from pdes.domain._extrusion import planar_axes

    flat = solid.domain.mesh(
        size=h, shape="triangle" if shape == "tetrahedron" else "quadrilateral"
    )
    start, end = solid.span
    layers = max(1, int(np.ceil((end - start) / h - 1e-9)))
    count = len(flat.points)
    points = np.empty(((layers + 1) * count, 3))
    points[:, planar_axes(solid.axis)] = np.tile(flat.points, (layers + 1, 1))
    points[:, solid.axis] = np.repeat(np.linspace(start, end, layers + 1), count)
    if shape == "tetrahedron":
        # Diagonals run from the lower number to the higher one, the same from both sides.
        a, b, c = np.sort(flat.cells, axis=1).T
        up = count
        block = np.stack(
            [
                np.stack([a, b, c, c + up], axis=1),
                np.stack([a, b, b + up, c + up], axis=1),
                np.stack([a, a + up, b + up, c + up], axis=1),
            ],
            axis=1,
        ).reshape(-1, 4)
    else:
        block = np.concatenate([flat.cells, flat.cells + count], axis=1)
    cells = np.concatenate([block + layer * count for layer in range(layers)])
    cells, _ = orient(points, cells, shape, None, repr(solid))
    return named(solid, points, cells, shape, _labels)


def _labels(solid: Extrusion, middles: Floats, normals: Floats) -> Any:
    """Ends by their height, walls by the curve that is nearest in the plane."""
    from pdes.domain._extrusion import planar_axes

    along = middles[:, solid.axis]
    walls = solid.surfaces[:-2]
    curves = curves_of(solid.domain)
    flat = middles[:, planar_axes(solid.axis)]
    nearest = np.argmin(np.stack([c.project(flat)[1] for c in curves], axis=1), axis=1)
    labels = np.empty(len(middles), object)
    slack = 1e-9 * (solid.span[1] - solid.span[0])
    for k, wall in enumerate(walls):
        rows = nearest == k
        labels[rows] = wall.labels(wall.nearest(middles[rows]))
    for surface, level in zip(solid.surfaces[-2:], solid.span, strict=True):
        rows = np.abs(along - level) <= slack
        labels[rows] = surface.labels(middles[rows])
    return labels


def named(solid: Any, points: Floats, cells: Integers, shape: str, labels: Any = None) -> Mesh:
    """A mesh whose boundary facets have the names of the solid's surfaces."""
    facets, corners = boundary_facets(points, cells, shape, repr(solid))
    x = points[corners]
    middles = x.mean(axis=1)
    normals = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    outwards = np.sum(normals * (middles - points[cells[facets[:, 0]]].mean(axis=1)), axis=1)
    normals *= (np.sign(outwards) / np.linalg.norm(normals, axis=1))[:, None]
    found = (labels or nearest_label)(solid, middles, normals)
    present = set(found.tolist())
    names = tuple(n for n in solid.boundary_names if n in present)
    names += tuple(sorted(present - set(names)))
    return Mesh(
        points=points,
        cells=cells,
        shape=shape,
        facets=facets,
        facet_parts=np.array([names.index(k) for k in found]),
        boundary_names=names,
        cell_regions=np.zeros(len(cells), int),
    )
