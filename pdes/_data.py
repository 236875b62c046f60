"""Data functions: numbers, arrays or functions of (x, t) as one kind of callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pdes._arrays import on_device


class Datum(eqx.Module):
    """A value that may depend on position and time: `datum(x, t)` of shape `shape`.

    Holds a constant array (differentiable) or a callable of (x, t) or of (x).
    """

    value: Array | None
    function: Callable | None
    arity: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, x: Array, t: Any = 0.0) -> Array:
        if self.function is None:
            assert self.value is not None
            return jnp.broadcast_to(self.value, self.shape)
        value = self.function(x, t) if self.arity == 2 else self.function(x)
        return jnp.broadcast_to(jnp.asarray(value, dtype=x.dtype), self.shape)


def as_datum(
    value: Any, shape: tuple[int, ...], dim: int, what: str, *, time: bool = True
) -> Datum:
    """Number, array or function -> Datum of the given shape.

    Arguments:
        time: functions take (x, t); otherwise (x). A function of fewer arguments is an error.

    Raises:
        ValueError: wrong shape, NaN or infinite values (at a sample point for functions).
        TypeError: neither number, array nor callable.
    """
    if isinstance(value, Datum):
        return value
    if callable(value):
        datum = Datum(None, value, 2 if time else 1, shape)
        signature = "f(x, t)" if time else "f(x)"
        x, t = jnp.ones(dim), jnp.ones(())
        try:
            out = jax.eval_shape(lambda x, t: jnp.asarray(value(x, t) if time else value(x)), x, t)
        except Exception as error:
            raise ValueError(
                f"{what}: the function failed when called as {signature} with x of shape ({dim},): "
                f"{type(error).__name__}: {error}"
            ) from error
        if not _broadcasts(out.shape, shape):
            raise ValueError(
                f"{what}: {signature} returned shape {out.shape}, expected {shape}"
                + (" (x has shape (1,): use x[0])" if out.shape == (1,) and shape == () else "")
            )
        return datum
    if isinstance(value, Tracer):
        return Datum(value, None, 2, shape)
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{what}: expected a number, an array or a function, got {value!r}")
    array = np.asarray(value) if not isinstance(value, (tuple, list)) else None
    if array is None:
        stacked = jnp.stack([jnp.asarray(v, dtype=jnp.result_type(float)) for v in value])
        if not isinstance(stacked, Tracer) and not bool(jnp.all(jnp.isfinite(stacked))):
            raise ValueError(f"{what}: the values must be finite, got {value!r}")
        array = stacked
    elif array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise TypeError(f"{what}: expected a number, an array or a function, got {value!r}")
    elif not np.all(np.isfinite(array)):
        raise ValueError(f"{what}: the values must be finite, got {value!r}")
    if not _broadcasts(array.shape, shape):
        raise ValueError(f"{what}: got an array of shape {array.shape}, expected {shape}")
    return Datum(jnp.asarray(array, dtype=jnp.result_type(float)), None, 2, shape)


def check_finite(datum: Datum, x: Any, t: Any, what: str) -> None:
    """Evaluates at the points x (n, dim) and times t (n,) and refuses NaN.

    Raises:
        ValueError: names the first point where the value is not finite.
    """
    values = jax.vmap(datum)(on_device(x), on_device(t))
    if isinstance(values, Tracer):
        return
    flat = np.asarray(values).reshape(len(x), -1)
    bad = np.asarray(~np.isfinite(flat).all(axis=1))
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(
            f"{what}: not finite at x = {np.asarray(x)[i].tolist()}, t = {float(t[i]):g} "
            f"({int(bad.sum())} of {len(bad)} sampled points); check the function there"
        )


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False
