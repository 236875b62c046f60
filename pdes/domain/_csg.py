"""Union, difference and intersection of domains, nested as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Domain, Floats
from pdes.domain._box import Box
from pdes.domain._curves import Curve, cut, meeting_points
from pdes.domain._mesh import Mesh
from pdes.domain._planar import PlanarDomain

_SYMBOLS = {"union": "|", "difference": "-", "intersection": "&"}
# What stays of the boundary of the first and of the second domain, by where it lies in the other.
_KEEP = {
    "union": ({"outside", "same"}, {"outside"}),
    "intersection": ({"inside", "same"}, {"inside"}),
    "difference": ({"outside", "opposite"}, {"inside"}),
}


def Union(first: Domain, second: Domain) -> Domain:
    """The points of either domain: `first | second`.

    The parts of the boundary keep their names; where both boundaries coincide the first one's.

    Raises:
        ValueError: different dimensions, a periodic domain, a mesh, or nothing left.
    """
    return _combine("union", first, second)


def Difference(first: Domain, second: Domain) -> Domain:
    """The points of the first domain that are not inside the second: `first - second`."""
    return _combine("difference", first, second)


def Intersection(first: Domain, second: Domain) -> Domain:
    """The points of both domains: `first & second`."""
    return _combine("intersection", first, second)


def _combine(operation: str, first: Domain, second: Domain) -> Domain:
    from pdes.domain._solid import SolidCombination, is_solid

    if first.dim != second.dim:
        raise ValueError(
            f"the {operation} needs domains of one dimension, got {first.dim} and {second.dim}"
        )
    for domain in (first, second):
        if any(domain.periodic):
            raise ValueError(f"the {operation} takes no periodic domain, got {domain!r}")
    if is_planar(first) and is_planar(second):
        return PlanarCombination(operation, first, second)
    if is_solid(first) and is_solid(second):
        return SolidCombination(operation, first, second)
    raise ValueError(
        f"the {operation} is for rectangles, disks, polygons, boxes, balls, extrusions and "
        f"combinations of them, got {first!r} and {second!r}"
    )


def is_planar(domain: Domain) -> bool:
    """Whether its boundary is known as curves."""
    return isinstance(domain, PlanarDomain) or (isinstance(domain, Box) and domain.dim == 2)


def curves_of(domain: Domain) -> tuple[Curve, ...]:
    """The boundary of a planar domain or of a rectangle."""
    if isinstance(domain, PlanarDomain):
        return domain.curves
    assert isinstance(domain, Box)
    return domain.segments()


class PlanarCombination(PlanarDomain):
    """Two planar domains joined by one operation; made by `Union`, `Difference`, `Intersection`."""

    def __init__(self, operation: str, first: Domain, second: Domain):
        self._operation, self._first, self._second = operation, first, second
        a, b = curves_of(first), curves_of(second)
        keep_first, keep_second = _KEEP[operation]
        kept = _pieces(a, second, b, keep_first)
        rest = _pieces(b, first, a, keep_second)
        if operation == "difference":
            rest = [c.part(1.0, 0.0) for c in rest]
        self._curves: tuple[Curve, ...] = (*kept, *rest)
        scale = max(c.length for c in (*a, *b))
        if not self._curves or sum(c.area for c in self._curves) <= 1e-12 * scale**2:
            raise ValueError(f"nothing is left of the {operation} of {first!r} and {second!r}")

    def __repr__(self) -> str:
        return f"({self._first!r} {_SYMBOLS[self._operation]} {self._second!r})"

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self._curves

    def _with_curves(self, curves: Sequence[Curve]) -> PlanarCombination:
        copy = PlanarCombination(self._operation, self._first, self._second)
        copy._curves = tuple(curves)
        return copy

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        return combined(self._operation, self._first, self._second, x, tolerance)

    def mesh(
        self,
        cells: int | None = None,
        shape: str | None = None,
        size: float | Callable[[Floats], float] | None = None,
        mesher: str = "default",
        curved: bool = False,
    ) -> Mesh:
        """Triangles; a grid where every side is along an axis, else smoothed Delaunay.

        Arguments:
            cells: number along the longest side of the bounding box, 16 by default.
            shape: "triangle" (default), or "quadrilateral" where every side is along an axis.
            size: length of a cell, instead of `cells`; or a function of the point that gives it,
                bounded from above by `cells`.
            mesher: "default", or "gmsh" where that package is installed.
            curved: cells of degree 2, whose outer edges follow arcs (`Mesh.geometry`).
        """
        from pdes.domain._meshing import planar_mesh

        return planar_mesh(self, cells, shape, size, mesher, curved)


def combined(
    operation: str, first: Domain, second: Domain, x: Floats, tolerance: float
) -> NDArray[np.bool_]:
    """Membership; a difference removes the open second domain, a closed one for tolerance < 0."""
    inside = first.contains(x, tolerance)
    if operation == "union":
        return inside | second.contains(x, tolerance)
    if operation == "intersection":
        return inside & second.contains(x, tolerance)
    return inside & ~second.contains(x, -tolerance)


def _pieces(
    curves: Sequence[Curve], other: Domain, other_curves: Sequence[Curve], keep: set[str]
) -> list[Curve]:
    pieces = []
    for curve in curves:
        met = [meeting_points(curve, o) for o in other_curves]
        for piece in cut(curve, np.concatenate(met)):
            if _place(piece, other, other_curves) in keep:
                pieces.append(piece)
    return pieces


def _place(piece: Curve, other: Domain, other_curves: Sequence[Curve]) -> str:
    """Whether a piece that does not cross the other boundary lies in, out or on it."""
    s = np.array([0.5])
    middle = piece.point(s)
    for curve in other_curves:
        along, distance = curve.project(middle)
        if distance[0] <= 1e-9 * max(curve.length, piece.length):
            turned = float(piece.normal(s)[0] @ curve.normal(along)[0])
            return "same" if turned > 0 else "opposite"
    return "inside" if other.contains(middle, 0.0)[0] else "outside"
