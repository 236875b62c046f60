"""Rows of a neural method: seeds 0, 1, 2, within a budget of wall time after compilation.

The median must meet the number, and the worst seed is within ten times of it. Each seed's row
tells the error against time: at an eighth, a quarter and a half of the budget, then at its end.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import physml as pm
from benchmarks._table import Row, missing, row
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


@dataclasses.dataclass(frozen=True)
class Judge:
    """The error of a solution, against a reference of which `note` tells how good it is."""

    error: Callable[[Solution], float]
    note: str = ""

    def __call__(self, solution: Solution) -> float:
        return self.error(solution)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is solved, by what, in how many seconds, and the number to reach.

    Attributes:
        judge: the reference of the problem, made once the training is to begin.
        told: what the method knows besides the problem.
        jump: number for the relative jump of the flux across interfaces; its rows follow.
        warm_up: steps of a run before, which compiles. files: that the problem is read from.
    """

    label: str
    problem: Callable[[], Problem]
    judge: Callable[[Problem], Judge]
    method: Method
    target: float
    budget: float
    told: str = ""
    jump: float | None = None
    warm_up: int = 4
    files: tuple[Path, ...] = ()

    def rows(self, seeds: Sequence[int] = SEEDS) -> Iterable[Row]:
        """A row a seed and one for the median; of a single seed that row has the number."""
        label = f"{self.label} by {self.method.name}, {self.budget:g} s"
        for path in self.files:
            if not path.is_file():
                yield missing(label, "", f"no {path}; set PHYSML_DATA to the folder that holds it")
                return
        problem = self.problem()
        judge = self.judge(problem)
        start = time.perf_counter()
        compile_all(problem, self.method, self.warm_up)
        compiling = time.perf_counter() - start
        note = "; ".join(filter(None, [judge.note, self.told and f"told: {self.told}"]))
        alone = len(seeds) == 1
        errors, jumps = [], []
        for seed in seeds:
            curve = Curve(judge, self.budget)
            start, cpu = time.perf_counter(), time.process_time()
            solution = pm.solve(problem, self.method, seed=seed, budget=self.budget, monitor=curve)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            errors.append(judge(solution))
            stats = solution.stats
            parts = [
                f"{stats.unknowns} parameters, {stats.iterations} steps, {wall:.0f} s of wall, "
                f"{cpu:.0f} s of CPU{_jump_text(stats)}",
                str(curve),
                f"a short run before {compiling:.0f} s; {note}" if alone else "",
            ]
            target = self.target if alone else None
            tail = "; ".join(filter(None, parts))
            yield row(f"{label}, seed {seed}", errors[-1], target, "rel. L2", note=tail)
            jumps.append(max(stats.extra.get("flux_jump", {"": 0.0}).values()))
        if not alone:
            yield median(label, errors, self.target, note)
        if self.jump is not None:
            label = f"{label}, flux jump"
            yield median(label, jumps, self.jump, "" if alone else note, unit="relative")


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
