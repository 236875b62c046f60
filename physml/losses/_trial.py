"""Trial functions: how a network's outputs become the fields of a problem."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pdes import Problem
from pdes._arrays import on_device
from physml.losses._hard import Shaping


class Inputs(eqx.Module):
    """(x, t) ↦ the network's inputs: each direction in [−1, 1], cos and sin where it is periodic.

    Periodicity is then exact for the fields and all their derivatives. Time is left out of
    steady problems.
    """

    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    time: tuple[float, float] | None = eqx.field(static=True)
    harmonics: int = eqx.field(static=True, default=1)

    @property
    def size(self) -> int:
        space = sum(2 * self.harmonics if p else 1 for p in self.periodic)
        return space + (self.time is not None)

    def __call__(self, x: Array, t: Array) -> Array:
        if not any(self.periodic):
            # One operation for all directions: there may be a hundred.
            low = jnp.asarray(self.lower, x.dtype)
            unit = (x - low) / jnp.asarray(np.subtract(self.upper, self.lower), x.dtype)
            units = 2 * unit - 1
            return units if self.time is None else jnp.append(units, self.moment(t))
        parts = []
        for i, periodic in enumerate(self.periodic):
            unit = (x[i] - self.lower[i]) / (self.upper[i] - self.lower[i])
            if not periodic:
                parts.append(2 * unit - 1)
                continue
            for k in range(1, self.harmonics + 1):
                parts += [jnp.cos(2 * np.pi * k * unit), jnp.sin(2 * np.pi * k * unit)]
        if self.time is not None:
            parts.append(self.moment(t))
        return jnp.stack(parts)

    def moment(self, t: Array) -> Array:
        """The time in [−1, 1]."""
        assert self.time is not None
        start, end = self.time
        return 2 * (t - start) / (end - start) - 1


def problem_inputs(
    problem: Problem, lower: Any = None, upper: Any = None, harmonics: int = 1
) -> Inputs:
    """The inputs of a problem, or of the part of its domain in the box [lower, upper]."""
    low, high = problem.domain.bounds
    low = low if lower is None else np.asarray(lower, float)
    high = high if upper is None else np.asarray(upper, float)
    return Inputs(
        tuple(low.tolist()),
        tuple(high.tolist()),
        tuple(problem.domain.periodic),
        problem.time,
        harmonics,
    )


class TrialFunction(eqx.Module):
    """fields(x, t) = offset + factor · scale · output, a dict by name.

    The offset and the factor satisfy conditions exactly (see `Shaping`); without them they
    are 0 and 1. Nothing in here is trained: the network is an argument.
    """

    shapes: eqx.AbstractVar[tuple[tuple[str, tuple[int, ...]], ...]]
    scales: eqx.AbstractVar[tuple[Any, ...]]
    shaping: eqx.AbstractVar[dict[str, Shaping]]

    @abc.abstractmethod
    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        """Every field that the network gives, at one point."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.shapes)

    @property
    def out_size(self) -> int:
        return sum(_size(shape) for _, shape in self.shapes)


class Trial(TrialFunction):
    """One network for the whole domain."""

    inputs: Inputs
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    # Arrays: problems that differ in their data alone share a compiled program.
    scales: tuple[Any, ...] = eqx.field(converter=lambda sizes: tuple(map(jnp.asarray, sizes)))
    shaping: dict[str, Shaping]
    # Fields whose factor is an input as well: near a boundary with many corners the solution
    # divided by it is no simple function of the place, but nearly one of the place and it.
    factors: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def in_size(self) -> int:
        return self.inputs.size + len(self.factors)

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        inputs = self.inputs(x, t)
        known = [2 * self.shaping[name].factor(x, t)[:1] - 1 for name in self.factors]
        return shaped_fields(network(jnp.concatenate([inputs, *known])), self, x, t)


def shaped_fields(output: Array, trial: TrialFunction, x: Array, t: Array) -> dict[str, Array]:
    """The output of a network, (out_size,), as fields that satisfy the exact conditions."""
    fields, start = {}, 0
    for (name, shape), scale in zip(trial.shapes, trial.scales, strict=True):
        size = _size(shape)
        value = jnp.asarray(scale, output.dtype) * output[start : start + size]
        start += size
        if name in trial.shaping:
            value = trial.shaping[name](value, x, t)
        fields[name] = value.reshape(shape)
    return fields


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=int))


