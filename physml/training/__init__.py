"""Training: optimizers in phases, within a budget, guarded, recorded, and resumable.

    result = train(
        objective, params, [Phase(Adam(1e-3), steps=500), GaussNewton()],
        sampler=sampler,                      # (key, params, step) -> batch; or batch=batch
        run=Run(seconds=60, resample_every=20, checkpoint="runs/mine", fingerprint="burgers v1"),
    ).check()                                 # raises SolverError if the loss became non-finite
    model = combine(result.params, static)

- `train(objective, params, optimizers, *, batch=None, sampler=None, run) -> TrainingResult`.
- `Phase(optimizer, steps=None, seconds=None)`: an optimizer with limits of its own.
- `Run(steps, seconds, total_seconds, seed, resample_every, target_loss, patience, improvement, log,
  log_every, checkpoint, checkpoint_every, resume, fingerprint, progress, monitor, monitor_every)`:
  all optional, but the run must have an end. `seconds` does not count compilation nor the monitor.
- `TrainingResult`: params, loss, terms, status, message, steps, seconds, compile_seconds, history
  (n, 3) of seconds, step, loss; monitored, batch, notes; `.check()`.
- `ResidualAdaptive(candidates, residual, count, complete=None, power=1, offset=1)` is a sampler;
  `residual_adaptive(key, candidates, magnitude, count, power=1, offset=1)` is its draw.
- `CheckpointError`: a folder that can't be written, a file that can't be read, another run's file.
"""

from ._checkpoint import CheckpointError
from ._run import Phase, Run, TrainingResult
from ._sampling import ResidualAdaptive, residual_adaptive
from ._train import train

__all__ = [
    "CheckpointError",
    "Phase",
    "ResidualAdaptive",
    "Run",
    "TrainingResult",
    "residual_adaptive",
    "train",
]
