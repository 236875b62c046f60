"""Meshes of planar domains: grids where every side is along an axis, else smoothed Delaunay.

The boundary is divided first and never moves; interior points start on a lattice of equilateral
triangles and are moved by the forces of Persson & Strang, A simple mesh generator in MATLAB,
SIAM Review 46 (2004), until the edges have even lengths. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.spatial import Delaunay, KDTree

from pdes.domain._base import Floats
from pdes.domain._curved import nearest_parts, with_curved_cells
from pdes.domain._curves import Arc, Curve, Segment
from pdes.domain._mesh import Integers, Mesh
from pdes.domain._planar import PlanarDomain
from pdes.domain._simplices import SPLIT
from pdes.domain._size import SizeField, size_range
from pdes.domain._structured import blocks
from pdes.domain._topology import boundary_facets, orient

_LATTICE = np.sqrt(3) / 2
_STEPS = 60
_ROUNDS = 12
_SIDES = 24  # least number of edges to a circle
_GRADING = 0.3  # how fast edges grow away from fine curves
_RATIO = 1.4  # of the spacings of successive lattices


def planar_mesh(
    domain: PlanarDomain,
    cells: Any,
    shape: str | None,
    size: Any,
    mesher: str,
    curved: bool,
) -> Mesh:
    """See `Polygon.mesh`."""
    mesh = _straight(domain, cells, shape, size, mesher)
    return with_curved_cells(domain, mesh) if curved else mesh


def _straight(domain: PlanarDomain, cells: Any, shape: str | None, size: Any, mesher: str) -> Mesh:
    """A mesh of straight cells.

    Raises:
        ValueError: an unknown shape or mesher; quadrilaterals for a domain with oblique sides.
        ImportError: gmsh is asked for and not installed.
    """
    low, high = domain.bounds
    h, local, least = size_range(domain, cells, size, float((high - low).max()) / 16)
    shape = shape or "triangle"
    if shape not in ("triangle", "quadrilateral"):
        raise ValueError(f'cells are "triangle" or "quadrilateral", got {shape!r}')
    if mesher == "gmsh":
        from pdes.domain._gmsh import planar_gmsh

        return planar_gmsh(domain, h, local, shape)
    if mesher != "default":
        raise ValueError(f'mesher is "default" or "gmsh", got {mesher!r}')
    if local is None and _along_axes(domain.curves):
        return _grid(domain, h, shape)
    if shape != "triangle":
        raise ValueError(
            f"{domain!r} has sides that are not along an axis, or cells of different sizes: its "
            'cells are triangles; for quadrilaterals use mesher="gmsh"'
        )
    return _delaunay(domain, _Sizes(domain.curves, h, local, least))


def _along_axes(curves: Sequence[Curve]) -> bool:
    return all(isinstance(c, Segment) and np.abs(c.direction).min() <= 1e-12 for c in curves)


def _finished(domain: PlanarDomain, points: Floats, cells: Integers, shape: str) -> Mesh:
    used, numbers = np.unique(cells, return_inverse=True)
    points, cells = points[used], numbers.reshape(cells.shape)
    cells, _ = orient(points, cells, shape, None, repr(domain))
    facets, corners = boundary_facets(points, cells, shape, repr(domain))
    return Mesh(
        points=points,
        cells=cells,
        shape=shape,
        facets=facets,
        facet_parts=nearest_parts(domain, points[corners].mean(axis=1)),
        boundary_names=domain.boundary_names,
        cell_regions=np.zeros(len(cells), int),
    )


def _grid(domain: PlanarDomain, h: float, shape: str) -> Mesh:
    """The cells inside of a grid whose lines pass through every corner."""
    ends = np.concatenate([c.point(np.array([0.0, 1.0])) for c in domain.curves])
    low, high = domain.bounds
    axes = []
    for axis in range(2):
        stations = np.unique(np.round((ends[:, axis] - low[axis]) / (high[axis] - low[axis]), 12))
        stations = np.asarray(low[axis] + stations * (high[axis] - low[axis]))
        pieces = [
            np.linspace(a, b, max(1, int(np.ceil((b - a) / h - 1e-9))) + 1)[:-1]
            for a, b in pairwise(stations)
        ]
        axes.append(np.concatenate([*pieces, stations[-1:]]))
    points = np.stack(np.meshgrid(*axes[::-1], indexing="ij")[::-1], -1).reshape(-1, 2)
    cells = blocks([len(a) - 1 for a in axes])
    cells = cells[domain.contains(points[cells].mean(axis=1), 0.0)]
    if shape == "triangle":
        cells = _untrapped(points, cells)
    return _finished(domain, points, cells, shape)


def _untrapped(points: Floats, cells: Integers) -> Integers:
    """Two triangles a cell, the diagonal chosen so that no triangle has all corners on the rim
    where the other diagonal avoids it."""
    _, rim = boundary_facets(points, cells, "quadrilateral", "grid")
    on_rim = np.zeros(len(points), bool)
    on_rim[rim] = True
    main = np.array(SPLIT["quadrilateral"])
    other = np.array([[0, 1, 2], [1, 3, 2]])
    trapped = on_rim[cells]
    # The main diagonal joins corners 0 and 3, the other 1 and 2.
    swap = (trapped[:, [0, 1, 3]].all(1) | trapped[:, [0, 3, 2]].all(1)) & ~(
        trapped[:, [0, 1, 2]].all(1) | trapped[:, [1, 3, 2]].all(1)
    )
    triangles = np.where(np.asarray(swap)[:, None, None], cells[:, other], cells[:, main])
    return triangles.reshape(-1, 3)


def _delaunay(domain: PlanarDomain, sizes: _Sizes) -> Mesh:
    stations = [_stations(curve, sizes) for curve in domain.curves]
    blamed = np.zeros(0, int)
    for _ in range(_ROUNDS):
        stations = _recovered(domain.curves, stations)
        rim, edges, owners = _rim(domain.curves, stations)
        points = _smoothed(domain, sizes, rim, _interior(domain, sizes))
        cells = _inside(domain, points, len(rim), edges)
        blamed = _missing(cells, edges)
        if not len(blamed):
            return _finished(domain, points, cells, "triangle")
        stations = _split(domain.curves, stations, owners[blamed])
    rim, edges, _ = _rim(domain.curves, stations)
    where = np.round(rim[edges[blamed[0] % len(edges)]].mean(axis=0), 6).tolist()
    raise ValueError(
        f"the mesher could not follow the boundary of {domain!r} near {where}; give a smaller "
        'size, or mesher="gmsh"'
    )


def _recovered(curves: Sequence[Curve], stations: list[Floats]) -> list[Floats]:
    """Stations such that every edge of the boundary is one of the Delaunay triangles of the rim."""
    for _ in range(_ROUNDS):
        rim, edges, owners = _rim(curves, stations)
        cells = Delaunay(rim).simplices
        sides = np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [0, 2]]])
        found = {tuple(side) for side in np.sort(sides, axis=1).tolist()}
        missing = np.array([tuple(sorted(e)) not in found for e in edges.tolist()])
        if not missing.any():
            break
        stations = _split(curves, stations, owners[missing])
    return stations


def _split(curves: Sequence[Curve], stations: list[Floats], owners: Integers) -> list[Floats]:
    """New stations within the given edges: (curve, edge of the curve).

    In the middle; beside a corner at a power of two from it, so that the edges of two curves that
    meet at a small angle get the same lengths and stop to hinder each other (Ruppert 1995).
    """
    out = [list(s) for s in stations]
    for curve, edge in np.unique(owners, axis=0).tolist():
        a, b = stations[curve][edge : edge + 2]
        length = curves[curve].length
        shell = 2.0 ** np.round(np.log2(0.5 * (b - a) * length)) / length
        at_start, at_end = edge == 0, edge == len(stations[curve]) - 2
        if at_start and not at_end:
            out[curve].append(a + shell)
        elif at_end and not at_start:
            out[curve].append(b - shell)
        else:
            out[curve].append(0.5 * (a + b))
    return [np.sort(np.array(s)) for s in out]


class _Sizes:
    """How long an edge should be at a point: h or what the user's function says, and less where
    a curve has to be divided finely."""

    def __init__(self, curves: Sequence[Curve], h: float, local: SizeField | None, least: float):
        self.largest, self._local, self.least = h, local, least
        self._fine: list[tuple[Curve, float]] = []
        for curve in curves:
            length = curve.length
            if isinstance(curve, Arc):
                length = min(length, curve.radius * 2 * np.pi / _SIDES)
            if length < h:
                self._fine.append((curve, length))

    def __call__(self, x: Floats) -> Floats:
        size = np.full(len(x), self.largest)
        if self._local is not None:
            size = np.minimum(size, self._local(x))
        for curve, length in self._fine:
            size = np.minimum(size, length + _GRADING * curve.project(x)[1])
        return size


def _stations(curve: Curve, sizes: _Sizes) -> Floats:
    """Parameters along a curve at the distances wanted."""
    s = np.linspace(0.0, 1.0, 1025)
    density = 1 / sizes(curve.point(s))
    units = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    units *= curve.length / 1024
    number = max(1, int(np.ceil(units[-1] - 1e-6)))
    return np.interp(np.linspace(0.0, units[-1], number + 1), units, s)


def _rim(curves: Sequence[Curve], stations: Sequence[Floats]) -> tuple[Floats, Integers, Integers]:
    """Points of the boundary, edges between them, and (curve, number on it) of each edge."""
    points, edges, owners = [], [], []
    count = 0
    for number, (curve, s) in enumerate(zip(curves, stations, strict=True)):
        points.append(curve.point(s))
        step = np.arange(len(s) - 1)
        edges.append(count + np.stack([step, step + 1], axis=1))
        owners.append(np.stack([np.full(len(step), number), step], axis=1))
        count += len(s)
    x, pairs = np.concatenate(points), np.concatenate(edges)
    size = float(np.ptp(x, axis=0).max())
    first = np.array([min(near) for near in KDTree(x).query_ball_point(x, 1e-9 * size)])
    used, numbers = np.unique(first, return_inverse=True)
    return x[used], numbers[pairs], np.concatenate(owners)


def _interior(domain: PlanarDomain, sizes: _Sizes) -> Floats:
    """Lattices of equilateral triangles, a finer one where shorter edges are wanted."""
    kept: list[Floats] = []
    h = sizes.largest
    probes = np.concatenate(
        [domain.grid(4000), *(c.point(np.linspace(0, 1, 65)) for c in domain.curves)]
    )
    at_probes = sizes(probes)
    finest = min(float(at_probes.min()), sizes.least)
    for level in range(int(np.ceil(np.log(h / finest) / np.log(_RATIO) - 1e-9)) + 1):
        spacing = h / _RATIO**level
        near = probes[at_probes <= _RATIO * spacing] if level else probes
        x = _lattice(domain, spacing, near)
        if not len(x):
            continue
        wanted = sizes(x) / spacing
        x = x[(wanted > _RATIO**-0.5) & ((wanted <= _RATIO**0.5) | (level == 0))]
        distance = np.min([c.project(x)[1] for c in domain.curves], axis=0)
        x = x[distance > 0.5 * sizes(x)]
        if kept and len(x):
            apart, _ = KDTree(np.concatenate(kept)).query(x)
            x = x[np.asarray(apart) > 0.7 * spacing]
        if len(x):
            kept.append(x)
    return np.concatenate(kept) if kept else np.zeros((0, 2))


def _lattice(domain: PlanarDomain, spacing: float, near: Floats) -> Floats:
    """The points of one lattice in the domain, about the box around some points."""
    low, high = domain.bounds
    if not len(near):
        return np.zeros((0, 2))
    # A lattice has its own origin, so that a smaller box leaves its points where they are.
    reach = 0.05 * float((high - low).max())
    step = np.array([spacing, 2 * _LATTICE * spacing])
    start = np.maximum(np.floor((near.min(axis=0) - reach - low) / step), 0.0)
    low = low + start * step
    high = np.minimum(high, near.max(axis=0) + reach)
    rows = np.arange(low[1], high[1] + spacing, _LATTICE * spacing)
    columns = np.arange(low[0], high[0] + spacing, spacing)
    x = np.stack(np.meshgrid(columns, rows), -1)
    x[1::2, :, 0] += 0.5 * spacing
    x = x.reshape(-1, 2)
    return x[domain.contains(x, 0.0)]


def _smoothed(domain: PlanarDomain, sizes: _Sizes, rim: Floats, interior: Floats) -> Floats:
    """Interior points moved by repulsive forces along the edges of the triangles."""
    fixed = len(rim)
    points = np.concatenate([rim, interior])
    if not len(interior):
        return points
    edges, wanted, inner = np.zeros((0, 2), int), np.zeros(0), np.zeros(0, bool)
    moved = np.inf
    for step in range(_STEPS):
        if step % 4 == 0 or moved > 0.1:
            cells = Delaunay(points).simplices
            cells = cells[domain.contains(points[cells].mean(axis=1), 0.0)]
            edges = _edges(cells, len(points))
            wanted = sizes(points[edges].mean(axis=1))
            inner = (edges[:, 0] >= fixed) & (edges[:, 1] >= fixed)
            inner |= not inner.any()
        difference = points[edges[:, 0]] - points[edges[:, 1]]
        length = np.hypot(difference[:, 0], difference[:, 1])
        # A little more than what fits, so that the points press against the boundary.
        scale = 1.2 * np.sqrt(np.sum(length[inner] ** 2) / np.sum(wanted[inner] ** 2))
        force = np.maximum(scale * wanted - length, 0.0) / length
        pull = force[:, None] * difference
        ends, pulls = edges.T.ravel(), np.concatenate([pull, -pull])
        push = np.stack([np.bincount(ends, p, minlength=len(points)) for p in pulls.T], axis=1)
        push[:fixed] = 0.0
        trial = points + 0.2 * push
        outside = ~domain.contains(trial, -1e-6)
        outside[:fixed] = False
        trial[outside] = points[outside]
        moved = float((np.linalg.norm(trial - points, axis=1)).max() / length.mean())
        points = trial
        if moved < 1e-3:
            break
    return points


def _edges(cells: Integers, count: int) -> Integers:
    """Every edge of the triangles once, (edges, 2); one number an edge, as rows sort slowly."""
    sides = np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [0, 2]]]).astype(np.int64)
    keys = np.unique(sides.min(axis=1) * count + sides.max(axis=1))
    return np.stack([keys // count, keys % count], axis=1)


def _inside(domain: PlanarDomain, points: Floats, fixed: int, edges: Integers) -> Integers:
    cells = Delaunay(points).simplices
    corners = points[cells]
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    double_area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    longest = np.max(
        [np.linalg.norm(corners[:, i] - corners[:, i - 1], axis=1) for i in range(3)], axis=0
    )
    cells = cells[double_area > 1e-9 * longest**2]
    # A triangle is in where its middle is; with all corners on a curved boundary the middle of
    # a chord lies on the wrong side, so the edges of the boundary decide there.
    inside = domain.contains(points[cells].mean(axis=1), 0.0)
    rim_cell = np.flatnonzero((cells < fixed).all(axis=1))
    if len(rim_cell):
        inside[rim_cell] = _on_left(points, cells[rim_cell], edges, inside[rim_cell])
    return cells[inside]


def _on_left(points: Floats, cells: Integers, edges: Integers, inside: Any) -> Any:
    """Triangles with an edge of the boundary lie in the domain if they are on its left."""
    directed = {tuple(e) for e in edges.tolist()}
    out = inside.copy()
    for i, cell in enumerate(cells.tolist()):
        a, b, c = points[cell]
        if (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) < 0:
            cell = cell[::-1]
        sides = [(cell[k], cell[(k + 1) % 3]) for k in range(3)]
        if any(side in directed for side in sides):
            out[i] = True
        elif any(side[::-1] in directed for side in sides):
            out[i] = False
    return out


def _missing(cells: Integers, edges: Integers) -> Integers:
    """Edges of the boundary that the triangles don't end at, or that touch a false end."""
    pairs = np.sort(np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [0, 2]]]), 1)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    single = {tuple(p) for p in unique[counts == 1].tolist()}
    wanted = [tuple(sorted(e)) for e in edges.tolist()]
    false = {p for pair in single.difference(wanted) for p in pair}
    blamed = [w not in single or (w[0] in false and w[1] in false) for w in wanted]
    if false and not any(blamed):
        blamed = [w[0] in false or w[1] in false for w in wanted]
    return np.flatnonzero(blamed)