def output_shapes(problem: Problem, mixed: bool) -> dict[str, tuple[int, ...]]:
    """The fields that a network gives: definitions only where `mixed`."""
    forms = problem.forms()
    return {
        name: shape
        for name, shape in problem.shapes.items()
        if mixed or forms[name].kind != "Definition"
    }


def data_scales(problem: Problem, names: Iterable[str]) -> dict[str, float]:
    """Largest magnitude of each field's initial and boundary values; 1 where they vanish."""
    start = 0.0 if problem.time is None else problem.time[0]
    interior = on_device(problem.domain.sample_interior(128, seed=0))
    data: dict[str, list[Any]] = {name: [] for name in names}
    for name in data:
        if name in problem.initial:
            data[name].append((problem.initial[name], interior))
        for part, conditions in problem.conditions.items():
            condition = conditions.get(name)
            if condition is not None and condition.any_essential:
                points = problem.domain.sample_boundary(16, seed=0, part=part).points
                data[name].append((condition.value, on_device(points)))
    largest = _largest(data, jnp.asarray(start))
    # In the order of `names`: a dict comes back from jit with its keys sorted. Values of the size
    # of round-off, sin π for 0, are no scale.
    sizes = {name: float(largest[name]) for name in data}
    return {name: size if size > 1e-10 else 1.0 for name, size in sizes.items()}


@eqx.filter_jit
def _largest(data: dict[str, list[Any]], t: Array) -> dict[str, Array]:
    found = {}
    for name, entries in data.items():
        found[name] = jnp.zeros(())
        for function, points in entries:
            times = jnp.full(len(points), t, points.dtype)
            found[name] = jnp.maximum(found[name], jnp.abs(jax.vmap(function)(points, times)).max())
    return found


def build_network(network: Any, in_size: int, out_size: int, key: PRNGKeyArray, dtype: Any) -> Any:
    """A network of the wanted sizes from a factory, or a module that is checked for them.

    Raises:
        ValueError: a module or a factory whose sizes are not those of the problem.
        TypeError: neither.
    """
    if not callable(network):
        raise TypeError(
            "network is a module (in_size,) -> (out_size,) or a factory called as "
            f"factory(in_size, out_size, key=key), got {network!r}"
        )
    built = network
    if not isinstance(network, eqx.Module):
        try:
            built = _initial(*_recipe(network), in_size, out_size, key)
        except TypeError as error:
            raise TypeError(
                "the network factory failed when called as factory(in_size, out_size, key=key): "
                f"{error}"
            ) from error
    built = jax.tree.map(
        lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, built
    )
    _check_arity(built, in_size, out_size, dtype)
    return built


@eqx.filter_jit
def _initial(
    factory: Callable, options: dict[str, Any], in_size: int, out_size: int, key: PRNGKeyArray
) -> Any:
    """One compilation instead of one for each random draw, kept for the next of this recipe."""
    return factory(in_size, out_size, key=key, **options)


def _recipe(factory: Any) -> tuple[Callable, dict[str, Any]]:
    """A partial's function and options: two that are equal in these are not equal themselves."""
    if not isinstance(factory, functools.partial) or factory.args:
        return factory, {}
    arrays = jax.Array | np.ndarray | np.generic
    if any(isinstance(leaf, arrays) for leaf in jax.tree.leaves(factory.keywords)):
        # They would be traced, and the factory may want their values.
        return factory, {}
    return factory.func, factory.keywords


def build_networks(
    network: Any, in_size: int, out_size: int, keys: PRNGKeyArray, dtype: Any
) -> Any:
    """A network for each key as one module whose arrays have a leading axis."""
    each = [build_network(network, in_size, out_size, key, dtype) for key in keys]
    return jax.tree.map(
        lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], *each
    )


def _check_arity(network: Callable, in_size: int, out_size: int, dtype: Any) -> None:
    expected = f"({in_size},) -> ({out_size},)"
    try:
        out = jax.eval_shape(
            lambda z: jnp.asarray(network(z)), jax.ShapeDtypeStruct((in_size,), dtype)
        )
    except Exception as error:
        raise ValueError(
            f"this problem needs a network {expected} (its inputs are the normalised x and t, "
            f"cos and sin in periodic directions), but {type(network).__name__} failed on an "
            f"input of shape ({in_size},): {error}"
        ) from error
    if out.shape != (out_size,):
        raise ValueError(
            f"this problem needs a network {expected}, but {type(network).__name__} returned "
            f"shape {out.shape}"
        )
