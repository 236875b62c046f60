"""Samples in HDF5: arrays and a JSON description; nothing in the file is code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from solvers.output._sample import Lattice, Sample


def write_sample(group: Any, sample: Sample) -> None:
    """Fills an HDF5 group. Values are kept at the lattice's points inside the domain:
    `values/NAME` is (frames, n, *shape); `axes/0`, … and `inside` make the points."""
    for i, axis in enumerate(sample.lattice.axes):
        group.create_dataset(f"axes/{i}", data=axis)
    inside = sample.lattice.inside
    group.create_dataset("inside", data=inside, compression="gzip" if inside.size > 64 else None)
    group.create_dataset("times", data=sample.times)
    for name, value in sample.values.items():
        group.create_dataset(f"values/{name}", data=value, compression="gzip", shuffle=True)
    group.attrs["fields"] = json.dumps(list(sample.values))
    group.attrs["steady"] = sample.steady
    group.attrs["problem"] = sample.problem
    group.attrs["method"] = sample.method


def read_sample(group: Any) -> Sample:
    """What `write_sample` wrote.

    Raises:
        ValueError: the group is not of that form.
    """
    try:
        axes = tuple(np.asarray(group[f"axes/{i}"]) for i in range(len(group["axes"])))
        inside = np.asarray(group["inside"], bool)
        times = np.asarray(group["times"])
        values = {name: np.asarray(data) for name, data in group["values"].items()}
        names = json.loads(group.attrs["fields"])
        steady = bool(group.attrs["steady"])
        problem, method = str(group.attrs["problem"]), str(group.attrs["method"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{group.file.filename}: not a file of sampled fields: {error}") from None
    count = int(inside.sum())
    for name, value in values.items():
        if value.shape[:2] != (len(times), count):
            raise ValueError(
                f"{group.file.filename}: field {name!r} has shape {value.shape}, expected "
                f"({len(times)}, {count}, …): the file is damaged"
            )
    ordered = {name: values[name] for name in names if name in values}
    return Sample(Lattice(axes, inside), times, steady, ordered, problem, method)


def write_file(path: Path, fill: Callable[[Any], None]) -> Path:
    """Writes an HDF5 file whole or not at all: a kill in the middle leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with h5py.File(partial, "w") as file:
        fill(file)
    os.replace(partial, path)
    return path
