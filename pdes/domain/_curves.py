"""Oriented segments and arcs: the exact boundary of every domain of the plane.

A curve runs with the domain on its left, so that its normal, on the right, points outwards.
"""

from __future__ import annotations

import abc
import dataclasses
from itertools import pairwise
from typing import Self

import numpy as np

from pdes.domain._base import Floats

_SAME = 1e-10  # relative to a curve's length: points closer than this are one


class Curve(abc.ABC):
    """A piece of a boundary, parametrised over s ∈ [0, 1] by arc length; carries one name."""

    label: str

    @property
    @abc.abstractmethod
    def length(self) -> float:
        """Arc length."""

    @abc.abstractmethod
    def point(self, s: Floats) -> Floats:
        """Points at parameters (n,), shape (n, 2)."""

    @abc.abstractmethod
    def normal(self, s: Floats) -> Floats:
        """Outward unit normals at parameters (n,), shape (n, 2)."""

    @abc.abstractmethod
    def part(self, start: float, end: float) -> Self:
        """The piece between two parameters; backwards, with the normal turned, if end < start."""

    @abc.abstractmethod
    def project(self, x: Floats) -> tuple[Floats, Floats]:
        """Parameters of the nearest points, clipped to [0, 1], and distances, each (n,)."""

    @abc.abstractmethod
    def relabel(self, label: str) -> Self:
        """The same curve under another name."""

    @property
    @abc.abstractmethod
    def extent(self) -> tuple[Floats, Floats]:
        """Lower and upper corner of the bounding box."""

    @property
    @abc.abstractmethod
    def area(self) -> float:
        """½∫ x·n ds, the curve's share of the area that a closed boundary encloses."""

    @property
    def closed(self) -> bool:
        """Whether it ends where it starts."""
        ends = self.point(np.array([0.0, 1.0]))
        return bool(np.linalg.norm(ends[1] - ends[0]) <= _SAME * self.length)


@dataclasses.dataclass(frozen=True)
class Segment(Curve):
    """The straight line from `start` to `end`."""

    start: tuple[float, float]
    end: tuple[float, float]
    label: str

    @property
    def length(self) -> float:
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @property
    def direction(self) -> Floats:
        """Unit tangent."""
        return (np.asarray(self.end) - self.start) / self.length

    def point(self, s: Floats) -> Floats:
        s = np.asarray(s)[:, None]
        return (1 - s) * np.asarray(self.start) + s * np.asarray(self.end)

    def normal(self, s: Floats) -> Floats:
        tangent = self.direction
        return np.broadcast_to([tangent[1], -tangent[0]], (len(s), 2)).copy()

    def part(self, start: float, end: float) -> Segment:
        a, b = self.point(np.array([start, end]))
        return Segment(tuple(a.tolist()), tuple(b.tolist()), self.label)

    def project(self, x: Floats) -> tuple[Floats, Floats]:
        s = np.clip((x - np.asarray(self.start)) @ self.direction / self.length, 0.0, 1.0)
        return s, np.linalg.norm(x - self.point(s), axis=1)

    def relabel(self, label: str) -> Segment:
        return dataclasses.replace(self, label=label)

    @property
    def extent(self) -> tuple[Floats, Floats]:
        ends = np.array([self.start, self.end])
        return ends.min(axis=0), ends.max(axis=0)

    @property
    def area(self) -> float:
        return 0.5 * (self.start[0] * self.end[1] - self.start[1] * self.end[0])


