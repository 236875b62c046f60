"""Functions traced once, equal to others with the same operations.

A user's function is a new object each time it is made, so that a program compiled for it would
be compiled again. Its jaxpr is compared in its place, operation by operation; the arrays that it
closes over are leaves, which may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer, eval_jaxpr
from jax.extend import core as jex_core
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from pdes._data import Datum


class Program:
    """A jaxpr, with equality by its operations."""

    def __init__(self, jaxpr: Any):
        self.jaxpr = jaxpr
        self._key = _key(jaxpr)
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash


class Traced(eqx.Module):
    """A function by its program.

    Attributes:
        constants: what it closes over. arrays: the leaves that it has itself, if it is a module.
        inputs: structure of its arguments. outputs: of its results.
    """

    constants: list[Array]
    arrays: list[Array]
    program: Program = eqx.field(static=True)
    inputs: Any = eqx.field(static=True)
    outputs: Any = eqx.field(static=True)

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        if structure != self.inputs:
            raise TypeError(f"called with {structure}, but traced with {self.inputs}")
        out = eval_jaxpr(self.program.jaxpr, self.constants, *self.arrays, *leaves)
        return jax.tree.unflatten(self.outputs, out)


def traced(function: Callable, *arguments: Any) -> Traced:
    """`function` traced at such arguments, with everything that it closes over as leaves.

    So a user's function may close over what is being differentiated, and what follows (which
    blocks vanish, the tangents) need not run the user's code again.
    """
    dynamic, static = eqx.partition(function, eqx.is_array)
    own, own_structure = jax.tree.flatten(dynamic)
    leaves, inputs = jax.tree.flatten(arguments)
    outputs = []

    def flat(*all_leaves: Any) -> Any:
        held = jax.tree.unflatten(own_structure, all_leaves[: len(own)])
        given = jax.tree.unflatten(inputs, all_leaves[len(own) :])
        out, structure = jax.tree.flatten(eqx.combine(held, static)(*given))
        outputs.append(structure)
        return out

    closed = jax.make_jaxpr(flat)(*own, *leaves)
    return Traced(list(closed.consts), own, Program(closed.jaxpr), inputs, outputs[-1])


class _OfPoint(eqx.Module):
    """A function of x, or of x and t, by its program."""

    program: Traced

    def __call__(self, x: Array, *time: Any) -> Array:
        return self.program(x, *(jnp.asarray(t, x.dtype) for t in time))


def with_programs(problem: Problem) -> Problem:
    """The problem with its data functions by their programs, and without its known solution.

    So what is compiled for one serves another that is made alike, `library.heat()` again, whose
    functions are other objects.
    """
    x, t = on_device(np.ones(problem.dim)), on_device(np.ones(()))

    def by_program(node: Any) -> Any:
        function = node.function if isinstance(node, Datum) else None
        if function is None:
            return node
        arguments = (x, t) if node.arity == 2 else (x,)
        program = traced(lambda *given: jnp.asarray(function(*given), x.dtype), *arguments)
        return Datum(None, _OfPoint(program), node.arity, node.shape)

    bare = problem._copied(exact={})
    return jax.tree.map(by_program, bare, is_leaf=lambda node: isinstance(node, Datum))


class _Identity:
    """Equal only to itself, and kept alive so that it stays so."""

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _key(jaxpr: Any) -> tuple:
    numbers: dict[Any, int] = {}

    def name(variable: Any) -> Any:
        if isinstance(variable, jex_core.Literal):
            return ("literal", _frozen(variable.val), _frozen(variable.aval))
        return numbers.setdefault(variable, len(numbers))

    def bound(variables: Any) -> tuple:
        return tuple((name(v), _frozen(v.aval)) for v in variables)

    head = (bound(jaxpr.constvars), bound(jaxpr.invars))
    body = tuple(
        (
            eqn.primitive,
            tuple(name(v) for v in eqn.invars),
            bound(eqn.outvars),
            tuple((k, _frozen(v)) for k, v in sorted(eqn.params.items()) if k != "debug_info"),
        )
        for eqn in jaxpr.eqns
    )
    return head, body, tuple(name(v) for v in jaxpr.outvars)


def _frozen(value: Any) -> Any:
    """Something hashable, equal for values that mean the same; by identity where unsure."""
    if isinstance(value, jex_core.ClosedJaxpr):
        return ("closed", _key(value.jaxpr), tuple(_frozen(c) for c in value.consts))
    if isinstance(value, jex_core.Jaxpr):
        return ("open", _key(value))
    if isinstance(value, (list, tuple)):
        return (type(value), tuple(_frozen(v) for v in value))
    if isinstance(value, dict):
        return ("dict", tuple((k, _frozen(v)) for k, v in sorted(value.items())))
    if isinstance(value, Tracer):
        return _Identity(value)
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        array = np.asarray(value)
        return ("array", array.shape, str(array.dtype), array.tobytes())
    if isinstance(value, float):
        return ("float", np.float64(value).tobytes())
    try:
        hash(value)
    except TypeError:
        return _Identity(value)
    return (type(value), value)
