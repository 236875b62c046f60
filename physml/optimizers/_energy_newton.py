"""Damped Gauss–Newton for energies: θ ← θ − (H + λ I)⁻¹ ∇E with H from the energy's own metric."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree

from ._objective import Objective
from ._optimizer import Info, Optimizer, as_floats, check_float64, check_params


class EnergyState(NamedTuple):
    """λ of the last step, 0 at the start."""

    damping: np.ndarray


class CurvedObjective(Objective):
    """An objective that knows a positive semi-definite part of its Hessian."""

    @abc.abstractmethod
    def linearised(self, params: Any, batch: Any) -> tuple[Any, Any]:
        """∇E (P,) and H (P, P)."""


class EnergyNewton(Optimizer):
    """Energy natural gradient with Levenberg–Marquardt damping.

    λ falls by `factor` after each step whose actual reduction is at least `accept` of the
    predicted one, ½ dᵀ∇E + ½ λ|d|², and grows by it until one is.

    Source: Müller and Zeinhofer (2023), Achieving high accuracy with PINNs via energy natural
    gradients.

    Arguments:
        damping: λ of the first step, relative to the mean of H's diagonal. probes: λ tried a step.

    Raises:
        TypeError: an objective without `linearised`, or parameters in single precision.
    """

    damping: float = eqx.field(static=True, default=1e-3)
    factor: float = eqx.field(static=True, default=5.0)
    accept: float = eqx.field(static=True, default=0.1)
    probes: int = eqx.field(static=True, default=12)

    def init(self, objective: Objective, params: Any, batch: Any) -> EnergyState:
        check_params(params)
        check_float64(params, "EnergyNewton")
        if not isinstance(objective, CurvedObjective):
            raise TypeError(
                "EnergyNewton needs an objective that knows its curvature, such as an energy, got "
                f"{type(objective).__name__}; minimise a scalar loss by Adam or LBFGS."
            )
        return EnergyState(np.zeros(()))

    def step(
        self, objective: Objective, params: Any, state: EnergyState, batch: Any
    ) -> tuple[Any, EnergyState, Info]:
        terms, gradient, matrix = _linearise(objective, params, batch)
        before = as_floats(terms)
        energy = sum(before.values())
        g, h = np.asarray(gradient), np.asarray(matrix)
        mean, largest = float(np.trace(h)) / len(h), float(np.diagonal(h).max())
        smallest = np.finfo(float).eps * largest
        damping = max(float(state.damping) / self.factor or self.damping * mean, smallest)
        info = Info(energy, before, after=True, gradient_norm=float(np.linalg.norm(g)))
        info = info._replace(linear_solver=f"Cholesky of the energy's metric ({len(h)})")
        for count in range(1, self.probes + 1):
            direction = _solved(h, g, damping)
            if direction is not None:
                predicted = 0.5 * float(direction @ g) + 0.5 * damping * float(
                    direction @ direction
                )
                moved, after = _moved(objective, params, direction, batch)
                found = as_floats(jax.device_get(after))
                reduction = energy - sum(found.values())
                if np.isfinite(reduction) and reduction >= self.accept * predicted > 0:
                    info = info._replace(
                        loss=sum(found.values()), terms=found, damping=damping, evaluations=count
                    )
                    return moved, EnergyState(np.asarray(damping)), info
            damping *= self.factor**2
        info = info._replace(accepted=False, damping=damping, evaluations=self.probes)
        return params, EnergyState(np.asarray(damping)), info

    def rebatch(
        self, objective: Objective, params: Any, state: EnergyState, batch: Any
    ) -> EnergyState:
        return state


def _solved(matrix: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray | None:
    shifted = matrix + damping * np.eye(len(matrix))
    try:
        factor = scipy.linalg.cho_factor(shifted, lower=True, overwrite_a=True)
    except (np.linalg.LinAlgError, ValueError):
        return None
    return scipy.linalg.cho_solve(factor, gradient)


@eqx.filter_jit
def _linearise(objective: Any, params: Any, batch: Any):
    return (objective.terms(params, batch), *objective.linearised(params, batch))


@eqx.filter_jit
def _moved(objective: Objective, params: Any, direction: Any, batch: Any):
    theta, unravel = ravel_pytree(params)
    moved = unravel(theta - jnp.asarray(direction))
    return moved, objective.terms(moved, batch)
