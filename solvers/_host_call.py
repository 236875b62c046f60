"""host_call: NumPy and LAPACK code inside a compiled program, with nothing that can wait.

`jax.pure_callback` puts its arguments on a device inside the callback. With few threads that copy
can wait for the very thread that the callback holds, for ever. Here the callback gets the buffers
themselves, as NumPy arrays, and runs no JAX at all.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


class HostFunction(abc.ABC):
    """A pure function from NumPy arrays to a tuple of them.

    Must be hashable, and equal to others that compute the same: compiled programs are kept by it.
    The arrays are the program's own buffers: read-only, and gone after the call, so what is kept
    must be copied.
    """

    @abc.abstractmethod
    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """The results, of the shapes and types that were promised."""

    @property
    @abc.abstractmethod
    def stacks(self) -> tuple[bool, ...]:
        """For each argument, whether it may have leading axes that all results then have too.

        Under vmap over such arguments alone one call takes the whole batch (many right-hand sides
        with one factor); over others the calls follow one another.
        """


@dataclasses.dataclass(frozen=True)
class _OneByOne(HostFunction):
    """Calls for each entry of the first axis of the arguments that have `mapped`."""

    function: HostFunction
    mapped: tuple[bool, ...]

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        count = next(len(a) for a, m in zip(arrays, self.mapped, strict=True) if m)
        rows = [
            self.function(*(a[i] if m else a for a, m in zip(arrays, self.mapped, strict=True)))
            for i in range(count)
        ]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    @property
    def stacks(self) -> tuple[bool, ...]:
        return (False,) * len(self.mapped)


def host_call(
    function: HostFunction, out: Sequence[jax.ShapeDtypeStruct], *arguments: Any
) -> tuple[Array, ...]:
    """function(*arguments) on the host; works under jit, vmap, scan and while_loop.

    Has no derivative: wrap it in `custom_linear_solve`, `custom_vjp` or the like.

    Arguments:
        out: shapes and types of the results.
    """
    shapes = tuple((tuple(o.shape), np.dtype(o.dtype)) for o in out)
    return tuple(host_call_p.bind(*arguments, function=function, out=shapes))


host_call_p = Primitive("host_call")
host_call_p.multiple_results = True


@functools.partial(jax.jit, static_argnames=("function", "out"))
def _compiled(*arguments, function, out):
    return host_call_p.bind(*arguments, function=function, out=out)


def _evaluate(*arguments, function, out):
    return _compiled(*arguments, function=function, out=out)


def _shapes(*_, function, out):
    return [ShapedArray(shape, dtype) for shape, dtype in out]


def _no_derivative(*_, **__):
    raise ValueError("host_call has no derivative: wrap it in a function with a custom one")


def _batch(arguments, dims, *, function, out):
    mapped = tuple(dim is not None for dim in dims)
    arguments = [
        jax.numpy.moveaxis(a, dim, 0) if m else a
        for a, dim, m in zip(arguments, dims, mapped, strict=True)
    ]
    count = next(len(a) for a, m in zip(arguments, mapped, strict=True) if m)
    if any(m and not s for m, s in zip(mapped, function.stacks, strict=True)):
        function = _OneByOne(function, mapped)
    out = tuple(((count, *shape), dtype) for shape, dtype in out)
    return host_call_p.bind(*arguments, function=function, out=out), [0] * len(out)


def _lower_on_cpu(context, *operands, function, out):
    def call(*arrays):
        results = function(*(np.asarray(a) for a in arrays))
        return tuple(np.asarray(r, dtype) for r, (_, dtype) in zip(results, out, strict=True))

    results, _, _ = mlir.emit_python_callback(
        context,
        call,
        None,
        list(operands),
        context.avals_in,
        context.avals_out,
        has_side_effect=False,
        returns_token=False,
    )
    return results


def _elsewhere(*arguments, function, out):
    """On other devices the arguments must be copied anyway, and their threads are not the CPU's."""

    def call(*arrays):
        return function(*(np.asarray(a) for a in arrays))

    shapes = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in out)
    return jax.pure_callback(call, shapes, *arguments, vmap_method="sequential")


host_call_p.def_impl(_evaluate)
host_call_p.def_abstract_eval(_shapes)
ad.primitive_jvps[host_call_p] = _no_derivative
ad.primitive_transposes[host_call_p] = _no_derivative
batching.primitive_batchers[host_call_p] = _batch
mlir.register_lowering(host_call_p, mlir.lower_fun(_elsewhere, multiple_results=True))
mlir.register_lowering(host_call_p, _lower_on_cpu, platform="cpu")
