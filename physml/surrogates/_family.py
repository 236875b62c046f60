"""Family: problems that share their shape and differ in parameters that are drawn."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Point, Problem
from physml.surrogates._distributions import Distribution, Fixed
from physml.surrogates._layout import INITIAL, Layout, fixed_part, probe

DEFAULT_POINTS = {1: 128, 2: 64, 3: 32}


class Family:
    """Problems `make_problem(**drawn)` with parameters drawn from distributions.

    Sample i depends on the seed, on i and on the parameters' names alone: not on how many are
    drawn, nor in which order.

    Arguments:
        make_problem: called with one keyword a parameter; gives a `Problem` on a box. It must
            work with traced arrays (jax.vmap), so nothing in it may depend on a drawn value's
            truth.
        parameters: from names to distributions; numbers and arrays stay as they are.
        input: what a surrogate is given: a function (problem, p) of the problem and the point p,
            such as `lambda problem, p: problem.pde.k(p)`; by default the initial data of all
            fields that evolve.
        output: names of the fields that it answers; by default all.
        name: by default that of the problem.

    Raises:
        TypeError, ValueError: of what is wrong with the first problem it makes.
    """

    def __init__(
        self,
        make_problem: Callable[..., Problem],
        parameters: Mapping[str, Any],
        *,
        input: Callable[[Problem, Point], Any] | None = None,
        output: Sequence[str] | str | None = None,
        name: str | None = None,
    ):
        if not callable(make_problem):
            raise TypeError(f"Family needs a function that makes a problem, got {make_problem!r}")
        if not parameters:
            raise ValueError(
                "Family needs parameters to draw, such as {'u0': pm.GaussianField(domain)}"
            )
        self.make_problem = make_problem
        self.parameters: dict[str, Distribution] = {
            key: value if isinstance(value, Distribution) else _fixed(key, value)
            for key, value in parameters.items()
        }
        if all(isinstance(value, Fixed) for value in self.parameters.values()):
            raise ValueError(f"nothing varies in this family: {sorted(parameters)} are all fixed")
        if input is not None and not callable(input):
            raise TypeError(f"input is a function (problem, p) or None, got {input!r}")
        self.input = input
        first = self.problem(0)
        self.template = first
        self.output = _outputs(first, output)
        self.name = name or first.name
        if input is None and not first.evolving:
            raise ValueError(
                f"the problems of {self.name!r} are steady and have no initial data: say what the "
                "surrogate is given, input=lambda problem, p: problem.pde.k(p)"
            )
        self.channels = self._channels()

    def latent(self, index: int, seed: int = 0) -> dict[str, np.ndarray]:
        """The numbers behind sample `index`, by parameter."""
        if index < 0 or seed < 0:
            raise ValueError(f"samples and seeds are counted from 0, got {index!r}, {seed!r}")
        found = {}
        for key, distribution in self.parameters.items():
            stream = np.random.SeedSequence(seed, spawn_key=(index, zlib.crc32(key.encode())))
            found[key] = np.asarray(distribution.draw(np.random.default_rng(stream)), float)
        return found

    def latents(self, indices: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
        """The same for many samples, stacked."""
        drawn = [self.latent(int(i), seed) for i in indices]
        return {key: np.stack([d[key] for d in drawn]) for key in self.parameters}

    def build(self, latent: Mapping[str, Any]) -> Problem:
        """The problem of given latent numbers; works under jax.vmap."""
        dtype = jnp.result_type(float)
        drawn = {
            key: distribution.make(jnp.asarray(latent[key], dtype))
            for key, distribution in self.parameters.items()
        }
        problem = self.make_problem(**drawn)
        if not isinstance(problem, Problem):
            raise TypeError(f"make_problem must return a pm.Problem, got {problem!r}")
        if not isinstance(problem.domain, Box):
            raise ValueError(
                "families are sampled on grids: the domain must be an Interval, Rectangle or Box, "
                f"got {problem.domain!r}"
            )
        return problem

    def problem(self, index: int, seed: int = 0) -> Problem:
        """Problem number `index` of a seed."""
        return self.build(self.latent(index, seed))

    def input_at(self, problem: Problem, x: Array) -> Array:
        """The input function at one point, flattened to (channels,)."""
        return input_value(self.input, problem, x)

    def _channels(self) -> int:
        x = jnp.asarray(self.template.domain.bounds[0])
        try:
            return jax.eval_shape(lambda y: self.input_at(self.template, y), x).shape[0]
        except Exception as error:
            raise ValueError(
                f"input failed when called as input(problem, p): {type(error).__name__}: {error}"
            ) from error

    def layout(
        self, points: int | Sequence[int] | None = None, times: Sequence[float] | None = None
    ) -> Layout:
        """Where its problems are sampled, and what they share."""
        problem = self.template
        low, high = problem.domain.bounds
        return Layout(
            family=self.name,
            equation=type(problem.pde).__name__,
            fields=tuple(problem.shapes.items()),
            low=tuple(low.tolist()),
            high=tuple(high.tolist()),
            periodic=problem.domain.periodic,
            time=problem.time,
            times=_times(problem, times),
            points=_points(problem, points),
            input=INITIAL if self.input is None else "function",
            channels=self.channels,
            outputs=self.output,
            evolving=problem.evolving,
            probe=fixed_part(probe(problem), probe(self.problem(1))),
        )

    def describe(self) -> dict[str, Any]:
        """The distributions, for JSON."""
        return {
            "name": self.name,
            "parameters": {key: value.describe() for key, value in self.parameters.items()},
        }


def input_value(
    function: Callable[[Problem, Point], Any] | None, problem: Problem, x: Array
) -> Array:
    """A family's input at one point, (channels,)."""
    initial = {name: problem.initial_value(name, x) for name in problem.evolving}
    if function is None:
        return jnp.concatenate([value.reshape(-1) for value in initial.values()])
    start = 0.0 if problem.time is None else problem.time[0]
    p = Point(x, jnp.asarray(start, x.dtype), initial, None)
    return jnp.asarray(function(problem, p), x.dtype).reshape(-1)


