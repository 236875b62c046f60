"""What a training run is told, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from physml.optimizers import Optimizer
from solvers import SolverError

Status = Literal["steps", "seconds", "target", "plateau", "stalled", "non_finite"]


@dataclasses.dataclass(frozen=True)
class Phase:
    """One optimizer for part of a run.

    It ends after `steps` steps or `seconds` seconds (`None`: no limit of its own), at a plateau, or
    when the optimizer finds no step; then the next one starts. With `dtype="float32"` a step is
    computed in single precision, its parameters, batch and the objective's arrays: a first-order
    optimizer starts in it, at half the memory traffic, and the next phase goes on in full.
    """

    optimizer: Optimizer
    steps: int | None = None
    seconds: float | None = None
    dtype: str | None = None

    def __post_init__(self):
        _check_limits(self.steps, self.seconds)
        if self.dtype not in (None, "float32", "float64"):
            raise ValueError(f"a phase's dtype is 'float32', 'float64' or None, got {self.dtype!r}")


@dataclasses.dataclass(frozen=True)
class Run:
    """Budget, data, early stop, records and checkpoints of a training run.

    - `steps`, `seconds`: budget of all phases; seconds do not count compilation or the monitor.
    - `total_seconds`: budget with compilation counted too.
    - `seed`: of the sampler's keys.
    - `resample_every`: steps between calls of the sampler (`None`: only the first batch).
    - `target_loss`: stop when the loss is at or below it.
    - `patience`: a phase has reached its plateau when in so many steps the lowest loss fell by
      less than `improvement` (a fraction of it).
    - `average`: return the mean of a phase's parameters in place of the last ones, the k-th step
      weighted by k (k + 1) (k + 2), which takes out the noise of batches that change (Shamir and
      Zhang, 2013).
    - `log`: path of a JSON-lines file; a line every `log_every` steps.
    - `checkpoint`: folder; saved every `checkpoint_every` seconds and at the end. `resume`: go on
      from the one found there (if any). `fingerprint`: any text that identifies the problem and
      the settings; a checkpoint with another one is refused.
    - `notes`: choices that were made before, for the first line of the log.
    - `progress`: show a bar.
    - `monitor`: `(params, seconds, step) -> dict of numbers or None`, called at the start, every
      `monitor_every` seconds and at the end; its time is not counted.
    """

    steps: int | None = None
    seconds: float | None = None
    total_seconds: float | None = None
    seed: int = 0
    resample_every: int | None = None
    target_loss: float | None = None
    patience: int | None = None
    improvement: float = 1e-3
    average: bool = False
    log: str | Path | None = None
    log_every: int = 1
    checkpoint: str | Path | None = None
    checkpoint_every: float = 30.0
    resume: bool = True
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    progress: bool = False
    monitor: Callable[[Any, float, int], dict[str, float] | None] | None = None
    monitor_every: float = 1.0

    def __post_init__(self):
        _check_limits(self.steps, self.seconds, self.total_seconds)
        for name in ("resample_every", "patience", "log_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """Where a training run ended.

    Attributes:
        params: the parameters, always those of a finite loss; with a batch kept apart, the best on
            it.
        loss, terms: the loss and its terms at `params`, on the last batch.
        status: "steps", "seconds" (a budget was used up), "target", "plateau", "stalled" (the
            optimizer found no better step), or "non_finite" (`params` is the last good state).
        message: the same in words, with the remedy where there is one.
        steps, seconds, compile_seconds: of the whole run, resumed parts included.
        history: (n, 3), seconds, step and loss. monitored: what the monitor returned, each with
            "seconds" and "step" added.
        batch: the last batch. notes: choices that the optimizers made.
        weights: the last weights by block, where a weighting adapted them.
        evaluations: of the loss, its gradient or a product with its curvature, as the optimizers
            count them.
    """

    params: Any
    loss: float
    terms: dict[str, float]
    status: Status
    message: str
    steps: int
    seconds: float
    compile_seconds: float
    history: np.ndarray
    monitored: tuple[dict[str, float], ...]
    batch: Any
    notes: tuple[str, ...] = ()
    weights: dict[str, Any] | None = None
    evaluations: int = 0

    def check(self) -> TrainingResult:
        """Itself; raises `SolverError` if the loss became non-finite."""
        if self.status == "non_finite":
            raise SolverError("not_finite", self.message, tuple(self.history[-20:, 2]))
        return self


def as_phases(optimizers: Any) -> tuple[Phase, ...]:
    """Phases from an optimizer, a phase, or a sequence of either."""
    several = optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]
    phases = tuple(p if isinstance(p, Phase) else Phase(p) for p in several)
    if not phases:
        raise ValueError("train needs at least one optimizer, got none.")
    for phase in phases:
        if not isinstance(phase.optimizer, Optimizer):
            raise TypeError(
                "train takes an Optimizer, a Phase or a sequence of them, got "
                f"{type(phase.optimizer).__name__}; wrap a gradient transformation by "
                "physml.optimizers.Optax."
            )
    return phases


def check_budget(run: Run, phases: tuple[Phase, ...]) -> None:
    """Refuse a run without an end."""
    whole = (run.steps, run.seconds, run.total_seconds, run.target_loss, run.patience)
    if all(limit is None for limit in whole) and any(
        phase.steps is None and phase.seconds is None for phase in phases
    ):
        raise ValueError(
            "the run has no end: give steps, seconds or total_seconds to Run, or steps or seconds "
            "to each Phase."
        )


def _check_limits(steps: int | None, *seconds: float | None) -> None:
    if steps is not None and (isinstance(steps, bool) or steps != int(steps) or steps < 0):
        raise ValueError(f"steps must be a whole number of at least 0, got {steps!r}.")
    for value in seconds:
        if value is not None and not value > 0:
            raise ValueError(f"a budget in seconds must be > 0, got {value!r}.")
