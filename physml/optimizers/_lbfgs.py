"""Limited-memory BFGS."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ._line_search import Trial, strong_wolfe
from ._objective import Objective
from ._optimizer import Info, Optimizer, check_params


class LBFGSState(eqx.Module):
    """The last `memory` pairs, newest last, and the loss and gradient where it stands."""

    steps: np.ndarray
    changes: np.ndarray
    pairs: np.ndarray
    gradient: np.ndarray
    loss: np.ndarray


class LBFGS(Optimizer):
    """Limited-memory BFGS with a strong Wolfe line search.

    The two-loop recursion and the line search are done on the host: loss and gradient are one
    compiled call, and an iteration mostly needs one.

    **Arguments**: `memory`, the number of pairs kept; `evaluations`, the most losses in a line
    search. If no step is found the memory is dropped and steepest descent is tried once;
    if that fails too, `Info.accepted` is false.

    Source: Liu and Nocedal, 1989; Nocedal and Wright, 2006, algorithm 7.5.
    """

    memory: int = eqx.field(static=True, default=30)
    evaluations: int = eqx.field(static=True, default=25)

    def __check_init__(self):
        if self.memory < 1 or self.evaluations < 1:
            raise ValueError("LBFGS needs memory and evaluations of at least 1.")

    def init(self, objective: Objective, params: Any, batch: Any) -> LBFGSState:
        check_params(params)
        theta = np.asarray(ravel_pytree(params)[0])
        empty = np.zeros((self.memory, theta.size), theta.dtype)
        start = LBFGSState(empty, empty, np.zeros((), np.int64), theta, np.zeros((), theta.dtype))
        return self.rebatch(objective, params, start, batch)

    def rebatch(
        self, objective: Objective, params: Any, state: LBFGSState, batch: Any
    ) -> LBFGSState:
        """Pairs of another batch would mix two functions: the memory is dropped."""
        zero = np.zeros_like(state.gradient)
        _, gradient, terms = value_and_gradient(objective, params, zero, 0.0, batch)
        loss = np.asarray(sum(terms.values()), state.loss.dtype)
        return LBFGSState(
            state.steps, state.changes, np.zeros((), np.int64), np.asarray(gradient), loss
        )

    def step(
        self, objective: Objective, params: Any, state: LBFGSState, batch: Any
    ) -> tuple[Any, LBFGSState, Info]:
        direction = -self._inverse_hessian(state)
        fresh = int(state.pairs) == 0
        trial, count = search(
            objective, params, batch, state.loss, state.gradient, direction, fresh, self.evaluations
        )
        if trial is None and not fresh:
            state = eqx.tree_at(lambda s: s.pairs, state, np.zeros((), np.int64))
            direction = -state.gradient
            trial, more = search(
                objective,
                params,
                batch,
                state.loss,
                state.gradient,
                direction,
                True,
                self.evaluations,
            )
            count += more
        norm = float(np.linalg.norm(state.gradient))
        if trial is None:
            info = Info(float(state.loss), {}, True, norm, False, 0.0, evaluations=count)
            return params, state, info
        params, gradient, terms = trial.payload
        state = self._remember(state, trial.step * direction, gradient, trial.value)
        info = Info(trial.value, terms, True, norm, True, trial.step, evaluations=count)
        return params, state, info

    def _remember(self, state, step, gradient, loss) -> LBFGSState:
        steps, changes, pairs = state.steps, state.changes, int(state.pairs)
        change = gradient - state.gradient
        if step @ change > 1e-10 * np.linalg.norm(step) * np.linalg.norm(change):
            steps = np.concatenate([steps[1:], step[None]])
            changes = np.concatenate([changes[1:], change[None]])
            pairs = min(pairs + 1, self.memory)
        return LBFGSState(
            steps, changes, np.asarray(pairs), gradient, np.asarray(loss, state.loss.dtype)
        )

    def _inverse_hessian(self, state: LBFGSState) -> np.ndarray:
        """H ∇loss by the two-loop recursion."""
        vector = state.gradient.copy()
        newest_first = range(self.memory - 1, self.memory - 1 - int(state.pairs), -1)
        weights = {}
        for i in newest_first:
            weights[i] = (state.steps[i] @ vector) / (state.steps[i] @ state.changes[i])
            vector -= weights[i] * state.changes[i]
        if weights:
            step, change = state.steps[-1], state.changes[-1]
            vector *= (step @ change) / (change @ change)
        for i in reversed(newest_first):
            along = (state.changes[i] @ vector) / (state.steps[i] @ state.changes[i])
            vector += (weights[i] - along) * state.steps[i]
        return vector


def search(objective, params, batch, loss, gradient, direction, fresh, evaluations, curvature=0.9):
    """A Wolfe step from `params` along `direction`; the payload is (params, gradient, terms)."""
    slope = float(gradient @ direction)
    if not slope < 0 or not np.isfinite(slope):
        return None, 0
    first = min(1.0, 1.0 / float(np.linalg.norm(gradient))) if fresh else 1.0

    def evaluate(step: float) -> Trial:
        moved, at_step, terms = value_and_gradient(objective, params, direction, step, batch)
        at_step = np.asarray(at_step)
        values = {name: float(value) for name, value in jax.device_get(terms).items()}
        payload = moved, at_step, values
        return Trial(step, sum(values.values()), float(at_step @ direction), payload)

    start = Trial(0.0, float(loss), slope, None)
    trial, count = strong_wolfe(
        evaluate, start, first, curvature=curvature, evaluations=evaluations
    )
    if trial is None or trial.value < start.value:
        return trial, count
    # At the round-off of the loss its gradient may still tell the better of two points.
    better = np.linalg.norm(trial.payload[1]) < np.linalg.norm(gradient)
    return (trial if better else None), count


@eqx.filter_jit
def _value_and_gradient(objective, params, direction, step, batch):
    theta, unravel = ravel_pytree(params)
    moved = theta + step * direction

    def loss(flat):
        terms = objective.terms(unravel(flat), batch)
        return sum(terms.values(), start=jnp.zeros(())), terms

    gradient, terms = jax.grad(loss, has_aux=True)(moved)
    return unravel(moved), gradient, terms


def value_and_gradient(objective, params, direction, step, batch):
    """Parameters, gradient and terms at θ + step · direction, by one compiled call."""
    # A Python number would be part of what is compiled.
    step = np.asarray(step, direction.dtype)
    return _value_and_gradient(objective, params, direction, step, batch)
