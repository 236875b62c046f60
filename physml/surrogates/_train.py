"""train_surrogate: fits an operator to solved samples, to the equation itself, or to both."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from physml._folder import append_json, writable_folder
from physml.networks import partition
from physml.operators import FNO, DeepONet
from physml.optimizers import Optax
from physml.surrogates._dataset import Dataset
from physml.surrogates._family import Family
from physml.surrogates._losses import (
    DataLoss,
    ResidualLoss,
    SurrogateObjective,
    residual_points,
)
from physml.surrogates._novelty import Novelty
from physml.surrogates._operator import architecture, build, cast
from physml.surrogates._samples import Samples, validate
from physml.surrogates._surrogate import Surrogate, Training
from physml.training import Run, train
from physml.training import _checkpoint as checkpoints
from solvers import SolverError

LOSSES = ("data", "residual", "both")
_EPOCHS = 100


def train_surrogate(
    data: Dataset | Family,
    network: Any = FNO,
    *,
    loss: str = "data",
    family: Family | None = None,
    count: int = 500,
    points: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int = 20,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-5,
    validation: float | Dataset = 0.1,
    weights: Mapping[str, float] | None = None,
    residual_points: int = 64,
    dtype: Any = "float32",
    budget: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Surrogate:
    """Trains a neural operator on a family of problems.

    "data" minimises the mean relative L2 distance to solved samples; "residual" the mean squares
    of the equation's, the boundary's and the initial conditions' residuals at points drawn anew
    each step, for which no sample is solved; "both" their sum. By AdamW with a warm-up and a cosine
    decay of the rate over the whole training. The weights of the best validation error (of the
    last step, without validation) are kept.

    Arguments:
        data: solved samples (`generate`, `load_dataset`), or, for the residual alone, a family.
        network: pm.FNO, pm.DeepONet, or functools.partial of one with options. Residuals need
            an operator that can be differentiated at any point: a DeepONet.
        family: of a data set, for residuals. count, points: with a family in place of data, how
            many functions are drawn, and the grid where they are read.
        epochs: passes over the functions (100); or steps: of the optimizer in all.
        batch: functions a step. validation: share of the samples held back, or a data set.
        weights: of the residual's terms by name ("boundary left u") or first word; 1 elsewhere.
        residual_points: in the interior, a function and step.
        dtype: of the weights: float32, which is enough for the errors that surrogates reach and
            faster; "float64" needs 64-bit JAX.
        budget: wall seconds, compilation included; the training stops there at the latest.
        out: folder for surrogate.npz, the log and checkpoints. resume: go on from a checkpoint
            in `out`.

    Raises:
        TypeError, ValueError: arguments of another kind, out of range, or that don't fit.
        CheckpointError: `resume` finds the checkpoint of another training. OSError: `out` can't
            be written. SolverError: the loss became non-finite.
    """
    start = time.perf_counter()
    kind, options = architecture(network)
    family = _check(data, kind, loss, family, epochs, steps, batch, dtype)
    folder = None if out is None else writable_folder(out)
    if resume and folder is None:
        raise ValueError("resume=True needs out=…, the folder with the checkpoint")
    samples = Samples.of(data, family, loss, count, points, validation, seed, np.dtype(dtype))
    batch = min(batch, samples.count)
    per_epoch = max(samples.count // batch, 1)
    total = steps or per_epoch * (epochs or _EPOCHS)
    settings = {
        "network": kind.__name__, "network_options": options, "loss": loss, "steps": total,
        "batch": batch, "learning_rate": learning_rate, "weight_decay": weight_decay,
        "weights": dict(weights or {}), "residual_points": residual_points, "seed": seed,
        "dtype": str(np.dtype(dtype)),
    }  # fmt: skip
    settings = _as_json(settings)
    operator = build(kind, options, samples.layout, samples.scalings(), jax.random.key(seed))
    params, static = partition(cast(operator, dtype))
    objective = SurrogateObjective(
        static,
        None if loss == "residual" else DataLoss(samples.deviation()),
        None if loss == "data" else ResidualLoss(family, tuple(sorted((weights or {}).items()))),  # type: ignore[arg-type]
    )
    best = _Best(static, samples, folder, resume)
    sampler = _Sampler(samples, family, loss, batch, per_epoch, seed, residual_points, best)
    schedule = optax.warmup_cosine_decay_schedule(
        learning_rate / 10, learning_rate, max(total // 20, 1), max(total, 2), learning_rate / 1e4
    )
    result = train(
        objective,
        params,
        Optax(optax.adamw(schedule, weight_decay=weight_decay)),
        sampler=sampler,
        run=Run(
            steps=total,
            total_seconds=budget,
            seed=seed,
            resample_every=1,
            log=None if folder is None else folder / "log.jsonl",
            log_every=max(per_epoch // 5, 1),
            checkpoint=folder,
            resume=resume,
            fingerprint=json.dumps([settings, samples.fingerprint()]),
            progress=progress,
        ),
    ).check()
    best.consider(result.params, result.steps)
    if best.params is None:
        raise SolverError("not_finite", "no step of the training had a finite validation error")
    training = Training(
        expected_error=best.error,
        worst_error=best.worst,
        validation=len(samples.validation_inputs),
        count=samples.count,
        seconds=time.perf_counter() - start,
        loss=loss,
        generation=samples.generation,
        settings=json.dumps(settings),
    )
    surrogate = Surrogate(
        eqx.combine(best.params, static),
        Novelty.of(samples.inputs),
        training,
        family.input if family is not None else None,
    )
    if folder is not None:
        surrogate.save(folder / "surrogate.npz")
    return surrogate


class _Best:
    """The parameters of the best validation error so far, kept on disk as well."""

    def __init__(self, static: Any, samples: Samples, folder: Path | None, resume: bool):
        self.static, self.samples = static, samples
        self.folder = None if folder is None else folder / "best"
        self.params: Any = None
        self.error: float | None = None
        self.worst: float | None = None
        self.resume = resume
        if self.folder is not None:
            checkpoints.prepare_folder(self.folder)
            if not resume:
                for name in (checkpoints.CURRENT, checkpoints.PREVIOUS):
                    (self.folder / name).unlink(missing_ok=True)

    def consider(self, params: Any, step: int) -> None:
        """Validates; without validation functions the last parameters are the best."""
        if not len(self.samples.validation_inputs):
            self.params = params
            return
        if self.params is None and self.resume:
            self._read(params)
        errors = validate(eqx.combine(params, self.static), self.samples)
        error = float(errors.mean())
        if self.folder is not None:
            append_json(self.folder / "validation.jsonl", {"step": step, "error": error})
        if np.isfinite(error) and (self.error is None or error < self.error):
            self.params, self.error, self.worst = params, error, float(errors.max())
            if self.folder is not None:
                record = {"error": error, "worst": self.worst, "step": step}
                checkpoints.save(self.folder, {"params": params}, record)

    def _read(self, template: Any) -> None:
        assert self.folder is not None
        found = checkpoints.load(self.folder)
        if found is not None:
            leaves, content = found
            structure = content["structure"]["params"]
            self.params = checkpoints.restore(template, leaves["params"], structure, "params")
            self.error, self.worst = content["record"]["error"], content["record"]["worst"]


class _Sampler:
    """Batches: each epoch is a permutation that depends on the seed and its number alone.

    Called before every step, it also validates at the start of each epoch, so that what is kept
    depends on steps and not on the clock.
    """

    def __init__(self, samples, family, loss, batch, per_epoch, seed, points, best: _Best):
        self.samples, self.family, self.loss = samples, family, loss
        self.batch, self.per_epoch, self.seed = batch, per_epoch, seed
        self.points, self.best = points, best

    def __call__(self, key: Any, params: Any, step: int) -> dict[str, Any]:
        epoch, place = divmod(step, self.per_epoch)
        if place == 0 and step > 0:
            self.best.consider(params, step)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.samples.count)
        rows = order[place * self.batch : (place + 1) * self.batch]
        found: dict[str, Any] = {"inputs": jnp.asarray(self.samples.inputs[rows])}
        if self.loss != "residual":
            found["outputs"] = jnp.asarray(self.samples.outputs[rows])
        if self.loss != "data":
            real = jnp.result_type(float)
            found["latents"] = {
                name: jnp.asarray(value[rows], real) for name, value in self.samples.latents.items()
            }
            found["points"] = residual_points(self.family, self.points, self.seed + 3 * step)
        return found


def _check(data, kind, loss, family, epochs, steps, batch, dtype) -> Family | None:
    if loss not in LOSSES:
        raise ValueError(f"loss is one of {LOSSES}, got {loss!r}")
    if not isinstance(data, Dataset | Family):
        raise TypeError(f"train_surrogate needs a Dataset (pm.generate) or a Family, got {data!r}")
    if isinstance(data, Family):
        if loss != "residual":
            raise ValueError(
                f"loss={loss!r} needs solved samples: pm.generate(family, method, count, path); "
                "loss='residual' trains on the family alone"
            )
        family = data
    if loss != "data":
        if kind is not DeepONet:
            raise ValueError(
                "an FNO gives values on a grid at some times, which can't be differentiated in "
                "time: for residuals use pm.DeepONet"
            )
        if family is None:
            raise ValueError(f"loss={loss!r} builds the problems again: give family=…")
        missing = set(family.template.shapes) - set(family.output)
        definitions = {n for n, f in family.template.forms().items() if f.kind == "Definition"}
        if missing - definitions:
            raise ValueError(
                f"residuals need all fields, the family's output leaves out {sorted(missing)}"
            )
    if family is not None and isinstance(data, Dataset) and family.name != data.layout.family:
        raise ValueError(
            f"the samples are of the family {data.layout.family!r}, not of {family.name!r}"
        )
    for name, value in (("epochs", epochs), ("steps", steps), ("batch", batch)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} is a positive whole number, got {value!r}")
    if epochs is not None and steps is not None:
        raise ValueError("give epochs or steps, not both")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype is 'float32' or 'float64', got {dtype!r}")
    if np.dtype(dtype) == np.float64 and jnp.result_type(float) != np.float64:
        raise ValueError('float64: call jax.config.update("jax_enable_x64", True) first')
    return family


def _as_json(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(settings))
    except TypeError as error:
        raise TypeError(
            "the network's options must be numbers, strings or lists of them, so that a file can "
            f"hold them: {error}"
        ) from None
