"""What an optimizer minimises: a scalar loss of named terms, or a sum of squared residuals."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ._blocks import Block


class Objective(eqx.Module):
    """A loss as a sum of named terms, of parameters θ and a batch of data.

    `params` is any pytree of floating-point arrays (`physml.networks.partition` makes one of a
    model); what is not trained is a field of the objective. `batch` is any pytree of arrays
    with fixed shapes, or `None`.
    """

    @abc.abstractmethod
    def terms(self, params: Any, batch: Any) -> dict[str, Array]:
        """Each term of the loss, a scalar, by name."""

    def loss(self, params: Any, batch: Any) -> Array:
        """The loss, the sum of its terms."""
        return sum(self.terms(params, batch).values(), start=jnp.zeros(()))


class LeastSquares(Objective):
    """loss = Σ blocks Σᵢ rᵢ², each block a part of the residual vector, its weight included."""

    @abc.abstractmethod
    def blocks(self, batch: Any) -> dict[str, Block]:
        """The blocks of the residual vector, by name. Called while tracing: closures are free."""

    def residuals(self, params: Any, batch: Any) -> dict[str, Array]:
        """Each block's residual vector (n,)."""
        return {name: block.residual(params) for name, block in self.blocks(batch).items()}

    def terms(self, params: Any, batch: Any) -> dict[str, Array]:
        return {name: jnp.sum(r**2) for name, r in self.residuals(params, batch).items()}

    def residual(self, params: Any, batch: Any) -> Array:
        """The whole residual vector (N,)."""
        return jnp.concatenate(list(self.residuals(params, batch).values()))

    def jacobian(self, params: Any, batch: Any) -> tuple[Array, Array]:
        """The residual vector (N,) and its Jacobian (N, P), rows in the order of the blocks."""
        pairs = [block.jacobian(params) for block in self.blocks(batch).values()]
        return (
            jnp.concatenate([residual for residual, _ in pairs]),
            jnp.concatenate([jacobian for _, jacobian in pairs]),
        )


class ScalarObjective(Objective):
    """A loss given as a function `(params, batch) -> dict of scalars` (or one scalar).

    For losses that are no sum of squares, such as an energy (deep Ritz).
    """

    fn: Callable[..., Any]

    def terms(self, params: Any, batch: Any) -> dict[str, Array]:
        value = self.fn(params, batch)
        return dict(value) if isinstance(value, dict) else {"loss": value}


class ResidualObjective(LeastSquares):
    """Least squares given as a function `(batch) -> dict of blocks`, or as fixed blocks."""

    fn: Callable[..., dict[str, Block]] | dict[str, Block]

    def blocks(self, batch: Any) -> dict[str, Block]:
        return self.fn(batch) if callable(self.fn) else self.fn
