"""Ball."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Coordinates, Floats, check_label
from pdes.domain._disk import check_ball
from pdes.domain._mesh import Mesh
from pdes.domain._solid import SolidDomain
from pdes.domain._surfaces import Sphere, Surface


class Ball(SolidDomain):
    """The ball |x − center| ≤ radius in three dimensions.

    Arguments:
        center: (3,). radius: positive.
        boundary: name of the sphere.

    Raises:
        ValueError: a center that is not three finite numbers, a radius that is not positive.
    """

    def __init__(
        self,
        center: Coordinates = (0.0, 0.0, 0.0),
        radius: float = 1.0,
        boundary: str = "boundary",
    ):
        self._center, self._radius = check_ball(center, radius, 3, "Ball")
        check_label(boundary)
        middle = (float(self._center[0]), float(self._center[1]), float(self._center[2]))
        self._surfaces: tuple[Surface, ...] = (Sphere(middle, self._radius, boundary),)

    def __repr__(self) -> str:
        return f"Ball({tuple(self._center.tolist())}, {self._radius:g})"

    @property
    def center(self) -> Floats:
        return self._center.copy()

    @property
    def radius(self) -> float:
        return self._radius

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        return self._surfaces

    def _with_surfaces(self, surfaces: Sequence[Surface]) -> Ball:
        copy = Ball(self._center.tolist(), self._radius)
        copy._surfaces = tuple(surfaces)
        return copy

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        return self._center - self._radius, self._center + self._radius

    @property
    def volume(self) -> float:
        """4π/3 R³."""
        return 4 / 3 * np.pi * self._radius**3

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        distance = np.linalg.norm(np.asarray(x) - self._center, axis=-1)
        return distance <= self._radius * (1 + tolerance)

    def mesh(
        self,
        cells: int | None = None,
        shape: str | None = None,
        size: float | None = None,
        curved: bool = False,
    ) -> Mesh:
        """A cubic core and six blocks around it, of hexahedra or each cut into tetrahedra.

        Arguments:
            cells: number along the diameter, 8 by default.
            shape: "tetrahedron" (default) or "hexahedron".
            size: length of a cell, instead of `cells`.
            curved: tetrahedra of degree 2 that follow the sphere (`Mesh.geometry`).
        """
        from pdes.domain._curved import with_curved_cells
        from pdes.domain._round import ball_mesh

        mesh = ball_mesh(self, cells, shape, size)
        return with_curved_cells(self, mesh) if curved else mesh
