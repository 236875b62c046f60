"""What every network promises, and which of its arrays are trained."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


class Network(eqx.Module):
    """A pure function of one point, (in_size,) → (out_size,); batches are `jax.vmap`.

    Subclasses are built as `Class(in_size, out_size, *, key, ...options)`, so that
    `functools.partial(Class, ...options)` is an architecture: a `NetworkFactory`.
    """

    in_size: eqx.AbstractVar[int]
    out_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(self, x: Array) -> Array:
        """The network's value at the point `x` (in_size,), as (out_size,)."""


@runtime_checkable
class NetworkFactory(Protocol):
    """An architecture: everything but the sizes and the key is chosen."""

    def __call__(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> Network: ...


class Frozen(eqx.Module):
    """An array of a network that is fixed when it is made: `partition` leaves it out."""

    array: Array

    @property
    def value(self) -> Array:
        return jax.lax.stop_gradient(self.array)


def _is_frozen(node: Any) -> bool:
    return isinstance(node, Frozen)


def partition(model: Any) -> tuple[Any, Any]:
    """Split a model into its trained arrays and all the rest.

    **Arguments**: `model`, any pytree of networks, coefficients, arrays.

    **Returns** `(params, static)`, with `combine(params, static)` equal to the model. `params`
    has only floating-point arrays (what the optimizers of `physml.optimizers` take);
    arrays inside `Frozen`, integers, functions are in `static`.
    """
    trained = jax.tree.map(
        lambda node: False if _is_frozen(node) else eqx.is_inexact_array(node),
        model,
        is_leaf=_is_frozen,
    )
    return eqx.partition(model, trained)


def combine(params: Any, static: Any) -> Any:
    """The model whose `partition` gave `params` and `static`."""
    return eqx.combine(params, static)


def check_sizes(in_size: int, out_size: int, **positive: int) -> None:
    for name, size in {"in_size": in_size, "out_size": out_size, **positive}.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {size!r}.")


def check_input(network: Network, x: Array) -> None:
    if jnp.shape(x) != (network.in_size,):
        raise ValueError(
            f"{type(network).__name__} takes one point of shape ({network.in_size},), got "
            f"{jnp.shape(x)}. For a batch of points use jax.vmap(network); for another number "
            "of inputs build the network with that in_size."
        )


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sin": jnp.sin,
    "gelu": jax.nn.gelu,
    "swish": jax.nn.swish,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
}


def activation_function(activation: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The function that a name stands for; a function is returned as it is."""
    if callable(activation):
        return activation
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"unknown activation {activation!r}; known are {', '.join(sorted(_ACTIVATIONS))}, "
            "or give a function."
        )
    return _ACTIVATIONS[activation]
