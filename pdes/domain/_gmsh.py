"""Meshes by Gmsh, where it is installed: planar domains, and solids by OpenCASCADE."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from pdes.domain._ball import Ball
from pdes.domain._base import Domain, Floats
from pdes.domain._box import Box
from pdes.domain._csg import curves_of
from pdes.domain._curved import nearest_parts
from pdes.domain._curves import Arc, Curve
from pdes.domain._extrusion import Extrusion, planar_axes
from pdes.domain._layers import named
from pdes.domain._mesh import Integers, Mesh
from pdes.domain._planar import PlanarDomain
from pdes.domain._size import SizeField
from pdes.domain._solid import SolidCombination
from pdes.domain._topology import build_mesh, orient

LIBRARIES = "libglu1-mesa libxcursor1 libxft2 libxinerama1 libxrender1 libxfixes3"
# Gmsh's number, nodes and, where it differs, order of corners of each shape of cell.
_KINDS = {
    "triangle": (2, 3, [0, 1, 2]),
    "quadrilateral": (3, 4, [0, 1, 3, 2]),
    "tetrahedron": (4, 4, [0, 1, 2, 3]),
}


def load() -> Any:
    """The package.

    Raises:
        ImportError: it, or a system library that it needs, is missing.
    """
    try:
        import gmsh  # pyright: ignore[reportMissingImports]
    except OSError as error:
        raise ImportError(
            f"gmsh is installed, but a system library that it needs is not ({error}); on Debian "
            f"and Ubuntu: apt-get install {LIBRARIES}"
        ) from error
    except ImportError as error:
        raise ImportError(
            f'this mesh needs gmsh: pip install "physml[gmsh]" ({error}); it needs the system '
            f"libraries {LIBRARIES}"
        ) from error
    if getattr(getattr(gmsh, "lib", None), "gmshInitialize", None) is None:
        raise ImportError(
            "gmsh is installed, but its library does not load; on Debian and Ubuntu: apt-get "
            f"install {LIBRARIES}"
        )
    return gmsh


@contextlib.contextmanager
def _session(dim: int, h: float, local: SizeField | None) -> Iterator[Any]:
    """A model of its own, with cells of at most h.

    Raises:
        ValueError: gmsh gave up, with what it said. RuntimeError: the caller uses gmsh already.
    """
    gmsh = load()
    if gmsh.isInitialized():
        raise RuntimeError(
            "gmsh is in use here: call gmsh.finalize() first, or write its mesh to a file and "
            "read that with pm.MeshDomain"
        )
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("Mesh.MeshSizeMax", h)
        # As many edges to a circle as the own mesher makes in the plane, half of it in space.
        gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", 24 if dim == 2 else 12)
        if local is not None:

            def size(d: int, tag: int, x: float, y: float, z: float, so_far: float) -> float:
                return min(h, so_far, float(local(np.array([[x, y, z][:dim]]))[0]))

            gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
            gmsh.model.mesh.setSizeCallback(size)
        yield gmsh
    except Exception as error:
        # Gmsh raises bare exceptions with what it last said.
        if type(error) is Exception:
            raise ValueError(f"gmsh could not mesh this: {error}; try another size") from error
        raise
    finally:
        gmsh.finalize()


def _cells(gmsh: Any, shape: str, source: str) -> tuple[Floats, Integers]:
    """Points (n, 3) and corners of the cells of a shape, in basix's order."""
    kind, corners, order = _KINDS[shape]
    dim = 3 if shape == "tetrahedron" else 2
    types, _, _ = gmsh.model.mesh.getElements(dim)
    if list(types) != [kind]:
        counts = {int(t): len(gmsh.model.mesh.getElementsByType(t)[0]) for t in types}
        raise ValueError(
            f"{source}: gmsh made cells of kinds {counts}, not {shape} cells alone; give another "
            "size or shape"
        )
    tags, coordinates, _ = gmsh.model.mesh.getNodes()
    _, nodes = gmsh.model.mesh.getElementsByType(kind)
    tags, nodes = np.asarray(tags).astype(int), np.asarray(nodes).astype(int)
    renumber = np.full(int(tags.max()) + 1, -1)
    renumber[tags] = np.arange(len(tags))
    cells = renumber[nodes].reshape(-1, corners)[:, order]
    # Centres of arcs are points of the model and of no cell.
    used, numbers = np.unique(cells, return_inverse=True)
    return np.asarray(coordinates, float).reshape(-1, 3)[used], numbers.reshape(cells.shape)


