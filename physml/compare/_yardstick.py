"""Yardstick: the answer that methods are measured against, and how far it can itself be trusted."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pdes import Problem
from solvers.output import Lattice, Sample, default_count, default_times, evaluate, lattice

_QUICK_POINTS = 4000


@dataclasses.dataclass(frozen=True)
class Error:
    """Distance to the yardstick over a lattice of points and times, equally weighted.

    Attributes:
        l2: ‖u − r‖₂ / ‖r‖₂, absolute where r vanishes. max: max |u − r|, in the field's unit.
    """

    l2: float
    max: float

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Error:
        """From JSON, in which numbers that are not finite are null."""
        return cls(**{key: math.nan if data[key] is None else data[key] for key in ("l2", "max")})


@dataclasses.dataclass(frozen=True, eq=False)
class Yardstick:
    """Reference values on a lattice.

    Attributes:
        label: what they are: "exact solution" or a method's name. sample: the values.
        floor: for each field, the reference's own estimated error: no method is credited below
            it. None where it could not be estimated. how: how the floor was found, in words.
        seconds: what the reference cost. trial: the run that it came from, if any.
    """

    label: str
    sample: Sample
    floor: dict[str, Error] | None
    how: str
    seconds: float = 0.0
    trial: Any = None

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.sample.values)

    def errors(self, taken: Sample) -> dict[str, Error]:
        """Error of each field, at the times that the sample has."""
        frames = matching(self.sample.times, taken.times)
        return {
            name: distance(taken.values[name], reference[frames])
            for name, reference in self.sample.values.items()
            if name in taken.values
        }

    def quick(self, representation: Any) -> float:
        """Largest relative L2 error of any field on a thinned lattice, for curves."""
        points, times, thinned = self._thinned
        values = evaluate(representation, points, times)
        return max(
            (distance(values[name], r).l2 for name, r in thinned.items() if name in values),
            default=float("nan"),
        )

    @property
    def _thinned(self) -> tuple[Any, Any, dict[str, Any]]:
        points, times = self.sample.lattice.points, self.sample.times
        step_t = max(1, (len(times) - 1) // 8)
        step_x = max(1, len(points) * len(times[::step_t]) // _QUICK_POINTS)
        values = {k: v[::step_t, ::step_x] for k, v in self.sample.values.items()}
        return points[::step_x], times[::step_t], values


def matching(times: Any, wanted: Any) -> Any:
    """Index in `times` of each of `wanted`."""
    return np.abs(np.asarray(times)[None] - np.asarray(wanted)[:, None]).argmin(axis=1)


def distance(values: Any, reference: Any) -> Error:
    """Relative L2 and maximum distance of two arrays of one shape, infinite where not finite."""
    a, b = np.asarray(values, float), np.asarray(reference, float)
    if not np.isfinite(a).all():
        return Error(float("inf"), float("inf"))
    difference = a - b
    norm = float(np.linalg.norm(b))
    l2 = float(np.linalg.norm(difference))
    return Error(l2 / norm if norm > 0 else l2, float(np.abs(difference).max(initial=0.0)))


@eqx.filter_jit
def _exact(problem: Problem, points: jax.Array, times: jax.Array) -> dict[str, jax.Array]:
    def frame(t):
        return {
            name: jax.vmap(lambda x, name=name: problem.exact_value(name, x, t))(points)
            for name in problem.exact
        }

    return jax.lax.map(frame, times)


def from_exact(problem: Problem, where: Lattice, times: Any) -> Yardstick:
    """The known solution. Its floor is the change of its values when positions move by one unit
    in the last place, and machine precision: the rounding of its formula, not its truth.

    Raises:
        ValueError: it is not finite somewhere.
    """
    dtype = jnp.result_type(float)
    points, t = jnp.asarray(where.points, dtype), jnp.asarray(times, dtype)
    found = _exact(problem, points, t)
    values = {name: np.asarray(found[name]) for name in problem.shapes if name in found}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"the exact solution of {name!r} is not finite at "
                f"{int((~np.isfinite(value)).sum())} of {value.size} points; give another reference"
            )
    moved = _exact(problem, jnp.nextafter(points, jnp.asarray(np.inf, dtype)), t)
    epsilon = float(jnp.finfo(dtype).eps)
    floor = {}
    for name, value in values.items():
        noise = distance(np.asarray(moved[name]), value)
        scale = float(np.abs(value).max(initial=0.0))
        floor[name] = Error(max(noise.l2, epsilon), max(noise.max, epsilon * scale))
    taken = Sample(where, np.asarray(times), problem.steady, values, problem.name, "exact solution")
    how = "rounding of the formula: its change when positions move by one unit in the last place"
    return Yardstick("exact solution", taken, floor, how)


def from_samples(reference: Sample, coarse: Sample | None, seconds: float = 0.0) -> Yardstick:
    """A numerical solution as reference; its floor is its distance to a coarser one."""
    floor, how = None, "not estimated: the reference has no coarser version"
    if coarse is not None:
        floor = {
            name: distance(coarse.values[name], values)
            for name, values in reference.values.items()
            if name in coarse.values
        }
        how = (
            "distance between the reference and the same method at half the resolution, which "
            "overestimates the error of the finer one"
        )
    return Yardstick(reference.method, reference, floor, how, seconds)


def grid(problem: Problem, resolution: int | None, frames: int) -> tuple[Lattice, Any]:
    """The common lattice of points (each of a torus once) and times."""
    count = resolution or default_count(problem.dim)
    where = lattice(problem.domain, count, ends=False)
    return where, default_times(problem.time, frames)
