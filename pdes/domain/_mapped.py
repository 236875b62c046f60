"""Block-structured meshes: meshes moved by a map, curved at will, and meshes joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pdes.domain._base import Domain, Floats
from pdes.domain._mesh import Mesh
from pdes.domain._planar import PlanarDomain
from pdes.domain._refine import quadratic_nodes
from pdes.domain._topology import build_mesh, orient


def mapped_mesh(mesh: Mesh, function: Callable[[Floats], Floats], curved: bool = False) -> Mesh:
    """The mesh with its points moved: grading, sectors of rings, any block that a map gives.

    Boundary parts and materials keep their names.

    Arguments:
        function: from points (n, dim) to points (n, dim), one to one on every cell.
        curved: cells of degree 2, whose middles of edges and faces are moved as well, so that
            they follow a curved map to third order; else cells stay straight.

    Raises:
        ValueError: a wrong shape; a cell that the map makes degenerate or turns inside out.
    """
    points = np.asarray(function(mesh.points), float)
    if points.shape != mesh.points.shape:
        raise ValueError(
            f"mapped_mesh: the function made an array of shape {points.shape} of points "
            f"{mesh.points.shape}"
        )
    geometry = None
    if curved or mesh.geometry is not None:
        old = mesh.geometry if mesh.geometry is not None else _middles(mesh)
        geometry = np.asarray(function(old.reshape(-1, mesh.dim)), float).reshape(old.shape)
    cells, geometry = orient(points, mesh.cells, mesh.shape, geometry, "mapped mesh")
    if (cells != mesh.cells).any():
        turned = Mesh(points, cells, mesh.shape, mesh.facets, mesh.facet_parts, (), cells[:, 0])
        facets = _facets_again(mesh, turned)
    else:
        facets = mesh.facets
    return dataclasses.replace(mesh, points=points, cells=cells, facets=facets, geometry=geometry)


def _middles(mesh: Mesh) -> Floats:
    corners = mesh.points[mesh.cells]
    return np.stack([corners[:, list(n)].mean(axis=1) for n in quadratic_nodes(mesh.shape)], axis=1)


def _facets_again(mesh: Mesh, turned: Mesh) -> np.ndarray:
    """Local numbers of the same facets in cells that were turned."""
    from pdes.domain._mesh import FACETS

    wanted = np.sort(mesh.facet_corners, axis=1)
    cells = mesh.facets[:, 0]
    local = np.array(FACETS[mesh.shape])
    offered = np.sort(turned.cells[cells][:, local], axis=2)
    number = (offered == wanted[:, None]).all(axis=2).argmax(axis=1)
    return np.stack([cells, number], axis=1)


def joined_mesh(
    meshes: Sequence[Mesh],
    boundary: Domain | dict[str, Callable[[Floats], Floats]],
    tolerance: float = 1e-9,
) -> Mesh:
    """One mesh of blocks whose points agree where they touch; touching sides become inside.

    Arguments:
        meshes: of one shape; all with curved cells or none.
        boundary: a planar domain or box whose parts name the facets, or for each name a predicate
            of the middles (n, dim) of facets; what no predicate takes is called "boundary".
        tolerance: of points that count as one, relative to the whole.

    Raises:
        ValueError: no meshes, different shapes, curved and straight cells, sides that do not fit
            (hanging nodes).
    """
    if not meshes or len({(m.shape, m.geometry is None) for m in meshes}) > 1:
        kinds = sorted({m.shape + (" (curved)" if m.geometry is not None else "") for m in meshes})
        raise ValueError(f"joined_mesh: the meshes must have cells of one kind, got {kinds}")
    points = np.concatenate([m.points for m in meshes])
    starts = np.cumsum([0, *[len(m.points) for m in meshes[:-1]]])
    cells = np.concatenate([m.cells + s for m, s in zip(meshes, starts, strict=True)])
    lattice = tolerance * np.ptp(points, axis=0).max()
    numbers = _coinciding(points, lattice)
    geometries = [m.geometry for m in meshes if m.geometry is not None]
    mesh = build_mesh(
        points,
        numbers[cells],
        meshes[0].shape,
        geometry=np.concatenate(geometries) if geometries else None,
        source="joined mesh",
    )
    names, parts = _names(mesh, boundary)
    return dataclasses.replace(mesh, boundary_names=names, facet_parts=parts)


def _coinciding(points: Floats, tolerance: float) -> np.ndarray:
    """For each point the number of the first one that lies there."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    pairs = KDTree(points).query_pairs(tolerance, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    _, group = connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    return first[group]


def _names(mesh: Mesh, boundary) -> tuple[tuple[str, ...], np.ndarray]:
    middles = mesh.points[mesh.facet_corners].mean(axis=1)
    if isinstance(boundary, dict):
        names, parts = [*boundary, "boundary"], np.full(len(middles), len(boundary))
        for i, predicate in reversed(list(enumerate(boundary.values()))):
            parts[np.asarray(predicate(middles), bool)] = i
        kept = np.unique(parts)
        return tuple(names[i] for i in kept), np.searchsorted(kept, parts)
    from pdes.domain._csg import curves_of

    domain = boundary
    if isinstance(domain, PlanarDomain):
        from pdes.domain._curved import nearest_parts

        return domain.boundary_names, nearest_parts(domain, middles)
    curves = curves_of(domain)
    distance = np.stack([c.project(middles)[1] for c in curves], axis=1)
    labels = [domain.boundary_names.index(c.label) for c in curves]
    return domain.boundary_names, np.array(labels)[distance.argmin(axis=1)]
