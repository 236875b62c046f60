"""Which entries of a linear map are zero, read off its jaxpr.

Every variable has a mask, False where its entries are known to be zero. Sparse tangents take fewer
directions to differentiate and fewer products to assemble: that of −k∇u is diagonal, say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend import core as jex_core
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def live_equations(jaxpr: Any) -> list[Any]:
    """The equations that the outputs need."""
    live = {v for v in jaxpr.outvars if not isinstance(v, jex_core.Literal)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if any(v in live for v in eqn.outvars):
            kept.append(eqn)
            live |= {v for v in eqn.invars if not isinstance(v, jex_core.Literal)}
    return kept[::-1]


def output_masks(jaxpr: Any, masks: list[Mask | None]) -> list[Mask]:
    """Masks of the outputs for masks of the inputs; None is a mask without zeros."""
    return _run(jaxpr, masks, [None] * len(masks))


def _run(jaxpr: Any, masks: list[Mask | None], known: list[Any]) -> list[Mask]:
    table: dict[Any, Mask] = {}
    values: dict[Any, Any] = {}
    for variable, mask, value in zip(jaxpr.invars, masks, known, strict=True):
        if mask is not None:
            table[variable] = mask
        if value is not None:
            values[variable] = value

    def mask_of(v: Any) -> Mask:
        if isinstance(v, jex_core.Literal):
            return np.asarray(v.val) != 0
        if v in values:
            return np.asarray(values[v]) != 0
        return table[v] if v in table else np.ones(v.aval.shape, bool)

    def value_of(v: Any) -> Any:
        return np.asarray(v.val) if isinstance(v, jex_core.Literal) else values.get(v)

    for eqn in live_equations(jaxpr):
        ins = [value_of(v) for v in eqn.invars]
        name = eqn.primitive.name
        if name in ("pjit", "jit", "closed_call"):
            inner = eqn.params["jaxpr"]
            inner = getattr(inner, "jaxpr", inner)
            if len(inner.invars) == len(eqn.invars):
                found = _run(inner, [mask_of(v) for v in eqn.invars], ins)
                table.update(zip(eqn.outvars, found, strict=True))
            continue
        if all(value is not None for value in ins) and name in _VALUES:
            values[eqn.outvars[0]] = _VALUES[name](eqn.params, *ins)
            continue
        untouched = all(
            isinstance(v, jex_core.Literal) or (v not in table and v not in values)
            for v in eqn.invars
        )
        if untouched or name not in _MASKS:
            continue
        given = [mask_of(v) for v in eqn.invars]
        if name == "select_n" and ins[0] is not None:
            table[eqn.outvars[0]] = np.choose(np.asarray(ins[0], int), given[1:])
        else:
            shape = eqn.outvars[0].aval.shape
            table[eqn.outvars[0]] = np.broadcast_to(_MASKS[name](eqn.params, *given), shape)
    return [mask_of(v) for v in jaxpr.outvars]


def _broadcast(params: dict, a: NDArray) -> NDArray:
    shape = [1] * len(params["shape"])
    for axis, size in zip(params["broadcast_dimensions"], a.shape, strict=True):
        shape[axis] = size
    return np.broadcast_to(a.reshape(shape), params["shape"])


def _slice(params: dict, a: NDArray) -> NDArray:
    strides = params["strides"] or (1,) * a.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return a[tuple(slice(*b) for b in bounds)]


def _iota(params: dict) -> NDArray:
    shape, axis = params["shape"], params["dimension"]
    line = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(line, shape)


def _dot(params: dict, a: Mask, b: Mask) -> NDArray:
    (left, right), (batch, _) = params["dimension_numbers"]
    if batch:
        return np.ones((), bool)
    return np.tensordot(a.astype(int), b.astype(int), (left, right)) > 0


def _or(_: dict, *masks: Mask) -> Mask:
    out = masks[0]
    for mask in masks[1:]:
        out = out | mask
    return out


_SHAPES: dict[str, Callable] = {
    "broadcast_in_dim": _broadcast,
    "reshape": lambda p, a: a.reshape(p["new_sizes"]),
    "squeeze": lambda p, a: np.squeeze(a, tuple(p["dimensions"])),
    "transpose": lambda p, a: a.transpose(p["permutation"]),
    "slice": _slice,
    "concatenate": lambda p, *a: np.concatenate(a, axis=p["dimension"]),
    "rev": lambda p, a: np.flip(a, p["dimensions"]),
}
_MASKS: dict[str, Callable] = _SHAPES | {
    "neg": lambda _, a: a,
    "copy": lambda _, a: a,
    "convert_element_type": lambda _, a: a,
    "reduce_precision": lambda _, a: a,
    "add": _or,
    "sub": _or,
    "add_any": _or,
    "mul": lambda _, a, b: a & b,
    "div": lambda _, a, b: a,
    "select_n": lambda _, pred, *cases: _or({}, *cases),
    "reduce_sum": lambda p, a: a.any(axis=tuple(p["axes"])),
    "dot_general": _dot,
}
_VALUES: dict[str, Callable] = _SHAPES | {
    "iota": _iota,
    "add": lambda _, a, b: a + b,
    "eq": lambda _, a, b: a == b,
    "ge": lambda _, a, b: a >= b,
    "convert_element_type": lambda p, a: np.asarray(a).astype(p["new_dtype"]),
}


def colours(columns: Mask) -> list[list[int]]:
    """Columns of a matrix grouped so that no two of a group share a row; empty ones left out.

    Source: Curtis, Powell and Reid (1974).
    """
    groups: list[tuple[Mask, list[int]]] = []
    for j in np.flatnonzero(columns.any(axis=0)):
        for rows, members in groups:
            if not (rows & columns[:, j]).any():
                rows |= columns[:, j]
                members.append(int(j))
                break
        else:
            groups.append((columns[:, j].copy(), [int(j)]))
    return [members for _, members in groups]
