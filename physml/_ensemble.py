"""ensemble: several seeds of one method, their mean and their deviation as fields."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes import Problem
from physml._solve import check_limits, check_method, check_problem, solve
from physml.methods._stages import joined_stats
from solvers import Method, Representation, Solution, SolverError


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Solutions of several seeds.

    Attributes:
        solutions: one for each of `seeds`. mean, deviation: solutions whose fields are the mean
            and the standard deviation (n − 1 in the denominator) of theirs, at each x and t.

    `ensemble["u"]` is the mean's field. What differs between seeds is the training's own error;
    what all of them share, the deviation does not show.
    """

    solutions: tuple[Solution, ...]
    seeds: tuple[int, ...]
    mean: Solution
    deviation: Solution

    def __getitem__(self, field: str) -> Any:
        return self.mean[field]


class MemberStatistic(Representation):
    """The mean, or the standard deviation, of the members' fields."""

    members: tuple[Representation, ...]
    deviation: bool = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        found = [member.values(x, t) for member in self.members]
        stacked = jax.tree.map(lambda *fields: jnp.stack(fields), *found)
        if self.deviation:
            return jax.tree.map(lambda v: jnp.std(v, axis=0, ddof=1), stacked)
        return jax.tree.map(lambda v: jnp.mean(v, axis=0), stacked)

    def frames(self) -> Array | None:
        return None


def ensemble(
    problem: Problem,
    method: Method,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    budget: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
) -> Ensemble:
    """Solves with each seed in turn; the program is compiled once.

    Arguments:
        method: a neural one. seeds: at least two, all different.
        budget: seconds of all members together, shared evenly. steps: of each member.
        out: a folder, with one of its own for each seed. resume: go on from what is there.

    Raises:
        ValueError: fewer than two seeds, or the same twice, or a method that trains nothing.
        SolverError: a member failed; the message begins with its seed.

    Source: Lakshminarayanan, Pritzel and Blundell (2017).
    """
    check_problem(problem)
    check_method(method)
    check_limits(budget, steps)
    seeds = tuple(seeds)
    if len(seeds) < 2 or len(set(seeds)) != len(seeds):
        raise ValueError(f"an ensemble needs at least two seeds, all different, got {seeds}")
    if not method.neural:
        raise ValueError(
            f"{method.name} gives the same answer for every seed; an ensemble takes a neural method"
        )
    since, found = time.perf_counter(), []
    for k, seed in enumerate(seeds):
        own = None
        if budget is not None:
            own = max((budget - (time.perf_counter() - since)) / (len(seeds) - k), 1e-3)
        folder = None if out is None else Path(out) / f"seed-{seed}"
        try:
            member = solve(
                problem, method, seed=seed, budget=own, steps=steps, out=folder, resume=resume
            )
        except SolverError as error:
            text = str(error).removeprefix(f"[{error.reason}] ")
            raise SolverError(error.reason, f"seed {seed}: {text}", error.history) from error
        found.append(member)
    mean, deviation = (_statistic(problem, method, found, which) for which in (False, True))
    return Ensemble(tuple(found), seeds, mean, deviation)


def _statistic(problem: Problem, method: Method, found: list[Solution], which: bool) -> Solution:
    stats = joined_stats([s.stats for s in found], "members", found[0].stats.unknowns)
    members = MemberStatistic(tuple(s.representation for s in found), which)
    return Solution(problem, members, method, stats, tuple(s.parameters for s in found))
