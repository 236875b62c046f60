"""Trained operators: a network with its normalisation, from samples of an input to fields."""

from __future__ import annotations

import abc
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from physml.operators import FNO, DeepONet
from physml.surrogates._layout import Layout


class Scaling(eqx.Module):
    """(v − mean)/deviation for each channel; kept with the network, and not trained."""

    mean: tuple[float, ...] = eqx.field(static=True)
    deviation: tuple[float, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, values: np.ndarray) -> Scaling:
        """From samples (…, channels); a channel that is constant keeps its size."""
        flat = np.asarray(values, float).reshape(-1, values.shape[-1])
        spread = flat.std(axis=0)
        spread = np.where(spread > 1e-12 * (1.0 + np.abs(flat).max(axis=0)), spread, 1.0)
        return cls(tuple(flat.mean(axis=0).tolist()), tuple(spread.tolist()))

    def __call__(self, values: Array) -> Array:
        return (values - self._as(self.mean, values)) / self._as(self.deviation, values)

    def back(self, values: Array) -> Array:
        return values * self._as(self.deviation, values) + self._as(self.mean, values)

    @staticmethod
    def _as(numbers: tuple[float, ...], like: Array) -> Array:
        return jnp.asarray(numbers, like.dtype)


class Operator(eqx.Module):
    """From the samples of one input function to all frames of all fields."""

    layout: eqx.AbstractVar[Layout]

    @abc.abstractmethod
    def on_grid(self, samples: Array) -> Array:
        """samples (*points, channels) to (frames, *points, components), on the same grid."""

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """For tables."""


class GridOperator(Operator):
    """FNO: one channel for each component of each frame; answers at the trained times only, on
    any uniform grid that resolves its modes."""

    network: FNO
    inputs: Scaling
    outputs: Scaling
    layout: Layout = eqx.field(static=True)

    @property
    def label(self) -> str:
        return "FNO"

    def on_grid(self, samples: Array) -> Array:
        dtype = self.network.pointwise[0].weight.dtype
        values = self.outputs.back(self.network(self.inputs(samples.astype(dtype))))
        frames = len(self.layout.times)
        return jnp.moveaxis(values.reshape(*values.shape[:-1], frames, -1), -2, 0)


class PointOperator(Operator):
    """DeepONet: answers at any place and time of the family's domain."""

    network: DeepONet
    inputs: Scaling
    outputs: Scaling
    layout: Layout = eqx.field(static=True)

    @property
    def label(self) -> str:
        return "DeepONet"

    def place(self, x: Array, t: Array) -> Array:
        """What the trunk is given: waves in periodic directions, else [−1, 1]; and the time."""
        layout, parts = self.layout, []
        for i, periodic in enumerate(layout.periodic):
            s = (x[i] - layout.low[i]) / (layout.high[i] - layout.low[i])
            if periodic:
                parts += [jnp.cos(2 * np.pi * s), jnp.sin(2 * np.pi * s)]
                parts += [jnp.cos(4 * np.pi * s), jnp.sin(4 * np.pi * s)]
            else:
                parts.append(2 * s - 1)
        if layout.time is not None:
            start, end = layout.time
            parts.append(2 * (t - start) / (end - start) - 1)
        return jnp.stack(parts)

    def coefficients(self, samples: Array) -> Array:
        """The branch's answer for one input function."""
        dtype = self.network.bias.dtype
        return self.network.coefficients(self.inputs(samples.astype(dtype)).reshape(-1))

    def at(self, coefficients: Array, x: Array, t: Array) -> Array:
        """All components at one place and time, (components,)."""
        place = self.place(x, t).astype(coefficients.dtype)
        return self.outputs.back(self.network.at(coefficients, place))

    def on_grid(self, samples: Array) -> Array:
        return self.on_grids(samples[None])[0]

    def on_grids(self, samples: Array) -> Array:
        """The same for a batch; the trunk is evaluated once for all."""
        layout = self.layout
        coefficients = jax.vmap(self.coefficients)(samples)
        nodes = jnp.asarray(layout.nodes().reshape(-1, layout.dim))
        times = jnp.asarray(layout.times, nodes.dtype)

        def trunk(t: Array) -> Array:
            places = jax.vmap(lambda x: self.place(x, t))(nodes).astype(coefficients.dtype)
            return jnp.tanh(jax.vmap(self.network.trunk)(places))  # type: ignore[arg-type]

        basis = jax.vmap(trunk)(times)
        values = jnp.einsum("bok,fnk->bfno", coefficients, basis) + self.network.bias
        values = self.outputs.back(values)
        return values.reshape(len(samples), len(layout.times), *layout.points, -1)


def batch_on_grid(operator: Operator, samples: Array) -> Array:
    """on_grid for a batch (n, *points, channels)."""
    if isinstance(operator, PointOperator):
        return operator.on_grids(samples)
    return jax.vmap(operator.on_grid)(samples)


def place_size(layout: Layout) -> int:
    """Number of inputs of the trunk."""
    return sum(4 if flag else 1 for flag in layout.periodic) + (layout.time is not None)


def architecture(network: Any) -> tuple[type, dict[str, Any]]:
    """FNO or DeepONet and its options, from the class, a functools.partial of it, or its name.

    Raises:
        TypeError: anything else; an option given by position.
    """
    names = {"fno": FNO, "deeponet": DeepONet}
    if isinstance(network, str) and network.lower() in names:
        return names[network.lower()], {}
    if isinstance(network, functools.partial) and network.func in names.values():
        if network.args:
            raise TypeError("give the network's options by keyword, functools.partial(FNO, width=)")
        return network.func, dict(network.keywords)  # type: ignore[return-value]
    if network in (FNO, DeepONet):
        return network, {}
    raise TypeError(
        "network is pm.FNO, pm.DeepONet or a functools.partial of one with its options, "
        f"got {network!r}"
    )


def build(
    kind: type,
    options: dict[str, Any],
    layout: Layout,
    scalings: tuple[Scaling, Scaling],
    key: PRNGKeyArray,
) -> Operator:
    """An operator with fresh weights for a layout.

    Raises:
        ValueError: options that do not fit the layout.
    """
    if kind is DeepONet:
        sensors = int(np.prod(layout.points)) * layout.channels
        network = DeepONet(sensors, place_size(layout), layout.components, **options, key=key)
        return PointOperator(
            network=network, inputs=scalings[0], outputs=scalings[1], layout=layout
        )
    if layout.dim > 2:
        raise ValueError("the FNO works in 1 and 2 dimensions: use pm.DeepONet")
    every = all(layout.periodic)
    modes = (
        min(16, *(n // 2 for n in layout.points))
        if layout.dim == 1
        else min(12, *(n // 2 for n in layout.points))
    )
    defaults = {"coordinates": not every, "padding": 0.0 if every else 0.125, "modes": modes}
    channels = layout.components * len(layout.times)
    fno = FNO(layout.channels, channels, dim=layout.dim, **{**defaults, **options}, key=key)
    return GridOperator(network=fno, inputs=scalings[0], outputs=scalings[1], layout=layout)


def cast(model: Any, dtype: Any) -> Any:
    """A model with its floating-point arrays in another precision."""
    return jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, model)
