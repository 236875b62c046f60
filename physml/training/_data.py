"""What a step is given: the batch with its weights, in the precision of its phase."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from physml.optimizers import LeastSquares, Objective

from ._sampling import Resampler
from ._weighting import (
    Weighted,
    Weighting,
    Weights,
    check_weighting,
    unweighted_batch,
    weighted_batch,
)


def cast(tree: Any, dtype: str | None) -> Any:
    """Floating-point arrays in another precision; None leaves all as it is."""
    if dtype is None:
        return tree

    def one(leaf: Any) -> Any:
        return leaf.astype(dtype) if eqx.is_inexact_array(leaf) and leaf.dtype != dtype else leaf

    return jax.tree.map(one, tree)


@dataclasses.dataclass(frozen=True)
class Data:
    """Makes batches, and weights them where there is a weighting.

    Attributes:
        bare: the objective as it was given. sampler: `(key, params, step) -> points`, or None.
    """

    bare: Objective
    sampler: Callable[[Any, Any, int], Any] | None
    weighting: Weighting | None
    seed: int

    def __post_init__(self):
        check_weighting(self.weighting, self.bare)

    @property
    def objective(self) -> Objective:
        if self.weighting is None:
            return self.bare
        assert isinstance(self.bare, LeastSquares)
        return Weighted(self.bare)

    def first(self, params: Any, batch: Any) -> Any:
        """The batch of step 0."""
        points = batch if self.sampler is None else self.sampler(self._key(0), params, 0)
        if self.weighting is None:
            return points
        assert isinstance(self.bare, LeastSquares)
        return weighted_batch(points, self.weighting.init(self.bare, params, points))

    def again(self, params: Any, step: int, batch: Any) -> Any:
        """The batch of a step at which new points are due."""
        assert self.sampler is not None
        old = self.points(batch)
        if isinstance(self.sampler, Resampler):
            points = self.sampler.again(self._key(step), params, step, old)
        else:
            points = self.sampler(self._key(step), params, step)
        if self.weighting is None:
            return points
        assert isinstance(self.bare, LeastSquares)
        carried = self.weighting.carry(self.bare, old, points, self._weights(batch))
        return self._updated(params, points, carried)

    def reweighted(self, params: Any, batch: Any) -> Any:
        """The same points with new weights."""
        return self._updated(params, batch["points"], self._weights(batch))

    def _updated(self, params: Any, points: Any, weights: Weights) -> Any:
        assert self.weighting is not None and isinstance(self.bare, LeastSquares)
        return weighted_batch(points, self.weighting.update(self.bare, params, points, weights))

    def due(self, step: int) -> bool:
        """Whether the weights are updated before this step."""
        return self.weighting is not None and step > 0 and step % self.weighting.every == 0

    def unweighted(self, points: Any) -> Any:
        """Points kept apart, on which the loss keeps its meaning during the run."""
        return points if self.weighting is None else unweighted_batch(points)

    def points(self, batch: Any) -> Any:
        return batch if self.weighting is None else batch["points"]

    def weights(self, batch: Any) -> dict[str, Any] | None:
        return None if self.weighting is None else batch["weights"]

    def _weights(self, batch: Any) -> Weights:
        return Weights(batch["weights"], batch["memory"])

    def _key(self, step: int) -> Any:
        return jax.random.fold_in(jax.random.key(self.seed), step)


def precision(params: Any) -> str | None:
    """The dtype of parameters that all have one; None else."""
    found = {str(jnp.result_type(leaf)) for leaf in jax.tree.leaves(params)}
    return found.pop() if len(found) == 1 else None
