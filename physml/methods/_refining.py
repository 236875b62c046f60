"""Collocation points that follow from those before: RAR, RAR-D and R3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from physml.losses import Collocation, interior_points, point_residuals, stacked
from physml.methods._neural import sampler_seed
from physml.training import Resampler, residual_refined, retain_resample_release

REFINING = ("rar", "rar-d", "r3")


class Refining(Resampler):
    """Points in the interior by refinement; those on the boundary and at the start stay.

    RAR adds a twentieth of the points each time, in the places of half of the uniform ones, and
    then in those of the oldest that it added.
    """

    objective: Collocation
    counts: Mapping[str, int] = eqx.field(static=True)
    scheme: str = eqx.field(static=True)
    power: float = eqx.field(static=True)
    offset: float = eqx.field(static=True)
    every: int = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray, params: Any, step: int) -> Any:
        return stacked(self.objective.sample(self.counts, sampler_seed(key)))

    def again(self, key: PRNGKeyArray, params: Any, step: int, batch: Any) -> Any:
        inside, problem = self.counts["interior"], self.objective.problem
        seed = sampler_seed(key)
        if self.scheme == "r3":
            fresh = stacked(interior_points(problem, inside, seed, "uniform"))
            size = point_residuals(self.objective, params, batch["interior"])
            return {**batch, "interior": retain_resample_release(batch["interior"], size, fresh)}
        pool = stacked(interior_points(problem, 10 * inside, seed))
        size = point_residuals(self.objective, params, pool)
        added = max(inside // 20, 1)
        places = max(inside // 2 // added, 1) * added
        first = inside - places + (step // self.every - 1) * added % places
        refined = residual_refined(
            key,
            batch["interior"],
            pool,
            size,
            added,
            first,
            greedy=self.scheme == "rar",
            power=self.power,
            offset=self.offset,
        )
        return {**batch, "interior": refined}
