"""What meshes take from the curves of their domain: names, and cells that follow arcs."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Domain, Floats
from pdes.domain._mesh import Integers, Mesh
from pdes.domain._planar import PlanarDomain
from pdes.domain._refine import quadratic_nodes
from pdes.domain._topology import corner_jacobians


def nearest_parts(domain: PlanarDomain, x: Floats) -> Integers:
    """Index of the boundary part whose curve is nearest to each point (n, 2)."""
    names = domain.boundary_names
    distances = np.stack([c.project(x)[1] for c in domain.curves], axis=1)
    labels = np.array([names.index(c.label) for c in domain.curves])
    return labels[np.argmin(distances, axis=1)]


def on_boundary(domain: Domain, mesh: Mesh) -> Mesh:
    """The mesh with the points of its boundary moved onto the domain's, where that is curved.

    Curved cells are made anew. Points that would turn a cell inside out stay.
    """
    if not domain.is_curved:
        return mesh
    points = mesh.points.copy()
    corners = mesh.facet_corners
    # Twice: a point where two surfaces meet goes from one to the other.
    for _ in range(2):
        for part, label in enumerate(mesh.boundary_names):
            rows = np.unique(corners[mesh.facet_parts == part])
            points[rows] = nearest_on(domain, points[rows], label)
    moved = np.linalg.norm(points - mesh.points, axis=1) > 0
    bad = (corner_jacobians(points, mesh.cells, mesh.shape) <= 0).any(axis=1)
    while bad.any() and moved.any():
        back = np.unique(mesh.cells[bad])
        points[back], moved[back] = mesh.points[back], False
        bad = (corner_jacobians(points, mesh.cells, mesh.shape) <= 0).any(axis=1)
    out = dataclasses.replace(mesh, points=points)
    return out if mesh.geometry is None else with_curved_cells(domain, out)


def nearest_on(domain: Domain, x: Floats, label: str) -> Floats:
    """The points of one part of the boundary nearest to x (n, dim).

    x itself where the part is not known as curves or surfaces.
    """
    from pdes.domain._solid import SolidDomain

    if isinstance(domain, PlanarDomain):
        pieces = [c for c in domain.curves if c.label == label]
        found = [c.point(c.project(x)[0]) for c in pieces]
    elif isinstance(domain, SolidDomain):
        surfaces = [s for s in domain.surfaces if s.probes[0] > 0 and label in s.probes[1]]
        found = [s.nearest(x) for s in surfaces]
    else:
        found = []
    if not found or not len(x):
        return x
    best = np.argmin([np.linalg.norm(y - x, axis=1) for y in found], axis=0)
    return np.stack(found)[best, np.arange(len(x))]


def nearest_label(domain: Domain, middles: Floats, normals: Floats) -> NDArray[np.object_]:
    """Names of facets by the surface that is nearest and has a like normal, (n,)."""
    from pdes.domain._solid import surfaces_of

    size = float(np.max(domain.bounds[1] - domain.bounds[0]))
    best = np.full(len(middles), np.inf)
    labels = np.full(len(middles), "", object)
    for surface in surfaces_of(domain):
        away, outward = surface.away(middles)
        on = surface.nearest(middles)
        kept = np.ones(len(middles), bool)
        for predicate in surface.kept:
            kept &= predicate(on, outward)
        turned = 1 - np.sum(normals * outward, axis=1)
        cost = away / size + 0.05 * turned + np.where(kept, 0.0, 0.02)
        rows = cost < best
        labels[rows], best[rows] = surface.labels(on[rows]), cost[rows]
    return labels


def with_curved_cells(domain: Domain, mesh: Mesh) -> Mesh:
    """The mesh with cells of degree 2, the middles of boundary edges moved onto the boundary.

    In space also the cells that have an edge on the boundary and no facet follow it.

    Raises:
        ValueError: hexahedra.
    """
    nodes = quadratic_nodes(mesh.shape)
    if mesh.shape == "hexahedron":
        raise ValueError('curved cells in space are of shape "tetrahedron"')
    corners = mesh.points[mesh.cells]
    geometry = np.stack([corners[:, list(n)].mean(axis=1) for n in nodes], axis=1)
    edges = [k for k, n in enumerate(nodes) if len(n) == 2]
    count = len(mesh.points)
    ends = np.sort(mesh.cells[:, [nodes[k] for k in edges]], axis=2).astype(np.int64)
    keys = ends[..., 0] * count + ends[..., 1]
    rim, shift = _edge_shifts(domain, mesh)
    place = np.minimum(np.searchsorted(rim, keys), max(len(rim) - 1, 0))
    if len(rim):
        on_rim = (rim[place] == keys)[..., None]
        geometry[:, edges] += np.where(on_rim, shift[place], 0.0)
        if mesh.shape == "quadrilateral":
            # The middle follows by half, as a blended map has it.
            geometry[:, -1] += 0.5 * np.where(on_rim, shift[place], 0.0).sum(axis=1)
    return dataclasses.replace(mesh, geometry=geometry)


def _edge_shifts(domain: Domain, mesh: Mesh) -> tuple[Integers, Floats]:
    """Edges of the boundary, as sorted numbers lower end × points + upper end, and the way of
    their middles to the domain's boundary."""
    count = len(mesh.points)
    pairs = list(combinations(range(mesh.dim), 2))
    ends = np.sort(mesh.facet_corners[:, pairs].astype(np.int64), axis=2)
    keys = ends[..., 0] * count + ends[..., 1]
    rim = np.unique(keys)
    straight = mesh.points[np.stack([rim // count, rim % count], axis=1)].mean(axis=1)
    middles = straight.copy()
    for _ in range(2):
        for part, label in enumerate(mesh.boundary_names):
            own = np.searchsorted(rim, np.unique(keys[mesh.facet_parts == part]))
            middles[own] = nearest_on(domain, middles[own], label)
    return rim, middles - straight
