"""The loop: phases of optimizers within a budget, guarded, recorded and resumable."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from physml.optimizers import Info, Objective, Optimizer
from physml.optimizers._linearised import moved

from . import _checkpoint
from ._checkpoint import CheckpointError
from ._data import Data, cast, precision
from ._diagnosis import name_non_finite
from ._loop import Loop, outcome
from ._records import Log, ProgressBar
from ._run import Phase, Run, Status, TrainingResult, as_phases, check_budget
from ._weighting import Weighting

_REJECTIONS = 3


def train(
    objective: Objective,
    params: Any,
    optimizers: Optimizer | Phase | list[Optimizer | Phase] | tuple[Optimizer | Phase, ...],
    *,
    batch: Any = None,
    sampler: Callable[[Any, Any, int], Any] | None = None,
    validation: Any = None,
    weighting: Weighting | None = None,
    run: Run,
) -> TrainingResult:
    """Minimise an objective by one optimizer, or by several in turn.

    **Arguments**

    - `objective`, `params`: see `physml.optimizers`; `params` holds floating-point arrays only.
    - `optimizers`: an `Optimizer`, a `Phase` (an optimizer with limits), or a sequence.
    - `batch`: the data, if it stays the same; else
    - `sampler`: `(key, params, step) -> batch` of fixed shapes, called at step 0 and every
      `run.resample_every` steps with a key that depends on `run.seed` and the step alone; or a
      `Resampler`, whose later batches follow from the one before.
    - `validation`: a batch kept apart, of the sampler's shapes. The result is then the state of the
      lowest loss on it, of those before each new batch and the last one: what fits the last batch
      alone is not returned.
    - `weighting`: weights that adapt to the residuals, such as `Causal()`. The loss is then the
      weighted one, save on the batch kept apart. An optimizer that remembers the last steps, such
      as L-BFGS, forgets them at each update: give the weighting an `every` of a hundred there.
    - `run`: budget, early stop, log, checkpoints.

    A step whose loss is not finite ends the run at the last good parameters with the status
    "non_finite" and the name of the term and place; `TrainingResult.check` makes it an exception.

    A run that is killed and started again with the same arguments and `run.checkpoint` goes on from
    the last checkpoint; with a budget in steps it reaches the same parameters bit by bit.

    Raises `ValueError` for a run without an end, `CheckpointError` for a folder that can't be
    written (before anything is computed) or a checkpoint of another run.
    """
    phases = as_phases(optimizers)
    check_budget(run, phases)
    if batch is not None and sampler is not None:
        raise ValueError("give either a fixed batch or a sampler, not both.")
    folder = None if run.checkpoint is None else Path(run.checkpoint)
    if folder is not None:
        _checkpoint.prepare_folder(folder)
    data = Data(objective, sampler, weighting, run.seed)
    kept = None if validation is None else data.unweighted(validation)
    trainer = _Trainer(data.objective, phases, data, kept, run, folder, precision(params))
    loop, resumed = trainer.begin(params, batch)
    log = Log(run.log, loop.step if resumed else None)
    if run.notes and not resumed:
        log.write(event="begin", step=0, notes=run.notes)
    bar = ProgressBar(run.progress, run.steps, run.seconds or run.total_seconds)
    try:
        return trainer.finish(loop, *trainer.advance(loop, log, bar), log)
    finally:
        bar.close()
        log.close()


@dataclasses.dataclass(frozen=True)
class _Trainer:
    objective: Objective
    phases: tuple[Phase, ...]
    data: Data
    validation: Any
    run: Run
    folder: Path | None
    dtype: str | None

    # --- start, resume, save

    def begin(self, params: Any, batch: Any) -> tuple[Loop, bool]:
        start = time.perf_counter()
        loop = Loop(params, None, batch)
        self.consider(loop)
        loop.batch = jax.block_until_ready(self.data.first(params, batch))
        self.set_precision(loop)
        found = (
            None if self.folder is None or not self.run.resume else _checkpoint.load(self.folder)
        )
        if found is not None:
            self.resume(loop, *found)
        else:
            loop.state = self.restarted(loop)
        self.warm_up(loop)
        loop.compile_seconds += time.perf_counter() - start
        return loop, found is not None

    def resume(self, loop: Loop, leaves: dict[str, Any], content: dict[str, Any]) -> None:
        record, structure = content["record"], content["structure"]
        for name, expected in self.identity().items():
            if record["identity"][name] != expected:
                raise CheckpointError(
                    f"the checkpoint in {self.folder} is of another run: its {name} is "
                    f"{record['identity'][name]!r}, this run's is {expected!r}. Use its settings, "
                    "another folder, or Run(resume=False) to start again over it."
                )
        for name in Loop.RECORDED:
            # Of an earlier version one may be missing.
            setattr(loop, name, record["loop"].get(name, getattr(loop, name)))
        self.set_precision(loop)
        loop.params = _checkpoint.restore(
            loop.params, leaves["params"], structure["params"], "params"
        )
        loop.batch = _checkpoint.restore(loop.batch, leaves["batch"], structure["batch"], "batch")
        template = self.restarted(loop)
        loop.state = _checkpoint.restore(
            template, leaves["state"], structure["state"], "optimizer state"
        )
        loop.best = _checkpoint.restore(loop.best, leaves["best"], structure["best"], "best")
        if self.run.average and loop.phase_step:
            loop.mean = _checkpoint.restore(
                loop.params, leaves.get("mean", []), structure.get("mean", []), "mean"
            )
        loop.history = [(float(s), int(k), float(l)) for s, k, l in leaves["history"][0]]

    def identity(self) -> dict[str, Any]:
        return {
            "fingerprint": self.run.fingerprint,
            "seed": self.run.seed,
            "optimizers": [
                type(part).__name__
                for part in (*(phase.optimizer for phase in self.phases), self.data.weighting)
                if part is not None
            ],
            "resample_every": self.run.resample_every,
        }

    def save(self, loop: Loop) -> None:
        if self.folder is None:
            return
        trees = {
            "params": loop.params,
            "state": loop.state,
            "batch": loop.batch,
            "best": loop.best,
            "mean": loop.mean,
            "history": np.asarray(loop.history, float).reshape(-1, 3),
        }
        record = {name: getattr(loop, name) for name in Loop.RECORDED}
        _checkpoint.save(self.folder, trees, {"identity": self.identity(), "loop": record})

    # --- pieces of a step

    def optimizer(self, loop: Loop) -> Optimizer:
        return self.phases[loop.phase].optimizer

    def precision(self, loop: Loop) -> str | None:
        return self.phases[loop.phase].dtype or self.dtype

    def set_precision(self, loop: Loop) -> None:
        loop.params = cast(loop.params, self.precision(loop))

    def seen(self, loop: Loop) -> tuple[Objective, Any]:
        """The objective and the batch in the precision of the phase."""
        if self.precision(loop) == self.dtype:
            return self.objective, loop.batch
        return cast((self.objective, loop.batch), self.precision(loop))

    def restarted(self, loop: Loop) -> Any:
        """The optimizer's first state at the parameters of the loop."""
        objective, batch = self.seen(loop)
        return self.optimizer(loop).init(objective, loop.params, batch)

    def consider(self, loop: Loop) -> None:
        """Keep the parameters if they are the best so far on the batch kept apart."""
        loop.best, loop.best_loss, loop.best_step = self.choice(loop)

    def choice(self, loop: Loop) -> tuple[Any, float, int]:
        """What would be returned now: parameters, loss on the batch kept apart, step."""
        params = cast(loop.params if loop.mean is None else loop.mean, self.dtype)
        if self.validation is None:
            return params, loop.best_loss, loop.step
        loss = _total(evaluated_terms(self.objective, params, self.validation))
        if loop.best is None or loss < loop.best_loss:
            return params, loss, loop.step
        return loop.best, loop.best_loss, loop.best_step

    def warm_up(self, loop: Loop) -> None:
        """Compile by the next step, which is kept unless points or weights are renewed."""
        if not self.exhausted(loop):
            objective, batch = self.seen(loop)
            loop.ahead = self.optimizer(loop).step(objective, loop.params, loop.state, batch)
            jax.block_until_ready(loop.ahead[0])

    def exhausted(self, loop: Loop) -> Status | None:
        run = self.run
        if run.steps is not None and loop.step >= run.steps:
            return "steps"
        if run.seconds is not None and loop.seconds >= run.seconds:
            return "seconds"
        total = loop.seconds + loop.compile_seconds
        if run.total_seconds is not None and total >= run.total_seconds:
            return "seconds"
        return None

    def phase_ended(self, loop: Loop) -> Status | None:
        phase, patience = self.phases[loop.phase], self.run.patience
        if phase.steps is not None and loop.phase_step >= phase.steps:
            return "steps"
        if phase.seconds is not None and loop.phase_seconds >= phase.seconds:
            return "seconds"
        if loop.rejections >= _REJECTIONS:
            return "stalled"
        if patience is not None and loop.step - loop.lowest_step >= patience:
            return "plateau"
        return None

    def next_phase(self, loop: Loop) -> None:
        start = time.perf_counter()
        loop.phase += 1
        loop.phase_step, loop.phase_seconds, loop.rejections = 0, 0.0, 0
        loop.lowest, loop.lowest_step = float("inf"), loop.step
        self.set_precision(loop)
        loop.state = self.restarted(loop)
        self.warm_up(loop)
        loop.compile_seconds += time.perf_counter() - start

    # --- the loop

    def advance(self, loop: Loop, log: Log, bar: ProgressBar) -> tuple[Status, str]:
        last_save = time.monotonic()
        next_monitor = loop.seconds
        good = loop.params
        try:
            while True:
                if loop.seconds >= next_monitor:
                    self.monitor(loop)
                    next_monitor = loop.seconds + self.run.monitor_every
                ended = self.exhausted(loop)
                # A step that is there already is taken, though the time is over.
                if ended is not None and (ended == "steps" or loop.ahead is None):
                    return ended, ""
                ended = self.phase_ended(loop)
                if ended is not None:
                    if loop.phase + 1 == len(self.phases):
                        return ended, ""
                    self.next_phase(loop)
                    continue
                given = loop.params
                info = self.step(loop)
                if not (np.isfinite(info.loss) and np.isfinite(info.gradient_norm)):
                    bad = loop.params if np.isfinite(info.loss) else given
                    loop.params = good
                    self.rewind(loop)
                    return "non_finite", self.named(loop, good, bad)
                good = loop.params if info.after else given
                if self.run.average:
                    loop.average()
                self.record(loop, info, log, bar)
                if self.run.target_loss is not None and info.loss <= self.run.target_loss:
                    if not info.after:
                        loop.params = given
                    return "target", ""
                if time.monotonic() - last_save >= self.run.checkpoint_every:
                    self.save(loop)
                    last_save = time.monotonic()
        except KeyboardInterrupt:
            self.save(loop)
            raise

    def step(self, loop: Loop) -> Info:
        start = time.perf_counter()
        optimizer, renewed = self.optimizer(loop), self.renewed(loop)
        objective, batch = self.seen(loop)
        if renewed:
            loop.state = optimizer.rebatch(objective, loop.params, loop.state, batch)
        ahead, loop.ahead = loop.ahead, None
        if ahead is None or renewed:
            ahead = optimizer.step(objective, loop.params, loop.state, batch)
        params, loop.state, info = ahead
        loop.params = jax.block_until_ready(params)
        loop.step += 1
        loop.phase_step += 1
        elapsed = time.perf_counter() - start
        loop.seconds += elapsed
        loop.phase_seconds += elapsed
        return info

    def renewed(self, loop: Loop) -> bool:
        """New points or weights where they are due; whether there are."""
        every, step = self.run.resample_every, loop.step
        if self.data.sampler is not None and every is not None and step and step % every == 0:
            if self.validation is not None:
                self.consider(loop)
            loop.batch = self.data.again(cast(loop.params, self.dtype), step, loop.batch)
        elif self.data.due(step):
            loop.batch = self.data.reweighted(cast(loop.params, self.dtype), loop.batch)
        else:
            return False
        return True

    def named(self, loop: Loop, good: Any, bad: Any) -> str:
        objective, batch = self.seen(loop)
        return name_non_finite(objective, good, bad, batch)

    def rewind(self, loop: Loop) -> None:
        loop.state = self.restarted(loop)

    def record(self, loop: Loop, info: Info, log: Log, bar: ProgressBar) -> None:
        loop.loss = info.loss
        loop.evaluations += info.evaluations
        loop.rejections = 0 if info.accepted else loop.rejections + 1
        if info.loss < loop.lowest * (1 - self.run.improvement):
            loop.lowest, loop.lowest_step = info.loss, loop.step
        if info.linear_solver and info.linear_solver not in loop.notes:
            loop.notes.append(info.linear_solver)
        name = type(self.optimizer(loop)).__name__
        if loop.step % self.run.log_every == 0 or loop.step == 1:
            loop.history.append((loop.seconds, loop.step, info.loss))
            log.write(
                step=loop.step,
                seconds=round(loop.seconds, 6),
                optimizer=name,
                loss=info.loss,
                terms=info.terms,
                gradient_norm=info.gradient_norm,
                accepted=info.accepted,
                step_size=info.step_size,
                damping=info.damping,
                evaluations=info.evaluations,
                linear_solver=info.linear_solver,
            )
        bar.update(name, loop.step, loop.seconds, info.loss)

    def monitor(self, loop: Loop) -> None:
        if self.run.monitor is not None:
            values = self.run.monitor(self.choice(loop)[0], loop.seconds, loop.step) or {}
            entry = {name: float(value) for name, value in values.items()}
            loop.monitored.append({"seconds": loop.seconds, "step": loop.step, **entry})

    def finish(self, loop: Loop, status: Status, place: str, log: Log) -> TrainingResult:
        last, batch = cast(loop.params, self.dtype), loop.batch
        terms = evaluated_terms(self.objective, last, batch)
        if not np.isfinite(_total(terms)) and status != "non_finite":
            # The last step of a first-order optimizer left for where the loss is not finite.
            status, place = (
                "non_finite",
                name_non_finite(self.objective, last, last, batch),
            )
        if not loop.monitored or loop.monitored[-1]["step"] != loop.step:
            self.monitor(loop)
        self.save(loop)
        params, _, chosen = self.choice(loop)
        if chosen != loop.step or loop.mean is not None:
            terms = evaluated_terms(self.objective, params, batch)
        loss = _total(terms)
        message = outcome(status, loop, place)
        if chosen != loop.step:
            message += f"; on the points kept apart step {chosen} was the best, which is returned"
        log.write(event="end", step=loop.step, status=status, loss=loss, message=message)
        return TrainingResult(
            params, loss, {name: float(value) for name, value in terms.items()}, status, message,
            loop.step, loop.seconds, loop.compile_seconds,
            np.asarray(loop.history, float).reshape(-1, 3),
            tuple(loop.monitored), self.data.points(batch), tuple(loop.notes),
            self.data.weights(batch), loop.evaluations,
        )  # fmt: skip


def _total(terms: dict[str, Any]) -> float:
    return sum(float(value) for value in terms.values())


def evaluated_terms(objective, params, batch):
    """The terms of the loss, by the program by which second-order optimizers try a step."""
    leaves = jax.tree.leaves(params)
    nothing = np.zeros(
        sum(leaf.size for leaf in leaves), np.result_type(*(leaf.dtype for leaf in leaves))
    )
    return moved(objective, params, nothing, batch)[1]
