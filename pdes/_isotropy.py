"""Whether a flux is a multiple of the gradients, F = Σ a ∇u + b, read off its jaxpr.

Then ∇·F needs second derivatives of a field only as its Laplacian, in F = −k∇u as in
F = D(u)∇u + pI, where a may depend on position, time and values but not on the direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex_core

from pdes._point import Point

# What a value is: independent of the gradients and equal along its last axis, independent,
# a·g + b entry by entry with the directions as its last axis, or anything else.
_UNIFORM, _FREE, _ALIGNED, _OTHER = range(4)


def isotropic(term: Callable[[Point], Any], point: Point) -> bool:
    """Whether the Jacobian of a flux in each gradient is a multiple of the identity in direction.

    Conservative: False where unsure. In one dimension every flux is.
    """
    dim = point.x.shape[0]
    if dim == 1:
        return True

    def call(gradients: Any, others: Any) -> Any:
        x, t, values, n, region, cell = others
        return jnp.asarray(term(Point(x, t, values, gradients, n, region, cell)))

    others = (point.x, point.t, point.values, point.n, point.region, point.cell)
    closed = jax.make_jaxpr(call)(point.gradients, others)
    gradients = len(jax.tree.leaves(point.gradients))
    kinds = [_ALIGNED] * gradients + [_FREE] * (len(closed.jaxpr.invars) - gradients)
    found = _kinds(closed.jaxpr, kinds, dim)
    return all(kind != _OTHER for kind in found)


def _kinds(jaxpr: Any, arguments: list[int], dim: int) -> list[int]:
    known: dict[Any, int] = {var: _plain(var) for var in jaxpr.constvars}
    for var, kind in zip(jaxpr.invars, arguments, strict=True):
        known[var] = _plain(var) if kind == _FREE else kind

    def read(var: Any) -> int:
        return _plain(var) if isinstance(var, jex_core.Literal) else known[var]

    for equation in jaxpr.eqns:
        kinds = [read(var) for var in equation.invars]
        if equation.primitive.name in ("jit", "pjit", "closed_call"):
            found = _kinds(equation.params["jaxpr"].jaxpr, kinds, dim)
        else:
            found = [_kind(equation, kinds, dim)] * len(equation.outvars)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _plain(var: Any) -> int:
    """A scalar, or an array of one entry a row, is the same in all directions."""
    shape = var.aval.shape
    return _UNIFORM if not shape or shape[-1] == 1 else _FREE


def _kind(equation: Any, kinds: list[int], dim: int) -> int:
    name, out = equation.primitive.name, equation.outvars[0]
    if all(kind in (_UNIFORM, _FREE) for kind in kinds):
        if _plain(out) == _UNIFORM:
            return _UNIFORM
        if name in _ENTRYWISE and all(kind == _UNIFORM for kind in kinds):
            return _UNIFORM
        if name == "broadcast_in_dim":
            return _UNIFORM if _repeats(equation, kinds[0]) else _FREE
        return _FREE
    if _OTHER in kinds:
        return _OTHER
    if name in ("add", "sub", "neg", "convert_element_type", "copy", "add_any"):
        return _ALIGNED
    if name == "mul":
        return _ALIGNED if _UNIFORM in kinds else _OTHER
    if name == "div":
        return _ALIGNED if kinds[1] == _UNIFORM else _OTHER
    if name in ("reshape", "broadcast_in_dim", "slice", "squeeze"):
        return _ALIGNED if _keeps_last(equation, dim) else _OTHER
    if name == "concatenate":
        last = len(out.aval.shape) - 1
        return _ALIGNED if equation.params["dimension"] != last else _OTHER
    if name == "dot_general":
        return _ALIGNED if _mixes_components(equation, kinds) else _OTHER
    return _OTHER


def _repeats(equation: Any, kind: int) -> bool:
    """Whether the last axis of a broadcast is new, or repeats what is equal along it."""
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    if len(shape) - 1 not in axes:
        return True
    operand = equation.invars[0].aval.shape
    return operand[axes.index(len(shape) - 1)] == 1 or (
        kind == _UNIFORM and axes[-1] == len(shape) - 1
    )


def _keeps_last(equation: Any, dim: int) -> bool:
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    if not before or not after or before[-1] != dim or after[-1] != dim:
        return False
    name = equation.primitive.name
    if name == "squeeze":
        return len(before) - 1 not in equation.params["dimensions"]
    if name == "broadcast_in_dim":
        return equation.params["broadcast_dimensions"][-1] == len(after) - 1
    # A reshape of a row-major array, or a slice, whose last axis stays whole.
    return True


def _mixes_components(equation: Any, kinds: list[int]) -> bool:
    """Whether a matrix of constants acts on components only: K ∇u with the directions last."""
    (_, contracted), (_, batched) = equation.params["dimension_numbers"]
    if kinds[1] != _ALIGNED or kinds[0] == _ALIGNED:
        return False
    last = len(equation.invars[1].aval.shape) - 1
    return last not in contracted and last not in batched


_ENTRYWISE = frozenset(
    {
        "add", "sub", "mul", "div", "neg", "max", "min", "pow", "integer_pow", "square", "sqrt",
        "exp", "log", "tanh", "logistic", "sin", "cos", "abs", "convert_element_type", "copy",
        "select_n", "gt", "lt", "ge", "le", "eq",
    }
)  # fmt: skip
