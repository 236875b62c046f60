"""Newton's method without a matrix: conjugate gradients on Jacobian or Hessian products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ._conjugate_gradients import conjugate_gradients, jacobi, nystrom, row_samples, units
from ._linearised import losses_along, moved
from ._objective import LeastSquares, Objective
from ._optimizer import Info, Optimizer, as_floats, check_params

_PRECONDITIONERS = ("nystrom", "units", "diagonal", "none")
# Of sums of squares alone.
_OF_SQUARES = ("nystrom", "units")


# Of the loss: a step that gains less is at a minimum, and three of them end a training.
_LEAST = 1e-7


class HessianFreeState(eqx.Module):
    """λ (0 before the first step), and steps so far."""

    damping: np.ndarray
    steps: np.ndarray


class HessianFree(Optimizer):
    """Newton's method by conjugate gradients, which stores vectors only: θ ← θ − η d.

    For a loss ‖r‖² the Gauss–Newton step (JᵀJ + λI) d = Jᵀ r by products J v and Jᵀ w; for any
    other (∇²L + λI) d = ∇L by products ∇²L v, ended where the Hessian is not positive. η is the
    best of 1, ½, ¼, …; λ falls where the quadratic model predicts the reduction well and grows
    where not.

    **Arguments**

    - `damping`: first λ, relative to the mean diagonal (estimated); with "units" λ times the
      diagonal takes the place of λ I for what has blocks (Marquardt, 1963).
    - `iterations`: most products of one solve; `Info.linear_solver` says where they were too few.
      `tolerance`: its residual relative to the first, in the norm of the preconditioner.
    - `preconditioner`: "nystrom" (from `rank` products, that removes as many large eigenvalues),
      "units" (a block for each row of a weight of at most `rank`/2 columns, estimated from `rank`
      products Jᵀw: for wide last layers whose outputs hardly meet in a residual, such as the
      coefficients of a series),
      "diagonal" (estimated from `rank` products) or "none". For losses that are no sum of squares
      the first two do not exist, and "diagonal" is taken in their place.
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
        return HessianFreeState(np.zeros(()), np.zeros((), np.int64))

    def step(
        self, objective: Objective, params: Any, state: HessianFreeState, batch: Any
    ) -> tuple[Any, HessianFreeState, Info]:
        found = jax.device_get(_solve(self, objective, params, state, batch))
        direction, terms, norm, damping, predicted, products = found
        before = as_floats(terms)
        loss, damping = sum(before.values()), float(damping)
        lengths = 0.5 ** np.arange(self.probes, dtype=direction.dtype)
        losses = np.asarray(losses_along(objective, params, direction, lengths, batch))
        products, kind = int(products), self._kind(objective)
        ended = f", at its limit of {products}" if products >= self.iterations else ""
        best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
        accepted = bool(losses[best] < loss - _LEAST * abs(loss))
        info = Info(
            loss,
            before,
            after=True,
            gradient_norm=float(norm),
            accepted=accepted,
            step_size=float(lengths[best]) if accepted else 0.0,
            damping=damping,
            evaluations=1 + self.probes + products + (0 if kind == "none" else self.rank),
            linear_solver=f"conjugate gradients, preconditioner {kind}{ended}",
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
        return params, HessianFreeState(np.asarray(damping), np.asarray(state.steps + 1)), info

    def rebatch(
        self, objective: Objective, params: Any, state: HessianFreeState, batch: Any
    ) -> HessianFreeState:
        return state

    def _kind(self, objective: Objective) -> str:
        if self.preconditioner in _OF_SQUARES and not isinstance(objective, LeastSquares):
            return "diagonal"
        return self.preconditioner


class _Curvature(NamedTuple):
    """The model L(θ − d) ≈ L − c (2 bᵀd − dᵀA d): A, b and c, and the terms of L.

    Of a sum of squares A = JᵀJ, `pull` is Jᵀ and `rows` the shape and type of the residual.
    """

    product: Callable[[Array], Array]
    right: Array
    terms: dict[str, Array]
    weight: float
    pull: Callable[[Array], Array] | None = None
    rows: Any = None


def _curvature(objective: Objective, theta, unravel, batch) -> _Curvature:
    if isinstance(objective, LeastSquares):

        def parts_of(flat: Array) -> tuple[Array, dict[str, Array]]:
            parts = objective.residuals(unravel(flat), batch)
            return jnp.concatenate(list(parts.values())), parts

        residual, push, parts = jax.linearize(parts_of, theta, has_aux=True)
        transposed = jax.linear_transpose(push, theta)
        pull = lambda w: transposed(w)[0]
        terms = {name: jnp.sum(r**2) for name, r in parts.items()}
        return _Curvature(
            lambda v: pull(push(v)), pull(residual), terms, 1.0, pull, jax.typeof(residual)
        )
    loss = lambda flat: objective.loss(unravel(flat), batch)
    gradient, product = jax.linearize(jax.grad(loss), theta)
    return _Curvature(product, gradient, objective.terms(unravel(theta), batch), 0.5)


@eqx.filter_jit
def _solve(optimizer: HessianFree, objective: Objective, params, state, batch):
    theta, unravel = ravel_pytree(params)
    model = _curvature(objective, theta, unravel, batch)
    product, right = model.product, model.right
    key = jax.random.fold_in(jax.random.key(optimizer.seed), state.steps)
    first, second = jax.random.split(key)
    kind = optimizer._kind(objective)
    metric = jnp.ones((), theta.dtype)
    if kind == "units":
        assert model.pull is not None
        samples = row_samples(model.pull, model.rows, optimizer.rank, second)
        damping = jnp.where(state.damping > 0, state.damping, optimizer.damping)
        damping = damping.astype(theta.dtype)
        metric, precondition = units(samples, unravel, damping)
    else:
        signs = jax.random.rademacher(first, (theta.size,), dtype=theta.dtype)
        mean = jnp.abs(signs @ product(signs)) / theta.size
        damping = jnp.where(state.damping > 0, state.damping, optimizer.damping * mean)
        damping = damping.astype(theta.dtype)
        if kind == "nystrom":
            precondition = nystrom(product, theta.size, optimizer.rank, damping, second)
        elif kind == "diagonal":
            precondition = jacobi(product, theta.size, optimizer.rank, damping, second)
        else:
            precondition = lambda vector: vector
    solved = conjugate_gradients(
        lambda v: product(v) + damping * (metric * v),
        right,
        precondition,
        optimizer.iterations,
        optimizer.tolerance,
        # Of a sum of squares, which bᵀ A⁻¹ b is a part of.
        sum(model.terms.values()) if model.pull is not None else 0.0,
    )
    direction = solved.solution
    # dᵀA d by what is left of the system: one product less, which would be compiled anew.
    curved = direction @ (right - solved.residual - damping * (metric * direction))
    predicted = model.weight * (2 * right @ direction - curved)
    norm = 2 * model.weight * jnp.linalg.norm(right)
    return direction, model.terms, norm, damping, predicted, solved.products
