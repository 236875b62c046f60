"""Results of single trials on disk, so that a comparison that was killed can go on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np

from pdes import Problem
from physml._folder import write_json
from physml.compare._row import Trial
from solvers import Method
from solvers.output._hdf5 import read_sample, write_file, write_sample

_RESULT, _FIELDS = "result.json", "fields.h5"


def fingerprint(*parts: Any) -> str:
    """A short digest of plain data and of modules: same options, same digest."""
    return hashlib.sha256(json.dumps([_plain(p) for p in parts]).encode()).hexdigest()[:16]


def problem_fingerprint(problem: Problem) -> str:
    """A digest of a problem: its equation's parameters, domain, time, and data at some points.

    Functions have no identity that survives a process, so data enter by their values.
    """
    x = problem.domain.sample_interior(16, seed=1)
    sampled = {}
    for label, data in (("initial", problem.initial), ("rate", problem.initial_rate)):
        for name, datum in data.items():
            sampled[f"{label}.{name}"] = _digits(jax.vmap(datum)(jnp.asarray(x)))
    for part, conditions in problem.conditions.items():
        sample = problem.domain.sample_boundary(8, seed=1, part=part)
        for name, condition in conditions.items():
            values = jax.vmap(lambda y, c=condition: c.value(y, jnp.zeros((), y.dtype)))(
                jnp.asarray(sample.points)
            )
            sampled[f"{part}.{name}"] = [list(condition.kinds), _digits(values)]
    parameters = [
        _digits(leaf) for leaf in jax.tree.leaves(eqx.filter(problem.pde, eqx.is_inexact_array))
    ]
    domain = [*(_digits(b) for b in problem.domain.bounds), float(problem.domain.volume)]
    names = [type(problem.pde).__name__, problem.name, list(problem.shapes), problem.time]
    return fingerprint(names, domain, parameters, sampled)


def _digits(values: Any) -> list[str]:
    return [f"{float(v):.6g}" for v in np.ravel(np.asarray(values))]


def _plain(value: Any) -> Any:
    if isinstance(value, eqx.Module):
        text = eqx.tree_pformat(value, width=10000, short_arrays=False)
        return re.sub(r" at 0x[0-9a-f]+", "", text)
    return value


def describe_method(method: Method) -> str:
    """The options of a method as text, those left at their defaults included."""
    pairs = [(field.name, getattr(method, field.name)) for field in dataclasses.fields(method)]
    text = f"{type(method).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"
    return re.sub(r"<(bound method|function) ([\w.]+)[^>]*>", r"\2", " ".join(text.split()))


def save_trial(folder: Path, trial: Trial, digest: str) -> None:
    """Writes the fields, then the result: a result on disk is a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    if trial.sample is not None:
        sample = trial.sample
        write_file(folder / _FIELDS, lambda file: write_sample(file, sample))
    write_json(folder / _RESULT, {"fingerprint": digest, **trial.as_dict()})


def load_trial(folder: Path, digest: str) -> Trial | None:
    """The trial kept in a folder; None if there is none, or one of other options."""
    try:
        data = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    if data.pop("fingerprint", None) != digest:
        return None
    trial = Trial.from_dict(data)
    if trial.status != "solved":
        return trial
    try:
        with h5py.File(folder / _FIELDS, "r") as file:
            return dataclasses.replace(trial, sample=read_sample(file))
    except (OSError, ValueError):
        return None


def forget_trial(folder: Path) -> None:
    """Removes a result, so that a fresh start does not mix with an older one."""
    for name in (_RESULT, _FIELDS):
        (folder / name).unlink(missing_ok=True)
