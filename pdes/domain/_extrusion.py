"""Planar domains drawn out into space, and cylinders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Domain, Floats, check_label, check_part
from pdes.domain._box import _SIDES
from pdes.domain._csg import curves_of, is_planar
from pdes.domain._curves import Arc, Curve
from pdes.domain._disk import Disk
from pdes.domain._mesh import Mesh
from pdes.domain._solid import SolidDomain
from pdes.domain._surfaces import Side, Surface


def planar_axes(axis: int) -> list[int]:
    """The two directions across `axis`, in the order that keeps space right-handed."""
    return [(axis + 1) % 3, (axis + 2) % 3]


@dataclasses.dataclass(frozen=True)
class Wall(Surface):
    """A curve of the plane drawn out along `axis` over `span`."""

    curve: Curve
    span: tuple[float, float]
    axis: int
    label: str
    named: tuple[tuple[str, Callable], ...] = ()
    kept: tuple[Callable, ...] = ()
    sign: float = 1.0

    @property
    def area(self) -> float:
        return self.curve.length * (self.span[1] - self.span[0])

    @property
    def is_curved(self) -> bool:
        return isinstance(self.curve, Arc)

    def _joined(self, flat: Floats, along: Any) -> Floats:
        out = np.empty((len(flat), 3))
        out[:, planar_axes(self.axis)] = flat
        out[:, self.axis] = along
        return out

    def place(self, unit: Floats) -> tuple[Floats, Floats]:
        s = unit[:, 0]
        along = self.span[0] + unit[:, 1] * (self.span[1] - self.span[0])
        normals = self.sign * self.curve.normal(s)
        return self._joined(self.curve.point(s), along), self._joined(normals, 0.0)

    def nearest(self, x: Floats) -> Floats:
        s, _ = self.curve.project(x[:, planar_axes(self.axis)])
        return self._joined(self.curve.point(s), np.clip(x[:, self.axis], *self.span))

    def away(self, x: Floats) -> tuple[Floats, Floats]:
        s, _ = self.curve.project(x[:, planar_axes(self.axis)])
        normals = self._joined(self.sign * self.curve.normal(s), 0.0)
        return np.linalg.norm(x - self.nearest(x), axis=1), normals

    def changed(self, **changes: Any) -> Wall:
        return dataclasses.replace(self, **changes)

    def distance(self) -> Callable:
        raise ValueError(
            "a distance is made for whole extrusions, not for walls of a combination in three "
            "dimensions; use soft boundary conditions"
        )


@dataclasses.dataclass(frozen=True)
class _Within:
    """Which points of space lie over a domain of the plane."""

    domain: Domain
    axis: int

    def __call__(self, x: Floats, normals: Floats) -> NDArray[np.bool_]:
        return self.domain.contains(x[:, planar_axes(self.axis)], 1e-9)


class Extrusion(SolidDomain):
    """A planar domain drawn out: {x : (x₁, x₂) ∈ domain, x₃ ∈ span}.

    Walls have the names of the domain's boundary, the ends those of a box: "back" and "front"
    along z, "left" and "right" along x, "bottom" and "top" along y.

    Arguments:
        domain: a rectangle, disk, polygon or combination of them.
        span: start and end along `axis`. axis: 0, 1 or 2; the plane's x and y are the two axes
            that follow it in turn, so that axis 0 takes (y, z) and axis 1 takes (z, x).

    Raises:
        ValueError: another domain, a periodic one, a span of no length, a name used twice.
    """

    def __init__(self, domain: Domain, span: Sequence[float], axis: int = 2):
        if not is_planar(domain) or any(domain.periodic):
            raise ValueError(
                "Extrusion takes a rectangle, disk, polygon or combination, not periodic, got "
                f"{domain!r}"
            )
        low, high = (float(v) for v in span)
        if not (np.isfinite([low, high]).all() and high > low):
            raise ValueError(f"Extrusion needs a start before its end, got {span!r}")
        if axis not in (0, 1, 2):
            raise ValueError(f"axis is 0, 1 or 2, got {axis!r}")
        self._domain, self._span, self._axis = domain, (low, high), axis
        corners = tuple(tuple(b.tolist()) for b in self.bounds)
        within = (_Within(domain, axis),)
        both = set(_SIDES[axis]) & set(domain.boundary_names)
        if both:
            raise ValueError(
                f"Extrusion: {sorted(both)[0]!r} is the name of an end and of a wall; rename the "
                "wall, or extrude along another axis"
            )
        ends = [
            Side(corners[0], corners[1], axis, end, _SIDES[axis][end], kept=within)
            for end in (0, 1)
        ]
        walls = [Wall(c, self._span, axis, c.label) for c in curves_of(domain)]
        self._surfaces: tuple[Surface, ...] = (*walls, *ends)

    def __repr__(self) -> str:
        return f"Extrusion({self._domain!r}, {self._span}, axis={self._axis})"

    @property
    def domain(self) -> Domain:
        """What is drawn out."""
        return self._domain

    @property
    def span(self) -> tuple[float, float]:
        return self._span

    @property
    def axis(self) -> int:
        return self._axis

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        return self._surfaces

    def _with_surfaces(self, surfaces: Sequence[Surface]) -> Extrusion:
        copy = Extrusion(self._domain, self._span, self._axis)
        copy._surfaces = tuple(surfaces)
        return copy

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        out = np.empty((2, 3))
        out[:, planar_axes(self._axis)] = self._domain.bounds
        out[:, self._axis] = self._span
        return out[0], out[1]

    @property
    def volume(self) -> float:
        return self._domain.volume * (self._span[1] - self._span[0])

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        x = np.asarray(x)
        along = x[..., self._axis]
        slack = tolerance * (self._span[1] - self._span[0])
        inside = (along >= self._span[0] - slack) & (along <= self._span[1] + slack)
        return inside & self._domain.contains(x[..., planar_axes(self._axis)], tolerance)

    def distance(self, parts: Sequence[str] | None = None) -> Callable:
        """R-equivalence of the plane's function and of the distances to the ends."""
        from pdes.domain._distance import joined

        chosen = self.boundary_names if parts is None else tuple(parts)
        for part in chosen:
            check_part(self, part)
        own = [s.label for s in self._surfaces]
        if any(s.named for s in self._surfaces):
            raise ValueError(
                "a distance in three dimensions is made for whole surfaces, not for pieces named "
                "by predicates; use soft boundary conditions"
            )
        axis, across, functions = self._axis, jnp.array(planar_axes(self._axis)), []
        walls = [n for n in dict.fromkeys(own[:-2]) if n in chosen]
        if walls:
            flat = self._domain.distance(walls)
            functions.append(lambda x: flat(x[across]))
        low, high = self._span
        if _SIDES[axis][0] in chosen:
            functions.append(lambda x: x[axis] - low)
        if _SIDES[axis][1] in chosen:
            functions.append(lambda x: high - x[axis])
        return joined(functions)

    def mesh(
        self,
        cells: int | None = None,
        shape: str | None = None,
        size: float | Callable[[Floats], float] | None = None,
        mesher: str = "default",
        curved: bool = False,
    ) -> Mesh:
        """Layers of the plane's mesh; with gmsh or sizes that vary, unstructured tetrahedra.

        Arguments:
            cells: number along the longest side of the bounding box, 16 by default.
            shape: "tetrahedron" (default), or "hexahedron" over quadrilaterals.
            size: length of a cell, instead of `cells`; or a function of the point that gives it.
            mesher: "default", or "gmsh" where that package is installed.
            curved: tetrahedra of degree 2 that follow round walls (`Mesh.geometry`).
        """
        from pdes.domain._layers import extruded_mesh

        return extruded_mesh(self, cells, shape, size, mesher, curved)


class Cylinder(Extrusion):
    """The cylinder of this radius about a line along an axis.

    Arguments:
        center: of the end with the lower coordinate, (3,). radius, height: positive.
        axis: 0, 1 or 2. boundary: name of the round wall.

    Raises:
        ValueError: a center that is not three finite numbers, a radius or height not positive.
    """

    def __init__(
        self,
        center: Sequence[float] = (0.0, 0.0, 0.0),
        radius: float = 1.0,
        height: float = 1.0,
        axis: int = 2,
        boundary: str = "side",
    ):
        check_label(boundary)
        middle = np.asarray(center, float)
        if middle.shape != (3,):
            raise ValueError(f"Cylinder needs a center of 3 finite numbers, got {center!r}")
        if not (np.isfinite(height) and height > 0):
            raise ValueError(f"Cylinder needs a positive height, got {height!r}")
        if axis not in (0, 1, 2):
            raise ValueError(f"axis is 0, 1 or 2, got {axis!r}")
        disk = Disk(middle[planar_axes(axis)].tolist(), radius, boundary)
        super().__init__(disk, (middle[axis], middle[axis] + height), axis)
