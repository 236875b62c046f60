"""Samples: fields on a lattice of points and times, for plots, files and errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from pdes import Domain

Floats = NDArray[np.floating]

# Points that are evaluated at once: bounds the memory of a network's or a locator's temporaries.
_CHUNK = 65536


@dataclasses.dataclass(frozen=True, eq=False)
class Lattice:
    """The points of a tensor-product lattice that lie in a domain.

    Attributes:
        axes: coordinates in each direction, increasing. inside: which points of the product
            belong to the domain, of shape (len(axes[0]), …).
    """

    axes: tuple[Floats, ...]
    inside: NDArray[np.bool_]

    @property
    def points(self) -> Floats:
        """The points inside, (n, dim), the last coordinate fastest."""
        grid = np.stack(np.meshgrid(*self.axes, indexing="ij"), -1)
        return grid[self.inside]

    def spread(self, values: Floats) -> Floats:
        """Values at `points`, (…, n), as (…, *lattice), NaN outside."""
        out = np.full((*values.shape[:-1], *self.inside.shape), np.nan, dtype=values.dtype)
        out[..., self.inside] = values
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Fields at the points of a lattice and at some times.

    Attributes:
        lattice: where. times: (frames,); one zero when `steady`. steady: whether nothing depends
            on time. values: each field, (frames, n, *shape), with n the lattice's points inside.
        problem, method: names, for titles.
    """

    lattice: Lattice
    times: Floats
    steady: bool
    values: dict[str, Floats]
    problem: str
    method: str


def default_count(dim: int) -> int:
    """Points of space in a default lattice."""
    return {1: 2001, 2: 101**2, 3: 33**3}.get(dim, 20000)


def default_times(time: tuple[float, float] | None, frames: int) -> Floats:
    """Evenly spaced times from start to end; one zero for a steady problem."""
    return np.zeros(1) if time is None else np.linspace(*time, frames)


def lattice(domain: Domain, count: int, *, ends: bool = True) -> Lattice:
    """About `count` points of the domain, evenly spaced.

    Arguments:
        ends: keep both ends of a periodic direction (for pictures and interpolation); without,
            every point of the torus counts once (for norms).
    """
    low, high = domain.bounds
    lengths = high - low
    share = float(np.clip(domain.volume / np.prod(lengths), 1e-3, 1.0))
    spacing = (float(np.prod(lengths)) / (count / share)) ** (1 / domain.dim)
    axes = []
    for a, b, length, periodic in zip(low, high, lengths, domain.periodic, strict=True):
        n = max(round(length / spacing), 5)
        axes.append(np.linspace(a, b, n, endpoint=ends or not periodic))
    return make_lattice(domain, tuple(axes))


def make_lattice(domain: Domain, axes: tuple[Floats, ...]) -> Lattice:
    """The lattice of the given coordinates."""
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    inside = domain.contains(grid.reshape(-1, domain.dim), 1e-9).reshape(grid.shape[:-1])
    return Lattice(axes, inside)


@eqx.filter_jit
def _evaluate(representation: Any, points: jax.Array, times: jax.Array) -> dict[str, jax.Array]:
    def frame(t):
        return jax.vmap(lambda x: representation.values(x, t))(points)

    return jax.lax.map(frame, times)


def evaluate(representation: Any, points: Floats, times: Floats) -> dict[str, Floats]:
    """Every field at all points (n, dim) and times (frames,): (frames, n, *shape) each."""
    dtype = jnp.result_type(float)
    t = jnp.asarray(times, dtype)
    pieces = []
    count = -(-len(points) // _CHUNK)
    size = -(-len(points) // count)
    for start in range(0, len(points), size):
        piece = points[start : start + size]
        # All pieces of one size compile once; the last is filled up with copies of its last point.
        full = np.concatenate([piece, np.repeat(piece[-1:], size - len(piece), axis=0)])
        values = _evaluate(representation, jnp.asarray(full, dtype), t)
        pieces.append({k: np.asarray(v)[:, : len(piece)] for k, v in values.items()})
    return {name: np.concatenate([p[name] for p in pieces], axis=1) for name in pieces[0]}


def sample(
    solution: Any,
    count: int | None = None,
    times: Floats | None = None,
    *,
    frames: int = 21,
    ends: bool = True,
) -> Sample:
    """A solution's fields on a lattice of about `count` points, at `times` or at `frames` times."""
    problem = solution.problem
    where = lattice(problem.domain, count or default_count(problem.dim), ends=ends)
    if times is None:
        times = default_times(problem.time, frames)
    values = evaluate(solution.representation, where.points, np.asarray(times, float))
    values = {name: values[name] for name in problem.shapes if name in values}
    label = getattr(solution.method, "name", str(solution.method))
    return Sample(where, np.asarray(times, float), problem.steady, values, problem.name, label)