def _fixed(key: str, value: Any) -> Fixed:
    try:
        return Fixed(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"parameter {key!r}: expected a distribution such as pm.Uniform(0.1, 1.0), or a "
            f"number, got {value!r} ({error})"
        ) from None


def _outputs(problem: Problem, output: Sequence[str] | str | None) -> tuple[str, ...]:
    names = tuple(problem.shapes)
    chosen = names if output is None else (output,) if isinstance(output, str) else tuple(output)
    for name in chosen:
        if name not in names:
            raise ValueError(f"output: no field {name!r}; the fields are {list(names)}")
    if not chosen:
        raise ValueError("output: name at least one field")
    return chosen


def _times(problem: Problem, times: Sequence[float] | None) -> tuple[float, ...]:
    if problem.time is None:
        if times is not None:
            raise ValueError("the problems are steady: times must be left out")
        return (0.0,)
    start, end = problem.time
    chosen = [end] if times is None else [float(t) for t in np.atleast_1d(times)]
    if not chosen or not (np.diff(chosen) > 0).all() or chosen[0] < start or chosen[-1] > end:
        raise ValueError(
            f"times must increase and lie in the problem's interval [{start:g}, {end:g}], "
            f"got {times!r}"
        )
    return tuple(chosen)


def _points(problem: Problem, points: int | Sequence[int] | None) -> tuple[int, ...]:
    if points is None:
        points = DEFAULT_POINTS.get(problem.dim, 16)
    chosen = (points,) * problem.dim if isinstance(points, int) else tuple(int(n) for n in points)
    if len(chosen) != problem.dim or min(chosen) < 4:
        raise ValueError(f"points needs {problem.dim} numbers of at least 4, got {points!r}")
    return chosen
