"""Causal weights: later times count when earlier ones are solved."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from physml.optimizers import LeastSquares

from ._weighting import Weighting, Weights, chosen_blocks, point_squares


class Causal(Weighting):
    """wᵢ = exp(−ε (L₀ + Σ_{j<i} L_j)) for the points of the i-th of `chunks` equal parts of time.

    L_j is the mean square of the equations' residuals (their own weights included) in part j, and
    L₀ the loss of initial data that are residuals. When even the last part weighs more than
    `threshold`, ε moves on to the next of its values, and stays at the last.

    Arguments:
        chunks: parts of the time that the points span; 16 to 32 are usual.
        tolerances: the values of ε, ascending. threshold: see above.
        every: steps between updates; the weights are held fixed between them.

    Source: Wang, Sankaran and Perdikaris (2022), algorithm 1.
    """

    chunks: int = eqx.field(static=True, default=16)
    tolerances: tuple[float, ...] = eqx.field(static=True, default=(1e-2, 1e-1, 1e0, 1e1, 1e2))
    threshold: float = eqx.field(static=True, default=0.99)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        ascending = list(self.tolerances) == sorted(set(self.tolerances))
        if self.chunks < 2 or not self.tolerances or not ascending or self.tolerances[0] <= 0:
            raise ValueError(
                "Causal needs at least 2 chunks and ascending positive tolerances, got "
                f"{self.chunks!r} and {self.tolerances!r}"
            )
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold lies between 0 and 1, got {self.threshold!r}")

    def init(self, objective: LeastSquares, params: Any, points: Any) -> Weights:
        times = _equations(objective, points)
        start = {name: jnp.ones(len(block.points["t"])) for name, block in times.items()}
        return self.update(objective, params, points, Weights(start, jnp.zeros((), int)))

    @eqx.filter_jit
    def update(
        self, objective: LeastSquares, params: Any, points: Any, weights: Weights
    ) -> Weights:
        equations = _equations(objective, points)
        index = {name: self._chunk(block.points["t"]) for name, block in equations.items()}
        losses = sum(
            _means(point_squares(block, params), index[name], self.chunks)
            for name, block in equations.items()
        )
        others = objective.blocks(points)
        first = sum(
            (jnp.sum(block.residual(params) ** 2) for name, block in others.items()
             if name.split()[0] in ("initial", "rate")),
            start=jnp.zeros(()),
        )  # fmt: skip
        before = first + jnp.concatenate([jnp.zeros(1), jnp.cumsum(losses)[:-1]])
        at = jnp.exp(-jnp.asarray(self.tolerances)[weights.memory] * before)
        last = len(self.tolerances) - 1
        moved = jnp.where(jnp.min(at) > self.threshold, weights.memory + 1, weights.memory)
        values = {name: at[chunk] for name, chunk in index.items()}
        return Weights(values, jnp.minimum(moved, last))

    def carry(self, objective: LeastSquares, old: Any, new: Any, weights: Weights) -> Weights:
        return weights

    def _chunk(self, t: Array) -> Array:
        low, high = jnp.min(t), jnp.max(t)
        unit = (t - low) / jnp.maximum(high - low, jnp.finfo(t.dtype).tiny)
        return jnp.clip(jnp.floor(unit * self.chunks).astype(int), 0, self.chunks - 1)


def _equations(objective: LeastSquares, points: Any) -> dict[str, Any]:
    found = {
        name: block
        for name, block in chosen_blocks(objective, points, ("equation",)).items()
        if isinstance(block.points, dict) and "t" in block.points
    }
    if not found:
        raise ValueError(
            "Causal weights need equations at points of time, blocks 'equation …' of points with "
            f"'t'; there are {sorted(objective.blocks(points))}"
        )
    return found


def _means(values: Array, index: Array, count: int) -> Array:
    """Mean of the values in each chunk; 0 where there is no point."""
    total = jax.ops.segment_sum(values, index, count)
    size = jax.ops.segment_sum(jnp.ones_like(values), index, count)
    return total / jnp.maximum(size, 1.0)
