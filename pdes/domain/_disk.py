"""Disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Coordinates, Floats, check_label
from pdes.domain._curves import Arc, Curve
from pdes.domain._mesh import Mesh
from pdes.domain._planar import PlanarDomain


class Disk(PlanarDomain):
    """The disk |x − center| ≤ radius.

    Arguments:
        center: (2,). radius: positive.
        boundary: name of the circle.

    Raises:
        ValueError: a center that is not two finite numbers, a radius that is not positive.
    """

    def __init__(
        self,
        center: Coordinates = (0.0, 0.0),
        radius: float = 1.0,
        boundary: str = "boundary",
    ):
        self._center, self._radius = check_ball(center, radius, 2, "Disk")
        check_label(boundary)
        middle = (float(self._center[0]), float(self._center[1]))
        self._curves: tuple[Curve, ...] = (Arc(middle, self._radius, 0.0, 2 * np.pi, boundary),)

    def __repr__(self) -> str:
        return f"Disk({tuple(self._center.tolist())}, {self._radius:g})"

    @property
    def center(self) -> Floats:
        return self._center.copy()

    @property
    def radius(self) -> float:
        return self._radius

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self._curves

    def _with_curves(self, curves: Sequence[Curve]) -> Disk:
        copy = Disk(self._center.tolist(), self._radius)
        copy._curves = tuple(curves)
        return copy

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
        """A structured mesh: rings of triangles, or a square core and four blocks around it.

        Arguments:
            cells: number along the diameter, 16 by default.
            shape: "triangle" (default) or "quadrilateral".
            size: length of a cell, instead of `cells`.
            curved: cells of degree 2 whose outer edges follow the circle (`Mesh.geometry`).
        """
        from pdes.domain._round import disk_mesh

        return disk_mesh(self, cells, shape, size, curved)


def check_ball(center, radius, dim: int, kind: str) -> tuple[Floats, float]:
    """Center and radius as numbers.

    Raises:
        ValueError: wrong length, not finite, not positive.
    """
    middle = np.asarray(center, float)
    if middle.shape != (dim,) or not np.isfinite(middle).all():
        raise ValueError(f"{kind} needs a center of {dim} finite numbers, got {center!r}")
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"{kind} needs a positive radius, got {radius!r}")
    return middle, float(radius)
