"""What compiled programs must not tell apart: host objects beside arrays, and padded sizes.

A program is compiled for the shapes of its arguments and for their static parts. So that a mesh
of about the same size needs no new one, sizes are rounded up, and what lives on the host (meshes,
sparsity patterns) is either hidden from the comparison or reached by a number at run time.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

T = TypeVar("T")

_LOCK = threading.Lock()
_NUMBERS = itertools.count(1)
_ALIVE: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_SIZES: dict[str, list[int]] = {}
_FEW = 8


class Hidden(Generic[T]):
    """Holds something that compiled programs don't depend on: equal to every other one.

    For static fields. What is hidden must not be read while a program is traced, other than for
    what is the same for all that have equal shapes.
    """

    def __init__(self, value: T):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden)

    def __hash__(self) -> int:
        return hash(Hidden)


class Handle(eqx.Module):
    """A host object that a compiled program reaches by a number given at run time.

    Attributes:
        number: of the object. keeper: keeps it alive, wherever the handle or a program that has
            its number built in is alive.
    """

    number: Array
    keeper: Hidden = eqx.field(static=True)


def handle(thing: Any) -> Handle:
    """A handle of an object that can be referred to weakly."""
    with _LOCK:
        number = next((n for n, other in _ALIVE.items() if other is thing), None)
        if number is None:
            number = next(_NUMBERS)
            _ALIVE[number] = thing
    return Handle(jnp.asarray(np.int32(number)), Hidden(thing))


def held(number: Any) -> Any:
    """The object of a handle's number, on the host.

    Raises:
        RuntimeError: it is gone: its handle was not kept.
    """
    try:
        return _ALIVE[int(np.asarray(number).reshape(-1)[0])]
    except KeyError:
        raise RuntimeError("a sparsity pattern is gone that a program still needs") from None


def padded_size(count: int, kind: str, room: float = 0.06) -> int:
    """A size of at least `count` for arrays of one kind, so that few different ones occur.

    One that was used before and is not much larger is used again; a new one leaves room for 6 %
    more. Two meshes that differ by 5 % so have the same, whichever comes first.

    Arguments:
        kind: sizes of different kinds are independent. room: what a new size leaves.
    """
    with _LOCK:
        known = _SIZES.setdefault(kind, [])
        most = max((1 + 4 * room) * count, count + _FEW)
        fitting = [size for size in known if count <= size <= most]
        if fitting:
            return min(fitting)
        wanted = max(int(np.ceil((1 + room) * count)), 8)
        step = max(8, 2 ** (wanted.bit_length() - 6))
        size = -(-wanted // step) * step
        known.append(size)
        return size


def padded(array: np.ndarray, length: int, fill: Any = None) -> np.ndarray:
    """The array with entries added at the end of its first axis: `fill`, or its last entry."""
    missing = length - len(array)
    if missing == 0:
        return array
    if fill is None:
        tail = np.repeat(array[-1:], missing, axis=0)
    else:
        tail = np.full((missing, *array.shape[1:]), fill, array.dtype)
    return np.concatenate([array, tail])