def planar_gmsh(domain: PlanarDomain, h: float, local: SizeField | None, shape: str) -> Mesh:
    """See `Polygon.mesh`.

    Raises:
        ImportError: see `load`. ValueError: gmsh could not mesh it so.
    """
    with _session(2, h, local) as gmsh:
        if shape == "quadrilateral":
            gmsh.option.setNumber("Mesh.RecombineAll", 1)
            gmsh.option.setNumber("Mesh.RecombinationAlgorithm", 2)
        _surfaces(gmsh.model.occ, domain.curves)
        gmsh.model.occ.synchronize()
        gmsh.model.mesh.generate(2)
        points, cells = _cells(gmsh, shape, repr(domain))
    mesh = build_mesh(points[:, :2], cells, shape, source=repr(domain))
    parts = nearest_parts(domain, mesh.points[mesh.facet_corners].mean(axis=1))
    return dataclasses.replace(mesh, facet_parts=parts, boundary_names=domain.boundary_names)


def solid_mesh(domain: Domain, h: float, local: SizeField | None, shape: str) -> Mesh:
    """Tetrahedra in a box, ball, extrusion or combination of them.

    Raises:
        ImportError: see `load`. ValueError: another shape, or gmsh could not mesh it.
    """
    if shape != "tetrahedron":
        raise ValueError(f"gmsh fills solids with tetrahedron cells here, got shape={shape!r}")
    with _session(3, h, local) as gmsh:
        # Without it slivers are left: flat tetrahedra with good faces.
        gmsh.option.setNumber("Mesh.OptimizeNetgen", 1)
        # Delaunay's triangles: the default's front closes badly at the poles of a sphere.
        gmsh.option.setNumber("Mesh.Algorithm", 5)
        _volumes(gmsh.model.occ, domain)
        gmsh.model.occ.synchronize()
        gmsh.model.mesh.generate(3)
        points, cells = _cells(gmsh, shape, repr(domain))
    cells, _ = orient(points, cells, shape, None, repr(domain))
    return named(domain, points, cells, shape)


def _volumes(occ: Any, domain: Domain) -> list[tuple[int, int]]:
    """Gmsh's (3, tag) of a solid."""
    if isinstance(domain, SolidCombination):
        operation, first, second = domain.parts
        act = {"union": occ.fuse, "difference": occ.cut, "intersection": occ.intersect}[operation]
        return act(_volumes(occ, first), _volumes(occ, second))[0]
    if isinstance(domain, Ball):
        return [(3, occ.addSphere(*domain.center.tolist(), domain.radius))]
    if isinstance(domain, Extrusion):
        flat = _surfaces(occ, curves_of(domain.domain))
        # The plane lies in x, y: the axes are turned round until z is the one of the extrusion.
        turn = np.zeros((4, 4))
        for column, row in enumerate([*planar_axes(domain.axis), domain.axis]):
            turn[row, column] = 1.0
        turn[domain.axis, 3], turn[3, 3] = domain.span[0], 1.0
        occ.affineTransform(flat, turn.ravel().tolist())
        way = np.zeros(3)
        way[domain.axis] = domain.span[1] - domain.span[0]
        return [tag for tag in occ.extrude(flat, *way.tolist()) if tag[0] == 3]
    if isinstance(domain, Box) and domain.dim == 3:
        low, high = domain.bounds
        return [(3, occ.addBox(*low.tolist(), *(high - low).tolist()))]
    raise ValueError(f"gmsh meshes boxes, balls, extrusions and combinations, got {domain!r}")


def _surfaces(occ: Any, curves: tuple[Curve, ...]) -> list[tuple[int, int]]:
    """Points, lines and arcs; loops of them; one surface for each outer loop, holes cut out."""
    known: list[tuple[Floats, int]] = []
    scale = max(c.length for c in curves)

    def point(x: Floats) -> int:
        for y, tag in known:
            if np.linalg.norm(x - y) <= 1e-9 * scale:
                return tag
        tag = occ.addPoint(float(x[0]), float(x[1]), 0.0)
        known.append((x, tag))
        return tag

    lines: dict[int, tuple[int, int]] = {}
    area: dict[int, float] = {}
    for curve in curves:
        # Arcs of less than π.
        pieces = 1 if not isinstance(curve, Arc) else int(np.ceil(abs(curve.sweep) / 3.0))
        for i in range(pieces):
            piece = curve.part(i / pieces, (i + 1) / pieces)
            a, b = (point(x) for x in piece.point(np.array([0.0, 1.0])))
            if isinstance(piece, Arc):
                middle = occ.addPoint(*piece.center, 0.0)
                tag = occ.addCircleArc(a, middle, b)
                occ.remove([(0, middle)])
            else:
                tag = occ.addLine(a, b)
            lines[tag], area[tag] = (a, b), piece.area
    outer, holes = [], []
    while lines:
        loop = [next(iter(lines))]
        start, at = lines.pop(loop[0])
        while at != start:
            tag = next(t for t, (a, _) in lines.items() if a == at)
            loop.append(tag)
            at = lines.pop(tag)[1]
        face = (2, occ.addPlaneSurface([occ.addCurveLoop(loop)]))
        (outer if sum(area[t] for t in loop) > 0 else holes).append(face)
    return occ.cut(outer, holes)[0] if holes else outer
