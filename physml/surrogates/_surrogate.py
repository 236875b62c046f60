"""Surrogate: a trained operator as a method beside the solvers that it replaces."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pdes import Point, Problem
from physml.surrogates._family import input_value
from physml.surrogates._interpolation import GridFunction
from physml.surrogates._layout import INITIAL, Layout, mismatch
from physml.surrogates._losses import split
from physml.surrogates._novelty import Novelty
from physml.surrogates._operator import GridOperator, Operator, PointOperator, batch_on_grid
from solvers import KnownTimes, Method, Representation, Run, Solution, Stats

_REPEATS = 7


@dataclasses.dataclass(frozen=True)
class Training:
    """What is known of how a surrogate was trained; plain data.

    Attributes:
        expected_error: mean relative L2 error on validation functions, None without any.
        worst_error: the largest of them. validation: how many functions. count: training functions.
        seconds: training in all. generation: method and seed of the data. loss: which.
        settings: of the training, as JSON.
    """

    expected_error: float | None
    worst_error: float | None
    validation: int
    count: int
    seconds: float
    loss: str
    generation: str
    settings: str = "{}"


class FrameRepresentation(KnownTimes):
    """Frames on a grid, interpolated in space and never in time."""

    frames_on_grid: list[GridFunction]
    layout: Layout = eqx.field(static=True)

    def known_times(self) -> Array | None:
        return None if self.layout.time is None else jnp.asarray(self.layout.times)

    def frames(self) -> Array | None:
        return self.known_times()

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        stacked = jnp.stack([frame(x) for frame in self.frames_on_grid])
        if self.layout.time is None:
            return _fields(stacked[0], self.layout, x)
        gaps = jnp.abs(jnp.asarray(self.layout.times, x.dtype) - t)
        i = jnp.argmin(gaps)
        span = self.layout.time[1] - self.layout.time[0]
        value = eqx.error_if(
            stacked[i],
            gaps[i] > 1e-5 * span,
            f"this surrogate answers at t = {[float(s) for s in self.layout.times]} only, the "
            "times it was trained for: ask for one of them, or generate data with more times",
        )
        return _fields(value, self.layout, x)


class PointRepresentation(Representation):
    """A DeepONet with its branch evaluated: continuous in space and time."""

    operator: PointOperator
    coefficients: Array

    def frames(self) -> Array | None:
        return None

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        value = self.operator.at(self.coefficients, x, t)
        return _fields(value, self.operator.layout, x)


def _fields(value: Array, layout: Layout, x: Array) -> dict[str, Array]:
    shapes = dict(layout.fields)
    parts = split(value, layout.sizes)
    return {
        name: part.reshape(shapes[name]).astype(x.dtype)
        for name, part in zip(layout.outputs, parts, strict=True)
    }


class Surrogate(Method):
    """A trained operator: answers a problem of its family by one evaluation of a network.

    It states its own expected error, from functions it was not trained on, in the notes and
    `stats.extra["expected_error"]` of what it returns, and says when an input is unlike those
    of its training. An FNO answers at the trained times; between grid points it interpolates by
    waves in periodic directions and cubics in others. A DeepONet answers anywhere.

    Attributes:
        operator: the network with its normalisation. novelty: see `Novelty`. training: see
            `Training`. input: the family's input function, None for the initial data.
        points: of the grid an FNO works on, those of the training by default.
    """

    operator: Operator
    novelty: Novelty
    training: Training = eqx.field(static=True)
    input: Callable[[Problem, Point], Any] | None = eqx.field(static=True)
    points: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        operator: Operator,
        novelty: Novelty,
        training: Training,
        input: Callable[[Problem, Point], Any] | None = None,
        points: tuple[int, ...] | None = None,
    ):
        self.operator, self.novelty, self.training = operator, novelty, training
        self.input, self.points = input, points

    @property
    def name(self) -> str:
        return self.operator.label

    @property
    def neural(self) -> bool:
        return False  # trained already: it takes no budget

    @property
    def layout(self) -> Layout:
        """The shape of the problems that it answers."""
        return self.operator.layout

    def at_resolution(self, points: int | Sequence[int]) -> Surrogate:
        """The same surrogate on another grid (an FNO; a DeepONet's sensors are fixed).

        Raises:
            ValueError: a DeepONet, or a number of points for another dimension.
        """
        if not isinstance(self.operator, GridOperator):
            raise ValueError("a DeepONet reads its input at fixed sensors; use an FNO")
        chosen = (points,) * self.layout.dim if isinstance(points, int) else tuple(points)
        if len(chosen) != self.layout.dim:
            raise ValueError(f"points needs {self.layout.dim} numbers, got {points!r}")
        return Surrogate(self.operator, self.novelty, self.training, self.input, chosen)

    def inapplicable(self, problem: Problem) -> str | None:
        if self.layout.input != INITIAL and self.input is None:
            return "its input function is not known: pm.load_surrogate(path, family=…)"
        if set(self.layout.outputs) != set(problem.shapes):
            return (
                f"it answers the fields {list(self.layout.outputs)} only, the problem has "
                f"{list(problem.shapes)}"
            )
        return mismatch(self.layout, problem)

    def discretize(self, problem: Problem) -> Array:
        """Samples of the problem's input function, (*points, channels)."""
        self.check(problem)
        return _sample_input(self.input, problem, self.layout.nodes(self.points))

    def predict(self, inputs: Any) -> Array:
        """Many at once: inputs (n, *points, channels) to (n, frames, *points, components).

        Raises:
            ValueError: inputs of another shape.
        """
        array = jnp.asarray(inputs)
        if array.ndim != self.layout.dim + 2 or array.shape[-1] != self.layout.channels:
            raise ValueError(
                f"predict takes inputs of shape (n, {'points, ' * self.layout.dim}"
                f"{self.layout.channels}), got {array.shape}"
            )
        return _predict(self.operator, array)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        samples = self.discretize(problem)
        if isinstance(samples, Tracer):
            representation = _represent(self.operator, samples)
            return Solution(problem, representation, self, Stats(notes=self._notes(None)))
        if not bool(jnp.isfinite(samples).all()):
            raise ValueError("the problem's input function is not finite on the grid")
        representation, compiling, running = _timed(self.operator, samples)
        on_training_grid = samples
        if self.points not in (None, self.layout.points):
            on_training_grid = _sample_input(self.input, problem, self.layout.nodes())
        warning = self.novelty.warning(np.asarray(on_training_grid))
        extra = {
            "expected_error": self.training.expected_error,
            "outside_training": warning is not None,
            "training_seconds": self.training.seconds,
        }
        leaves = jax.tree.leaves(eqx.filter(self.operator, eqx.is_inexact_array))
        stats = Stats(
            unknowns=sum(leaf.size for leaf in leaves),
            compile_seconds=compiling,
            run_seconds=running,
            iterations=1,
            notes=self._notes(warning),
            extra=extra,
        )
        return Solution(problem, representation, self, stats)

    def _notes(self, warning: str | None) -> tuple[str, ...]:
        known, notes = self.training, []
        if known.expected_error is None:
            notes.append("expected error unknown: trained without validation functions")
        else:
            notes.append(
                f"expected relative L2 error {known.expected_error:.2g} (at most "
                f"{known.worst_error:.2g} on {known.validation} functions not trained on)"
            )
        if warning is not None:
            notes.append(f"{warning}; the expected error does not hold")
        if isinstance(self.operator, GridOperator) and self.layout.time is not None:
            notes.append(f"answers at t = {[float(f'{t:.6g}') for t in self.layout.times]}")
        return tuple(notes)

    def save(self, path: str | Path) -> Path:
        """Writes weights and description to one .npz file that holds no code."""
        from physml.surrogates._files import save_surrogate

        return save_surrogate(self, path)


def _sample_input(function: Any, problem: Problem, nodes: np.ndarray) -> Array:
    flat = jnp.asarray(nodes.reshape(-1, nodes.shape[-1]), jnp.result_type(float))
    values = jax.vmap(lambda x: input_value(function, problem, x))(flat)
    return values.reshape(*nodes.shape[:-1], -1)


def _represent(operator: Operator, samples: Array) -> Representation:
    layout = operator.layout
    if isinstance(operator, PointOperator):
        return PointRepresentation(operator, operator.coefficients(samples))
    frames = operator.on_grid(samples)
    functions = [GridFunction(f, layout.low, layout.high, layout.periodic) for f in frames]
    return FrameRepresentation(functions, layout)


_represent_jit = eqx.filter_jit(_represent)
_predict = eqx.filter_jit(batch_on_grid)


def _timed(operator: Operator, samples: Array) -> tuple[Representation, float, float]:
    """The answer, the seconds of compilation, and the median seconds of one evaluation."""
    start = time.perf_counter()
    found = jax.block_until_ready(_represent_jit(operator, samples))
    first = time.perf_counter() - start
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(_represent_jit(operator, samples))
        seconds.append(time.perf_counter() - start)
    running = statistics.median(seconds)
    return found, max(first - running, 0.0), running
