"""Domains of the plane that are bounded by segments and arcs."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import BoundarySample, Domain, Floats, check_label, check_part
from pdes.domain._curves import Arc, Curve, label_pieces
from pdes.domain._sampling import rejection, shares, spread_grid, unit_points


class PlanarDomain(Domain):
    """A bounded region of the plane whose boundary is a set of oriented segments and arcs."""

    dim: int = 2

    @property
    @abc.abstractmethod
    def curves(self) -> tuple[Curve, ...]:
        """The boundary, each piece once, the domain on its left."""

    @property
    def is_curved(self) -> bool:
        """Whether its boundary has arcs."""
        return any(isinstance(c, Arc) for c in self.curves)

    @abc.abstractmethod
    def _with_curves(self, curves: Sequence[Curve]) -> Self:
        """The same region with the names of these curves."""

    @property
    def boundary_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c.label for c in self.curves))

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        low, high = zip(*(c.extent for c in self.curves), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    @property
    def volume(self) -> float:
        """Area, exact: ½∮ x·n ds over segments and arcs."""
        return float(sum(c.area for c in self.curves))

    def name(self, label: str, predicate: Callable[[Floats], Any]) -> Self:
        check_label(label)
        pieces = [p for c in self.curves for p in label_pieces(c, label, predicate)]
        return self._with_curves(pieces)

    def sample_interior(self, count: int, seed: int = 0, scheme: str = "sobol") -> Floats:
        return rejection(self, count, seed, scheme)

    def sample_boundary(
        self, count: int, seed: int = 0, scheme: str = "sobol", part: str | None = None
    ) -> BoundarySample:
        check_part(self, part)
        names = self.boundary_names
        curves = [c for c in self.curves if part in (None, c.label)]
        counts = shares(count, np.array([c.length for c in curves]))
        points, normals, parts, weights = [], [], [], []
        for i, (curve, number) in enumerate(zip(curves, counts, strict=True)):
            s = unit_points(number, 1, seed + i, scheme)[:, 0]
            points.append(curve.point(s))
            normals.append(curve.normal(s))
            parts.append(np.full(number, names.index(curve.label)))
            weights.append(np.full(number, curve.length / number))
        return BoundarySample(*(np.concatenate(a) for a in (points, normals, parts, weights)))

    def grid(self, count: int) -> Floats:
        return spread_grid(self, count)

    def distance(self, parts: Sequence[str] | None = None) -> Callable:
        from pdes.domain._distance import curve_distance

        if parts is not None:
            for part in parts:
                check_part(self, part)
        return curve_distance([c for c in self.curves if parts is None or c.label in parts])


def near_curves(curves: Sequence[Curve], x: Floats, reach: float) -> NDArray[np.bool_]:
    """Which points (n, 2) lie within `reach` of the curves."""
    near = np.zeros(len(x), bool)
    for curve in curves:
        near |= curve.project(x)[1] <= reach
    return near
