"""Training: optimizers in phases, within a budget, guarded, recorded, and resumable.

    result = train(
        objective, params, [Phase(Adam(1e-3), steps=500), GaussNewton()],
        sampler=sampler,                      # (key, params, step) -> batch; or batch=batch
        run=Run(seconds=60, resample_every=20, checkpoint="runs/mine", fingerprint="burgers v1"),
    ).check()                                 # raises SolverError if the loss became non-finite
    model = combine(result.params, static)

- `train(objective, params, optimizers, *, batch=None, sampler=None, validation=None,
  weighting=None, run) -> TrainingResult`.
- `Phase(optimizer, steps=None, seconds=None)`: an optimizer with limits of its own.
- `Run(steps, seconds, total_seconds, seed, resample_every, target_loss, patience, improvement, log,
  log_every, checkpoint, checkpoint_every, resume, fingerprint, progress, monitor, monitor_every)`:
  all optional, but the run must have an end. `seconds` does not count compilation nor the monitor.
- `TrainingResult`: params, loss, terms, status, message, steps, seconds, compile_seconds, history
  (n, 3) of seconds, step, loss; monitored, batch, notes; `.check()`.
- `ResidualAdaptive(candidates, residual, count, complete=None, power=1, offset=1)` is a sampler;
  `residual_adaptive(key, candidates, magnitude, count, power=1, offset=1)` is its draw.
- `Resampler`: a sampler whose later batches follow from the one before. `residual_refined` (RAR,
  RAR-D) and `retain_resample_release` (R3) are what `PINN(sampling="rar" | "rar-d" | "r3")` uses.
- `train(…, weighting=…)`: `Causal`, `GradientNorm`, `NTK`, `ResidualAttention` (vRBA) and
  `SelfAdaptive` adapt the weights of blocks or points; each is a `Weighting`.
- `Phase(…, dtype="float32")`: a phase in single precision.
- `CheckpointError`: a folder that can't be written, a file that can't be read, another run's file.
"""

from ._balance import NTK, GradientNorm
from ._causal import Causal
from ._checkpoint import CheckpointError
from ._pointwise import ResidualAttention, SelfAdaptive
from ._run import Phase, Run, TrainingResult
from ._sampling import (
    Resampler,
    ResidualAdaptive,
    residual_adaptive,
    residual_refined,
    retain_resample_release,
)
from ._train import train
from ._weighting import Weighting, Weights

__all__ = [
    "NTK",
    "Causal",
    "CheckpointError",
    "GradientNorm",
    "Phase",
    "Resampler",
    "ResidualAdaptive",
    "ResidualAttention",
    "Run",
    "SelfAdaptive",
    "TrainingResult",
    "Weighting",
    "Weights",
    "residual_adaptive",
    "residual_refined",
    "retain_resample_release",
    "train",
]
