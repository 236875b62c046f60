"""Samples: the arrays that a surrogate is trained and validated on."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physml.surrogates._dataset import Dataset
from physml.surrogates._family import Family
from physml.surrogates._layout import Layout
from physml.surrogates._losses import relative_errors
from physml.surrogates._operator import Scaling, batch_on_grid

_VALIDATION_BATCH = 50


@dataclasses.dataclass(frozen=True)
class Samples:
    """Training and validation arrays."""

    layout: Layout
    inputs: np.ndarray
    outputs: np.ndarray | None
    latents: dict[str, np.ndarray]
    validation_inputs: np.ndarray
    validation_outputs: np.ndarray
    generation: str
    dtype: Any

    @property
    def count(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(cls, data, family, loss, count, points, validation, seed, dtype) -> Samples:
        if isinstance(data, Family):
            layout = data.layout(points)
            latents = data.latents(range(count), seed)
            inputs, outputs = sample_inputs(data, latents, layout), None
            held = validation if isinstance(validation, Dataset) else None
            generation = f"no solved samples; functions of seed {seed}"
        else:
            layout, generation = data.layout, f"{data.meta['method']}, seed {data.meta['seed']}"
            held, data = _split(data, validation, seed)
            inputs, outputs, latents = data.inputs, data.outputs, data.latents
        if held is not None:
            _same_grid(layout, held.layout)
            # A DeepONet that was trained without data answers at every time.
            layout = dataclasses.replace(layout, times=held.layout.times)
        empty = np.zeros((0, *inputs.shape[1:]))
        return cls(
            layout,
            inputs.astype(dtype),
            None if outputs is None else outputs.astype(dtype),
            latents,
            (empty if held is None else held.inputs).astype(dtype),
            (np.zeros((0, 1)) if held is None else held.outputs).astype(dtype),
            generation,
            dtype,
        )

    def scalings(self) -> tuple[Scaling, Scaling]:
        inputs = Scaling.of(self.inputs)
        if self.outputs is None:
            known = self.layout.input == "initial" and self.layout.evolving == self.layout.outputs
            one = Scaling((0.0,) * self.layout.components, (1.0,) * self.layout.components)
            return inputs, (inputs if known else one)
        found = Scaling.of(np.moveaxis(self.outputs, 1, -2))
        return inputs, found

    def deviation(self) -> float:
        return 0.0 if self.outputs is None else float(np.sqrt(np.mean(self.outputs**2)))

    def fingerprint(self) -> list[Any]:
        """What tells these samples from others."""
        sums = [float(np.abs(self.inputs).sum(dtype=float))]
        if self.outputs is not None:
            sums.append(float(np.abs(self.outputs).sum(dtype=float)))
        return [self.layout.to_json(), self.count, len(self.validation_inputs), *sums]


def sample_inputs(family: Family, latents: dict[str, np.ndarray], layout: Layout) -> np.ndarray:
    """Input functions of many samples on the grid, (n, *points, channels)."""
    nodes = jnp.asarray(layout.nodes().reshape(-1, layout.dim))

    @eqx.filter_jit
    def one(latent: Any) -> jax.Array:
        problem = family.build(latent)
        return jax.vmap(lambda x: family.input_at(problem, x))(nodes)

    values = eqx.filter_vmap(one)({k: jnp.asarray(v) for k, v in latents.items()})
    return np.asarray(values).reshape(len(values), *layout.points, -1)


def validate(operator: Any, samples: Samples) -> np.ndarray:
    """Relative L2 error of each validation function."""
    found = []
    for i in range(0, len(samples.validation_inputs), _VALIDATION_BATCH):
        part = slice(i, i + _VALIDATION_BATCH)
        found.append(
            np.asarray(
                _errors(operator, samples.validation_inputs[part], samples.validation_outputs[part])
            )
        )
    return np.concatenate(found)


@eqx.filter_jit
def _errors(operator: Any, inputs: Any, outputs: Any) -> jax.Array:
    return relative_errors(batch_on_grid(operator, inputs), outputs, operator.layout.sizes)


def _split(data: Dataset, validation: float | Dataset, seed: int):
    """Validation and training samples."""
    if isinstance(validation, Dataset):
        return validation, data
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"validation is a share in [0, 1) or a Dataset, got {validation!r}")
    held = round(validation * len(data))
    if len(data) - held < 1:
        raise ValueError(f"{len(data)} samples leave none for training; generate more")
    if held == 0:
        return None, data
    order = np.random.default_rng([seed, 1]).permutation(len(data))
    return data[np.sort(order[:held])], data[np.sort(order[held:])]


def _same_grid(layout: Layout, other: Layout) -> None:
    if layout.points != other.points or layout.fields != other.fields:
        raise ValueError(
            f"validation samples are on {other.points} points, the training's on {layout.points}"
        )
