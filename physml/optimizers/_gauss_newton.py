"""Gauss–Newton with a trust region: Levenberg–Marquardt, also called energy natural gradient."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from ._linear_algebra import check_solver, factorise
from ._linearised import (
    check_jacobian,
    gradient_norm,
    linearise,
    moved,
    slope,
)
from ._objective import Objective
from ._optimizer import Info, Optimizer, as_floats

# The curvature of r is read off so far along a step; a step that would bend more stays straight.
_LOOKAHEAD, _BEND = 0.1, 1.0
# Beyond such a λ, relative to max diag JᵀJ, a step is too short to tell two losses apart.
_LARGEST = 1e8


class DampingState(eqx.Module):
    """λ of the last step that was accepted; 0 before the first."""

    damping: np.ndarray


class GaussNewton(Optimizer):
    """Damped Gauss–Newton, θ ← θ − (JᵀJ + λI)⁻¹ Jᵀ r, for a loss ‖r‖² in float64.

    λ follows the largest trust region that can be trusted: from one Jacobian several λ are
    probed, each `factor` below the last, while the reduction of the loss is at least `accept` of
    the one that the linear model predicts; the smallest such λ is taken, not the one of the
    lowest loss. Where the first probe fails λ grows until one succeeds.

    **Arguments**

    - `damping`: first λ, relative to the mean diagonal of JᵀJ.
    - `factor`: ratio of neighbouring λ.
    - `accept`: least ratio of actual to predicted reduction.
    - `probes`: most values of λ tried in one step.
    - `solver`: "cholesky" (normal equations, or J Jᵀ + λI by Woodbury's identity where residuals
      are fewer than parameters), "qr" (twice the digits), "svd", or "auto":
      Cholesky until λ nears its round-off, then QR. Told in `Info.linear_solver`.
    - `geodesic`: bend each step by the second derivative of r along it, for one more evaluation
      and solve; it follows the curved valleys of a network's loss many times faster.
    - `memory`: most bytes of the Jacobian; `init` raises `ValueError` beyond it.

    Sources: Levenberg, 1944; Marquardt, 1963; Transtrum and Sethna, 2012 (geodesic acceleration);
    Müller and Zeinhofer, 2023 (energy natural gradient).
    Raises `TypeError` for an objective without residuals or parameters that are not float64.
    """

    damping: float = eqx.field(static=True, default=1e-3)
    factor: float = eqx.field(static=True, default=4.0)
    accept: float = eqx.field(static=True, default=0.075)
    probes: int = eqx.field(static=True, default=12)
    solver: str = eqx.field(static=True, default="auto")
    geodesic: bool = eqx.field(static=True, default=True)
    memory: float = eqx.field(static=True, default=4e9)

    def __check_init__(self):
        check_solver(self.solver)
        if not self.damping > 0 or not self.factor > 1 or not 0 < self.accept < 1:
            raise ValueError(
                "Gauss–Newton needs damping > 0, factor > 1 and 0 < accept < 1, got "
                f"{self.damping!r}, {self.factor!r}, {self.accept!r}."
            )

    def init(self, objective: Objective, params: Any, batch: Any) -> DampingState:
        check_jacobian(objective, params, batch, "Gauss–Newton", self.memory)
        return DampingState(np.zeros(()))

    def step(
        self, objective: Objective, params: Any, state: DampingState, batch: Any
    ) -> tuple[Any, DampingState, Info]:
        residual, jacobian, terms = linearise(objective, params, batch)
        before = as_floats(terms)
        loss = sum(before.values())
        norm = float(gradient_norm(jacobian, residual))
        system = factorise(self.solver, jacobian, residual, float(state.damping))
        start = float(state.damping) or self.damping * system.mean

        def attempt(damping: float):
            solution = system.solve(damping)
            if solution is None:
                return None
            step = self._bent(solution, objective, params, batch, residual, jacobian)
            return self._trial(step, solution.prediction, objective, params, batch, loss)

        best, damping, count = self._probe(
            attempt, start, system.smallest_damping, _LARGEST * system.largest
        )
        info = Info(
            loss,
            before,
            after=True,
            gradient_norm=norm,
            accepted=best is not None,
            damping=damping,
            evaluations=count + 1,
            linear_solver=system.name,
        )
        if best is not None:
            params, after = best
            info = info._replace(loss=sum(after.values()), terms=after)
        return params, DampingState(np.asarray(damping)), info

    def rebatch(
        self, objective: Objective, params: Any, state: DampingState, batch: Any
    ) -> DampingState:
        return state

    def _probe(self, attempt, start, smallest, largest):
        """The boldest step that the linear model predicts well, its λ, and how many were tried."""
        best, chosen = None, start
        first = damping = max(start / self.factor, smallest)
        for count in range(1, self.probes + 1):
            trial = attempt(damping)
            if trial is not None:
                best, chosen = trial, damping
                bolder = max(damping / self.factor, smallest)
                if damping > first or bolder == damping:
                    return best, chosen, count
                first = damping = bolder
            elif best is not None:
                return best, chosen, count
            else:
                # Each failure in a row makes a larger stride: a first guess may be far off.
                damping *= self.factor**count
                if damping > largest:
                    return None, largest, count
        return best, chosen if best is not None else damping, self.probes

    def _bent(self, solution, objective, params, batch, residual, jacobian):
        """The step along the parabola that follows the curvature of r, or the straight one.

        Along v = −d the residual has the second derivative r_vv, and the acceleration
        a = −(JᵀJ + λI)⁻¹ Jᵀ r_vv bends the step to v + ½a. It is by differences of r, exact
        enough for a correction.
        """
        direction = solution.direction
        if not self.geodesic:
            return direction
        h = _LOOKAHEAD
        _, _, ahead = moved(objective, params, h * direction, batch)
        # In NumPy: operation by operation JAX would compile each for every number of points.
        bend = (np.asarray(ahead) - np.asarray(residual)) / h
        curvature = 2 / h * (bend + np.asarray(slope(jacobian, direction)))
        if not np.all(np.isfinite(curvature)):
            return direction
        acceleration = solution.again(curvature)
        if np.linalg.norm(acceleration) > _BEND * np.linalg.norm(direction):
            return direction
        return direction + 0.5 * acceleration

    def _trial(self, step, prediction, objective, params, batch, loss):
        there, terms, _ = moved(objective, params, step, batch)
        after = as_floats(jax.device_get(terms))
        reduction = loss - sum(after.values())
        if not np.isfinite(reduction) or not reduction >= self.accept * prediction > 0:
            return None
        return there, after
