"""Energy natural gradient with the momentum of SPRING and a line search on a grid."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from ._linear_algebra import check_solver, factorise
from ._linearised import (
    check_jacobian,
    gradient_norm,
    linearise,
    losses_along,
    moved,
    slope,
)
from ._objective import Objective
from ._optimizer import Info, Optimizer, as_floats

# Residuals of so many steps without an improvement are no reason for an ever larger λ.
_LARGEST = 1e12


class MomentumState(eqx.Module):
    """The last direction d (P,), and what λ is multiplied by after steps that failed."""

    direction: np.ndarray
    caution: np.ndarray


class EnergyNaturalGradient(Optimizer):
    """Energy natural gradient with momentum, θ ← θ − η d, for a loss ‖r‖² in float64.

        d = μ d⁻ + (JᵀJ + λI)⁻¹ Jᵀ (r − μ J d⁻),   λ = damping · ‖r‖²,

    which is the d nearest to μ d⁻ of those that solve the linear model (SPRING); μ = 0 and η = 1
    give Levenberg–Marquardt with the λ of Yamashita and Fukushima, quadratic near a solution
    without residual. η is the best of 1, ½, ¼, … (`probes` of them). If none reduces the loss, the
    momentum is dropped, λ grows tenfold, and `Info.accepted` is false.

    `GaussNewton` chooses λ by a trust region, for more solves a step; this is the cheaper step.

    **Arguments**

    - `damping`: λ relative to the loss. `momentum`: μ in [0, 1).
    - `probes`: step lengths tried.
    - `solver`, `memory`: as `GaussNewton`.

    Sources: Müller and Zeinhofer, 2023; Goldshlager, Abrahamsen and Lin, 2024 (SPRING);
    Yamashita and Fukushima, 2001. Raises as `GaussNewton`.
    """

    damping: float = eqx.field(static=True, default=0.1)
    momentum: float = eqx.field(static=True, default=0.5)
    probes: int = eqx.field(static=True, default=16)
    solver: str = eqx.field(static=True, default="auto")
    memory: float = eqx.field(static=True, default=4e9)

    def __check_init__(self):
        check_solver(self.solver)
        if not self.damping > 0 or not 0 <= self.momentum < 1 or self.probes < 1:
            raise ValueError(
                "EnergyNaturalGradient needs damping > 0, 0 ≤ momentum < 1 and probes of at least "
                f"1, got {self.damping!r}, {self.momentum!r}, {self.probes!r}."
            )

    def init(self, objective: Objective, params: Any, batch: Any) -> MomentumState:
        _, size = check_jacobian(objective, params, batch, "EnergyNaturalGradient", self.memory)
        return MomentumState(np.zeros(size), np.ones(()))

    def step(
        self, objective: Objective, params: Any, state: MomentumState, batch: Any
    ) -> tuple[Any, MomentumState, Info]:
        residual, jacobian, terms = linearise(objective, params, batch)
        before = as_floats(terms)
        loss = sum(before.values())
        carried = self.momentum * state.direction
        remainder = residual - slope(jacobian, carried)
        damping = self.damping * float(state.caution) * loss
        system = factorise(self.solver, jacobian, remainder, damping)
        damping = max(damping, system.smallest_damping)
        solution = system.solve(damping)
        info = Info(
            loss,
            before,
            after=True,
            gradient_norm=float(gradient_norm(jacobian, residual)),
            accepted=False,
            step_size=0.0,
            damping=damping,
            evaluations=1 + self.probes,
            linear_solver=system.name,
        )
        if solution is not None:
            direction = carried + solution.direction
            lengths = 0.5 ** np.arange(self.probes, dtype=float)
            losses = np.asarray(losses_along(objective, params, direction, lengths, batch))
            best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
            if losses[best] < loss:
                params, terms, _ = moved(objective, params, lengths[best] * direction, batch)
                after = as_floats(terms)
                info = info._replace(
                    loss=sum(after.values()),
                    terms=after,
                    accepted=True,
                    step_size=float(lengths[best]),
                )
                caution = np.asarray(max(1.0, float(state.caution) / 10))
                return params, MomentumState(direction, caution), info
        caution = np.asarray(min(_LARGEST, 10 * float(state.caution)))
        return params, MomentumState(np.zeros_like(state.direction), caution), info

    def rebatch(
        self, objective: Objective, params: Any, state: MomentumState, batch: Any
    ) -> MomentumState:
        """The direction is kept: what it solved is corrected by the residuals of the new batch."""
        return state
