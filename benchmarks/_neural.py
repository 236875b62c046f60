"""Rows of a neural method: seeds 0, 1, 2, within a budget of wall time after compilation.

The median must meet the number, and the worst seed is within ten times of it. Each seed's row
tells the error against time: at an eighth, a quarter and a half of the budget, then at its end.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import physml as pm
from benchmarks._table import Row, row
from pdes import Problem
from solvers import Method, Solution

SEEDS = (0, 1, 2)
# Shares of the budget at which the error is read.
_SHARES = (1 / 8, 1 / 4, 1 / 2)


def waves(width: int, frequency: float, points: int, around: int, **weights: float) -> pm.PINN:
    """One sine layer by Gauss–Newton: a solution is a sum of waves where data are residuals."""
    return pm.PINN(
        network=functools.partial(pm.SIREN, width=width, depth=1, frequency=frequency),
        optimizer=pm.GaussNewton(),
        points=points,
        boundary_points=around,
        constraints="soft",
        weights=weights,
    )


@dataclasses.dataclass
class Curve:
    """The error of a training at shares of its budget, as a monitor of `pm.solve`."""

    error: Callable[[Solution], float]
    budget: float
    points: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def __call__(self, solution: Solution, seconds: float) -> None:
        if len(self.points) < len(_SHARES) and seconds >= _SHARES[len(self.points)] * self.budget:
            self.points.append((seconds, self.error(solution)))

    def __str__(self) -> str:
        return ", ".join(f"{error:.1e} at {seconds:.0f} s" for seconds, error in self.points)


def seeds(
    name: str,
    problem: Problem,
    method: Method,
    error: Callable[[Solution], float],
    target: float,
    budget: float,
    *,
    warm_up: int = 4,
    note: str = "",
    jump: float | None = None,
) -> Iterable[Row]:
    """A row a seed and one for the median.

    Arguments:
        warm_up: steps of a run before, which compiles.
        jump: number for the relative jump of the flux across interfaces; its rows follow.
    """
    compile_all(problem, method, warm_up)
    errors, jumps = [], []
    for seed in SEEDS:
        curve = Curve(error, budget)
        start, cpu = time.perf_counter(), time.process_time()
        solution = pm.solve(problem, method, seed=seed, budget=budget, monitor=curve)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        errors.append(error(solution))
        stats = solution.stats
        yield row(
            f"{name} by {method.name}, {budget:g} s, seed {seed}", errors[-1], unit="rel. L2",
            note=f"{stats.unknowns} parameters, {stats.iterations} steps, {wall:.0f} s of wall, "
            f"{cpu:.0f} s of CPU{_jump_text(stats)}; {curve}",
        )  # fmt: skip
        jumps.append(max(stats.extra.get("flux_jump", {"": 0.0}).values()))
    label = f"{name} by {method.name}, {budget:g} s"
    yield median(label, errors, target, note)
    if jump is not None:
        yield median(f"{label}, flux jump", jumps, jump, note, unit="relative")


def compile_all(problem: Problem, method: Method, steps: int) -> None:
    """A short run that also draws new points, whose programs are others."""
    if isinstance(method, pm.TimeSlabs):
        count = method.count
        if getattr(method.method, "resample", None) is None and problem.time is not None:
            # Their points stay. Later ones start from data with more waves, whose programs are
            # others: all slabs once by a step each, and then the first three.
            pm.solve(problem, method, seed=0, steps=count)
            edges, count = np.linspace(*problem.time, count + 1), min(count, 3)
            problem = problem.replace(time=(float(edges[0]), float(edges[count])))
            method = dataclasses.replace(method, count=count)
        steps = count * steps
    pm.solve(problem, _redrawing(method), seed=0, steps=steps)


def _redrawing(method: Any) -> Any:
    """The method with new points at every step, inside a curriculum or slabs as well."""
    if getattr(method, "resample", None) is not None:
        return dataclasses.replace(method, resample=1)
    if isinstance(method, pm.Curriculum | pm.TimeSlabs):
        return dataclasses.replace(method, method=_redrawing(method.method))
    return method


def _jump_text(stats: Any) -> str:
    found = stats.extra.get("flux_jump")
    return "" if not found else f", flux jump {max(found.values()):.1e}"


def median(
    name: str,
    errors: list[float],
    target: float,
    note: str = "",
    unit: str = "rel. L2",
    **options: Any,
) -> Row:
    """The row that has the target: short as well where the worst seed is over ten times it."""
    worst = max(errors)
    allowed = 10 * target
    text = f"worst {worst:.1e}, allowed {allowed:.0e}" + (f"; {note}" if note else "")
    value = float(np.median(errors))
    # A worst seed that is too far off counts: the row then shows it in place of the median.
    value = value if worst <= allowed else max(value, worst / 10)
    return row(f"{name}, median", value, target, unit, note=text, **options)
