"""Pieces of planes and spheres: what solids are bounded by."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pdes.domain._base import Floats
from pdes.domain._sampling import unit_points

_PROBES = 2**14


class Surface(abc.ABC):
    """A whole sphere or side of a box: what it is called, and which of its points count.

    Attributes:
        label: name where no later one holds. named: (label, predicate), later ones win.
        kept: predicates of many points (n, 3), with normals: those of the domain's boundary.
        sign: 1, or −1 where the normal is turned inwards: the surface bounds a hole.
    """

    label: str
    named: tuple[tuple[str, Callable], ...]
    kept: tuple[Callable[[Floats, Floats], NDArray[np.bool_]], ...]
    sign: float

    @property
    @abc.abstractmethod
    def area(self) -> float:
        """Of the whole surface."""

    @abc.abstractmethod
    def place(self, unit: Floats) -> tuple[Floats, Floats]:
        """Points of the unit square (n, 2) spread evenly: points and outward normals, (n, 3)."""

    @abc.abstractmethod
    def away(self, x: Floats) -> tuple[Floats, Floats]:
        """Distance of points (n, 3) to the surface, and its normal nearby."""

    @abc.abstractmethod
    def nearest(self, x: Floats) -> Floats:
        """The points of the whole surface that are nearest to points (n, 3)."""

    @property
    def is_curved(self) -> bool:
        """Whether flat facets miss it."""
        return False

    @abc.abstractmethod
    def changed(self, **changes: Any) -> Self:
        """A copy with other names, or other points kept."""

    @abc.abstractmethod
    def distance(self) -> Callable:
        """A JAX function, zero on the surface and positive on its inner side."""

    def labels(self, x: Floats) -> NDArray[np.object_]:
        """The name of each point (n, 3)."""
        out = np.full(len(x), self.label, dtype=object)
        for label, predicate in self.named:
            out[[bool(predicate(y)) for y in x]] = label
        return out

    def sample(self, count: int, seed: int, scheme: str) -> tuple[Floats, Floats]:
        """Those of `count` even points that are kept, with normals."""
        x, normals = self.place(unit_points(count, 2, seed, scheme))
        keep = np.ones(len(x), bool)
        for predicate in self.kept:
            keep &= predicate(x, normals)
        return x[keep], normals[keep]

    @functools.cached_property
    def probes(self) -> tuple[Floats, set[str]]:
        """How much of the surface is kept, by sampling, and which names occur."""
        if not self.kept and not self.named:
            return np.array(1.0), {self.label}
        x, _ = self.sample(_PROBES, 0, "sobol")
        return np.array(len(x) / _PROBES), set(self.labels(x[:2048]))


@dataclasses.dataclass(frozen=True)
class Sphere(Surface):
    """|x − center| = radius."""

    center: tuple[float, float, float]
    radius: float
    label: str
    named: tuple[tuple[str, Callable], ...] = ()
    kept: tuple[Callable, ...] = ()
    sign: float = 1.0

    @property
    def area(self) -> float:
        return 4 * np.pi * self.radius**2

    def place(self, unit: Floats) -> tuple[Floats, Floats]:
        # Equal heights cut equal areas off a sphere (Archimedes).
        z, angle = 2 * unit[:, 0] - 1, 2 * np.pi * unit[:, 1]
        flat = np.sqrt(np.maximum(1 - z**2, 0.0))
        radial = np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)
        return np.asarray(self.center) + self.radius * radial, self.sign * radial

    def away(self, x: Floats) -> tuple[Floats, Floats]:
        offset = x - np.asarray(self.center)
        distance = np.linalg.norm(offset, axis=1)
        radial = offset / np.maximum(distance, 1e-300)[:, None]
        return np.abs(distance - self.radius), self.sign * radial

    def nearest(self, x: Floats) -> Floats:
        # Outwards whatever the sign of the normal.
        return np.asarray(self.center) + self.sign * self.radius * self.away(x)[1]

    @property
    def is_curved(self) -> bool:
        return True

    def changed(self, **changes: Any) -> Sphere:
        return dataclasses.replace(self, **changes)

    def distance(self) -> Callable:
        from pdes.domain._distance import sphere_distance

        return sphere_distance(np.asarray(self.center), self.radius, self.sign > 0)


@dataclasses.dataclass(frozen=True)
class Side(Surface):
    """A side of a box: the coordinate `axis` at its lower (0) or upper (1) end."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    axis: int
    end: int
    label: str
    named: tuple[tuple[str, Callable], ...] = ()
    kept: tuple[Callable, ...] = ()
    sign: float = 1.0

    @property
    def area(self) -> float:
        return float(np.prod(np.delete(np.subtract(self.high, self.low), self.axis)))

    def _normals(self, count: int) -> Floats:
        normals = np.zeros((count, 3))
        normals[:, self.axis] = self.sign * (2 * self.end - 1)
        return normals

    def place(self, unit: Floats) -> tuple[Floats, Floats]:
        full = np.insert(unit, self.axis, float(self.end), axis=1)
        x = np.asarray(self.low) + full * np.subtract(self.high, self.low)
        x[:, self.axis] = (self.low, self.high)[self.end][self.axis]
        return x, self._normals(len(x))

    def nearest(self, x: Floats) -> Floats:
        nearest = np.clip(x, self.low, self.high)
        nearest[:, self.axis] = (self.low, self.high)[self.end][self.axis]
        return nearest

    def away(self, x: Floats) -> tuple[Floats, Floats]:
        return np.linalg.norm(x - self.nearest(x), axis=1), self._normals(len(x))

    def changed(self, **changes: Any) -> Side:
        return dataclasses.replace(self, **changes)

    def distance(self) -> Callable:
        raise ValueError(
            "a distance is made for whole boxes and for spheres, not for sides of a combination "
            "in three dimensions; use soft boundary conditions"
        )
