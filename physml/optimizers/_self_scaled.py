"""Self-scaled quasi-Newton methods: BFGS and Broyden with a dense inverse Hessian."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ._lbfgs import search, value_and_gradient
from ._line_search import Trial
from ._memory import check_memory
from ._objective import Objective
from ._optimizer import Info, Optimizer, check_params


class InverseHessianState(eqx.Module):
    """H (P, P), whether it is the identity still, and loss and gradient where it stands."""

    inverse: Array
    fresh: np.ndarray
    gradient: np.ndarray
    loss: np.ndarray


class SelfScaled(Optimizer):
    """Quasi-Newton methods of Broyden's family whose inverse Hessian H is scaled at each step.

    With s = θ⁺ − θ, y = ∇L⁺ − ∇L and v = (yᵀHy)^½ (s/yᵀs − Hy/yᵀHy),

        H⁺ = (H − H y yᵀH / yᵀHy + φ v vᵀ)/τ + s sᵀ/yᵀs,

    so that H⁺y = s. Subclasses choose τ and φ.
    """

    curvature: eqx.AbstractVar[float]
    evaluations: eqx.AbstractVar[int]
    memory: eqx.AbstractVar[float]

    @abc.abstractmethod
    def scaling(self, b: float, h: float, size: int) -> tuple[float, float]:
        """τ and φ from b = sᵀH⁻¹s/yᵀs, h = yᵀHy/yᵀs and the number of parameters."""

    def init(self, objective: Objective, params: Any, batch: Any) -> InverseHessianState:
        check_params(params)
        theta = ravel_pytree(params)[0]
        # While it is updated the old matrix is still there.
        check_memory(
            2 * theta.dtype.itemsize * theta.size**2,
            self.memory,
            f"the inverse Hessian of {theta.size} parameters, held twice in an update,",
            "use a smaller network, more memory, or LBFGS, which stores vectors",
        )
        identity = jnp.eye(theta.size, dtype=theta.dtype)
        return self._at(objective, params, batch, identity, fresh=True)

    def rebatch(
        self, objective: Objective, params: Any, state: InverseHessianState, batch: Any
    ) -> InverseHessianState:
        """The curvature is mostly that of the network: H is kept where it is positive definite."""
        inverse, positive = _symmetric(state.inverse)
        if not positive:
            return self._at(objective, params, batch, jnp.eye(len(inverse), dtype=inverse.dtype))
        return self._at(objective, params, batch, inverse, fresh=bool(state.fresh))

    def step(
        self, objective: Objective, params: Any, state: InverseHessianState, batch: Any
    ) -> tuple[Any, InverseHessianState, Info]:
        direction = -np.asarray(_product(state.inverse, state.gradient))
        trial, count = self._search(objective, params, state, batch, direction)
        if trial is None and not state.fresh:
            state = self._forgotten(state)
            direction = -state.gradient
            trial, more = self._search(objective, params, state, batch, direction)
            count += more
        norm = float(np.linalg.norm(state.gradient))
        if trial is None:
            info = Info(float(state.loss), {}, True, norm, False, 0.0, evaluations=count)
            return params, state, info
        params, gradient, terms = trial.payload
        state = self._updated(state, direction, trial.step, gradient, trial.value)
        info = Info(trial.value, terms, True, norm, True, trial.step, evaluations=count)
        return params, state, info

    def _search(
        self, objective: Objective, params: Any, state: InverseHessianState, batch: Any, direction
    ) -> tuple[Trial | None, int]:
        return search(
            objective,
            params,
            batch,
            state.loss,
            state.gradient,
            direction,
            bool(state.fresh),
            self.evaluations,
            self.curvature,
        )

    def _at(self, objective, params, batch, inverse, fresh: bool = True) -> InverseHessianState:
        zero = np.zeros(len(inverse), inverse.dtype)
        _, gradient, terms = value_and_gradient(objective, params, zero, 0.0, batch)
        loss = np.asarray(sum(terms.values()), zero.dtype)
        return InverseHessianState(inverse, np.asarray(fresh), np.asarray(gradient), loss)

    def _forgotten(self, state: InverseHessianState) -> InverseHessianState:
        identity = jnp.eye(len(state.inverse), dtype=state.inverse.dtype)
        return InverseHessianState(identity, np.asarray(True), state.gradient, state.loss)

    def _updated(self, state, direction, length, gradient, loss) -> InverseHessianState:
        step, change = length * direction, gradient - state.gradient
        moved = InverseHessianState(
            state.inverse, state.fresh, gradient, np.asarray(loss, state.loss.dtype)
        )
        along = float(step @ change)
        least = np.finfo(step.dtype).eps * np.linalg.norm(step) * np.linalg.norm(change)
        # Where only the first Wolfe condition holds the pair may show no positive curvature.
        if not along > least:
            return moved
        first = along / float(change @ change) if state.fresh else 1.0
        image = first * np.asarray(_product(state.inverse, change))
        # H⁻¹s = −α ∇L, without a solve.
        b = -length * float(step @ state.gradient) / along / first
        h = float(change @ image) / along
        if not (b > 0 and h > 0 and np.isfinite(b * h)):
            return self._forgotten(moved)
        tau, phi = self.scaling(b, h, len(step))
        inverse = _rank_two(
            state.inverse,
            step,
            image,
            np.array(
                [
                    first / tau,
                    phi * h / (tau * along) + 1 / along,
                    -phi / (tau * along),
                    (phi - 1) / (tau * h * along),
                ],
                step.dtype,
            ),
        )
        return InverseHessianState(inverse, np.asarray(False), moved.gradient, moved.loss)


class SelfScaledBFGS(SelfScaled):
    """BFGS with Al-Baali's scaling: φ = 1, τ = min(1, yᵀs / sᵀH⁻¹s).

    H is dense: P² numbers. Line search by the strong Wolfe conditions. On another batch H is kept,
    as long as it is positive definite; if no step is found it is reset to the identity and steepest
    descent is tried once; if that fails too, `Info.accepted` is false.

    **Arguments**

    - `curvature`: c₂ of the Wolfe conditions; a small one makes the line search exact.
    - `evaluations`: most losses in a line search.
    - `memory`: most bytes of H, twice; `init` raises `ValueError` beyond it.

    Sources: Al-Baali, 1998; Urbán, Stefanou and Pons, 2025, equation 11.
    """

    curvature: float = eqx.field(static=True, default=0.9)
    evaluations: int = eqx.field(static=True, default=25)
    memory: float = eqx.field(static=True, default=4e9)

    def __check_init__(self):
        _check(self)

    def scaling(self, b: float, h: float, size: int) -> tuple[float, float]:
        return min(1.0, 1.0 / b), 1.0


class SelfScaledBroyden(SelfScaled):
    """Broyden's family with Al-Baali's scaling and choice between BFGS and DFP.

    With b = sᵀH⁻¹s/yᵀs, h = yᵀHy/yᵀs, a = bh − 1, c = (a/(1 + a))^½ and ρ = min(1, h(1 − c)),

        θ = max((ρ − 1)/a, min(1/ρ, (1 − b)/b)), σ = 1 + θa, φ = (1 − θ)/σ,
        τ = min(1, 1/b) · min(σ^(−1/(P−1)), 1/θ)        for θ > 0,
        τ = min(min(1, 1/b) · σ^(−1/(P−1)), σ)          for θ ≤ 0.

    Arguments, line search and resets as `SelfScaledBFGS`. The most accurate of the quasi-Newton
    methods on residual losses: a few thousand steps of Adam, then this.

    Sources: Al-Baali and Khalfan, 2005; Urbán, Stefanou and Pons, 2025, equations 13–23.
    """

    curvature: float = eqx.field(static=True, default=0.9)
    evaluations: int = eqx.field(static=True, default=25)
    memory: float = eqx.field(static=True, default=4e9)

    def __check_init__(self):
        _check(self)

    def scaling(self, b: float, h: float, size: int) -> tuple[float, float]:
        # By Cauchy's inequality a ≥ 0; where it vanishes all of the family are the same.
        a = max(b * h - 1.0, 0.0)
        bound = min(1.0, 1.0 / b)
        if a < 1e-12:
            return bound, 1.0
        rho = min(1.0, h * (1.0 - (a / (1.0 + a)) ** 0.5))
        theta = max((rho - 1.0) / a, min(1.0 / rho, (1.0 - b) / b))
        sigma = 1.0 + theta * a
        spread = sigma ** (-1.0 / (size - 1)) if size > 1 else 1.0
        if theta > 0:
            return bound * min(spread, 1.0 / theta), (1.0 - theta) / sigma
        return min(bound * spread, sigma), (1.0 - theta) / sigma


def _check(optimizer: SelfScaled) -> None:
    if not 1e-4 <= optimizer.curvature < 1 or optimizer.evaluations < 1:
        raise ValueError(
            f"{type(optimizer).__name__} needs 1e-4 ≤ curvature < 1 and evaluations of at least "
            f"1, got {optimizer.curvature!r}, {optimizer.evaluations!r}."
        )


@jax.jit
def _product(matrix, vector):
    return matrix @ vector


@jax.jit
def _rank_two(inverse, step, image, weights):
    """One pass over H: w₀ H + w₁ ssᵀ + w₂ (suᵀ + usᵀ) + w₃ uuᵀ."""
    cross = step[:, None] * image[None, :] + image[:, None] * step[None, :]
    square = weights[1] * step[:, None] * step[None, :]
    other = weights[3] * image[:, None] * image[None, :]
    return weights[0] * inverse + square + weights[2] * cross + other


@jax.jit
def _symmetric(matrix):
    """The symmetric part, and whether it is positive definite."""
    symmetric = 0.5 * (matrix + matrix.T)
    return symmetric, jnp.all(jnp.isfinite(jnp.linalg.cholesky(symmetric)))
