"""Newton's method without a matrix: conjugate gradients on Jacobian or Hessian products."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ._conjugate_gradients import conjugate_gradients, jacobi, nystrom
from ._linearised import losses_along, moved
from ._objective import LeastSquares, Objective
from ._optimizer import Info, Optimizer, as_floats, check_params

_PRECONDITIONERS = ("nystrom", "diagonal", "none")


class HessianFreeState(eqx.Module):
    """λ (0 before the first step), steps so far, the last direction (P,)."""

    damping: np.ndarray
    steps: np.ndarray
    direction: np.ndarray


class HessianFree(Optimizer):
    """Newton's method by conjugate gradients, which stores vectors only: θ ← θ − η d.

    For a loss ‖r‖² the Gauss–Newton step (JᵀJ + λI) d = Jᵀ r by products J v and Jᵀ w; for any
    other (∇²L + λI) d = ∇L by products ∇²L v, ended where the Hessian is not positive. η is the
    best of 1, ½, ¼, …; λ falls where the quadratic model predicts the reduction well and grows
    where not.

    **Arguments**

    - `damping`: first λ, relative to the mean diagonal (estimated).
    - `iterations`: most products of one solve. `tolerance`: its relative residual.
    - `preconditioner`: "nystrom" (from `rank` products, that removes as many large eigenvalues),
      "diagonal" (estimated from `rank` products) or "none". For losses that are no sum of squares
      the Nyström approximation does not exist, and "diagonal" is taken in its place.
    - `factor`: of λ. `probes`: step lengths tried. `seed`: of the preconditioner's vectors.

    Sources: Martens, 2010; Nocedal and Wright, 2006, section 7.1; Rathore, Lei, Frangella, Lu and
    Udell, 2024 (Nyström–Newton for physics-informed networks).
    """

    damping: float = eqx.field(static=True, default=1e-3)
    iterations: int = eqx.field(static=True, default=250)
    tolerance: float = eqx.field(static=True, default=1e-3)
    preconditioner: str = eqx.field(static=True, default="nystrom")
    rank: int = eqx.field(static=True, default=64)
    factor: float = eqx.field(static=True, default=4.0)
    probes: int = eqx.field(static=True, default=12)
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if self.preconditioner not in _PRECONDITIONERS:
            raise ValueError(
                f"preconditioner must be one of {_PRECONDITIONERS}, got {self.preconditioner!r}."
            )
        if not self.damping > 0 or not self.factor > 1:
            raise ValueError(
                "HessianFree needs damping > 0 and factor > 1, got "
                f"{self.damping!r}, {self.factor!r}."
            )
        if self.iterations < 1 or self.rank < 1 or self.probes < 1:
            raise ValueError("HessianFree needs iterations, rank and probes of at least 1.")

    def init(self, objective: Objective, params: Any, batch: Any) -> HessianFreeState:
        check_params(params)
        theta = np.asarray(ravel_pytree(params)[0])
        return HessianFreeState(np.zeros(()), np.zeros((), np.int64), np.zeros_like(theta))

    def step(
        self, objective: Objective, params: Any, state: HessianFreeState, batch: Any
    ) -> tuple[Any, HessianFreeState, Info]:
        found = jax.device_get(_solve(self, objective, params, state, batch))
        direction, terms, norm, damping, predicted, products = found
        before = as_floats(terms)
        loss, damping = sum(before.values()), float(damping)
        lengths = 0.5 ** np.arange(self.probes, dtype=direction.dtype)
        losses = np.asarray(losses_along(objective, params, direction, lengths, batch))
        best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
        accepted = bool(losses[best] < loss)
        info = Info(
            loss,
            before,
            after=True,
            gradient_norm=float(norm),
            accepted=accepted,
            step_size=float(lengths[best]) if accepted else 0.0,
            damping=damping,
            evaluations=1 + self.probes + int(products),
            linear_solver=f"conjugate gradients, preconditioner {self._kind(objective)}",
        )
        ratio = (loss - losses[0]) / float(predicted) if float(predicted) > 0 else -1.0
        if not ratio >= 0.25:
            damping *= self.factor
        elif ratio > 0.75:
            damping /= self.factor
        if accepted:
            params, terms, _ = moved(objective, params, lengths[best] * direction, batch)
            after = as_floats(terms)
            info = info._replace(loss=sum(after.values()), terms=after)
        else:
            direction = np.zeros_like(direction)
        return params, HessianFreeState(np.asarray(damping), state.steps + 1, direction), info

    def rebatch(
        self, objective: Objective, params: Any, state: HessianFreeState, batch: Any
    ) -> HessianFreeState:
        return state

    def _kind(self, objective: Objective) -> str:
        if self.preconditioner == "nystrom" and not isinstance(objective, LeastSquares):
            return "diagonal"
        return self.preconditioner


def _curvature(objective: Objective, theta, unravel, batch):
    """A product with the curvature, the gradient that belongs to it, the terms, and a factor c.

    The model is L(θ − d) ≈ L − c (2 bᵀd − dᵀA d).
    """
    if isinstance(objective, LeastSquares):
        vector = lambda flat: objective.residual(unravel(flat), batch)
        residual, push = jax.linearize(vector, theta)
        transposed = jax.linear_transpose(push, theta)
        pull = lambda w: transposed(w)[0]
        terms = objective.terms(unravel(theta), batch)
        return lambda v: pull(push(v)), pull(residual), terms, 1.0
    loss = lambda flat: objective.loss(unravel(flat), batch)
    gradient, product = jax.linearize(jax.grad(loss), theta)
    return product, gradient, objective.terms(unravel(theta), batch), 0.5


@eqx.filter_jit
def _solve(optimizer: HessianFree, objective: Objective, params, state, batch):
    theta, unravel = ravel_pytree(params)
    product, right, terms, weight = _curvature(objective, theta, unravel, batch)
    key = jax.random.fold_in(jax.random.key(optimizer.seed), state.steps)
    first, second = jax.random.split(key)
    signs = jax.random.rademacher(first, (theta.size,), dtype=theta.dtype)
    mean = jnp.abs(signs @ product(signs)) / theta.size
    damping = jnp.where(state.damping > 0, state.damping, optimizer.damping * mean)
    kind = optimizer._kind(objective)
    if kind == "nystrom":
        precondition = nystrom(product, theta.size, optimizer.rank, damping, second)
    elif kind == "diagonal":
        precondition = jacobi(product, theta.size, optimizer.rank, damping, second)
    else:
        precondition = lambda vector: vector
    solved = conjugate_gradients(
        lambda v: product(v) + damping * v,
        right,
        # A Hessian that is not positive asks for a start at zero.
        state.direction if isinstance(objective, LeastSquares) else jnp.zeros_like(theta),
        precondition,
        optimizer.iterations,
        optimizer.tolerance,
    )
    direction = solved.solution
    predicted = weight * (2 * right @ direction - direction @ product(direction))
    norm = 2 * weight * jnp.linalg.norm(right)
    return direction, terms, norm, damping, predicted, solved.products
