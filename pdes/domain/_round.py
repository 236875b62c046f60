"""Structured meshes of disks and balls."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pdes.domain._base import Floats
from pdes.domain._curved import nearest_parts, with_curved_cells
from pdes.domain._mesh import FACETS, Integers, Mesh
from pdes.domain._sampling import cell_size
from pdes.domain._structured import blocks
from pdes.domain._topology import boundary_facets, orient

if TYPE_CHECKING:
    from pdes.domain._ball import Ball
    from pdes.domain._disk import Disk

_CORE = 0.5  # half side of the core, in radii


def disk_mesh(disk: Disk, cells: Any, shape: str | None, size: Any, curved: bool) -> Mesh:
    """See `Disk.mesh`."""
    h = cell_size(disk, cells, size, disk.radius / 8)
    shape = shape or "triangle"
    if shape == "triangle":
        points, corners = _rings(max(1, int(np.ceil(disk.radius / h - 1e-9))))
    elif shape == "quadrilateral":
        points, corners = _butterfly(2, max(1, int(np.ceil(disk.radius / (2 * h) - 1e-9))))
    else:
        raise ValueError(
            f'a disk is meshed with "triangle" or "quadrilateral" cells, got {shape!r}'
        )
    x = disk.center + disk.radius * points
    corners, _ = orient(x, corners, shape, None, repr(disk))
    facets, ends = boundary_facets(x, corners, shape, repr(disk))
    parts = nearest_parts(disk, x[ends].mean(axis=1))
    mesh = Mesh(
        points=x,
        cells=corners,
        shape=shape,
        facets=facets,
        facet_parts=parts,
        boundary_names=disk.boundary_names,
        cell_regions=np.zeros(len(corners), int),
    )
    return with_curved_cells(disk, mesh) if curved else mesh


def _rings(count: int) -> tuple[Floats, Integers]:
    """A centre and rings of 6, 12, 18, … points: 6 count² triangles."""
    points = [np.zeros((1, 2))]
    for ring in range(1, count + 1):
        angle = 2 * np.pi * np.arange(6 * ring) / (6 * ring)
        points.append(ring / count * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    start = np.concatenate([[0, 1], 1 + np.cumsum(6 * np.arange(1, count + 1))])
    cells = []
    for ring in range(1, count + 1):
        inner, outer = max(6 * (ring - 1), 1), 6 * ring
        for sector in range(6):
            i, o = sector * (ring - 1), sector * ring
            for k in range(ring):
                a = start[ring] + (o + k) % outer
                b = start[ring] + (o + k + 1) % outer
                c = start[ring - 1] + (i + k) % inner
                cells.append((a, b, c))
                if k + 1 < ring:
                    cells.append((c, b, start[ring - 1] + (i + k + 1) % inner))
    return np.concatenate(points), np.array(cells)


def _butterfly(dim: int, count: int) -> tuple[Floats, Integers]:
    """A square or cube of (2 count)^dim cells and a block on each side of it, unit radius."""
    side = 2 * count
    axis = np.linspace(-1.0, 1.0, side + 1)
    cube = np.stack(np.meshgrid(*[axis] * dim, indexing="ij")[::-1], -1).reshape(-1, dim)
    points, cells = [_bulged(cube)], [blocks([side] * dim)]
    flat = np.stack(np.meshgrid(*[axis] * (dim - 1), indexing="ij")[::-1], -1)
    flat = flat.reshape(-1, dim - 1)
    layers = np.linspace(0.0, 1.0, count + 1)
    offset = len(cube)
    for direction in range(dim):
        for end in (-1.0, 1.0):
            face = np.insert(flat, direction, end, axis=1)
            # Equal angles, so that the cells of the sphere are of like size.
            outer = np.tan(np.pi / 4 * face)
            outer /= np.linalg.norm(outer, axis=1, keepdims=True)
            inner = _bulged(face)
            points.append(np.concatenate([(1 - s) * inner + s * outer for s in layers]))
            cells.append(offset + blocks([side] * (dim - 1) + [count]))
            offset += len(points[-1])
    return _merged(np.concatenate(points), np.concatenate(cells))


def _bulged(cube: Floats) -> Floats:
    """The cube [−1, 1]^dim as the core: its faces bent a third of the way to a sphere."""
    largest = np.abs(cube).max(axis=1, keepdims=True)
    norm = np.linalg.norm(cube, axis=1, keepdims=True)
    round_cube = cube * np.where(norm > 0, largest / np.where(norm > 0, norm, 1.0), 0.0)
    return _CORE * (2 * cube / 3 + round_cube / 3)


def _merged(points: Floats, cells: Integers) -> tuple[Floats, Integers]:
    """Points that coincide become one."""
    _, first, inverse = np.unique(
        np.round(points, 9) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    return points[first], inverse.ravel()[cells]


def ball_mesh(ball: Ball, cells: Any, shape: str | None, size: Any) -> Mesh:
    """See `Ball.mesh`."""
    h = cell_size(ball, cells, size, ball.radius / 4)
    shape = shape or "tetrahedron"
    if shape not in ("tetrahedron", "hexahedron"):
        raise ValueError(f'a ball is meshed with "tetrahedron" or "hexahedron", got {shape!r}')
    points, cells = _butterfly(3, max(1, int(np.ceil(ball.radius / (2 * h) - 1e-9))))
    cells, _ = orient(points, cells, "hexahedron", None, repr(ball))
    if shape == "tetrahedron":
        points, cells = _twelve(points, cells)
    x = ball.center + ball.radius * points
    cells, _ = orient(x, cells, shape, None, repr(ball))
    facets, corners = boundary_facets(x, cells, shape, repr(ball))
    offset = x[corners].mean(axis=1) - ball.center
    middles = ball.center + ball.radius * offset / np.linalg.norm(offset, axis=1, keepdims=True)
    labels = ball.surfaces[0].labels(middles)
    names = tuple(dict.fromkeys(labels.tolist()))
    return Mesh(
        points=x,
        cells=cells,
        shape=shape,
        facets=facets,
        facet_parts=np.array([names.index(k) for k in labels]),
        boundary_names=names,
        cell_regions=np.zeros(len(cells), int),
    )


def _twelve(points: Floats, cells: Integers) -> tuple[Floats, Integers]:
    """Each hexahedron as twelve tetrahedra around its middle.

    Faces are cut by the diagonal through their lowest point number, the same from both sides.
    """
    middles = points[cells].mean(axis=1)
    centre = len(points) + np.arange(len(cells))
    out = []
    for face in FACETS["hexahedron"]:
        ring = np.array([face[0], face[1], face[3], face[2]])
        corners = cells[:, ring]
        start = np.argmin(corners, axis=1)
        turned = np.take_along_axis(corners, (start[:, None] + np.arange(4)) % 4, axis=1)
        for a, b in pairwise((1, 2, 3)):
            out.append(np.stack([turned[:, 0], turned[:, a], turned[:, b], centre], axis=1))
    return np.concatenate([points, middles]), np.concatenate(out)
