"""Weights of single points: residual-based attention and self-adaptive weights."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from physml.optimizers import LeastSquares

from ._weighting import Weighting, Weights, carried, chosen_blocks, point_squares


class ResidualAttention(Weighting):
    """Variational residual-based attention (vRBA): wᵢ ← γ wᵢ + η qᵢ / max q, q ∝ Φ′(|r|/ε).

    The running mean of the distribution that the potential Φ prefers: Φ = ½ρ² ("quadratic",
    q ∝ |r|) lowers the mean square with less variance, Φ = e^ρ ("exponential", q ∝ e^{|r|/ε}) the
    largest residual. Weights start at η/(1 − γ), their bound.

    Arguments:
        decay, rate: γ and η. potential: "quadratic" or "exponential".
        temperature: of the exponential, ε = temperature · max |r|.
        blocks: names, or first words, of the blocks that are weighted; None for all of points.
        every: steps between updates.

    Points that are drawn anew start again, so it goes with `sampling="r3"`, which keeps points, or
    with points that stay.

    Sources: Anagnostopoulos, Toscano, Stergiopulos and Karniadakis (2024); Toscano, Chen, Oommen
    and Karniadakis (2025), equation 12.
    """

    decay: float = eqx.field(static=True, default=0.9)
    rate: float = eqx.field(static=True, default=0.1)
    potential: str = eqx.field(static=True, default="quadratic")
    temperature: float = eqx.field(static=True, default=0.25)
    blocks: tuple[str, ...] | None = eqx.field(static=True, default=("equation",))
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.potential not in ("quadratic", "exponential"):
            raise ValueError(f"potential is 'quadratic' or 'exponential', got {self.potential!r}")
        if not 0 <= self.decay < 1 or not self.rate > 0 or not self.temperature > 0:
            raise ValueError(
                "ResidualAttention needs 0 ≤ decay < 1, rate > 0 and temperature > 0, got "
                f"{self.decay!r}, {self.rate!r} and {self.temperature!r}"
            )

    @property
    def bound(self) -> float:
        return self.rate / (1 - self.decay)

    def init(self, objective: LeastSquares, params: Any, points: Any) -> Weights:
        return Weights(_full(objective, points, self.blocks, self.bound), ())

    @eqx.filter_jit
    def update(
        self, objective: LeastSquares, params: Any, points: Any, weights: Weights
    ) -> Weights:
        found = {}
        for name, block in chosen_blocks(objective, points, self.blocks).items():
            size = jnp.sqrt(point_squares(block, params))
            largest = jnp.maximum(jnp.max(size), jnp.finfo(size.dtype).tiny)
            share = size / largest
            if self.potential == "exponential":
                share = jnp.exp((share - 1) / self.temperature)
            found[name] = self.decay * weights.values[name] + self.rate * share
        return Weights(found, ())

    def carry(self, objective: LeastSquares, old: Any, new: Any, weights: Weights) -> Weights:
        return _carried(objective, old, new, weights, self.blocks, self.bound)


class SelfAdaptive(Weighting):
    """Self-adaptive weights: gradient ascent in λ of ½ m(λᵢ) rᵢ² with the mask m(λ) = λ².

    λᵢ ← λᵢ + ρ λᵢ rᵢ² at every update, and wᵢ = λᵢ²: the weight of a point grows as long as its
    residual lasts. All weights are divided by their mean over all points, so that they say where,
    not how much.

    Arguments:
        rate: ρ. blocks, every: see `ResidualAttention`; all blocks of points by default.

    Source: McClenny and Braga-Neto (2020), with plain ascent.
    """

    rate: float = eqx.field(static=True, default=0.1)
    blocks: tuple[str, ...] | None = eqx.field(static=True, default=None)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if not self.rate > 0:
            raise ValueError(f"SelfAdaptive needs rate > 0, got {self.rate!r}")

    def init(self, objective: LeastSquares, params: Any, points: Any) -> Weights:
        ones = _full(objective, points, self.blocks, 1.0)
        return Weights(ones, ones)

    @eqx.filter_jit
    def update(
        self, objective: LeastSquares, params: Any, points: Any, weights: Weights
    ) -> Weights:
        masks = {
            name: weights.memory[name] * (1 + self.rate * point_squares(block, params))
            for name, block in chosen_blocks(objective, points, self.blocks).items()
        }
        return Weights(_normalised(masks), masks)

    def carry(self, objective: LeastSquares, old: Any, new: Any, weights: Weights) -> Weights:
        masks = Weights(weights.memory, ())
        masks = _carried(objective, old, new, masks, self.blocks, 1.0).values
        return Weights(_normalised(masks), masks)


def _normalised(masks: dict[str, Array]) -> dict[str, Array]:
    """λ² by block, divided by the mean over all points."""
    mean = jnp.mean(jnp.concatenate([mask**2 for mask in masks.values()]))
    return {name: mask**2 / mean for name, mask in masks.items()}


def _full(objective, points, words, value: float) -> dict[str, Array]:
    chosen = chosen_blocks(objective, points, words)
    if not chosen:
        raise ValueError(
            f"no block of points is called {words}: there are {sorted(objective.blocks(points))}"
        )
    return {name: jnp.full(_count(block), value) for name, block in chosen.items()}


def _count(block: Any) -> int:
    return len(jax.tree.leaves(block.points)[0])


def _carried(objective, old, new, weights: Weights, words, start: float) -> Weights:
    before = chosen_blocks(objective, old, words)
    after = chosen_blocks(objective, new, words)
    values = {
        name: carried(before[name], after[name], value, start)
        for name, value in weights.values.items()
    }
    return Weights(values, ())
