"""Weights of a loss that adapt to training, as part of its batch.

A weighted loss is Σ blocks Σᵢ wᵢ rᵢ². The weights lie beside the points in the batch, so a step
holds them fixed, whatever its optimizer (they only scale rows of the residual vector), and a
checkpoint keeps them.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from physml.optimizers import Block, LeastSquares, Objective, PointBlock


class Weights(NamedTuple):
    """The weights by block, () or one for each point (n,), and what a scheme must remember."""

    values: dict[str, Array]
    memory: Any


class Weighting(eqx.Module):
    """A scheme that weights the blocks of a least-squares loss, or their points.

    `every` is the number of steps between updates.
    """

    every: eqx.AbstractVar[int]

    @abc.abstractmethod
    def init(self, objective: LeastSquares, params: Any, points: Any) -> Weights:
        """The weights to start from."""

    @abc.abstractmethod
    def update(
        self, objective: LeastSquares, params: Any, points: Any, weights: Weights
    ) -> Weights:
        """The weights after another look at the residuals (unweighted) of the batch `points`."""

    @abc.abstractmethod
    def carry(self, objective: LeastSquares, old: Any, new: Any, weights: Weights) -> Weights:
        """The weights for new points."""


class Weighted(LeastSquares):
    """A least-squares objective with weights; its batch is {"points", "weights", "memory"}."""

    inner: LeastSquares

    def blocks(self, batch: Any) -> dict[str, Block]:
        weights = batch["weights"]
        return {
            name: scaled(block, weights[name]) if name in weights else block
            for name, block in self.inner.blocks(batch["points"]).items()
        }


def scaled(block: Any, weight: Array) -> Any:
    """The block with rᵢ ← √wᵢ rᵢ; w is () or, for a block of points, (n,)."""
    root = jnp.sqrt(weight)
    scale = jnp.asarray(block.scale)
    if root.ndim and scale.ndim == 2:
        root = root[:, None]
    return dataclasses.replace(block, scale=scale * root.astype(jnp.result_type(scale)))


def check_weighting(weighting: Weighting | None, objective: Objective) -> None:
    """Raises TypeError where there is nothing that the scheme could weight."""
    if weighting is None:
        return
    if not isinstance(weighting, Weighting):
        raise TypeError(
            "weighting is one of physml.training's schemes, such as Causal() or GradientNorm(), "
            f"got {weighting!r}"
        )
    if not isinstance(objective, LeastSquares):
        raise TypeError(
            f"{type(weighting).__name__} weights residuals, which {type(objective).__name__} does "
            "not have: train a LeastSquares objective, or use no weighting."
        )


def weighted_batch(points: Any, weights: Weights) -> dict[str, Any]:
    return {"points": points, "weights": weights.values, "memory": weights.memory}


def unweighted_batch(points: Any) -> dict[str, Any]:
    """A batch on which the loss has no weights but the objective's own."""
    return {"points": points, "weights": {}, "memory": ()}


def chosen_blocks(objective: LeastSquares, points: Any, words: tuple[str, ...] | None):
    """The blocks of points whose name, or whose first word, is one of `words` (None: all)."""
    return {
        name: block
        for name, block in objective.blocks(points).items()
        if isinstance(block, PointBlock)
        and (words is None or name in words or name.split()[0] in words)
    }


def point_squares(block: PointBlock, params: Any) -> Array:
    """w |r|² at each point (n,): the block's share of the loss there, times n."""
    count = len(jax.tree.leaves(block.points)[0])
    return count * jnp.sum(block.residual(params).reshape(count, -1) ** 2, axis=1)


def carried(old: PointBlock, new: PointBlock, values: Array, start: float) -> Array:
    """Values (n,) of points that stay in their place; `start` at those that are new."""
    same = jnp.ones(len(values), bool)
    for a, b in zip(jax.tree.leaves(old.points), jax.tree.leaves(new.points), strict=True):
        same &= jnp.all((a == b).reshape(len(values), -1), axis=1)
    return jnp.where(same, values, start)
