"""Interval, rectangle and box, with periodic directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import BoundarySample, Coordinates, Domain, Floats, check_label, check_part
from pdes.domain._curves import Curve, Segment, label_pieces
from pdes.domain._mesh import Mesh
from pdes.domain._sampling import cell_size, shares, unit_points
from pdes.domain._structured import box_mesh

_SIDES = (("left", "right"), ("bottom", "top"), ("back", "front"))


class Box(Domain):
    """The box [lower, upper] in 1, 2, 3 or more dimensions.

    Sides are called left/right (x), bottom/top (y), back/front (z), and lower3/upper3, … beyond.
    Directions may be periodic; their sides are then no boundary.

    Raises:
        ValueError: corners of different lengths, or a side of no extent.
    """

    def __init__(
        self,
        lower: Coordinates,
        upper: Coordinates,
        periodic: bool | Sequence[bool] = False,
    ):
        low, high = np.asarray(lower, float), np.asarray(upper, float)
        if low.ndim != 1 or low.shape != high.shape or low.size == 0:
            raise ValueError(f"Box needs two corners of one length, got {lower!r} and {upper!r}")
        if not np.isfinite([low, high]).all() or not (high > low).all():
            raise ValueError(f"Box needs lower < upper in each direction, got {lower!r}, {upper!r}")
        self.dim = low.size
        self._low, self._high = low, high
        flags = (periodic,) * self.dim if isinstance(periodic, bool) else tuple(map(bool, periodic))
        if len(flags) != self.dim:
            raise ValueError(f"periodic needs {self.dim} flags, got {periodic!r}")
        self._periodic = flags
        self._named: tuple[tuple[str, Callable], ...] = ()
        self._hidden: frozenset[str] = frozenset()

    # Equal boxes are one static argument: programs compiled for one serve the other.
    def _identity(self) -> tuple[Any, ...]:
        return tuple(self._low.tolist()), tuple(self._high.tolist()), self._periodic, self._named

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._identity() == self._identity()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        extents = " × ".join(f"[{a:g}, {b:g}]" for a, b in zip(self._low, self._high, strict=True))
        return extents + (f", periodic {self._periodic}" if any(self._periodic) else "")

    @property
    def periodic(self) -> tuple[bool, ...]:
        return self._periodic

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        return self._low.copy(), self._high.copy()

    @property
    def volume(self) -> float:
        return float(np.prod(self._high - self._low))

    def side_name(self, axis: int, end: int) -> str:
        """Name of the side where coordinate `axis` is at its lower (0) or upper (1) end."""
        return _SIDES[axis][end] if axis < 3 else f"{('lower', 'upper')[end]}{axis}"

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """(axis, end) of each side that is not periodic."""
        return tuple((a, e) for a in range(self.dim) if not self._periodic[a] for e in (0, 1))

    @property
    def boundary_names(self) -> tuple[str, ...]:
        geometric = [self.side_name(a, e) for a, e in self.sides]
        visible = [label for label in geometric if label not in self._hidden]
        return tuple(dict.fromkeys([*visible, *(label for label, _ in self._named)]))

    def name(self, label: str, predicate: Callable[[Floats], Any]) -> Box:
        check_label(label)
        copy = Box(self._low.tolist(), self._high.tolist(), self._periodic)
        copy._named = (*self._named, (label, predicate))
        copy._hidden = copy._covered_sides()
        return copy

    def _covered_sides(self) -> frozenset[str]:
        """Sides whose points all have other names, and which are therefore no parts."""
        covered = set()
        for axis, end in self.sides:
            unit = unit_points(256, self.dim - 1, 0, "uniform")
            x = self._low + np.insert(unit, axis, float(end), axis=1) * (self._high - self._low)
            side = self.side_name(axis, end)
            named = [
                any(label != side and predicate(y) for label, predicate in self._named) for y in x
            ]
            if all(named):
                covered.add(side)
        return frozenset(covered)

    def part_of(self, points: Floats, axis: int, end: int) -> NDArray[np.integer]:
        """Index in `boundary_names` of points (n, dim) on one side."""
        names = self.boundary_names
        side = self.side_name(axis, end)
        # A covered side keeps no index of its own; its points get one below.
        parts = np.full(len(points), names.index(side) if side in names else 0)
        for label, predicate in self._named:
            parts[[bool(predicate(x)) for x in points]] = names.index(label)
        return parts

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        slack = tolerance * (self._high - self._low)
        x = np.asarray(x)
        return np.all((x >= self._low - slack) & (x <= self._high + slack), axis=-1)

    def sample_interior(self, count: int, seed: int = 0, scheme: str = "sobol") -> Floats:
        return self._low + unit_points(count, self.dim, seed, scheme) * (self._high - self._low)

    def sample_boundary(
        self, count: int, seed: int = 0, scheme: str = "sobol", part: str | None = None
    ) -> BoundarySample:
        check_part(self, part)
        if not self.sides:
            empty = np.zeros((0, self.dim))
            return BoundarySample(empty, empty, np.zeros(0, int), np.zeros(0))
        if part is not None and self._named:
            return self._sample_named(count, seed, scheme, part)
        sides = [s for s in self.sides if part in (None, self.side_name(*s))]
        return self._sample_sides(count, seed, scheme, sides)

    def _measure(self, axis: int) -> float:
        return float(np.prod(np.delete(self._high - self._low, axis)))

    def _sample_sides(self, count, seed, scheme, sides) -> BoundarySample:
        measures = np.array([self._measure(axis) for axis, _ in sides])
        counts = shares(count, measures)
        points, normals, parts, weights = [], [], [], []
        for i, ((axis, end), share) in enumerate(zip(sides, counts, strict=True)):
            unit = unit_points(int(share), self.dim - 1, seed + i, scheme)
            full = np.insert(unit, axis, float(end), axis=1)
            x = self._low + full * (self._high - self._low)
            x[:, axis] = (self._low, self._high)[end][axis]
            normal = np.zeros((share, self.dim))
            normal[:, axis] = 2 * end - 1
            points.append(x)
            normals.append(normal)
            parts.append(self.part_of(x, axis, end))
            weights.append(np.full(share, measures[i] / share))
        return BoundarySample(*(np.concatenate(a) for a in (points, normals, parts, weights)))

    def _sample_named(self, count, seed, scheme, part) -> BoundarySample:
        index = self.boundary_names.index(part)
        factor = 4
        while factor <= 4096:
            sample = self._sample_sides(count * factor, seed, scheme, list(self.sides))
            found = np.flatnonzero(sample.parts == index)
            if len(found) >= count:
                # Every point keeps its share of the part's measure when some are dropped.
                keep = found[np.linspace(0, len(found) - 1, count).round().astype(int)]
                weights = np.full(count, sample.weights[found].sum() / count)
                return BoundarySample(
                    sample.points[keep], sample.normals[keep], sample.parts[keep], weights
                )
            factor *= 4
        raise ValueError(
            f"the boundary {part!r} has (nearly) no extent: its predicate held at {len(found)} of "
            f"{len(sample.points)} boundary points"
        )

    def grid(self, count: int) -> Floats:
        lengths = self._high - self._low
        spacing = (self.volume / count) ** (1 / self.dim)
        axes = [
            np.linspace(a, b, max(round(length / spacing), 2), endpoint=not periodic)
            for a, b, length, periodic in zip(
                self._low, self._high, lengths, self._periodic, strict=True
            )
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.dim)

    @property
    def named(self) -> tuple[tuple[str, Callable], ...]:
        """Names given to points of the boundary with their predicates; later ones win."""
        return self._named

    def segments(self) -> tuple[Curve, ...]:
        """The boundary of a rectangle, counter-clockwise, cut where the name changes."""
        (a, b), (c, d) = self._low.tolist(), self._high.tolist()
        sides = {
            (1, 0): Segment((a, b), (c, b), "bottom"),
            (0, 1): Segment((c, b), (c, d), "right"),
            (1, 1): Segment((c, d), (a, d), "top"),
            (0, 0): Segment((a, d), (a, b), "left"),
        }
        pieces: list[Curve] = [side for key, side in sides.items() if key in self.sides]
        for label, predicate in self._named:
            pieces = [q for piece in pieces for q in label_pieces(piece, label, predicate)]
        return tuple(pieces)

    def distance(self, parts: Sequence[str] | None = None) -> Callable:
        """Product of the distances to the sides: a polynomial.

        Where a name covers a piece of a side only (rectangles): R-equivalence of the pieces.

        Raises:
            ValueError: no such part; a piece of a side in more than two dimensions.
        """
        from pdes.domain._distance import box_distance, curve_distance

        chosen = self.boundary_names if parts is None else tuple(parts)
        for part in chosen:
            check_part(self, part)
        owners = {side: self._names_on(*side) for side in self.sides}
        covered = [side for side, names in owners.items() if names & set(chosen)]
        if all(owners[side] <= set(chosen) for side in covered):
            return box_distance(self._low, self._high, covered)
        if self.dim != 2:
            raise ValueError(
                f"the parts {list(chosen)} cover pieces of a side; a distance in {self.dim} "
                "dimensions is made for whole sides only. Use soft boundary conditions."
            )
        return curve_distance([c for c in self.segments() if c.label in chosen])

    def _names_on(self, axis: int, end: int) -> set[str]:
        unit = unit_points(512, self.dim - 1, 0, "sobol") if self.dim > 1 else np.zeros((1, 0))
        x = self._low + np.insert(unit, axis, float(end), axis=1) * (self._high - self._low)
        names = self.boundary_names
        return {names[i] for i in np.unique(self.part_of(x, axis, end))}

    def mesh(
        self,
        cells: int | Sequence[int] | None = None,
        shape: str | None = None,
        size: float | Callable[[Floats], float] | None = None,
    ) -> Mesh:
        """A uniform mesh; with a function for the size, a graded one of simplices.

        Arguments:
            cells: number in each direction, or one number for the longest side (the others in
                proportion); 16 by default.
            shape: "interval"; "triangle" (default) or "quadrilateral"; "tetrahedron" (default)
                or "hexahedron".
            size: greatest length of a cell, instead of `cells`; or a function of the point that
                gives the length there, bounded by `cells` (in 3-D by gmsh).

        Raises:
            ValueError: a size that is not positive; one that varies, in a periodic box or for
                quadrilaterals or hexahedra.
        """
        if callable(size):
            return self._graded(cells, shape, size)
        if size is not None:
            h = cell_size(self, cells, size, 1.0)
            cells = [int(np.ceil(n - 1e-9)) for n in (self._high - self._low) / h]
        elif cells is None:
            cells = 16
        return box_mesh(self, cells, shape)

    def _graded(self, cells: Any, shape: str | None, size: Callable) -> Mesh:
        from pdes.domain._csg import Intersection
        from pdes.domain._structured import graded_interval

        simplex = {1: "interval", 2: "triangle", 3: "tetrahedron"}.get(self.dim)
        if any(self._periodic) or shape not in (None, simplex):
            raise ValueError(
                f"{self!r}: cells of different sizes are made as {simplex} cells in domains that "
                f"are not periodic, got shape={shape!r}; give one number as the size"
            )
        if self.dim == 1:
            return graded_interval(self, cells, size)
        if self.dim == 3:
            from pdes.domain._gmsh import solid_mesh
            from pdes.domain._size import size_range

            h, local, _ = size_range(self, cells, size, float((self._high - self._low).max()) / 16)
            return solid_mesh(self, h, local, "tetrahedron")
        return Intersection(self, self).mesh(cells=cells, size=size)


class Interval(Box):
    """The interval [left, right]; its ends are the boundaries "left" and "right"."""

    def __init__(self, left: float, right: float, periodic: bool = False):
        super().__init__([left], [right], periodic)


class Rectangle(Box):
    """A rectangle with sides "left", "right", "bottom", "top", given by two corners."""

    def __init__(
        self,
        lower: Coordinates = (0.0, 0.0),
        upper: Coordinates = (1.0, 1.0),
        periodic: bool | Sequence[bool] = False,
    ):
        super().__init__(lower, upper, periodic)
        if self.dim != 2:
            raise ValueError(f"Rectangle needs corners of two numbers, got {lower!r}, {upper!r}")
