"""Data sets on disk: HDF5 whose structure is complete from the first moment.

All arrays are contiguous and allocated when the file is made, and the file gets its name only
then. Later writes touch raw data alone, so that a process killed at any moment leaves a readable
file; a sample counts when its flag is set, which happens after its data are on the disk.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

FORMAT = 1


class DatasetError(ValueError):
    """A file of samples that can't be read, is unfinished, or belongs to something else."""


def create(path: Path, meta: dict[str, Any], arrays: dict[str, tuple[tuple[int, ...], str]],
           fixed: dict[str, np.ndarray]) -> None:  # fmt: skip
    """Makes the whole file under another name and then names it.

    Arguments:
        arrays: shape and type of what will be filled in. fixed: arrays written now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with h5py.File(partial, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["meta"] = json.dumps(meta, ensure_ascii=False)
        for name, value in fixed.items():
            file.create_dataset(name, data=value)
        for name, (shape, dtype) in arrays.items():
            _allocate(file, name, shape, dtype)
    with partial.open("rb+") as raw:
        os.fsync(raw.fileno())
    os.replace(partial, path)


def _allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_obj_track_times(False)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), kind, space, dcpl=plan, lcpl=links)


def open_file(path: Path, mode: str) -> h5py.File:
    """Opens a file of samples.

    Raises:
        DatasetError: it is truncated, no HDF5, in use by another process, or something else.
        FileNotFoundError: there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no data set at {path}; make one with pm.generate")
    try:
        file = h5py.File(path, mode)
    except OSError as error:
        text = " ".join(str(error).split())
        if "lock" in text:
            raise DatasetError(
                f"{path} is in use by another process: wait for it, or give another path ({text})"
            ) from None
        raise DatasetError(
            f"{path} is truncated or no HDF5 file: delete it and generate it again ({text})"
        ) from None
    if "meta" not in file.attrs or int(file.attrs.get("format", 0)) != FORMAT:
        file.close()
        raise DatasetError(f"{path} holds no samples of a family in the format {FORMAT}")
    return file


def meta_of(file: h5py.File) -> dict[str, Any]:
    """The description of a file of samples."""
    return json.loads(str(file.attrs["meta"]))


def store(file: h5py.File, start: int, values: dict[str, np.ndarray]) -> None:
    """Writes consecutive samples, and flags them when they are on the disk."""
    count = len(next(iter(values.values())))
    for name, value in values.items():
        array_of(file, name)[start : start + count] = value
    _sync(file)
    array_of(file, "done")[start : start + count] = 1
    _sync(file)


def array_of(file: h5py.File, name: str) -> h5py.Dataset:
    """An array of the file; KeyError where there is none."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(name)
    return found


def _sync(file: h5py.File) -> None:
    file.flush()
    os.fsync(file.id.get_vfd_handle())
