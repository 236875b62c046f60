"""Weights of whole blocks: by the norms of their gradients, or by their neural tangent kernels."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from physml.optimizers import LeastSquares

from ._weighting import Weighting, Weights


class GradientNorm(Weighting):
    """w_b ← μ w_b + (1 − μ) Σ_c ‖∇L_c‖ / ‖∇L_b‖: every block pulls equally hard.

    Arguments:
        momentum: μ. every: steps between updates.

    Source: Wang, Sankaran, Wang and Perdikaris (2023), after Wang, Teng and Perdikaris (2021).
    """

    momentum: float = eqx.field(static=True, default=0.9)
    every: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        _check_momentum(self.momentum)

    def init(self, objective: LeastSquares, params: Any, points: Any) -> Weights:
        return _ones(objective, points)

    @eqx.filter_jit
    def update(
        self, objective: LeastSquares, params: Any, points: Any, weights: Weights
    ) -> Weights:
        norms = {}
        for name in weights.values:
            gradient = jax.grad(lambda p, name=name: objective.terms(p, points)[name])(params)
            norms[name] = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        return _moved(self.momentum, norms, weights)

    def carry(self, objective: LeastSquares, old: Any, new: Any, weights: Weights) -> Weights:
        return weights


class NTK(Weighting):
    """w_b ← μ w_b + (1 − μ) Σ_c tr K_c / tr K_b: every block learns equally fast.

    tr K_b = ‖J_b‖² (Frobenius) is the trace of the neural tangent kernel of a block, with J_b its
    Jacobian; the 1/√N of the mean is in it, so blocks of many points have no more weight.

    Arguments:
        momentum: μ. every: steps between updates.

    Source: Wang, Yu and Perdikaris (2022); the mean over points: Wang et al. (2023).
    """

    momentum: float = eqx.field(static=True, default=0.9)
    every: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        _check_momentum(self.momentum)

    def init(self, objective: LeastSquares, params: Any, points: Any) -> Weights:
        return _ones(objective, points)

    @eqx.filter_jit
    def update(
        self, objective: LeastSquares, params: Any, points: Any, weights: Weights
    ) -> Weights:
        traces = {
            name: jnp.sum(block.jacobian(params)[1] ** 2)
            for name, block in objective.blocks(points).items()
        }
        return _moved(self.momentum, traces, weights)

    def carry(self, objective: LeastSquares, old: Any, new: Any, weights: Weights) -> Weights:
        return weights


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and less than 1, got {momentum!r}")


def _ones(objective: LeastSquares, points: Any) -> Weights:
    return Weights({name: jnp.ones(()) for name in objective.blocks(points)}, ())


def _moved(momentum: float, sizes: dict[str, Array], weights: Weights) -> Weights:
    """Weights that move towards Σ sizes / size; a block that vanishes keeps its own."""
    total = sum(sizes.values(), start=jnp.zeros(()))
    found = {}
    for name, size in sizes.items():
        old = weights.values[name]
        known = size > jnp.finfo(size.dtype).eps * total
        ratio = total / jnp.where(known, size, 1.0)
        found[name] = jnp.where(known, momentum * old + (1 - momentum) * ratio, old)
    return Weights(found, ())
