"""Adam and whatever else optax has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from ._objective import Objective
from ._optimizer import Info, Optimizer, as_floats, check_params


class Optax(Optimizer):
    """Any `optax.GradientTransformation`, θ ← θ + transformation(∇loss)."""

    transformation: optax.GradientTransformation

    def init(self, objective: Objective, params: Any, batch: Any) -> Any:
        check_params(params)
        return self.transformation.init(params)

    def step(
        self, objective: Objective, params: Any, state: Any, batch: Any
    ) -> tuple[Any, Any, Info]:
        return first_order_step(self.transformation, objective, params, state, batch)

    def rebatch(self, objective: Objective, params: Any, state: Any, batch: Any) -> Any:
        return state


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015).

    **Arguments**: `learning_rate`, a number or an optax schedule (a function of the step);
    `b1`, `b2`, `eps` as in the paper.
    """

    transformation: optax.GradientTransformation

    def __init__(
        self,
        learning_rate: float | Callable[[Any], Any] = 1e-3,
        *,
        b1: float = 0.9,
        b2: float = 0.999,
        eps: float = 1e-8,
    ):
        if not callable(learning_rate) and not learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {learning_rate!r}.")
        self.transformation = optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)

    def init(self, objective: Objective, params: Any, batch: Any) -> Any:
        check_params(params)
        return self.transformation.init(params)

    def step(
        self, objective: Objective, params: Any, state: Any, batch: Any
    ) -> tuple[Any, Any, Info]:
        return first_order_step(self.transformation, objective, params, state, batch)

    def rebatch(self, objective: Objective, params: Any, state: Any, batch: Any) -> Any:
        return state


def first_order_step(transformation, objective, params, state, batch):
    params, state, terms, norm = _compiled_step(transformation, objective, params, state, batch)
    values = as_floats(jax.device_get(terms))
    info = Info(sum(values.values()), values, after=False, gradient_norm=float(norm))
    return params, state, info


@eqx.filter_jit
def _compiled_step(transformation, objective, params, state, batch):
    def loss(params):
        terms = objective.terms(params, batch)
        return sum(terms.values(), start=jnp.zeros(())), terms

    gradient, terms = jax.grad(loss, has_aux=True)(params)
    updates, state = transformation.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, terms, _norm(gradient)


def _norm(tree):
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
