"""A domain given by a mesh, its own or from a file."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import BoundarySample, Domain, Floats, check_label, check_part
from pdes.domain._mesh import FACETS, Integers, Mesh
from pdes.domain._meshio import read_mesh
from pdes.domain._potential import facet_distance
from pdes.domain._sampling import unit_points
from pdes.domain._simplices import Locator, measures, simplices, uniform_in_simplex
from pdes.domain._topology import check_mesh


class MeshDomain(Domain):
    """The region that a mesh covers; its boundary parts and materials have the file's names.

    Gmsh's physical groups give names; reference numbers without a name become "1000"; what has
    neither is called "boundary". Where groups overlap, the first in the file wins, and a group
    that has no facet of its own left is no part; `prefer` turns that round. Groups of facets
    inside the domain are no boundary and are left out.

    Arguments:
        source: a file that meshio reads (Gmsh, Medit, VTU, XDMF, …), or a `Mesh`.
        boundary: new names, each for a name or reference number of the file, a list of them, or
            a predicate of the facet's middle: {"outer": 1000, "lid": lambda x: x[1] > 0.99}.
        prefer: names of groups in the file that win where groups overlap.

    Raises:
        FileNotFoundError: no such file.
        ValueError: what `read_mesh` refuses; a name that the file does not have.
    """

    def __init__(
        self,
        source: str | Path | Mesh,
        boundary: Mapping[str, Any] | None = None,
        prefer: Sequence[str] = (),
    ):
        self._source = "mesh" if isinstance(source, Mesh) else str(source)
        if isinstance(source, Mesh):
            check_mesh(source, self._source)
            mesh = source
        else:
            mesh = read_mesh(source, prefer)
        for label, what in (boundary or {}).items():
            mesh = _renamed(mesh, label, what, self._source)
        self._mesh = mesh
        self.dim = mesh.dim

    def __repr__(self) -> str:
        mesh = self._mesh
        names = list(mesh.boundary_names)
        return f"MeshDomain of {len(mesh.cells)} {mesh.shape} cells, boundary {names}"

    @property
    def boundary_names(self) -> tuple[str, ...]:
        return self._mesh.boundary_names

    @property
    def regions(self) -> tuple[str, ...]:
        return self._mesh.regions

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        points = self._mesh.points
        return points.min(axis=0), points.max(axis=0)

    @functools.cached_property
    def volume(self) -> float:
        """Measure of the cells, curved where the mesh is."""
        return self._mesh.volume

    @property
    def periodic(self) -> tuple[bool, ...]:
        pairs = self._mesh.periodic_pairs
        if not len(pairs):
            return (False,) * self.dim
        shift = np.abs(self._mesh.points[pairs[:, 0]] - self._mesh.points[pairs[:, 1]])
        size = np.ptp(self._mesh.points, axis=0)
        return tuple((shift > 0.5 * size).any(axis=0).tolist())

    def mesh(self) -> Mesh:
        """The mesh itself; `mesh().refine()` for a finer one."""
        return self._mesh

    def name(self, label: str, predicate: Callable[[Floats], Any]) -> MeshDomain:
        """The predicate is called with the middle of each boundary facet."""
        return MeshDomain(_renamed(self._mesh, label, predicate, self._source))

    @functools.cached_property
    def _locator(self) -> Locator:
        return Locator(self._mesh)

    @functools.cached_property
    def _simplices(self) -> tuple[Floats, Integers, Floats]:
        corners, cells = simplices(self._mesh)
        return corners, cells, measures(corners)

    def locate(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.integer]:
        """Number of the cell that holds each point (n, dim), −1 outside, (n,).

        Curved cells count as straight.
        """
        return self._locator.find(np.asarray(x), tolerance)

    def region_of(self, x: Floats) -> NDArray[np.integer]:
        """Index in `regions` of each point (n, dim).

        Raises:
            ValueError: a point outside the mesh; a mesh without regions.
        """
        if not self.regions:
            raise ValueError("this mesh has no named regions; give its cells physical groups")
        cells = self.locate(x, 1e-9)
        if (cells < 0).any():
            outside = np.asarray(x)[np.argmax(cells < 0)].tolist()
            raise ValueError(f"the point {outside} lies outside the mesh")
        return self._mesh.cell_regions[cells]

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        return self.locate(x, tolerance) >= 0

    def sample_interior(self, count: int, seed: int = 0, scheme: str = "sobol") -> Floats:
        corners, _, sizes = self._simplices
        unit = unit_points(count, self.dim + 1, seed, "uniform" if scheme == "uniform" else "sobol")
        if scheme == "grid":
            unit[:, 0] = (np.arange(count) + 0.5) / count
        elif scheme not in ("sobol", "uniform"):
            unit_points(count, 1, seed, scheme)
        chosen, _ = _choose(sizes, unit[:, 0])
        return uniform_in_simplex(corners[chosen], unit[:, 1:])

    def sample_boundary(
        self, count: int, seed: int = 0, scheme: str = "sobol", part: str | None = None
    ) -> BoundarySample:
        check_part(self, part)
        mesh = self._mesh
        rows = np.arange(len(mesh.facets))
        if part is not None:
            rows = np.flatnonzero(mesh.facet_parts == self.boundary_names.index(part))
        if not len(rows):
            empty = np.zeros((0, self.dim))
            return BoundarySample(empty, empty, np.zeros(0, int), np.zeros(0))
        corners, facet = _facet_simplices(mesh, rows)
        sizes = measures(corners)
        if scheme == "grid" or self.dim == 1:
            # Of two or more points each gets one, in turn.
            first = (np.arange(count) + 0.5) / count
        else:
            first = unit_points(count, 1, seed, scheme)[:, 0]
        chosen, within = _choose(sizes, first)
        unit = within[:, None]
        if self.dim == 1:
            unit = np.zeros((count, 0))
        elif self.dim == 3:
            across = "uniform" if scheme == "uniform" else "sobol"
            pair = unit_points(count, 3, seed, across)
            chosen, _ = _choose(sizes, pair[:, 0] if scheme != "grid" else first)
            unit = pair[:, 1:]
        normals = facet_normals(mesh, rows)
        return BoundarySample(
            uniform_in_simplex(corners[chosen], unit),
            normals[facet[chosen]],
            mesh.facet_parts[rows][facet[chosen]],
            np.full(count, sizes.sum() / count),
        )

    def grid(self, count: int) -> Floats:
        low, high = self.bounds
        spacing = (self.volume / max(count, 1)) ** (1 / self.dim)
        axes = [
            np.linspace(a, b, max(round((b - a) / spacing) + 1, 2))
            for a, b in zip(low, high, strict=True)
        ]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.dim)
        inside = points[self.contains(points)]
        # A thin region may slip between the lines of a grid: its cells' centres are as good.
        return inside if len(inside) else self._mesh.points[self._mesh.cells].mean(axis=1)

    def distance(self, parts: Sequence[str] | None = None) -> Callable:
        for part in parts or ():
            check_part(self, part)
        mesh = self._mesh
        chosen = [mesh.boundary_names.index(p) for p in parts or mesh.boundary_names]
        rows = np.flatnonzero(np.isin(mesh.facet_parts, chosen))
        if self.dim != 2 or not len(rows):
            raise ValueError(
                "a smooth distance is there to facets of a mesh in the plane, got "
                f"{len(rows)} facets in {self.dim} dimensions; use soft boundary conditions, or "
                "describe the domain by Interval, Box, Ball and their combinations"
            )
        return facet_distance(mesh.points[mesh.facet_corners[rows]])


def facet_normals(mesh: Mesh, rows: Integers | None = None) -> Floats:
    """Outward unit normals of boundary facets, (facets, dim); of bent quadrilaterals the mean."""
    facets = mesh.facets if rows is None else mesh.facets[rows]
    corners = mesh.points[mesh.cells[facets[:, 0]]]
    local = np.array(FACETS[mesh.shape])[facets[:, 1]]
    x = np.take_along_axis(corners, local[:, :, None], axis=1)
    inside = x.mean(axis=1) - corners.mean(axis=1)
    if mesh.dim == 1:
        normals = np.ones((len(facets), 1))
    elif mesh.dim == 2:
        tangent = x[:, 1] - x[:, 0]
        normals = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    elif x.shape[1] == 3:
        normals = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    else:
        normals = np.cross(x[:, 3] - x[:, 0], x[:, 2] - x[:, 1])
    normals = normals * np.sign(np.sum(normals * inside, axis=1, keepdims=True))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _facet_simplices(mesh: Mesh, rows: Integers) -> tuple[Floats, Integers]:
    corners = mesh.points[mesh.facet_corners[rows]]
    if corners.shape[1] < 4:
        return corners, np.arange(len(rows))
    halves = np.concatenate([corners[:, [0, 1, 3]], corners[:, [0, 3, 2]]])
    return halves, np.tile(np.arange(len(rows)), 2)


def _choose(sizes: Floats, unit: Floats) -> tuple[Integers, Floats]:
    """Pieces by their measures, and where in the piece the number fell, in [0, 1)."""
    ends = np.cumsum(sizes)
    at = unit * ends[-1]
    chosen = np.minimum(np.searchsorted(ends, at, side="right"), len(sizes) - 1)
    start = ends[chosen] - sizes[chosen]
    return chosen, np.clip((at - start) / sizes[chosen], 0.0, 1.0)


def _renamed(mesh: Mesh, label: str, what: Any, source: str) -> Mesh:
    check_label(label)
    names = list(mesh.boundary_names)
    if callable(what):
        middles = mesh.points[mesh.facet_corners].mean(axis=1)
        chosen = np.array([bool(what(x)) for x in middles], bool)
    else:
        wanted = [what] if isinstance(what, (str, int, np.integer)) else list(what)
        missing = [str(w) for w in wanted if str(w) not in names]
        if missing:
            raise ValueError(
                f"{source}: no boundary or physical group {missing[0]!r}; the file has {names}"
            )
        chosen = np.isin(mesh.facet_parts, [names.index(str(w)) for w in wanted])
    if not chosen.any():
        raise ValueError(
            f"{source}: no boundary facet is left for {label!r}: the predicate holds at the middle "
            f"of none of {len(mesh.facets)} facets"
        )
    if label not in names:
        names.append(label)
    labels = np.where(chosen, names.index(label), mesh.facet_parts)
    kept = [i for i in range(len(names)) if (labels == i).any()]
    renumber = {old: new for new, old in enumerate(kept)}
    return dataclasses.replace(
        mesh,
        boundary_names=tuple(names[i] for i in kept),
        facet_parts=np.array([renumber[i] for i in labels.tolist()], int),
    )
