"""Domains of space that are bounded by pieces of planes and spheres."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import BoundarySample, Domain, Floats, check_label, check_part
from pdes.domain._box import Box
from pdes.domain._mesh import Mesh
from pdes.domain._sampling import rejection, shares, spread_grid, unit_points
from pdes.domain._surfaces import Side, Surface


class SolidDomain(Domain):
    """A region of space with surfaces."""

    dim: int = 3

    @property
    @abc.abstractmethod
    def surfaces(self) -> tuple[Surface, ...]:
        """The whole surfaces of which pieces bound the domain."""

    @property
    def is_curved(self) -> bool:
        return any(s.is_curved and s.probes[0] > 0 for s in self.surfaces)

    @abc.abstractmethod
    def _with_surfaces(self, surfaces: Sequence[Surface]) -> Self:
        """The same region with the names of these surfaces."""

    @property
    def boundary_names(self) -> tuple[str, ...]:
        names: list[str] = []
        for surface in self.surfaces:
            kept, found = surface.probes
            order = [surface.label, *(label for label, _ in surface.named)]
            names += [n for n in order if kept > 0 and n in found]
        return tuple(dict.fromkeys(names))

    def name(self, label: str, predicate: Callable[[Floats], Any]) -> Self:
        check_label(label)
        return self._with_surfaces(
            [s.changed(named=(*s.named, (label, predicate))) for s in self.surfaces]
        )

    def sample_interior(self, count: int, seed: int = 0, scheme: str = "sobol") -> Floats:
        return rejection(self, count, seed, scheme)

    def grid(self, count: int) -> Floats:
        return spread_grid(self, count)

    def sample_boundary(
        self, count: int, seed: int = 0, scheme: str = "sobol", part: str | None = None
    ) -> BoundarySample:
        check_part(self, part)
        names = self.boundary_names
        found: list[tuple[Floats, Floats, NDArray]] = []
        areas = []
        for i, surface in enumerate(self.surfaces):
            kept, present = surface.probes
            if kept == 0 or (part is not None and part not in present):
                continue
            tries = int(2 * count / float(kept)) + 64
            x, normals = surface.sample(tries, seed + i, scheme)
            # Names that occur on a sliver only are not parts; their points go to the first name.
            labels = surface.labels(x)
            rows = np.ones(len(x), bool) if part is None else labels == part
            area = surface.area * float(rows.sum()) / tries
            if rows.any():
                found.append((x[rows], normals[rows], labels[rows]))
                areas.append(area)
        if not found:
            raise ValueError(f"the boundary {part!r} has (nearly) no extent")
        points, normals, parts, weights = [], [], [], []
        for (x, n, labels), number, area in zip(
            found, shares(count, np.array(areas)), areas, strict=True
        ):
            keep = np.linspace(0, len(x) - 1, number).round().astype(int)
            points.append(x[keep])
            normals.append(n[keep])
            parts.append([names.index(k) if k in names else 0 for k in labels[keep]])
            weights.append(np.full(number, area / number))
        return BoundarySample(*(np.concatenate(a) for a in (points, normals, parts, weights)))

    def distance(self, parts: Sequence[str] | None = None) -> Callable:
        from pdes.domain._distance import joined

        if parts is not None:
            for part in parts:
                check_part(self, part)
        functions = []
        for surface in self.surfaces:
            kept, present = surface.probes
            wanted = present if parts is None else present & set(parts)
            if kept == 0 or not wanted:
                continue
            if kept < 1 or wanted != present:
                raise ValueError(
                    "a distance in three dimensions is made for whole spheres, not for pieces of "
                    "one; use soft boundary conditions"
                )
            functions.append(surface.distance())
        return joined(functions)


class SolidCombination(SolidDomain):
    """Two solids joined by one operation; made by `Union`, `Difference`, `Intersection`.

    Volume, areas and which names occur are found by sampling (2¹⁷ and 2¹⁴ points).
    """

    def __init__(self, operation: str, first: Domain, second: Domain):
        from pdes.domain._csg import _KEEP

        self._operation, self._first, self._second = operation, first, second
        keep_first, keep_second = _KEEP[operation]
        own, others = surfaces_of(first), surfaces_of(second)
        kept = [s.changed(kept=(*s.kept, _Kept(second, others, keep_first))) for s in own]
        turn = -1.0 if operation == "difference" else 1.0
        # The filter sees the turned normal; of the second boundary nothing that coincides is kept.
        rest = [
            s.changed(
                kept=(*_turned(s.kept, turn), _Kept(first, own, keep_second)), sign=turn * s.sign
            )
            for s in others
        ]
        self._surfaces: tuple[Surface, ...] = (*kept, *rest)
        if self.volume == 0.0:
            raise ValueError(f"nothing is left of the {operation} of {first!r} and {second!r}")

    def __repr__(self) -> str:
        return f"({self._first!r} {self._operation} {self._second!r})"

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        return self._surfaces

    def _with_surfaces(self, surfaces: Sequence[Surface]) -> SolidCombination:
        copy = SolidCombination(self._operation, self._first, self._second)
        copy._surfaces = tuple(surfaces)
        return copy

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        low, high = self._first.bounds
        if self._operation == "difference":
            return low, high
        other_low, other_high = self._second.bounds
        if self._operation == "union":
            return np.minimum(low, other_low), np.maximum(high, other_high)
        return np.maximum(low, other_low), np.minimum(high, other_high)

    @functools.cached_property
    def volume(self) -> float:
        """By 2¹⁷ low-discrepancy points: about four digits."""
        low, high = self.bounds
        if (high <= low).any():
            return 0.0
        x = low + unit_points(2**17, 3, 0, "sobol") * (high - low)
        return float(np.prod(high - low) * self.contains(x, 0.0).mean())

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        from pdes.domain._csg import combined

        return combined(self._operation, self._first, self._second, x, tolerance)

    @property
    def parts(self) -> tuple[str, Domain, Domain]:
        """The operation and what it joins."""
        return self._operation, self._first, self._second

    def mesh(
        self,
        cells: int | None = None,
        shape: str | None = None,
        size: float | Callable[[Floats], float] | None = None,
        curved: bool = False,
    ) -> Mesh:
        """Tetrahedra by gmsh and its OpenCASCADE, which must be installed.

        Arguments:
            cells: number along the longest side of the bounding box, 16 by default.
            shape: "tetrahedron". size: length of a cell, instead of `cells`; or a function of the
                point that gives it, bounded from above by `cells`.
            curved: cells of degree 2 that follow round surfaces (`Mesh.geometry`).

        Raises:
            ImportError: gmsh is not installed. ValueError: another shape.
        """
        from pdes.domain._curved import with_curved_cells
        from pdes.domain._gmsh import solid_mesh
        from pdes.domain._size import size_range

        low, high = self.bounds
        h, local, _ = size_range(self, cells, size, float((high - low).max()) / 16)
        mesh = solid_mesh(self, h, local, shape or "tetrahedron")
        return with_curved_cells(self, mesh) if curved else mesh


@dataclasses.dataclass(frozen=True)
class _Kept:
    """Which points of a surface stay on the boundary of a combination."""

    other: Domain
    surfaces: tuple[Surface, ...]
    keep: set[str]

    def __call__(self, x: Floats, normals: Floats) -> NDArray[np.bool_]:
        inside = self.other.contains(x, 0.0)
        keep = inside if "inside" in self.keep else ~inside
        low, high = self.other.bounds
        reach = 1e-9 * float((high - low).max())
        for surface in self.surfaces:
            away, outward = surface.away(x)
            same = np.sum(normals * outward, axis=1) > 0
            allowed = np.where(same, "same" in self.keep, "opposite" in self.keep)
            keep = np.where(away <= reach, allowed, keep)
        return keep


def _turned(kept: tuple[Callable, ...], turn: float) -> tuple[Callable, ...]:
    if turn > 0:
        return kept
    return tuple(functools.partial(_with_turned_normals, predicate) for predicate in kept)


def _with_turned_normals(predicate: Callable, x: Floats, normals: Floats) -> NDArray[np.bool_]:
    return predicate(x, -normals)


def is_solid(domain: Domain) -> bool:
    """Whether its boundary is known as surfaces."""
    return isinstance(domain, SolidDomain) or (isinstance(domain, Box) and domain.dim == 3)


def surfaces_of(domain: Domain) -> tuple[Surface, ...]:
    """The surfaces of a solid or of a box."""
    if isinstance(domain, SolidDomain):
        return domain.surfaces
    assert isinstance(domain, Box)
    low, high = (tuple(b.tolist()) for b in domain.bounds)
    return tuple(
        Side(low, high, axis, end, domain.side_name(axis, end), domain.named)
        for axis, end in domain.sides
    )
