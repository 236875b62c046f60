"""Uniform meshes of boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pdes.domain._mesh import FACETS, Mesh
from pdes.domain._size import size_range

if TYPE_CHECKING:
    from pdes.domain._box import Box

_DEFAULT = {1: "interval", 2: "triangle", 3: "tetrahedron"}
_SHAPES = {1: ("interval",), 2: ("triangle", "quadrilateral"), 3: ("tetrahedron", "hexahedron")}
# A square's two triangles, and the six tetrahedra around a cube's main diagonal (Kuhn), in the
# cube's lexicographic corners.
_SPLIT = {
    "triangle": ((0, 1, 3), (0, 3, 2)),
    "tetrahedron": (
        (0, 1, 3, 7),
        (0, 1, 7, 5),
        (0, 5, 7, 4),
        (0, 3, 2, 7),
        (0, 6, 7, 2),
        (0, 4, 7, 6),
    ),
}


def box_mesh(box: Box, cells: int | Sequence[int], shape: str | None) -> Mesh:
    """A uniform mesh of a box; see `Box.mesh`."""
    dim = box.dim
    if dim > 3:
        raise ValueError(f"meshes exist in 1 to 3 dimensions, this box has {dim}")
    shape = shape or _DEFAULT[dim]
    if shape not in _SHAPES[dim]:
        raise ValueError(f"cells of shape {shape!r} can't fill {dim} dimensions: {_SHAPES[dim]}")
    low, high = box.bounds
    counts = _counts(cells, high - low)
    axes = [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, counts, strict=True)]
    # The first coordinate runs fastest, as in basix's tensor-product cells.
    points = np.stack(np.meshgrid(*axes[::-1], indexing="ij")[::-1], -1).reshape(-1, dim)
    corners = blocks(counts)
    cells_array = corners
    if shape in _SPLIT:
        cells_array = corners[:, np.array(_SPLIT[shape])].reshape(-1, dim + 1)
    facets, parts = _boundary(box, points, cells_array, shape)
    return Mesh(
        points=points,
        cells=cells_array,
        shape=shape,
        facets=facets,
        facet_parts=parts,
        boundary_names=box.boundary_names,
        cell_regions=np.zeros(len(cells_array), int),
        periodic_pairs=_periodic_pairs(box, counts),
    )


def graded_interval(box: Box, cells: int | None, size: Any) -> Mesh:
    """Points at distances that follow a function of the place."""
    (low,), (high,) = box.bounds
    _, local, least = size_range(box, cells, size, float(high - low) / 16)
    assert local is not None
    s = np.linspace(low, high, int(np.clip(16 * (high - low) / least, 1024, 2**20)) + 1)
    density = 1 / local(s[:, None])
    if cells is not None:
        density = np.maximum(density, cells / (high - low))
    units = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(s))])
    count = max(1, int(np.ceil(units[-1] - 1e-6)))
    uniform = box_mesh(box, count, None)
    x = np.interp(np.linspace(0.0, units[-1], count + 1), units, s)
    return dataclasses.replace(uniform, points=x[:, None])


def _counts(cells: int | Sequence[int], lengths: np.ndarray) -> list[int]:
    if isinstance(cells, (int, np.integer)):
        least = min(int(cells), 1)
        counts = [max(least, round(int(cells) * length / lengths.max())) for length in lengths]
    else:
        counts = [int(n) for n in cells]
    if len(counts) != len(lengths) or min(counts) < 1:
        raise ValueError(f"cells is one number or one a direction, at least 1, got {cells!r}")
    return counts


def blocks(counts: list[int]) -> np.ndarray:
    """Corners of each interval, square or cube, (cells, 2^dim), lexicographic."""
    dim = len(counts)
    strides = np.cumprod([1, *[n + 1 for n in counts[:-1]]])
    origin = np.stack(
        np.meshgrid(*[np.arange(n) for n in counts[::-1]], indexing="ij")[::-1], -1
    ).reshape(-1, dim)
    corner = np.array([[(c >> a) & 1 for a in range(dim)] for c in range(2**dim)])
    return (origin[:, None, :] + corner[None]) @ strides


def _boundary(box: Box, points, cells, shape):
    facets, parts = [], []
    local = FACETS[shape]
    low, high = box.bounds
    scale = 1e-10 * (high - low)
    for axis, end in box.sides:
        on_side = np.abs(points[:, axis] - (low, high)[end][axis]) <= scale[axis]
        for number, corners in enumerate(local):
            hit = np.flatnonzero(on_side[cells[:, corners]].all(axis=1))
            centre = points[cells[hit][:, corners]].mean(axis=1)
            facets.append(np.stack([hit, np.full(len(hit), number)], 1))
            parts.append(box.part_of(centre, axis, end) if len(hit) else np.zeros(0, int))
    if not facets:
        return np.zeros((0, 2), int), np.zeros(0, int)
    return np.concatenate(facets), np.concatenate(parts).astype(int)


def _periodic_pairs(box: Box, counts: list[int]) -> np.ndarray:
    """Every point on an upper periodic side with the point that it is identified with."""
    shape = [n + 1 for n in counts]
    index = np.stack(
        np.meshgrid(*[np.arange(n) for n in shape[::-1]], indexing="ij")[::-1], -1
    ).reshape(-1, len(counts))
    master = index.copy()
    for axis, flag in enumerate(box.periodic):
        if flag:
            master[:, axis] %= counts[axis]
    strides = np.cumprod([1, *shape[:-1]])
    pairs = np.stack([index @ strides, master @ strides], 1)
    return pairs[pairs[:, 0] != pairs[:, 1]]
