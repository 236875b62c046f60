"""Mesh: points, cells of one shape, named boundary facets, named regions; on the host."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Floats

if TYPE_CHECKING:
    from pdes.domain._base import Domain

Integers = NDArray[np.integer]

# Corners of each facet, in the local numbering of the cell (that of basix and FEniCS, which for
# quadrilaterals and hexahedra is lexicographic, not around the perimeter as in VTK).
FACETS: dict[str, tuple[tuple[int, ...], ...]] = {
    "interval": ((0,), (1,)),
    "triangle": ((1, 2), (0, 2), (0, 1)),
    "quadrilateral": ((0, 1), (0, 2), (1, 3), (2, 3)),
    "tetrahedron": ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)),
    "hexahedron": (
        (0, 1, 2, 3),
        (0, 1, 4, 5),
        (0, 2, 4, 6),
        (1, 3, 5, 7),
        (2, 3, 6, 7),
        (4, 5, 6, 7),
    ),
}
CELL_DIMENSION = {
    "interval": 1,
    "triangle": 2,
    "quadrilateral": 2,
    "tetrahedron": 3,
    "hexahedron": 3,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """Cells of one shape.

    Attributes:
        points: corners, (points, dim).
        cells: corners of each cell in basix's local order, (cells, corners).
        shape: "interval", "triangle", "quadrilateral", "tetrahedron" or "hexahedron".
        facets: boundary facets as (cell, local facet number), (facets, 2).
        facet_parts: index in `boundary_names` of each boundary facet, (facets,).
        boundary_names: names of the boundary parts.
        cell_regions: index in `regions` of each cell, (cells,).
        regions: names of the materials; empty when there are none.
        periodic_pairs: for each direction that is periodic, pairs (slave, master) of points,
            concatenated, (pairs, 2); masters are never slaves.
        geometry: nodes of curved cells of degree 2 in basix's order, (cells, nodes, dim), or None.
    """

    points: Floats
    cells: Integers
    shape: str
    facets: Integers
    facet_parts: Integers
    boundary_names: tuple[str, ...]
    cell_regions: Integers
    regions: tuple[str, ...] = ()
    periodic_pairs: Integers = dataclasses.field(default_factory=lambda: np.zeros((0, 2), int))
    geometry: Floats | None = None

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    @property
    def facet_corners(self) -> Integers:
        """Points of each boundary facet, (facets, corners of a facet)."""
        local = np.array(FACETS[self.shape])
        return self.cells[self.facets[:, 0][:, None], local[self.facets[:, 1]]]

    @property
    def volume(self) -> float:
        """Length, area or volume of the cells; of the curved ones where there is a geometry."""
        from pdes.domain._simplices import mesh_volume

        return mesh_volume(self)

    def refine(self, marked: Any = None, domain: Domain | None = None) -> Mesh:
        """Every cell cut into 2^dim; or the marked ones, with what keeps the mesh conforming.

        Names, regions and periodic pairs are kept. Cells of degree 2 keep their curved geometry,
        straight cells stay straight. With the domain, new points of a curved boundary move onto it.

        Arguments:
            marked: numbers of cells or a mask (cells,), for simplices: their edges are halved, and
                neighbours are bisected where nodes would hang.
            domain: what the mesh is of.

        Raises:
            ValueError: some marked cells of a mesh of quadrilaterals or hexahedra.
        """
        from pdes.domain._bisect import bisect
        from pdes.domain._curved import on_boundary
        from pdes.domain._refine import refine

        fine = refine(self) if marked is None else bisect(self, marked)[0]
        return fine if domain is None else on_boundary(domain, fine)
