"""Surrogates on disk: arrays and JSON in one .npz; reading executes no code."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physml.operators import FNO, DeepONet
from physml.surrogates._family import Family
from physml.surrogates._layout import INITIAL, Layout
from physml.surrogates._novelty import Novelty
from physml.surrogates._operator import Scaling, build
from physml.surrogates._surrogate import Surrogate, Training

_FORMAT = 1
_KINDS = {"FNO": FNO, "DeepONet": DeepONet}


def save_surrogate(surrogate: Surrogate, path: str | Path) -> Path:
    """Writes the file whole or not at all."""
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    options = json.loads(surrogate.training.settings).get("network_options", {})
    leaves = jax.tree.leaves(eqx.filter(surrogate.operator, eqx.is_array))
    arrays = {f"operator/{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    arrays |= {
        f"novelty/{f.name}": np.asarray(getattr(surrogate.novelty, f.name))
        for f in dataclasses.fields(Novelty)
    }
    operator: Any = surrogate.operator
    record = {
        "format": _FORMAT,
        "kind": operator.label,
        "options": options,
        "layout": surrogate.layout.to_json(),
        "scalings": [dataclasses.asdict(s) for s in (operator.inputs, operator.outputs)],
        "training": dataclasses.asdict(surrogate.training),
        "dtype": str(leaves[0].dtype),
        "points": surrogate.points,
    }
    arrays["json"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    return path


def load_surrogate(
    path: str | Path,
    *,
    family: Family | None = None,
    input: Callable[..., Any] | None = None,
) -> Surrogate:
    """Reads what `surrogate.save` wrote.

    Arguments:
        family: that it was trained on, needed where it has an input of its own. input: the same
            function alone.

    Raises:
        FileNotFoundError: no such file. ValueError: it is truncated or holds something else; the
            family is another one.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no surrogate at {path}; make one with pm.train_surrogate")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays["json"].tobytes().decode())
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']}, expected {_FORMAT}")
        layout = Layout.from_json(record["layout"])
        operator = _operator(record, layout, arrays)
        novelty = Novelty(
            *(jnp.asarray(arrays[f"novelty/{f.name}"]) for f in dataclasses.fields(Novelty))
        )
        training = Training(**record["training"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is truncated or holds no surrogate ({type(error).__name__}: {error})"
        ) from None
    if family is not None:
        if family.name != layout.family:
            raise ValueError(f"{path} was trained on {layout.family!r}, not on {family.name!r}")
        input = family.input
    if layout.input == INITIAL and input is not None:
        raise ValueError(f"{path} is given initial data: leave input out")
    points = None if record["points"] is None else tuple(record["points"])
    return Surrogate(operator, novelty, training, input, points)


def _operator(record: dict[str, Any], layout: Layout, arrays: dict[str, np.ndarray]) -> Any:
    scalings = tuple(Scaling(tuple(s["mean"]), tuple(s["deviation"])) for s in record["scalings"])
    kind = _KINDS[record["kind"]]
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in record["options"].items()}
    template = eqx.filter_eval_shape(
        lambda key: build(kind, options, layout, scalings, key),  # type: ignore[arg-type]
        jax.random.key(0),
    )
    _check_precision(record["dtype"])
    places, tree = jax.tree.flatten(template, is_leaf=_is_shape)
    values: list[Any] = []
    i = 0
    for place in places:
        if not _is_shape(place):
            values.append(place)
            continue
        value = arrays[f"operator/{i}"]
        if value.shape != place.shape:
            raise ValueError(f"array {i} has shape {value.shape}, expected {place.shape}")
        values.append(jnp.asarray(value))
        i += 1
    return jax.tree.unflatten(tree, values)


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _check_precision(dtype: str) -> None:
    if dtype == "float64" and jnp.result_type(float) != np.float64:
        raise ValueError(
            'the weights are float64: call jax.config.update("jax_enable_x64", True) first'
        )