@dataclasses.dataclass(frozen=True)
class Arc(Curve):
    """A circular arc from angle `start` over the signed angle `sweep`.

    Counter-clockwise (sweep > 0) the disk is inside, clockwise it is outside: a hole.
    """

    center: tuple[float, float]
    radius: float
    start: float
    sweep: float
    label: str

    @property
    def length(self) -> float:
        return self.radius * abs(self.sweep)

    def point(self, s: Floats) -> Floats:
        angle = self.start + np.asarray(s) * self.sweep
        return np.asarray(self.center) + self.radius * np.stack([np.cos(angle), np.sin(angle)], 1)

    def normal(self, s: Floats) -> Floats:
        angle = self.start + np.asarray(s) * self.sweep
        return np.sign(self.sweep) * np.stack([np.cos(angle), np.sin(angle)], 1)

    def part(self, start: float, end: float) -> Arc:
        return dataclasses.replace(
            self, start=self.start + start * self.sweep, sweep=(end - start) * self.sweep
        )

    def project(self, x: Floats) -> tuple[Floats, Floats]:
        offset = x - np.asarray(self.center)
        turned = np.sign(self.sweep) * (np.arctan2(offset[:, 1], offset[:, 0]) - self.start)
        total = abs(self.sweep)
        # The angle beyond the start, cut in the middle of what the arc leaves out.
        slack = np.pi - 0.5 * total
        angle = (turned + slack) % (2 * np.pi) - slack
        s = np.clip(angle / total, 0.0, 1.0)
        return s, np.linalg.norm(x - self.point(s), axis=1)

    def relabel(self, label: str) -> Arc:
        return dataclasses.replace(self, label=label)

    @property
    def extent(self) -> tuple[Floats, Floats]:
        quarters = np.asarray(self.center) + self.radius * np.array(
            [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
        )
        reached = quarters[self.project(quarters)[1] <= _SAME * self.radius]
        points = np.concatenate([self.point(np.array([0.0, 1.0])), reached])
        return points.min(axis=0), points.max(axis=0)

    @property
    def area(self) -> float:
        a, b = self.start, self.start + self.sweep
        cx, cy = self.center
        lever = cx * (np.sin(b) - np.sin(a)) - cy * (np.cos(b) - np.cos(a))
        return 0.5 * self.radius * float(self.radius * self.sweep + lever)


def meeting_points(first: Curve, second: Curve) -> Floats:
    """Where two curves cross or touch, and the ends of overlaps, (n, 2)."""
    if isinstance(first, Segment) and isinstance(second, Segment):
        points = _lines(first, second)
    elif isinstance(first, Arc) and isinstance(second, Arc):
        points = _circles(first, second)
    else:
        line, circle = (first, second) if isinstance(first, Segment) else (second, first)
        assert isinstance(line, Segment) and isinstance(circle, Arc)
        points = _line_circle(line, circle)
    ends = np.array([0.0, 1.0])
    points = np.concatenate([points, first.point(ends), second.point(ends)])
    near = 1e-9 * max(first.length, second.length)
    return points[(first.project(points)[1] <= near) & (second.project(points)[1] <= near)]


def _lines(a: Segment, b: Segment) -> Floats:
    p, q = np.asarray(a.start), np.asarray(b.start)
    u, v = a.direction, b.direction
    cross = u[0] * v[1] - u[1] * v[0]
    if abs(cross) < 1e-12:
        return np.zeros((0, 2))
    offset = q - p
    return (p + (offset[0] * v[1] - offset[1] * v[0]) / cross * u)[None]


def _line_circle(line: Segment, circle: Arc) -> Floats:
    offset = np.asarray(line.start) - circle.center
    along = offset @ line.direction
    inside = along**2 - offset @ offset + circle.radius**2
    # A tangent line touches although rounding may say that it misses.
    if inside < -1e-12 * circle.radius**2:
        return np.zeros((0, 2))
    root = np.sqrt(max(inside, 0.0))
    return np.asarray(line.start) + np.array([[-along - root], [-along + root]]) * line.direction


def _circles(a: Arc, b: Arc) -> Floats:
    offset = np.asarray(b.center) - a.center
    distance = float(np.linalg.norm(offset))
    scale = a.radius + b.radius
    if distance < 1e-12 * scale:
        return np.zeros((0, 2))
    along = (distance**2 + a.radius**2 - b.radius**2) / (2 * distance)
    square = a.radius**2 - along**2
    if square < -1e-12 * scale**2:
        return np.zeros((0, 2))
    unit = offset / distance
    across = np.sqrt(max(square, 0.0)) * np.array([-unit[1], unit[0]])
    foot = np.asarray(a.center) + along * unit
    return np.stack([foot - across, foot + across])


def cut(curve: Curve, points: Floats) -> list[Curve]:
    """The pieces of a curve between the given points of it."""
    if not len(points):
        return [curve]
    s = np.sort(curve.project(points)[0])
    inner = s[(s > _SAME) & (s < 1 - _SAME)]
    inner = inner[np.diff(inner, prepend=-1.0) > _SAME]
    stations = [0.0, *inner.tolist(), 1.0]
    return [curve.part(a, b) for a, b in pairwise(stations)]


def label_pieces(curve: Curve, label: str, predicate) -> list[Curve]:
    """The curve cut where `predicate(x)` changes, the pieces where it holds called `label`.

    Stretches shorter than 1/512 of the curve may be missed.
    """
    count = 512

    def holds(s: float) -> bool:
        return bool(predicate(curve.point(np.array([s]))[0]))

    # Not at the ends: an end point belongs to two curves.
    stations = (np.arange(count) + 0.5) / count
    flags = np.array([holds(s) for s in stations])
    changes = np.flatnonzero(flags[1:] != flags[:-1])
    cuts = []
    for i in changes:
        low, high = stations[i], stations[i + 1]
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if holds(middle) == flags[i] else (low, middle)
        cuts.append(0.5 * (low + high))
    ends = [0.0, *cuts, 1.0]
    values = [flags[0], *(flags[i + 1] for i in changes)]
    pieces = [curve.part(a, b) if cuts else curve for a, b in pairwise(ends)]
    return [c.relabel(label) if v else c for c, v in zip(pieces, values, strict=True)]
