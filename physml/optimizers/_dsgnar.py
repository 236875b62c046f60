"""Doubly sketched Gauss–Newton with the largest trust radius that the loss admits."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ._linear_algebra import TrustRegion
from ._linearised import check_residuals
from ._memory import check_memory
from ._objective import Objective
from ._optimizer import Info, Optimizer, as_floats
from ._sketch import ColumnSketch, RowSketch


class RadiusState(eqx.Module):
    """The trust radius of the last step, and the number of steps, which the sketches follow."""

    radius: np.ndarray
    steps: np.ndarray


class DSGNAR(Optimizer):
    """Gauss–Newton on a doubly sketched Jacobian, for a loss ‖r‖² in float64.

    The parameters move in a random subspace, θ ← θ − S z, S (P, m) a subsampled randomised cosine
    transform, new at each step, and the rows of J S are hashed to q (a sparse sign embedding T):

        z = argmin ‖T(r − J S z)‖  over  ‖z‖ ≤ Δ,

    from one singular value decomposition of T J S for all radii. Δ runs down a logarithmic grid
    from `growth` times the last radius, and the first whose reduction of the loss is at least
    `accept` of what r − J S z predicts is taken: the largest, not the one of the lowest loss. J is
    never held: `init` needs N·m numbers. With m ≥ P and q ≥ N there is no sketch, and the step is
    that of Levenberg and Marquardt with ‖d‖ = Δ.

    **Arguments**

    - `size`: m. `oversampling`: q/m.
    - `accept`: least ratio of actual to predicted reduction.
    - `radius`: Δ before the first step. `growth`: of Δ at most, in one step.
    - `probes`: radii of the grid, `ratio` their ratio.
    - `smallest`: a radius at which nothing is left to gain: below it `Info.accepted` is false.
    - `seed`: of the sketches. `memory`: most bytes of J S and its decomposition.

    Sources: Nocedal and Wright, 2006, section 4.3 (secular equation); Halko, Martinsson and Tropp,
    2011, and Cohen, 2016 (the sketches). Raises as `GaussNewton`.
    """

    size: int = eqx.field(static=True, default=800)
    oversampling: float = eqx.field(static=True, default=2.0)
    accept: float = eqx.field(static=True, default=0.075)
    radius: float = eqx.field(static=True, default=1.0)
    growth: float = eqx.field(static=True, default=8.0)
    probes: int = eqx.field(static=True, default=40)
    ratio: float = eqx.field(static=True, default=1.6)
    smallest: float = eqx.field(static=True, default=1e-8)
    seed: int = eqx.field(static=True, default=0)
    memory: float = eqx.field(static=True, default=4e9)

    def __check_init__(self):
        if self.size < 1 or self.oversampling < 1 or self.probes < 1:
            raise ValueError(
                "DSGNAR needs size, oversampling and probes of at least 1, got "
                f"{self.size!r}, {self.oversampling!r}, {self.probes!r}."
            )
        if not (0 < self.accept < 1 and self.radius > 0 and self.growth > 1 and self.ratio > 1):
            raise ValueError(
                "DSGNAR needs 0 < accept < 1, radius > 0, growth > 1 and ratio > 1, got "
                f"{self.accept!r}, {self.radius!r}, {self.growth!r}, {self.ratio!r}."
            )

    def init(self, objective: Objective, params: Any, batch: Any) -> RadiusState:
        rows, columns = check_residuals(objective, params, batch, "DSGNAR")
        kept, hashed = self._sizes(rows, columns)
        check_memory(
            8.0 * kept * (rows + 3 * hashed),
            self.memory,
            f"the sketch of the Jacobian of {rows} residuals, {kept} of {columns} columns, and its "
            "decomposition",
            "use a smaller size, fewer points, more memory, or HessianFree or LBFGS, which store "
            "vectors",
        )
        return RadiusState(np.asarray(self.radius), np.zeros((), np.int64))

    def step(
        self, objective: Objective, params: Any, state: RadiusState, batch: Any
    ) -> tuple[Any, RadiusState, Info]:
        sketched = _sketched(self, objective, params, state.steps, batch)
        columns, (residual, reduced), (hashed, right), terms, norm = sketched
        before = as_floats(terms)
        loss = sum(before.values())
        system = TrustRegion(np.asarray(hashed), np.asarray(right))
        name = f"SVD by LAPACK of J sketched to {hashed.shape[0]}×{hashed.shape[1]}"
        rows, size = reduced.shape[0], columns.size
        info = Info(
            loss,
            before,
            after=True,
            gradient_norm=float(norm),
            accepted=False,
            step_size=0.0,
            linear_solver=f"{name} of {rows}×{size}",
        )
        steps = np.asarray(state.steps + 1)
        radius = min(self.growth * float(state.radius), system.longest)
        for count in range(1, self.probes + 1):
            if radius < self.smallest:
                break
            point, damping = system.solve(radius)
            there, after, predicted = _trial(
                objective, params, columns, jnp.asarray(point), residual, reduced, batch
            )
            values = as_floats(after)
            reduction = loss - sum(values.values())
            if np.isfinite(reduction) and reduction >= self.accept * float(predicted) > 0:
                info = info._replace(
                    loss=sum(values.values()),
                    terms=values,
                    accepted=True,
                    step_size=radius,
                    damping=damping,
                    evaluations=count + 1,
                )
                return there, RadiusState(np.asarray(radius), steps), info
            radius /= self.ratio
        # Another sketch may do better: not below what stops it for good.
        radius = max(radius, self.smallest)
        return (
            params,
            RadiusState(np.asarray(radius), steps),
            info._replace(evaluations=1 + self.probes),
        )

    def rebatch(
        self, objective: Objective, params: Any, state: RadiusState, batch: Any
    ) -> RadiusState:
        return state

    def _sizes(self, rows: int, columns: int) -> tuple[int, int]:
        kept = min(self.size, columns)
        return kept, min(rows, int(self.oversampling * kept))


@eqx.filter_jit
def _sketched(optimizer: DSGNAR, objective, params, steps, batch):
    """S; r and J S; T r and T J S; the terms; the gradient's norm, in the subspace of S."""
    theta, _ = ravel_pytree(params)
    first, second = jax.random.split(jax.random.fold_in(jax.random.key(optimizer.seed), steps))
    columns = ColumnSketch(theta.size, optimizer.size, first)
    pairs = {
        name: block.jacobian(params, columns.project)
        for name, block in objective.blocks(batch).items()
    }
    residual = jnp.concatenate([r for r, _ in pairs.values()])
    reduced = jnp.concatenate([j for _, j in pairs.values()])
    _, hashed = optimizer._sizes(*reduced.shape)
    rows = RowSketch(len(residual), hashed, second)
    terms = {name: jnp.sum(r**2) for name, (r, _) in pairs.items()}
    norm = 2 * jnp.linalg.norm(reduced.T @ residual)
    return columns, (residual, reduced), (rows.apply(reduced), rows.apply(residual)), terms, norm


@eqx.filter_jit
def _trial(objective, params, columns: ColumnSketch, point: Array, residual, reduced, batch):
    """Parameters and terms at θ − S z, and the reduction that r − J S z predicts."""
    theta, unravel = ravel_pytree(params)
    there = unravel(theta - columns.lift(point))
    left = residual - reduced @ point
    return there, objective.terms(there, batch), residual @ residual - left @ left
