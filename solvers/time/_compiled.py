"""Compiling apart from running, so that both are reported; programs are kept for reuse."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.core

_KEPT: OrderedDict[Any, Any] = OrderedDict()
_CAPACITY = 16


def is_traced(*trees: Any) -> bool:
    """Whether any leaf is being traced, so that nothing concrete can be said of it."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def adjoint_of(traced: bool) -> diffrax.AbstractAdjoint:
    """What is compiled apart has no gradient: its loop needs no checkpoints, and is traced once."""
    return diffrax.RecursiveCheckpointAdjoint() if traced else diffrax.ForwardMode()


@eqx.filter_jit
def initial_state(system: Any) -> Any:
    """The state at the start as one program: operation by operation it would be dozens."""
    return system.initial_state()


def timed_call(function: Callable, *args: Any) -> tuple[Any, float, float, int]:
    """function(*args) compiled, with compile seconds, run seconds and bytes of memory.

    The same function with arguments of the same structure is compiled once.

    Arguments:
        function: at module level, since what it closes over would be compiled in.
    """
    start = time.perf_counter()
    key = _signature(function, args)
    compiled = _KEPT.get(key) if key is not None else None
    if compiled is None:
        compiled = eqx.filter_jit(function).lower(*args).compile()
        if key is not None:
            _KEPT[key] = compiled
            while len(_KEPT) > _CAPACITY:
                _KEPT.popitem(last=False)
    middle = time.perf_counter()
    out = jax.block_until_ready(compiled(*args))
    end = time.perf_counter()
    return out, middle - start, end - middle, memory_of(compiled)


def _signature(function: Callable, args: Any) -> Any:
    """What a compiled program depends on, or None where that can't be hashed."""
    dynamic, static = eqx.partition(args, eqx.is_array)
    leaves, tree = jax.tree.flatten(dynamic)
    rest, rest_tree = jax.tree.flatten(static)
    shapes = tuple((leaf.shape, str(leaf.dtype), leaf.weak_type) for leaf in leaves)
    key = (function, tree, shapes, tuple(rest), rest_tree, jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    try:
        hash(key)
    except TypeError:
        return None
    return key


def memory_of(compiled: Any) -> int:
    """Bytes of arguments, results and temporaries, 0 where the back end does not say."""
    inner = getattr(compiled, "compiled", compiled)
    try:
        found = inner.memory_analysis()
    except Exception:  # a back end may refuse; the figure is only reported
        return 0
    if found is None:
        return 0
    return int(found.temp_size_in_bytes + found.output_size_in_bytes + found.argument_size_in_bytes)
