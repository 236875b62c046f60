"""Layout: the shape of a family's problems, and the fingerprint of their equation."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pdes import Box, Point, Problem

INITIAL = "initial"


@dataclasses.dataclass(frozen=True)
class Layout:
    """What all problems of a family share, and where they are sampled; plain data.

    Attributes:
        family: its name. equation: name of the PDE's class. fields: name and shape of each.
        low, high, periodic: of the box. time: (start, end), None for steady problems.
        times: of the outputs, (0.0,) for steady problems. points: of the grid, a direction each.
        input: "initial", or "function" where the family has an input of its own.
        channels: of the input function. outputs: names of the fields that are predicted.
        evolving: fields with initial data.
        probe: values of the equation's terms and conditions at a few points, NaN where they vary
            within the family.
    """

    family: str
    equation: str
    fields: tuple[tuple[str, tuple[int, ...]], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    periodic: tuple[bool, ...]
    time: tuple[float, float] | None
    times: tuple[float, ...]
    points: tuple[int, ...]
    input: str
    channels: int
    outputs: tuple[str, ...]
    evolving: tuple[str, ...]
    probe: tuple[float, ...]

    @property
    def dim(self) -> int:
        return len(self.low)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Components of each predicted field."""
        shapes = dict(self.fields)
        return tuple(int(np.prod(shapes[name], dtype=int)) for name in self.outputs)

    @property
    def components(self) -> int:
        return sum(self.sizes)

    def axes(self, points: tuple[int, ...] | None = None) -> tuple[np.ndarray, ...]:
        """Coordinates of the grid; a periodic direction leaves its upper end out."""
        return tuple(
            np.linspace(a, b, n, endpoint=not flag)
            for a, b, n, flag in zip(
                self.low, self.high, points or self.points, self.periodic, strict=True
            )
        )

    def nodes(self, points: tuple[int, ...] | None = None) -> np.ndarray:
        """The grid's points, (*points, dim)."""
        return np.stack(np.meshgrid(*self.axes(points), indexing="ij"), -1)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        return cls(**{name: _tuples(value) for name, value in json.loads(text).items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def probe(problem: Problem) -> np.ndarray:
    """Values of all terms at two points and of all conditions at three, (n,), of one problem.

    Two problems with different equations or conditions differ here unless that is contrived.
    """
    low, high = problem.domain.bounds
    shapes = problem.shapes
    found: list[Any] = []
    with jax.ensure_compile_time_eval():
        for step, share in enumerate((0.31, 0.73)):
            dtype = jnp.result_type(float)
            x = jnp.asarray(low + share * (high - low), dtype)
            t = 0.0 if problem.time is None else problem.time[0] * share + problem.time[1] * 0.2
            values = {
                n: jnp.asarray(
                    0.4 + 0.1 * step + 0.2 * np.arange(np.prod(s, dtype=int)), dtype
                ).reshape(s)
                for n, s in shapes.items()
            }
            gradients = {
                n: jnp.asarray(
                    0.3 - 0.17 * np.arange(np.prod((*s, problem.dim), dtype=int)), dtype
                ).reshape(*s, problem.dim)
                for n, s in shapes.items()
            }
            p = Point(x, jnp.asarray(t, dtype), values, gradients)
            for form in problem.forms().values():
                found += [form.flux(p), form.source(p)]
                found += [form.storage(p)] if form.has_storage and problem.time else []
                found += [form.inertia(p)] if form.has_inertia and problem.time else []
        for part, by_field in problem.conditions.items():
            where = problem.domain.sample_boundary(3, seed=0, part=part).points[:3]
            start = 0.0 if problem.time is None else problem.time[0]
            for condition in by_field.values():
                found.append(jnp.asarray([*condition.essential, condition.normal_only], float))
                if condition.any_essential:
                    found += [condition.value(jnp.asarray(y), jnp.asarray(start)) for y in where]
    return np.concatenate([np.asarray(v, float).ravel() for v in found])


def fixed_part(first: np.ndarray, second: np.ndarray) -> tuple[float, ...]:
    """The probe of a family, from those of two of its problems: NaN where they differ."""
    same = np.isclose(first, second, rtol=1e-6, atol=1e-9)
    return tuple(float(f"{v:.9g}") for v in np.where(same, first, np.nan))


def mismatch(layout: Layout, problem: Problem) -> str | None:
    """Why a problem is not one of the family's, None if nothing speaks against it."""
    domain = problem.domain
    if not isinstance(domain, Box):
        return f"it was trained on a box, the problem's domain is {domain!r}"
    low, high = domain.bounds
    if (
        domain.dim != layout.dim
        or not np.allclose(low, layout.low)
        or not np.allclose(high, layout.high)
        or domain.periodic != layout.periodic
    ):
        want = Box(layout.low, layout.high, layout.periodic)
        return f"it was trained on {want!r}, the problem's domain is {domain!r}"
    shapes = tuple(problem.shapes.items())
    if shapes != layout.fields:
        return (
            f"it was trained for the fields {dict(layout.fields)}, the problem has {dict(shapes)}"
        )
    if (problem.time is None) != (layout.time is None) or (
        problem.time is not None and not np.allclose(problem.time, layout.time or ())
    ):
        return f"it was trained for the time interval {layout.time}, the problem has {problem.time}"
    name = type(problem.pde).__name__
    if name != layout.equation:
        return f"it was trained for the equation {layout.equation}, the problem has {name}"
    leaves = jax.tree.leaves(eqx.filter(problem, eqx.is_array))
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return None  # nothing concrete can be said while tracing
    here, known = probe(problem), np.asarray(layout.probe)
    if here.shape != known.shape:
        return "its boundary conditions or terms are not those that it was trained for"
    other = np.isfinite(known) & ~np.isclose(here, known, rtol=1e-4, atol=1e-6)
    if other.any():
        i = int(np.argmax(other))
        return (
            "its coefficients or boundary data are not those that it was trained for (a term is "
            f"{here[i]:.4g} where training had {known[i]:.4g}): train on a family that draws them"
        )
    return None
