"""A finite element solution on its own cells: nodes, fields at them, the order that VTK wants."""

from __future__ import annotations

import dataclasses
import functools

import basix
import numpy as np
from numpy.typing import NDArray

from pdes.domain import Mesh
from pdes.domain._meshio import QUADRATIC
from solvers.fem._build import geometry_points
from solvers.fem._element import lagrange
from solvers.fem._locate import FEMRepresentation
from solvers.fem._space import broken_space, scalar_space
from solvers.time import TimeSeries

Floats = NDArray[np.floating]

_LINEAR = {
    "interval": ("line", (0, 1)),
    "triangle": ("triangle", (0, 1, 2)),
    "quadrilateral": ("quad", (0, 1, 3, 2)),
    "tetrahedron": ("tetra", (0, 1, 2, 3)),
    "hexahedron": ("hexahedron", (0, 1, 3, 2, 4, 5, 7, 6)),
}
_SQUARE = {
    "interval": "line3",
    "triangle": "triangle6",
    "quadrilateral": "quad9",
    "tetrahedron": "tetra10",
    "hexahedron": "hexahedron27",
}
_LAGRANGE = {"triangle": "VTK_LAGRANGE_TRIANGLE", "quadrilateral": "VTK_LAGRANGE_QUADRILATERAL"}


@dataclasses.dataclass(frozen=True, eq=False)
class NodalCells:
    """Nodes of equal distances in every cell.

    Attributes:
        representation: the solution's. degree: of the cells. points: of the nodes, (n, dim).
        nodes: of each cell in basix's order, (cells, nodes). local: where they are in the
        reference cell, (nodes, dim).
    """

    representation: FEMRepresentation
    degree: int
    points: Floats
    nodes: NDArray[np.integer]
    local: Floats

    @property
    def mesh(self) -> Mesh:
        return self.representation.space.mesh

    def values(self, t: float) -> dict[str, Floats]:
        """Every field at the nodes at one time, (n, *shape)."""
        state = self.representation.state
        state = np.asarray(state(t) if isinstance(state, TimeSeries) else state)
        out = {}
        space = self.representation.space
        for name, scalar in space.scalars.items():
            table = scalar.element.tabulate(self.local)[:, 0]
            dofs = state[space.dofs(name)].reshape(len(self.nodes), table.shape[1], -1)
            at_nodes = np.empty((len(self.points), dofs.shape[2]))
            at_nodes[self.nodes] = np.einsum("qn,cns->cqs", table, dofs)
            out[name] = at_nodes.reshape(-1, *self.representation.shapes[name])
        return out

    def vtk(self) -> tuple[str, NDArray[np.integer]]:
        """meshio's name of the cells, and their nodes in VTK's order."""
        kind, order = vtk_order(self.mesh.shape, self.degree)
        return kind, self.nodes[:, order]


def nodal_cells(representation: FEMRepresentation, most: int | None = None) -> NodalCells:
    """The cells with nodes for the highest degree of a field or of the map, at most `most`."""
    mesh = representation.space.mesh
    degrees = [s.element.degree for s in representation.space.scalars.values()]
    degree = max(*degrees, 1 if mesh.geometry is None else 2)
    # What is not known of VTK's numbering in space is written as quadratic cells.
    highest = 8 if mesh.shape in _LAGRANGE else 2
    degree = min(degree, highest if most is None else most)
    # Both sides of a periodic domain are drawn.
    opened = dataclasses.replace(mesh, periodic_pairs=np.zeros((0, 2), int))
    # Where fields jump, neighbours share no nodes.
    space = broken_space if representation.space.broken else scalar_space
    nodes = space(opened, degree).cell_nodes
    local = _even_nodes(mesh.shape, degree)
    corners, numbers = geometry_points(mesh)
    table = lagrange(mesh.shape, 1 if mesh.geometry is None else 2).tabulate(local)[:, 0]
    points = np.empty((int(nodes.max()) + 1, mesh.dim))
    points[nodes] = np.einsum("qn,cnd->cqd", table, corners[numbers])
    return NodalCells(representation, degree, points, nodes, local)


def _even_nodes(shape: str, degree: int) -> Floats:
    """The nodes of the element with equal distances, in basix's order."""
    element = basix.create_element(
        basix.ElementFamily.P,
        getattr(basix.CellType, shape),
        degree,
        basix.LagrangeVariant.equispaced,
    )
    return np.array(element.points)


@functools.lru_cache(maxsize=32)
def vtk_order(shape: str, degree: int) -> tuple[str, tuple[int, ...]]:
    """meshio's name of a cell and basix's nodes in VTK's order."""
    if degree == 1:
        return _LINEAR[shape]
    if degree == 2:
        return _SQUARE[shape], tuple(np.argsort(QUADRATIC[shape]).tolist())
    lattice = _triangle(degree) if shape == "triangle" else _square(degree)
    ours = np.rint(_even_nodes(shape, degree) * degree).astype(int).tolist()
    place = {tuple(x): i for i, x in enumerate(ours)}
    return _LAGRANGE[shape], tuple(place[x] for x in lattice)


def _triangle(degree: int) -> list[tuple[int, int]]:
    """Corners, edges around, then the triangle inside of them likewise."""
    if degree < 0:
        return []
    if degree == 0:
        return [(0, 0)]
    corners = [(0, 0), (degree, 0), (0, degree)]
    out = list(corners)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        (x, y), (u, v) = corners[a], corners[b]
        out += [(x + (u - x) * k // degree, y + (v - y) * k // degree) for k in range(1, degree)]
    return out + [(x + 1, y + 1) for x, y in _triangle(degree - 3)]


def _square(degree: int) -> list[tuple[int, int]]:
    """Corners, the edges bottom, right, top, left, each along its axis, then rows inside."""
    n, inner = degree, range(1, degree)
    return [
        *((0, 0), (n, 0), (n, n), (0, n)),
        *((k, 0) for k in inner),
        *((n, k) for k in inner),
        *((k, n) for k in inner),
        *((0, k) for k in inner),
        *((x, y) for y in inner for x in inner),
    ]
