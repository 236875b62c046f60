"""The compiled evaluations of a least-squares objective that its optimizers share."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ._memory import check_memory
from ._objective import LeastSquares, Objective
from ._optimizer import check_float64, check_least_squares, check_params


def count_parameters(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@eqx.filter_jit
def linearise(objective, params, batch):
    pairs = {name: block.jacobian(params) for name, block in objective.blocks(batch).items()}
    residual = jnp.concatenate([r for r, _ in pairs.values()])
    jacobian = jnp.concatenate([j for _, j in pairs.values()])
    return residual, jacobian, {name: jnp.sum(r**2) for name, (r, _) in pairs.items()}


@eqx.filter_jit
def moved(objective, params, direction, batch):
    """θ − d, the terms of the loss there, and the residual vector (None for other losses)."""
    theta, unravel = ravel_pytree(params)
    moved = unravel(theta - direction)
    if not isinstance(objective, LeastSquares):
        return moved, objective.terms(moved, batch), None
    parts = objective.residuals(moved, batch)
    terms = {name: jnp.sum(r**2) for name, r in parts.items()}
    return moved, terms, jnp.concatenate(list(parts.values()))


@eqx.filter_jit
def residual_of(objective, params, batch):
    return objective.residual(params, batch)


@eqx.filter_jit
def losses_along(objective, params, direction, lengths, batch):
    """The loss at θ − η d for each η of `lengths`."""
    theta, unravel = ravel_pytree(params)
    at = lambda length: objective.loss(unravel(theta - length * direction), batch)
    return jax.lax.map(at, lengths, batch_size=4)


@jax.jit
def gradient_norm(jacobian, residual):
    return 2 * jnp.linalg.norm(jacobian.T @ residual)


@jax.jit
def slope(jacobian, direction):
    return jacobian @ direction


def check_jacobian(
    objective: Objective, params: Any, batch: Any, optimizer: str, memory: float
) -> tuple[int, int]:
    """Residuals N and parameters P, for an optimizer that holds the Jacobian in float64.

    Raises `TypeError` for an objective without residuals or parameters that are not float64,
    `ValueError` where the Jacobian takes more bytes than `memory`.
    """
    rows, columns = check_residuals(objective, params, batch, optimizer)
    check_memory(
        8.0 * rows * columns,
        memory,
        f"the Jacobian of {rows} residuals by {columns} parameters",
        "use fewer points, a smaller network, more memory, DSGNAR, which stores a sketch of it, "
        "or HessianFree or LBFGS, which store vectors",
    )
    return rows, columns


def check_residuals(
    objective: Objective, params: Any, batch: Any, optimizer: str
) -> tuple[int, int]:
    """Residuals N and parameters P; the errors of `check_jacobian` but for memory."""
    check_params(params)
    check_least_squares(objective, optimizer)
    check_float64(params, optimizer)
    # Compiled functions remember their trace, so that another run does not trace again.
    residual = eqx.filter_eval_shape(residual_of, objective, params, batch)
    return residual.shape[0], count_parameters(params)
