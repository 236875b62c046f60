"""A box and its time interval cut into smaller boxes, with a network in each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Problem
from pdes.domain._sampling import unit_points
from physml.losses._hard import Shaping
from physml.losses._trial import TrialFunction, shaped_fields

_AXES = ("x", "y", "z")


class Partition(eqx.Module):
    """Cuts of each direction, time last: subdomain k holds the points between its cuts.

    Attributes:
        edges: for each direction of space, then time, the ascending ends and cuts between.
        periodic: for each direction of space; a cut one has an interface at its ends as well.
    """

    edges: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    timed: bool = eqx.field(static=True)

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(edges) - 1 for edges in self.edges)

    @property
    def size(self) -> int:
        """Number of subdomains."""
        return int(np.prod(self.counts))

    def index(self, x: Array, t: Array) -> Array:
        """The subdomain of one point, (); the lower one on an interface."""
        found = jnp.zeros((), int)
        coordinates = [*(x[i] for i in range(x.shape[0])), t]
        for value, edges in zip(coordinates, self.edges, strict=False):
            place = sum((value > cut for cut in edges[1:-1]), start=jnp.zeros((), int))
            found = found * (len(edges) - 1) + place
        return found

    def boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner of each subdomain, (size, directions)."""
        pairs = [list(itertools.pairwise(edges)) for edges in self.edges]
        boxes = np.array(list(itertools.product(*pairs)))
        return boxes[..., 0], boxes[..., 1]

    def uncut(self) -> tuple[bool, ...]:
        """For each direction of space, whether it is periodic and in one piece."""
        return tuple(p and n == 1 for p, n in zip(self.periodic, self.counts, strict=False))

    def interfaces(self) -> list[tuple[int, float, float]]:
        """(direction, position below, position above) of each plane between subdomains."""
        found = []
        for axis, edges in enumerate(self.edges):
            found += [(axis, cut, cut) for cut in edges[1:-1]]
            if axis < len(self.periodic) and self.periodic[axis] and len(edges) > 2:
                found.append((axis, edges[-1], edges[0]))
        return found

    def sample(self, count: int, seed: int, timelike: bool) -> dict[str, np.ndarray] | None:
        """About `count` points of all interfaces in time (`timelike`) or in space.

        Both sides' positions "below" and "above" (count, directions), subdomains "minus" and
        "plus", and the normal "n" (count, dim). None where there is no such interface.
        """
        dim = len(self.periodic)
        planes = [p for p in self.interfaces() if (p[0] == dim) == timelike]
        if not planes:
            return None
        low = np.array([edges[0] for edges in self.edges])
        high = np.array([edges[-1] for edges in self.edges])
        below, above, normals = [], [], []
        for i, (axis, under, over) in enumerate(planes):
            share = max(count // len(planes), 1)
            points = low + unit_points(share, len(low), seed + i, "sobol") * (high - low)
            other = points.copy()
            points[:, axis], other[:, axis] = under, over
            below.append(points)
            above.append(other)
            normal = np.zeros((share, dim))
            if axis < dim:
                normal[:, axis] = 1.0
            normals.append(normal)
        axes = np.repeat([p[0] for p in planes], [len(b) for b in below])
        under, over = np.concatenate(below), np.concatenate(above)
        return {
            "below": under,
            "above": over,
            "minus": self._beside(under, axes, upward=False),
            "plus": self._beside(over, axes, upward=True),
            "n": np.concatenate(normals),
        }

    def _beside(self, points: np.ndarray, axes: np.ndarray, upward: bool) -> np.ndarray:
        """The subdomain that touches each point from one side of its interface."""
        found = np.zeros(len(points), int)
        for direction, edges in enumerate(self.edges):
            inner = np.asarray(edges[1:-1])
            side = np.where((axes == direction) & upward, "right", "left")
            left = np.searchsorted(inner, points[:, direction], "left")
            right = np.searchsorted(inner, points[:, direction], "right")
            found = found * (len(edges) - 1) + np.where(side == "right", right, left)
        return found


def make_partition(problem: Problem, given: Any) -> Partition:
    """A partition of the problem's box.

    Arguments:
        given: cuts by direction, {"x": (−0.6, 0.2, 0.5)} ("x0", "x1", … or "x", "y", "z", and "t"
            for slabs of time); or numbers of equal parts of each direction of space, (2, 2); or
            None for three parts of an interval and two in each direction of other boxes.

    Raises:
        ValueError: an unknown direction, cuts that are not ascending inside the box, a domain
            that is no box.
    """
    domain = problem.domain
    if not isinstance(domain, Box):
        raise ValueError(f"a partition by cuts needs a box, got {domain!r}")
    low, high = domain.bounds
    ends = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    if problem.time is not None:
        ends.append(problem.time)
    names = _direction_names(problem)
    if given is None:
        given = (3,) if domain.dim == 1 else (2,) * domain.dim
    cuts = _cuts(given, names, ends, domain.dim)
    edges = []
    for i, (start, end) in enumerate(ends):
        inner = cuts.get(i, ())
        edge = (start, *inner, end)
        if not all(a < b for a, b in itertools.pairwise(edge)):
            raise ValueError(
                f"partition: the cuts of {names[i]!r} must ascend inside ({start:g}, {end:g}), "
                f"got {inner!r}"
            )
        edges.append(edge)
    return Partition(tuple(edges), tuple(domain.periodic), problem.time is not None)


def _direction_names(problem: Problem) -> list[str]:
    space = list(_AXES[: problem.dim]) if problem.dim <= 3 else []
    space = space or [f"x{i}" for i in range(problem.dim)]
    return space + (["t"] if problem.time is not None else [])


def _cuts(given: Any, names: list[str], ends, dim: int) -> dict[int, tuple[float, ...]]:
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise ValueError(f"partition: no direction {name!r}; there are {names}")
        return {
            names.index(name): tuple(float(v) for v in np.atleast_1d(values))
            for name, values in given.items()
        }
    parts: Sequence[int] = (given,) * dim if isinstance(given, int) else tuple(given)
    if len(parts) != dim or any(not isinstance(n, int) or n < 1 for n in parts):
        raise ValueError(
            f"partition: expected {dim} numbers of parts or cuts by direction, got {given!r}"
        )
    return {
        i: tuple(np.linspace(ends[i][0], ends[i][1], n + 1)[1:-1].tolist())
        for i, n in enumerate(parts)
        if n > 1
    }


class PartitionTrial(TrialFunction):
    """fields(x, t) by the network of the subdomain in which the point lies.

    The networks are one module whose arrays have a leading axis of subdomains; each sees its
    subdomain as [−1, 1] in each direction.
    """

    partition: Partition
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    scales: tuple[float, ...] = eqx.field(static=True)
    shaping: dict[str, Shaping]

    @property
    def in_size(self) -> int:
        uncut = self.partition.uncut()
        return len(uncut) + sum(uncut) + self.partition.timed

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        return self.inside(network, self.partition.index(x, t), x, t)

    def inside(self, network: Any, k: Array, x: Array, t: Array) -> dict[str, Array]:
        """The fields of the k-th subdomain's network, also on its boundary."""
        one = jax.tree.map(lambda leaf: leaf[k] if eqx.is_array(leaf) else leaf, network)
        return shaped_fields(one(self._inputs(k, x, t)), self, x, t)

    def _inputs(self, k: Array, x: Array, t: Array) -> Array:
        lower, upper = (jnp.asarray(corner, x.dtype)[k] for corner in self.partition.boxes())
        parts = []
        for i, uncut in enumerate(self.partition.uncut()):
            unit = (x[i] - lower[i]) / (upper[i] - lower[i])
            if uncut:
                parts += [jnp.cos(2 * np.pi * unit), jnp.sin(2 * np.pi * unit)]
            else:
                parts.append(2 * unit - 1)
        if self.partition.timed:
            parts.append(2 * (t - lower[-1]) / (upper[-1] - lower[-1]) - 1)
        return jnp.stack(parts)
