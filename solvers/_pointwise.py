"""A function of one point at many points, component by component.

Under `jax.vmap` the small arrays of a pointwise function (a gradient, a flux) become arrays whose
points lie in the middle or at the front, and on a CPU XLA neither fuses nor vectorises what is
stacked, summed or multiplied by an identity matrix there. Here its jaxpr is evaluated with one
array over the points for each component: stacking, indexing and sums over components cost nothing,
products with constants that are zero vanish, and what remains is one loop over the points. What
is not known here, or is large (a network's layers), is done by `jax.vmap`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array

from pdes._arrays import on_device

# More components than this stay together in one array.
_MOST = 32

_ELEMENTWISE = {
    "add", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "pow", "integer_pow", "square",
    "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan", "asin",
    "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "logistic", "erf",
    "erfc", "floor", "ceil", "round", "rem", "select_n", "eq", "ne", "lt", "le", "gt", "ge", "and",
    "or", "not", "xor", "is_finite", "convert_element_type", "stop_gradient", "copy", "copy_p",
}  # fmt: skip
# Numbers by NumPy, which rounds these as XLA does and has nothing to compile.
_ROUNDED_ALIKE: dict[str, Callable] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "square": np.square, "sqrt": np.sqrt, "abs": np.abs,
}  # fmt: skip
_CALLS = {"jit", "pjit", "closed_call", "remat", "checkpoint"}


@dataclasses.dataclass(frozen=True)
class _Together:
    """All components in one array, the points last where it is `batched`."""

    array: Any
    batched: bool


# By component: a NumPy array of objects, each over the points or a number for all of them.
_Value = Any


def at_points(
    function: Callable, arguments: Sequence[Any], batched: Sequence[bool] | None = None
) -> Any:
    """`function` at n points, its outputs with the points last.

    Arguments:
        function: of one point, in JAX. arguments: pytrees of arrays (*shape, n), each leaf as the
            function takes it with the points as one more, last axis.
        batched: for each argument whether it has that axis; by default all have.
    """
    flags = [True] * len(arguments) if batched is None else list(batched)
    leaves, tree = jax.tree.flatten(tuple(arguments))
    of_leaf = jax.tree.leaves(
        tuple(
            jax.tree.map(lambda _, flag=flag: flag, a)
            for a, flag in zip(arguments, flags, strict=True)
        )
    )
    count = next(leaf.shape[-1] for leaf, flag in zip(leaves, of_leaf, strict=True) if flag)
    shapes = [
        jax.ShapeDtypeStruct(leaf.shape[:-1] if flag else jnp.shape(leaf), jnp.result_type(leaf))
        for leaf, flag in zip(leaves, of_leaf, strict=True)
    ]
    closed, out = jax.make_jaxpr(lambda *a: function(*a), return_shape=True)(
        *jax.tree.unflatten(tree, shapes)
    )
    given = [_apart(_Together(leaf, flag)) for leaf, flag in zip(leaves, of_leaf, strict=True)]
    values = _Evaluation(count).run(closed, given)
    arrays = [_joined(value, count, aval.dtype) for value, aval in zip(
        values, closed.out_avals, strict=True)]  # fmt: skip
    return jax.tree.unflatten(jax.tree.structure(out), arrays)


def _apart(value: _Together) -> _Value:
    """By component, unless there are many."""
    shape = value.array.shape[:-1] if value.batched else np.shape(value.array)
    if math.prod(shape) > _MOST:
        return value
    known = isinstance(value.array, (np.ndarray, np.generic, float, int, bool))
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        entry = value.array[index] if index or not known else value.array
        out[index] = np.asarray(entry) if known else entry
    return out


def _together(value: _Value, dtype: Any) -> _Together:
    """In one array, for what takes it whole."""
    if isinstance(value, _Together):
        return value
    entries = list(value.ravel())
    sizes = [np.ndim(e) for e in entries]
    if not any(sizes):
        if all(isinstance(e, (np.ndarray, np.generic)) for e in entries):
            flat = np.array([e.item() for e in entries], dtype).reshape(value.shape)
            return _Together(flat, False)
        stacked = [jnp.asarray(e, dtype) for e in entries]
        return _Together(jnp.stack(stacked).reshape(value.shape), False)
    count = next(e.shape[0] for e in entries if np.ndim(e))
    return _Together(_joined(value, count, dtype), True)


def _joined(value: _Value, count: int, dtype: Any) -> Array:
    """(*shape, n)."""
    if isinstance(value, _Together):
        if value.batched:
            return value.array
        array = jnp.asarray(value.array, dtype)
        return jnp.broadcast_to(array[..., None], (*array.shape, count))
    rows = [_spread(jnp.asarray(e, dtype), (count,)) for e in value.ravel()]
    if value.shape == ():
        return rows[0]
    if not rows:
        return jnp.zeros((*value.shape, count), dtype)
    return jnp.stack(rows).reshape(*value.shape, count)


class _Evaluation:
    """Evaluates a jaxpr over `count` points."""

    def __init__(self, count: int):
        self.count = count

    def run(self, closed: ClosedJaxpr, given: list[_Value]) -> list[_Value]:
        jaxpr = closed.jaxpr
        values: dict[Any, _Value] = {}
        for var, const in zip(jaxpr.constvars, closed.consts, strict=True):
            values[var] = _apart(_Together(_known(const), False))
        values.update(zip(jaxpr.invars, given, strict=True))

        def read(atom: Any) -> _Value:
            if isinstance(atom, Literal):
                return _apart(_Together(np.asarray(atom.val, _dtype(atom)), False))
            return values[atom]

        for eqn in jaxpr.eqns:
            found = self.apply(eqn, [read(atom) for atom in eqn.invars])
            values.update(zip(eqn.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def apply(self, eqn: Any, given: list[_Value]) -> list[_Value]:
        name = eqn.primitive.name
        if name in _CALLS and "jaxpr" in eqn.params:
            inner = eqn.params["jaxpr"]
            inner = inner if hasattr(inner, "consts") else ClosedJaxpr(inner, ())
            return self.run(inner, given)
        small = all(not isinstance(v, _Together) for v in given)
        fits = all(math.prod(v.aval.shape) <= _MOST for v in eqn.outvars)
        if small and fits:
            if name in _ELEMENTWISE:
                return [_elementwise(eqn, given)]
            rule = _STRUCTURE.get(name)
            found = None if rule is None else rule(eqn, *given)
            if found is not None:
                return found if isinstance(found, list) else [found]
        return self.by_vmap(eqn, given)

    def by_vmap(self, eqn: Any, given: list[_Value]) -> list[_Value]:
        whole = [_together(v, a.aval.dtype) for v, a in zip(given, eqn.invars, strict=True)]
        arrays = [jnp.asarray(v.array) for v in whole]
        params = eqn.primitive.get_bind_params(eqn.params)
        # Until JAX 0.9 functions among the parameters came apart from the others.
        functions, params = params if isinstance(params, tuple) else ((), params)

        def call(*a: Any) -> Any:
            return eqn.primitive.bind(*functions, *a, **params)

        batched = any(v.batched for v in whole)
        if batched:
            axes = [-1 if v.batched else None for v in whole]
            out = jax.vmap(call, in_axes=axes, out_axes=-1)(*arrays)
        else:
            out = call(*arrays)
        out = list(out) if eqn.primitive.multiple_results else [out]
        return [_apart(_Together(o, batched)) for o in out]


def _dtype(atom: Any) -> Any:
    return atom.aval.dtype


def _known(const: Any) -> Any:
    """Concrete constants as NumPy arrays, so that zeros among them are seen."""
    if isinstance(const, Tracer):
        return const
    try:
        return np.asarray(const)
    except Exception:  # keys and the like
        return const


def _elementwise(eqn: Any, given: list[_Value]) -> _Value:
    shape = eqn.outvars[0].aval.shape
    out = np.empty(shape, dtype=object)
    spread = [np.broadcast_to(v, shape) if v.shape != shape else v for v in given]
    for index in np.ndindex(*shape):
        out[index] = _one(eqn, [v[index] for v in spread])
    return out


def _one(eqn: Any, operands: list[Any]) -> Any:
    """One component: NumPy where all is known, zeros and ones spared."""
    name, dtype = eqn.primitive.name, eqn.outvars[0].aval.dtype
    if name == "mul":
        for a, b in (operands, operands[::-1]):
            if _is(a, 0.0):
                return np.zeros((), dtype)
            if _is(a, 1.0):
                return b
    if name in ("add", "sub") and _is(operands[1], 0.0):
        return operands[0]
    if name == "add" and _is(operands[0], 0.0):
        return operands[1]
    if name == "sub" and _is(operands[0], 0.0):
        return -operands[1]
    with_points = [o for o in operands if np.ndim(o)]
    if with_points:
        shape = with_points[0].shape
        operands = [_spread(o, shape) for o in operands]
        return eqn.primitive.bind(*operands, **eqn.params)
    if all(isinstance(o, (np.ndarray, np.generic)) for o in operands):
        if name in _ROUNDED_ALIKE and dtype.kind == "f":
            with np.errstate(all="ignore"):
                return np.asarray(_ROUNDED_ALIKE[name](*operands), dtype)
        with jax.ensure_compile_time_eval():
            return np.asarray(eqn.primitive.bind(*(on_device(o) for o in operands), **eqn.params))
    return eqn.primitive.bind(*(on_device(o) for o in operands), **eqn.params)


def _spread(operand: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(operand, jax.Array) and operand.shape == shape:
        return operand
    return jnp.broadcast_to(on_device(operand), shape)


def _is(operand: Any, value: float) -> bool:
    known = isinstance(operand, (np.ndarray, np.generic))
    return known and operand.dtype.kind == "f" and bool(operand == value)


def _add(a: Any, b: Any) -> Any:
    if _is(a, 0.0):
        return b
    return a if _is(b, 0.0) else a + b


def _multiply(a: Any, b: Any) -> Any:
    for x, y in ((a, b), (b, a)):
        if _is(x, 0.0):
            return x
        if _is(x, 1.0):
            return y
    return a * b


def _sum(entries: Sequence[Any], dtype: Any) -> Any:
    total: Any = np.zeros((), dtype)
    for entry in entries:
        total = _add(total, entry)
    return total


def _reduce_sum(eqn: Any, a: _Value) -> _Value:
    dtype, axes = eqn.outvars[0].aval.dtype, eqn.params["axes"]
    rest = [i for i in range(a.ndim) if i not in axes]
    shape = tuple(a.shape[i] for i in rest)
    moved = a.transpose(*rest, *axes).reshape(*shape, -1)
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        out[index] = _sum(list(moved[index]), dtype)
    return out


def _dot_general(eqn: Any, a: _Value, b: _Value) -> _Value | None:
    (left, right), (left_batch, _) = eqn.params["dimension_numbers"]
    dtype = eqn.outvars[0].aval.dtype
    if left_batch or a.size * b.size > _MOST**2:
        return None
    free_a = [i for i in range(a.ndim) if i not in left]
    free_b = [i for i in range(b.ndim) if i not in right]
    rows = a.transpose(*free_a, *left).reshape(*(a.shape[i] for i in free_a), -1)
    columns = b.transpose(*free_b, *right).reshape(*(b.shape[i] for i in free_b), -1)
    out = np.empty((*rows.shape[:-1], *columns.shape[:-1]), dtype=object)
    for i in np.ndindex(*rows.shape[:-1]):
        for j in np.ndindex(*columns.shape[:-1]):
            products = [_multiply(x, y) for x, y in zip(rows[i], columns[j], strict=True)]
            out[(*i, *j)] = _sum(products, dtype)
    return out


def _broadcast_in_dim(eqn: Any, a: _Value, *dynamic: Any) -> _Value | None:
    if dynamic:
        return None
    shape, places = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    expanded = [1] * len(shape)
    for axis, place in enumerate(places):
        expanded[place] = a.shape[axis]
    return np.broadcast_to(a.reshape(expanded), shape)


def _slice(eqn: Any, a: _Value) -> _Value:
    p = eqn.params
    strides = p["strides"] or (1,) * a.ndim
    return a[tuple(map(slice, p["start_indices"], p["limit_indices"], strides))]


def _split(eqn: Any, a: _Value) -> list[_Value]:
    ends = np.cumsum(eqn.params["sizes"])[:-1]
    return np.split(a, ends, axis=eqn.params["axis"])


def _pad(eqn: Any, a: _Value, filling: _Value) -> _Value | None:
    config = eqn.params["padding_config"]
    if any(low < 0 or high < 0 or inside for low, high, inside in config):
        return None
    out = np.full(eqn.outvars[0].aval.shape, filling[()], dtype=object)
    out[tuple(slice(low, low + n) for (low, _, _), n in zip(config, a.shape, strict=True))] = a
    return out


def _permute(eqn: Any, a: _Value) -> _Value:
    return a.transpose(*eqn.params["permutation"])


def _iota(eqn: Any) -> _Value:
    aval, axis = eqn.outvars[0].aval, eqn.params["dimension"]
    shape = [1] * len(aval.shape)
    shape[axis] = aval.shape[axis]
    values = np.arange(aval.shape[axis]).astype(aval.dtype).reshape(shape)
    return _apart(_Together(np.broadcast_to(values, aval.shape), False))


def _unstack(eqn: Any, a: _Value) -> list[_Value]:
    return list(np.moveaxis(a, eqn.params["axis"], 0))


_STRUCTURE: dict[str, Callable[..., Any]] = {
    "reshape": lambda eqn, a: a.reshape(eqn.params["new_sizes"]),
    "squeeze": lambda eqn, a: a.reshape(eqn.outvars[0].aval.shape),
    "expand_dims": lambda eqn, a: a.reshape(eqn.outvars[0].aval.shape),
    "transpose": _permute,
    "broadcast_in_dim": _broadcast_in_dim,
    "slice": _slice,
    "rev": lambda eqn, a: np.flip(a, eqn.params["dimensions"]),
    "concatenate": lambda eqn, *a: np.concatenate(a, axis=eqn.params["dimension"]),
    "stack": lambda eqn, *a: np.stack(a, axis=eqn.params["axis"]),
    "unstack": _unstack,
    "split": _split,
    "pad": _pad,
    "iota": _iota,
    "reduce_sum": _reduce_sum,
    "dot_general": _dot_general,
}
