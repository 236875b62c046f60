"""Partitions of a problem's domain: where each part is, its points, and what separates them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Domain, MeshDomain, Problem
from pdes.domain._mesh import FACETS
from pdes.domain._sampling import unit_points
from physml.losses._partition import Partition, make_partition
from physml.losses._points import Points, interior_points


@dataclasses.dataclass(frozen=True)
class Interface:
    """Points between two subdomains.

    Attributes:
        minus, plus: numbers of the subdomains. below, above: the points as each sees them,
            (n, directions), equal but across a periodic end. n: normal from minus to plus,
            (n, dim), zero between slabs of time.
    """

    minus: int
    plus: int
    timelike: bool
    below: np.ndarray
    above: np.ndarray
    n: np.ndarray


class Subdomains(abc.ABC):
    """Parts of a domain (and of time) that cover it and meet on interfaces.

    Attributes:
        names, lower, upper: of each part; corners (size, directions), time last.
        shares: each part's share of the measure, (size,).
        uncut: for each direction of space, whether it is periodic and in one piece.
        regions: index of each part's material, or None where the domain has none.
    """

    names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    shares: np.ndarray
    uncut: tuple[bool, ...]
    regions: tuple[int | None, ...]
    timed: bool

    @property
    def size(self) -> int:
        return len(self.names)

    @property
    @abc.abstractmethod
    def identity(self) -> tuple[Any, ...]:
        """What two equal partitions share: they then share compiled programs."""

    def __eq__(self, other: object) -> bool:
        same = type(self) is type(other)
        return same and self.identity == other.identity  # type: ignore[union-attr]

    def __hash__(self) -> int:
        return hash((type(self), self.identity))

    @abc.abstractmethod
    def find(self, z: np.ndarray) -> np.ndarray:
        """The part of each point z (n, directions), (n,)."""

    @abc.abstractmethod
    def index(self, z: Array) -> Array:
        """The part of one point z (directions,), under JAX."""

    @abc.abstractmethod
    def sample(self, k: int, count: int, seed: int) -> Points:
        """`count` points inside part k: x, t."""

    @abc.abstractmethod
    def interfaces(self, count: int, seed: int) -> list[Interface]:
        """About `count` points on all interfaces."""


class Boxes(Subdomains):
    """A box and its time interval cut along its directions."""

    def __init__(self, partition: Partition):
        self.partition = partition
        self.lower, self.upper = partition.boxes()
        self.names = tuple(str(k) for k in range(partition.size))
        volumes = np.prod(self.upper - self.lower, axis=1)
        self.shares = volumes / volumes.sum()
        self.uncut = partition.uncut()
        self.regions = (None,) * len(self.names)
        self.timed = partition.timed

    @property
    def identity(self) -> tuple[Any, ...]:
        return (self.partition,)

    def find(self, z: np.ndarray) -> np.ndarray:
        found = np.zeros(len(z), int)
        for i, edges in enumerate(self.partition.edges):
            place = np.searchsorted(np.asarray(edges[1:-1]), z[:, i], "left")
            found = found * (len(edges) - 1) + place
        return found

    def index(self, z: Array) -> Array:
        t = z[-1] if self.timed else jnp.zeros((), z.dtype)
        return self.partition.index(z[: len(self.uncut)], t)

    def sample(self, k: int, count: int, seed: int) -> Points:
        unit = unit_points(count, self.lower.shape[1], seed + 31 * k, "sobol")
        z = self.lower[k] + unit * (self.upper[k] - self.lower[k])
        dim = len(self.uncut)
        return {"x": z[:, :dim], "t": z[:, dim] if self.timed else np.zeros(count)}

    def interfaces(self, count: int, seed: int) -> list[Interface]:
        found = []
        for timelike in (False, True):
            points = self.partition.sample(count, seed, timelike)
            if points is None:
                continue
            pairs = np.stack([points["minus"], points["plus"]], axis=1)
            for minus, plus in np.unique(pairs, axis=0).tolist():
                here = (pairs == (minus, plus)).all(axis=1)
                sides = (points[key][here] for key in ("below", "above", "n"))
                found.append(Interface(minus, plus, timelike, *sides))
        return found


class _Planar(Subdomains):
    """Parts of space that only the host can tell apart; each lives for all of the time."""

    def __init__(self, problem: Problem, bounds: Sequence[tuple], shares: np.ndarray):
        self.time = problem.time
        self.timed = problem.time is not None
        ends = [] if problem.time is None else [problem.time]
        self.lower = np.array([[*low, *(a for a, _ in ends)] for low, _ in bounds])
        self.upper = np.array([[*high, *(b for _, b in ends)] for _, high in bounds])
        self.shares = shares / shares.sum()
        self.uncut = (False,) * problem.dim

    def index(self, z: Array) -> Array:
        dim = len(self.uncut)

        @jax.custom_jvp
        def located(x: Array) -> Array:
            shape = jax.ShapeDtypeStruct((), jnp.int32)
            return jax.pure_callback(self._host, shape, x, vmap_method="expand_dims")

        @located.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            found = located(*primals)
            return found, np.zeros(found.shape, jax.dtypes.float0)

        return located(z[:dim])

    def _host(self, x: Any) -> np.ndarray:
        flat = np.asarray(x).reshape(-1, len(self.uncut))
        return self.find(flat).astype(np.int32).reshape(np.shape(x)[:-1])

    def _timed(self, x: np.ndarray, seed: int) -> Points:
        return {"x": x, "t": self._times(len(x), seed)}

    def _times(self, count: int, seed: int) -> np.ndarray:
        if self.time is None:
            return np.zeros(count)
        start, end = self.time
        unit = unit_points(count, 1, seed + 7919, "sobol")[:, 0]
        return start + np.random.default_rng(seed).permutation(unit) * (end - start)

    def _joined(self, x: np.ndarray, seed: int) -> np.ndarray:
        """x (n, dim) with times (n, directions)."""
        if self.time is None:
            return x
        return np.concatenate([x, self._times(len(x), seed)[:, None]], axis=1)


class Pieces(_Planar):
    """Domains (polygons, disks, boxes, their combinations) that cover the problem's domain.

    Raises:
        ValueError: pieces that overlap, or leave a part of the domain out.
    """

    def __init__(self, problem: Problem, pieces: Sequence[Domain]):
        shares = np.array([piece.volume for piece in pieces])
        super().__init__(problem, [piece.bounds for piece in pieces], shares)
        self.pieces = tuple(pieces)
        self.names = tuple(str(k) for k in range(len(pieces)))
        self.regions = (None,) * len(pieces)
        self.domain = problem.domain
        self._tolerance = 1e-9 * float(np.max(self.upper - self.lower))
        inside = problem.domain.sample_interior(512, seed=5)
        within = np.stack([piece.contains(inside, 0.0) for piece in pieces]).sum(axis=0)
        if (within != 1).any():
            bad = inside[np.argmax(within != 1)]
            raise ValueError(
                f"partition: the point {np.round(bad, 4).tolist()} of the domain lies in "
                f"{within[np.argmax(within != 1)]} of the pieces, expected 1: they must cover the "
                "domain without overlap"
            )

    @property
    def identity(self) -> tuple[Any, ...]:
        return (self.domain, self.time, self.pieces)

    def find(self, z: np.ndarray) -> np.ndarray:
        x = z[:, : len(self.uncut)]
        found = np.full(len(x), -1)
        for tolerance in (0.0, self._tolerance, 1e-6):
            for k, piece in enumerate(self.pieces):
                found = np.where((found < 0) & piece.contains(x, tolerance), k, found)
        return np.maximum(found, 0)

    def sample(self, k: int, count: int, seed: int) -> Points:
        return self._timed(self.pieces[k].sample_interior(count, seed + 31 * k), seed + k)

    def interfaces(self, count: int, seed: int) -> list[Interface]:
        parts = []
        for i, piece in enumerate(self.pieces):
            sample = piece.sample_boundary(8 * count, seed + i)
            for j in range(i + 1, self.size):
                on = self.pieces[j].contains(sample.points, self._tolerance)
                if on.any():
                    x, n = sample.points[on], sample.normals[on]
                    parts.append((i, j, x, n, float(sample.weights[on].sum())))
        total = sum(part[-1] for part in parts)
        found = []
        for i, j, x, n, measure in parts:
            chosen = np.resize(np.arange(len(x)), max(round(count * measure / total), 4))
            z = self._joined(x[chosen], seed)
            found.append(Interface(i, j, False, z, z, n[chosen]))
        return found


class Materials(_Planar):
    """The materials of a mesh of the plane, in the order of `domain.regions`."""

    def __init__(self, problem: Problem):
        domain = problem.domain
        assert isinstance(domain, MeshDomain)
        mesh = domain.mesh()
        cells = [np.flatnonzero(mesh.cell_regions == k) for k in range(len(domain.regions))]
        corners = [mesh.points[mesh.cells[c]].reshape(-1, mesh.dim) for c in cells]
        inside = domain.region_of(domain.sample_interior(4096, seed=0))
        shares = np.bincount(inside, minlength=len(cells)).astype(float)
        bounds = [(c.min(axis=0), c.max(axis=0)) for c in corners]
        super().__init__(problem, bounds, shares)
        self.domain, self.problem = domain, problem
        self.names = domain.regions
        self.regions = tuple(range(len(domain.regions)))
        self._facets = _material_facets(domain)

    @property
    def identity(self) -> tuple[Any, ...]:
        return (self.domain, self.time)

    def find(self, z: np.ndarray) -> np.ndarray:
        cells = self.domain.locate(z[:, : len(self.uncut)], 1e-6)
        return self.domain.mesh().cell_regions[np.maximum(cells, 0)]

    def sample(self, k: int, count: int, seed: int) -> Points:
        many = int(3 * count / self.shares[k]) + 64
        points = interior_points(self.problem, many, seed + 31 * k)
        here = np.flatnonzero(self.domain.region_of(points["x"]) == k)
        chosen = np.resize(here, count)
        return {"x": points["x"][chosen], "t": points["t"][chosen]}

    def interfaces(self, count: int, seed: int) -> list[Interface]:
        found = []
        ends, normals, pairs = self._facets
        lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        for minus, plus in np.unique(pairs, axis=0).tolist():
            here = np.flatnonzero((pairs == (minus, plus)).all(axis=1))
            share = lengths[here].sum() / lengths.sum()
            unit = unit_points(max(round(count * share), 4), 2, seed + minus, "sobol")
            steps = np.cumsum(lengths[here])
            which = here[np.searchsorted(steps, unit[:, 0] * steps[-1]).clip(max=len(here) - 1)]
            x = ends[which, 0] + unit[:, 1:] * (ends[which, 1] - ends[which, 0])
            z = self._joined(x, seed)
            found.append(Interface(minus, plus, False, z, z, normals[which]))
        return found


def _material_facets(domain: MeshDomain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facets between materials: ends (F, 2, 2), normals (F, 2), their materials (F, 2)."""
    mesh = domain.mesh()
    local = np.array(FACETS[mesh.shape])
    corners = np.sort(mesh.cells[:, local].reshape(-1, local.shape[1]), axis=1)
    owners = np.repeat(np.arange(len(mesh.cells)), len(local))
    order = np.lexsort(corners.T)
    same = (corners[order[1:]] == corners[order[:-1]]).all(axis=1)
    first, second = order[:-1][same], order[1:][same]
    regions = mesh.cell_regions[np.stack([owners[first], owners[second]], axis=1)]
    first, regions, pair = (
        a[regions[:, 0] != regions[:, 1]]
        for a in (first, regions, np.stack([owners[first], owners[second]], axis=1))
    )
    ends = mesh.points[corners[first]]
    turned = regions[:, 0] > regions[:, 1]
    pair = np.where(turned[:, None], pair[:, ::-1], pair)
    regions = np.sort(regions, axis=1)
    tangent = ends[:, 1] - ends[:, 0]
    normals = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    middles = mesh.points[mesh.cells].mean(axis=1)
    outward = np.sum(normals * (middles[pair[:, 1]] - middles[pair[:, 0]]), axis=1)
    return ends, normals * np.sign(outward)[:, None], regions


def make_subdomains(problem: Problem, given: Any) -> Subdomains:
    """The partition that an option names.

    Arguments:
        given: cuts or numbers of a box (see `make_partition`); a sequence of domains that cover
            the problem's; or None for the materials of a mesh, or a box's default.

    Raises:
        ValueError: what is no partition of this domain.
    """
    if isinstance(given, Sequence) and len(given) and all(isinstance(p, Domain) for p in given):
        return Pieces(problem, given)
    if given is None and isinstance(problem.domain, MeshDomain) and problem.domain.regions:
        if problem.dim != 2:
            raise ValueError("materials as subdomains are there in two dimensions")
        return Materials(problem)
    if not isinstance(problem.domain, Box):
        raise ValueError(
            f"partition: {problem.domain!r} is cut by a sequence of domains that cover it, got "
            f"{given!r}"
        )
    return Boxes(make_partition(problem, given))
