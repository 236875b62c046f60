"""Truncated expansions of a function along directions, carried through its jaxpr once.

Nested forward mode repeats the lower derivatives at each level. Here a function is traced and each
primitive maps the expansions of its inputs to those of its outputs; `Algebra` says how, for a kind
of expansion. What has no rule is differentiated by nested forward mode on its own, so that
every function is taken, at the cost of that primitive alone.

Sources: Griewank and Walther (2008), chapter 13, for series; Li et al. (2023) for the Laplacian.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex_core
from jaxtyping import Array

Stream = Array | None


class Expansion:
    """A value and its coefficients, `streams`; None stands for one that is zero."""

    def __init__(self, streams: Sequence[Stream]):
        self.streams = tuple(streams)

    @property
    def value(self) -> Array:
        value = self.streams[0]
        assert value is not None
        return value


class Algebra(abc.ABC):
    """The rules of one kind of expansion."""

    @abc.abstractmethod
    def each(self, index: int, fn: Callable, parts: list[Any], given: list[bool]) -> Any:
        """`fn` of the coefficient `index` of several inputs; `given` tells zeros filled in."""

    @abc.abstractmethod
    def product(self, fn: Callable, a: Expansion, b: Expansion) -> Expansion:
        """A bilinear function of two expansions."""

    @abc.abstractmethod
    def unary(self, name: str, parameters: dict, a: Expansion) -> Expansion | None:
        """A function of each entry by its name, or None where there is no rule."""

    def call(self, name: str, inputs: list) -> list[Expansion] | None:
        """A compiled function by its name, or None where it is taken apart."""
        return None

    @abc.abstractmethod
    def compose(self, fn: Callable, arguments: list[Expansion]) -> list[Expansion]:
        """Any function from arrays to a list of arrays, by nested forward mode."""


def propagate(algebra: Algebra, function: Callable, *arguments: Any) -> Any:
    """`function` of expansions: a pytree of `Expansion`, or of arrays that depend on none.

    Arguments:
        arguments: pytrees of arrays and of `Expansion`.
    """
    leaves, tree = jax.tree.flatten(arguments, is_leaf=_is_expansion)
    values = [leaf.value if _is_expansion(leaf) else jnp.asarray(leaf) for leaf in leaves]
    closed, shape = jax.make_jaxpr(
        lambda *flat: function(*jax.tree.unflatten(tree, flat)), return_shape=True
    )(*values)
    found = _run(algebra, closed.jaxpr, closed.consts, leaves)
    return jax.tree.unflatten(jax.tree.structure(shape), found)


def _is_expansion(node: Any) -> bool:
    return isinstance(node, Expansion)


def _run(algebra: Algebra, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list:
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(var: Any) -> Any:
        return var.val if isinstance(var, jex_core.Literal) else known[var]

    for equation in jaxpr.eqns:
        outputs = _apply(algebra, equation, [read(var) for var in equation.invars])
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _apply(algebra: Algebra, equation: Any, inputs: list) -> list:
    name, parameters = equation.primitive.name, equation.params
    if not any(_is_expansion(value) for value in inputs):
        return _bound(equation, inputs)
    if name in _CALLS:
        found = algebra.call(parameters.get("name", ""), inputs)
        if found is not None:
            return found
        inner = parameters["jaxpr"]
        return _run(algebra, inner.jaxpr, inner.consts, inputs)
    plain = [value.value if _is_expansion(value) else value for value in inputs]
    if name in _FLAT or not any(_is_inexact(var.aval) for var in equation.outvars):
        return _bound(equation, plain)
    if name == "select_n":
        inputs = [plain[0], *inputs[1:]]
        if not any(_is_expansion(value) for value in inputs):
            return _bound(equation, inputs)
    if name in _LINEAR:
        return _linear(algebra, equation, inputs)
    if name in _BILINEAR:
        a, b = inputs
        if _is_expansion(a) and _is_expansion(b):
            return [algebra.product(lambda x, y: _bound(equation, [x, y])[0], a, b)]
        if _is_expansion(a):
            return _streamwise(algebra, lambda x: _bound(equation, [x, b]), a)
        return _streamwise(algebra, lambda x: _bound(equation, [a, x]), b)
    if name == "div":
        return _quotient(algebra, equation, inputs)
    if name == "pow" and _is_expansion(inputs[0]) and not _is_expansion(inputs[1]):
        found = algebra.unary("pow", {"y": inputs[1]}, inputs[0])
        if found is not None:
            return [found]
    if len(inputs) == 1:
        found = algebra.unary(name, parameters, inputs[0])
        if found is not None:
            return [found]
    return _composed(algebra, equation, inputs)


def _bound(equation: Any, inputs: list) -> list:
    parameters = equation.primitive.get_bind_params(equation.params)
    # Releases of JAX differ in where the functions of a custom derivative are.
    functions, parameters = parameters if isinstance(parameters, tuple) else ((), parameters)
    found = equation.primitive.bind(*functions, *inputs, **parameters)
    return list(found) if equation.primitive.multiple_results else [found]


def _linear(algebra: Algebra, equation: Any, inputs: list) -> list:
    """Jointly linear in all inputs of floating type; the others are indices or choices."""
    count = max(len(value.streams) for value in inputs if _is_expansion(value))
    columns = []
    for k in range(count):
        parts, given = [], []
        for value in inputs:
            stream = value.streams[k] if _is_expansion(value) else None
            if stream is None and (k == 0 or not _is_inexact(jnp.asarray(value_of(value)))):
                stream = value_of(value)
                given.append(False)
            else:
                given.append(stream is not None)
            parts.append(jnp.zeros_like(value_of(value)) if stream is None else stream)
        if k and not any(given):
            columns.append([None] * len(equation.outvars))
        else:
            columns.append(algebra.each(k, lambda *p: _bound(equation, list(p)), parts, given))
    return [Expansion(streams) for streams in zip(*columns, strict=True)]


def value_of(value: Any) -> Any:
    """The value of an expansion; an array is its own."""
    return value.value if _is_expansion(value) else value


def _quotient(algebra: Algebra, equation: Any, inputs: list) -> list:
    a, b = inputs
    if not _is_expansion(b):
        return _streamwise(algebra, lambda x: _bound(equation, [x, b]), a)
    inverse = algebra.unary("reciprocal", {}, b)
    assert inverse is not None
    if _is_expansion(a):
        found = algebra.product(jnp.multiply, a, inverse)
    else:
        found = _streamwise(algebra, lambda x: [a * x], inverse)[0]
    # The value itself is the quotient, to its last digit.
    value = _bound(equation, [value_of(a), b.value])[0]
    return [Expansion((value, *found.streams[1:]))]


def _streamwise(algebra: Algebra, fn: Callable, a: Expansion) -> list:
    columns = [
        [None] if stream is None else algebra.each(k, fn, [stream], [True])
        for k, stream in enumerate(a.streams)
    ]
    return [Expansion(streams) for streams in zip(*columns, strict=True)]


def _composed(algebra: Algebra, equation: Any, inputs: list) -> list:
    moving = [i for i, value in enumerate(inputs) if _is_expansion(value)]
    inexact = [_is_inexact(var.aval) for var in equation.outvars]

    def fn(*values: Array) -> list[Array]:
        full = list(inputs)
        for i, value in zip(moving, values, strict=True):
            full[i] = value
        outputs = _bound(equation, full)
        return [value for value, wanted in zip(outputs, inexact, strict=True) if wanted]

    found = iter(algebra.compose(fn, [inputs[i] for i in moving]))
    if all(inexact):
        return list(found)
    plain = _bound(equation, [value_of(value) for value in inputs])
    return [next(found) if wanted else value for value, wanted in zip(plain, inexact, strict=True)]


def _is_inexact(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, jnp.inexact)


_CALLS = frozenset({"jit", "pjit", "closed_call"})
# Constant wherever they have a derivative.
_FLAT = frozenset({"sign", "floor", "ceil", "round", "stop_gradient"})
_BILINEAR = frozenset({"mul", "dot_general", "conv_general_dilated"})
_LINEAR = frozenset(
    {
        "add", "add_any", "sub", "neg", "reshape", "broadcast_in_dim", "squeeze", "expand_dims",
        "transpose", "concatenate", "pad", "slice", "dynamic_slice", "dynamic_update_slice",
        "gather", "reduce_sum", "convert_element_type", "copy", "copy_p", "rev", "cumsum",
        "select_n", "scatter-add", "scatter_add", "split", "real", "imag", "complex", "conj",
    }
)  # fmt: skip
