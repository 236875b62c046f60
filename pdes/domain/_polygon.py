"""Polygon and L-shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Coordinates, Floats
from pdes.domain._curves import Curve, Segment
from pdes.domain._mesh import Mesh
from pdes.domain._planar import PlanarDomain, near_curves


class Polygon(PlanarDomain):
    """The polygon with these vertices; edge i, from vertex i to the next, is called "edge{i}".

    Arguments:
        vertices: (n, 2), in either direction; clockwise ones are reversed so that edge i still
            joins vertices i and i + 1 of the list given.

    Raises:
        ValueError: fewer than three vertices, repeated ones, edges that cross, no area.
    """

    def __init__(self, vertices: Sequence[Coordinates] | NDArray):
        points = np.asarray(vertices, float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError(f"Polygon needs three vertices (x, y) or more, got {vertices!r}")
        if not np.isfinite(points).all():
            raise ValueError(f"Polygon: vertices must be finite, got {vertices!r}")
        area = _signed_area(points)
        scale = float(np.ptp(points, axis=0).max())
        edges = np.roll(points, -1, axis=0) - points
        short = np.flatnonzero(np.linalg.norm(edges, axis=1) <= 1e-12 * scale)
        if len(short):
            i = int(short[0])
            raise ValueError(f"Polygon: vertices {i} and {(i + 1) % len(points)} are the same")
        _check_simple(points, scale)
        if abs(area) <= 1e-14 * scale**2:
            raise ValueError("Polygon: the vertices enclose no area")
        ends = np.roll(points, -1, axis=0)
        sides = [
            Segment(tuple(a.tolist()), tuple(b.tolist()), f"edge{i}")
            if area > 0
            else Segment(tuple(b.tolist()), tuple(a.tolist()), f"edge{i}")
            for i, (a, b) in enumerate(zip(points, ends, strict=True))
        ]
        self._vertices = points if area > 0 else points[::-1].copy()
        self._curves: tuple[Curve, ...] = tuple(sides if area > 0 else sides[::-1])

    def __repr__(self) -> str:
        return f"Polygon with {len(self._vertices)} vertices"

    @property
    def vertices(self) -> Floats:
        """Corners, counter-clockwise, (n, 2)."""
        return self._vertices.copy()

    @property
    def reentrant_corners(self) -> Floats:
        """Vertices with an interior angle above π, (m, 2): solutions are singular there."""
        before = self._vertices - np.roll(self._vertices, 1, axis=0)
        after = np.roll(self._vertices, -1, axis=0) - self._vertices
        cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        return self._vertices[cross < -1e-12 * lengths]

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self._curves

    def _with_curves(self, curves: Sequence[Curve]) -> Polygon:
        copy = Polygon(self._vertices.tolist())
        copy._curves = tuple(curves)
        return copy

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        x = np.asarray(x, float)
        inside = np.zeros(len(x), bool)
        for a, b in zip(self._vertices, np.roll(self._vertices, -1, axis=0), strict=True):
            crosses = (a[1] > x[:, 1]) != (b[1] > x[:, 1])
            if a[1] != b[1]:
                reach = a[0] + (x[:, 1] - a[1]) * ((b[0] - a[0]) / (b[1] - a[1]))
                inside ^= crosses & (x[:, 0] < reach)
        reach = abs(tolerance) * float(np.ptp(self._vertices, axis=0).max())
        near = near_curves(self._curves, x, reach)
        return inside & ~near if tolerance < 0 else inside | near

    def mesh(
        self,
        cells: int | None = None,
        shape: str | None = None,
        size: float | Callable[[Floats], float] | None = None,
        mesher: str = "default",
        curved: bool = False,
    ) -> Mesh:
        """Axis-aligned polygons by a grid through their vertices, others by smoothed triangles.

        Arguments:
            cells: number along the longest side of the bounding box, 16 by default.
            shape: "triangle" (default), or "quadrilateral" for axis-aligned polygons.
            size: length of a cell, instead of `cells`; or a function of the point that gives it,
                bounded from above by `cells`.
            mesher: "default", or "gmsh" where that package is installed.
            curved: cells of degree 2, whose outer edges follow arcs (`Mesh.geometry`).
        """
        from pdes.domain._meshing import planar_mesh

        return planar_mesh(self, cells, shape, size, mesher, curved)


class LShape(Polygon):
    """The square [−size, size]² without its quadrant x > 0, y < 0; the corner is the origin."""

    def __init__(self, size: float = 1.0):
        s = float(size)
        if not (np.isfinite(s) and s > 0):
            raise ValueError(f"LShape needs a positive size, got {size!r}")
        super().__init__([(0, 0), (s, 0), (s, s), (-s, s), (-s, -s), (0, -s)])


def _signed_area(points: Floats) -> float:
    ends = np.roll(points, -1, axis=0)
    return float(0.5 * np.sum(points[:, 0] * ends[:, 1] - points[:, 1] * ends[:, 0]))


def _check_simple(points: Floats, scale: float) -> None:
    """Edges that are not neighbours may not meet, and neighbours not lie on each other."""
    n = len(points)
    for i in range(n):
        a, b = points[i], points[(i + 1) % n]
        along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        away = np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)
        away[[i, (i + 1) % n]] = np.inf
        if away.min() <= 1e-12 * scale:
            raise ValueError(f"Polygon: vertex {int(np.argmin(away))} lies on edge{i}")
    starts, ends = points, np.roll(points, -1, axis=0)

    def side(a: Floats, b: Floats, c: Floats) -> Floats:
        """Twice the area of the triangle a, b, c."""
        u, v = b - a, c - a
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    for i in range(n):
        others = np.array([j for j in range(i + 1, n) if j != (i + 1) % n and i != (j + 1) % n])
        if not len(others):
            continue
        a, b, c, d = starts[i], ends[i], starts[others], ends[others]
        slack = 1e-14 * scale**2
        first = side(a, b, c) * side(a, b, d)
        second = side(c, d, np.broadcast_to(a, c.shape)) * side(c, d, np.broadcast_to(b, c.shape))
        crossed = (first < -(slack**2)) & (second < -(slack**2))
        if crossed.any():
            j = int(others[np.argmax(crossed)])
            raise ValueError(f"Polygon: edge{i} and edge{j} cross; list the vertices in order")
