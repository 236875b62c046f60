"""Curriculum: a hard problem by way of easier ones with another coefficient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from pdes import Problem, as_coefficient
from pdes._coefficient import AbstractCoefficient
from physml.methods._stages import (
    Watch,
    check_inner,
    joined_stats,
    seconds_left,
    share,
    solve_stage,
    stage_folder,
    warm_started,
)
from solvers import Method, Run, Solution


class Curriculum(Method):
    """Solves with each of `values` for a coefficient, then the problem itself, network by network.

        Curriculum(pm.PINN(), where=lambda pde: pde.a, values=(10.0, 20.0, 30.0, 40.0))

    Every stage starts from the network of the one before. The data of the problem are the same in
    all stages: only the coefficient changes, from the first value to the problem's own.

    Arguments:
        method: a neural method of one network, such as `PINN`. where: pde -> the coefficient.
        values: on the way to the problem's own, in order.
        last: share of the budget (or the steps) for the problem itself; the values have the rest,
            in equal parts.

    Source: Krishnapriyan, Gholami, Zhe, Kirby and Mahoney (2021), section 4.

    Raises:
        ValueError: no values, a share outside (0, 1), or a `where` that gives no coefficient.
    """

    method: Method
    where: Callable[[Any], Any] = eqx.field(static=True)
    values: tuple[float, ...] = eqx.field(static=True, converter=tuple)
    last: float = eqx.field(static=True, default=0.5)

    def __init__(
        self,
        method: Method,
        where: Callable[[Any], Any],
        values: Sequence[float],
        last: float = 0.5,
    ):
        check_inner("Curriculum", method)
        self.method = method
        self.where = where
        self.values = tuple(float(v) for v in values)
        self.last = float(last)
        if not self.values:
            raise ValueError("Curriculum needs values of the coefficient on the way, got none")
        if not 0 < self.last < 1:
            raise ValueError(f"last is a share of the budget between 0 and 1, got {last!r}")

    @property
    def name(self) -> str:
        return f"{self.method.name}, curriculum"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return self.method.inapplicable(problem)

    def discretize(self, problem: Problem) -> Any:
        return self.method.discretize(problem)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        self.check(problem)
        watch = Watch()
        method: Method = self.method
        done: list[Solution] = []
        for k in range(len(self.values) + 1):
            last = k == len(self.values)
            stage = problem if last else self._at(problem, self.values[k])
            done.append(solve_stage(method, stage, self._run(run, k, watch, last)))
            method = warm_started(method, done[-1])
        final = done[-1]
        stats = joined_stats([s.stats for s in done], "stages", final.stats.unknowns)
        return Solution(final.problem, final.representation, self, stats, final.parameters)

    def _at(self, problem: Problem, value: float) -> Problem:
        where = self.where
        node = where(problem.pde)
        if isinstance(node, AbstractCoefficient):
            new: Any = as_coefficient(value)
        elif eqx.is_inexact_array(node):
            new = jnp.full_like(node, value)
        else:
            raise ValueError(
                f"where(pde) must give a coefficient, such as pde.nu, got {type(node).__name__}"
            )
        return eqx.tree_at(lambda p: where(p.pde), problem, new)

    def _run(self, run: Run, k: int, watch: Watch, last: bool) -> Run:
        count = len(self.values)
        steps = run.steps
        if steps is not None:
            before = share(round((1 - self.last) * steps), count)
            steps = max(steps - sum(before), 1) if last else before[k]
        budget = seconds_left(self.method, run, watch)
        if budget is not None and not last:
            # What is left is for the values from k on and for the problem itself.
            part = (1 - self.last) / count
            budget *= part / (part * (count - k) + self.last)
        return dataclasses.replace(
            run,
            budget=budget,
            steps=steps,
            directory=stage_folder(run, f"stage-{k:03d}"),
            monitor=run.monitor if last else None,
        )
