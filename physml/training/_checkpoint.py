"""Checkpoints: arrays and JSON in one .npz, replaced atomically; reading executes no code."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np

CURRENT, PREVIOUS = "checkpoint.npz", "checkpoint.previous.npz"
_FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that can't be written, can't be read, or belongs to another run."""


def prepare_folder(folder: Path) -> None:
    """Make the folder and write to it, so that a bad one is found before the training starts."""
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CheckpointError(
            f"checkpoints can't be written to {folder}: {error.strerror or error}. "
            "Give a folder that can be written to, or none to run without checkpoints."
        ) from error


def save(folder: Path, trees: dict[str, Any], record: dict[str, Any]) -> None:
    """Write named pytrees of arrays and a JSON record, keeping the one before.

    The file is complete and on the disk before it gets its name, so that a process killed at
    any moment leaves a good one: this or the one before.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = {}
    for name, tree in trees.items():
        leaves = jax.device_get(jax.tree.leaves(tree))
        structure[name] = describe(tree)
        arrays.update({f"{name}/{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)})
    text = json.dumps({"format": _FORMAT, "structure": structure, "record": record})
    arrays["json"] = np.frombuffer(text.encode(), np.uint8)
    current, temporary = folder / CURRENT, folder / f".{CURRENT}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        if current.exists():
            os.replace(current, folder / PREVIOUS)
        os.replace(temporary, current)
        _sync_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"the checkpoint {current} can't be written: {error.strerror or error}."
        ) from error


def load(folder: Path) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]] | None:
    """Leaves by tree and the whole JSON of the newest good file; `None` if there is no file.

    A file that is truncated or corrupt is passed over for the one before; raises
    `CheckpointError` if neither can be read.
    """
    failures = []
    for name in (CURRENT, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            found = _read(path)
            if failures:
                # Else the next save would put it in the place of the good one.
                os.replace(folder / CURRENT, folder / "checkpoint.damaged.npz")
            return found
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            failures.append(f"{path} ({type(error).__name__}: {error})")
    if failures:
        raise CheckpointError(
            f"no readable checkpoint: {'; '.join(failures)}. The file is truncated or not a "
            "checkpoint; delete it to start again."
        )
    return None


def _read(path: Path) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    # Opened here because NumPy leaves a file open that it can't read.
    with path.open("rb") as opened, _archive(opened) as file:
        # Reading a member checks its CRC; members are read one and all.
        arrays = {name: file[name] for name in file.files}
    content = json.loads(arrays["json"].tobytes().decode())
    if content["format"] != _FORMAT:
        raise ValueError(f"checkpoint format {content['format']}, expected {_FORMAT}")
    leaves = {
        name: [arrays[f"{name}/{i}"] for i in range(len(structure))]
        for name, structure in content["structure"].items()
    }
    return leaves, content


def _archive(opened: BinaryIO) -> Any:
    if not zipfile.is_zipfile(opened):
        raise ValueError("not an .npz archive, or not the whole of it")
    opened.seek(0)
    return np.load(opened, allow_pickle=False)


def restore(template: Any, leaves: list[np.ndarray], structure: list[str], name: str) -> Any:
    """The tree of `template` with the saved leaves; an error where they do not belong."""
    expected = describe(template)
    if structure != expected:
        pairs = zip(structure, expected, strict=False)
        got, wanted = next(
            ((a, b) for a, b in pairs if a != b),
            (f"{len(structure)} arrays", f"{len(expected)} arrays"),
        )
        raise CheckpointError(
            f"the checkpoint's {name} does not fit this run: it has {got}, expected {wanted}. "
            "It was made by another network, problem or optimizer: use its settings, or another "
            "folder."
        )
    tree = jax.tree.structure(template)
    kinds = [isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(template)]
    kept = [leaf if host else jnp.asarray(leaf) for leaf, host in zip(leaves, kinds, strict=True)]
    return jax.tree.unflatten(tree, kept)


def describe(tree: Any) -> list[str]:
    """Path, type and shape of each array of a tree."""
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [
        f"{jax.tree_util.keystr(path)}: {np.asarray(leaf).dtype}{list(np.shape(leaf))}"
        for path, leaf in found
    ]


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
