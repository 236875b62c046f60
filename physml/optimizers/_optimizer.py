"""What every optimizer promises."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._objective import LeastSquares, Objective


class Info(NamedTuple):
    """What one step did.

    - `loss`, `terms`: the loss and its terms on this batch: at the returned parameters where
      `after` is true (Gauss–Newton, L-BFGS), else at those the step was given (Adam).
    - `gradient_norm`: ‖∇loss‖ at the parameters the step was given.
    - `accepted`: false if no acceptable step was found; the parameters are then unchanged.
    - `step_size`, `damping`: step length along the direction; λ of Gauss–Newton, else `None`.
    - `evaluations`: losses (with or without gradient) that the step computed.
    - `linear_solver`: what solved the linear system, in words, or "".
    """

    loss: float
    terms: dict[str, float]
    after: bool
    gradient_norm: float
    accepted: bool = True
    step_size: float = 1.0
    damping: float | None = None
    evaluations: int = 1
    linear_solver: str = ""


class Optimizer(eqx.Module):
    """A method that minimises an `Objective`, one step at a time.

    The three verbs are ordinary functions without side effects: what is heavy is compiled
    inside, once for each objective and shape of batch. A state is a pytree of arrays alone, so
    that it can be saved. `params` must be a pytree of floating-point arrays only.
    """

    @abc.abstractmethod
    def init(self, objective: Objective, params: Any, batch: Any) -> Any:
        """The state to start from; raises if this optimizer cannot treat the objective."""

    @abc.abstractmethod
    def step(
        self, objective: Objective, params: Any, state: Any, batch: Any
    ) -> tuple[Any, Any, Info]:
        """New parameters, new state, and what happened."""

    @abc.abstractmethod
    def rebatch(self, objective: Objective, params: Any, state: Any, batch: Any) -> Any:
        """The state for going on with another batch (what it knew of the old one is dropped)."""


def check_params(params: Any) -> None:
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError("there is nothing to optimise: params has no array.")
    for leaf in leaves:
        if not eqx.is_inexact_array(leaf) or jnp.iscomplexobj(leaf):
            raise TypeError(
                "params must be a pytree of real floating-point arrays only, got "
                f"{getattr(leaf, 'dtype', type(leaf).__name__)}; "
                "use params, static = physml.networks.partition(model), and keep static in the "
                "objective."
            )


def check_least_squares(objective: Objective, optimizer: str) -> None:
    if not isinstance(objective, LeastSquares):
        raise TypeError(
            f"{optimizer} needs a sum of squared residuals (a LeastSquares objective), got "
            f"{type(objective).__name__}; minimise a scalar loss by Adam or LBFGS."
        )


def check_float64(params: Any, optimizer: str) -> None:
    types = {str(leaf.dtype) for leaf in jax.tree.leaves(params)}
    if types != {"float64"}:
        raise TypeError(
            f"{optimizer} needs float64 parameters, got {', '.join(sorted(types))}: in single "
            "precision its linear systems have no correct digits. Call "
            'jax.config.update("jax_enable_x64", True) before anything else, and build the '
            "network after it."
        )


def as_floats(terms: dict[str, Any]) -> dict[str, float]:
    return {name: float(np.asarray(value)) for name, value in terms.items()}
