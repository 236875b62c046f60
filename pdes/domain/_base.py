"""What every domain can do: say where it is, name its boundary, sample itself."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
# Numbers that a user gives for the directions, in whatever holds them.
Coordinates = Sequence[float] | NDArray[Any]


@dataclasses.dataclass(frozen=True)
class BoundarySample:
    """Points on a boundary.

    Attributes:
        points: (n, dim). normals: outward unit normals, (n, dim).
        parts: index of each point's boundary name in `domain.boundary_names`, (n,).
        weights: measure that each point stands for, (n,); they add up to the part's measure.
    """

    points: Floats
    normals: Floats
    parts: NDArray[np.integer]
    weights: Floats


class Domain(abc.ABC):
    """A region of space of dimension `dim`, immutable; samples are NumPy arrays on the host.

    Every point of the boundary that is not periodic belongs to exactly one named part.
    `name("lid", predicate)` gives a new domain in which the boundary points where
    `predicate(x)` holds (x of shape (dim,), NumPy) are called "lid".
    """

    dim: int

    @property
    @abc.abstractmethod
    def boundary_names(self) -> tuple[str, ...]:
        """Names of the parts of the boundary, periodic sides left out."""

    @property
    @abc.abstractmethod
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper corner of the bounding box, each (dim,)."""

    @property
    @abc.abstractmethod
    def volume(self) -> float:
        """Length, area or volume."""

    @property
    def periodic(self) -> tuple[bool, ...]:
        """For each direction, whether the domain is periodic in it."""
        return (False,) * self.dim

    @property
    def is_curved(self) -> bool:
        """Whether straight cells miss a part of it, so that `mesh(curved=True)` is worth it."""
        return False

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the materials, empty where there are none."""
        return ()

    @abc.abstractmethod
    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        """Which of the points (n, dim) lie in the closed domain."""

    @abc.abstractmethod
    def sample_interior(self, count: int, seed: int = 0, scheme: str = "sobol") -> Floats:
        """`count` points of the interior, (count, dim), with equal density.

        `scheme` is "sobol" (scrambled low-discrepancy), "uniform" (independent) or "grid".
        """

    @abc.abstractmethod
    def sample_boundary(
        self, count: int, seed: int = 0, scheme: str = "sobol", part: str | None = None
    ) -> BoundarySample:
        """`count` points of the boundary, of equal density; only the named part when given."""

    @abc.abstractmethod
    def grid(self, count: int) -> Floats:
        """About `count` even points of the closed domain for errors and plots, (n, dim)."""

    @abc.abstractmethod
    def mesh(self, **options: Any) -> Any:
        """A mesh of the domain, a `pdes.domain.Mesh`; options depend on the domain."""

    @abc.abstractmethod
    def name(self, label: str, predicate: Callable[[Floats], Any]) -> Domain:
        """A new domain whose boundary points with `predicate(x)` are called `label`."""

    @abc.abstractmethod
    def distance(self, parts: Sequence[str] | None = None) -> Callable[[Any], Any]:
        """A JAX function φ of one point (dim,), zero on the named parts (all by default).

        φ > 0 inside, |∇φ| = 1 on smooth parts of the boundary where the form allows it; not the
        Euclidean distance farther away, in exchange for smoothness inside.

        Raises:
            ValueError: no such part, or the domain has no such function (meshes).
        """

    def __or__(self, other: Domain) -> Domain:
        from pdes.domain._csg import Union

        return Union(self, other)

    def __sub__(self, other: Domain) -> Domain:
        from pdes.domain._csg import Difference

        return Difference(self, other)

    def __and__(self, other: Domain) -> Domain:
        from pdes.domain._csg import Intersection

        return Intersection(self, other)


def check_label(label: str) -> None:
    """Refuses a name that a boundary part can't have.

    Raises:
        ValueError: the empty name, or "all".
    """
    if not isinstance(label, str) or not label:
        raise ValueError(
            f"the name of a boundary part is a string that is not empty, got {label!r}"
        )
    if label == "all":
        raise ValueError("'all' stands for the whole boundary; choose another name")


def check_part(domain: Domain, part: str | None) -> None:
    """Refuses a name that is no part of the boundary.

    Raises:
        ValueError: names the part and those that exist.
    """
    if part is not None and part not in domain.boundary_names:
        raise ValueError(
            f"no boundary {part!r}; this domain has {list(domain.boundary_names)}. "
            "Name a part with domain.name(label, predicate)."
        )
