"""What a term depends on, read off its jaxpr: fields, affine or not, constant or not.

The Jacobian of a term with respect to the fields is traced; the term is affine when that
Jacobian depends on no field, and has constant coefficients when it depends on no position
or time either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex_core

from pdes._point import Point


def depends_on(function: Callable, *args: Any) -> tuple[Any, ...]:
    """For each leaf of each argument: can it change the output of `function`?

    Returns pytrees of bool shaped like `args`. Conservative: True where unsure; a value that
    enters by its shape alone (`ones_like`) does not count.
    """
    closed = jax.make_jaxpr(function)(*args)
    used = used_inputs(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    leaves, tree = jax.tree.flatten(args)
    assert len(leaves) == len(used)
    return jax.tree.unflatten(tree, used)


def used_inputs(jaxpr: Any, wanted: list[bool]) -> list[bool]:
    """Backward reachability from the wanted outputs to the inputs of a jaxpr."""
    live = {
        var
        for var, want in zip(jaxpr.outvars, wanted, strict=True)
        if want and not isinstance(var, jex_core.Literal)
    }
    for eqn in reversed(jaxpr.eqns):
        outs = [var in live for var in eqn.outvars]
        if not any(outs):
            continue
        inner = (
            eqn.params.get("jaxpr")
            if eqn.primitive.name in ("pjit", "jit", "closed_call")
            else None
        )
        if inner is not None:
            inner_jaxpr = getattr(inner, "jaxpr", inner)
            needed = used_inputs(inner_jaxpr, outs)
        else:
            needed = [True] * len(eqn.invars)
        for var, need in zip(eqn.invars, needed, strict=True):
            if need and not isinstance(var, jex_core.Literal):
                live.add(var)
    return [var in live for var in jaxpr.invars]


@dataclasses.dataclass(frozen=True)
class Dependence:
    """How one term depends on its point.

    Attributes:
        values: names of the fields whose value it uses.
        gradients: names of the fields whose gradient it uses.
        affine: its Jacobian with respect to values and gradients depends on no field.
        constant: affine, and that Jacobian depends on neither x nor t (nor region or cell).
        space, time: it uses x, or t, in any way (also as data).
    """

    values: frozenset[str]
    gradients: frozenset[str]
    affine: bool
    constant: bool
    space: bool
    time: bool

    @property
    def fields(self) -> frozenset[str]:
        """Fields used by value or gradient."""
        return self.values | self.gradients


def term_dependence(term: Callable[[Point], Any], point: Point) -> Dependence:
    """Reads how `term` depends on a point shaped like `point`."""

    def call(x, t, place, values, gradients):
        p = Point(x, t, values, gradients, point.n, *place)
        return jnp.asarray(term(p))

    place = (point.region, point.cell)
    x, t, values, gradients = point.x, point.t, point.values, point.gradients
    used = depends_on(call, x, t, place, values, gradients)
    names = frozenset(name for name, flag in used[3].items() if flag)
    gradient_names = frozenset(name for name, flag in (used[4] or {}).items() if flag)

    def tangent(x, t, place, values, gradients, dv, dg):
        return jax.jvp(lambda v, g: call(x, t, place, v, g), (values, gradients), (dv, dg))[1]

    # Tangents are arguments of the fields' own shapes, so that only the primal fields that
    # survive in the derivative are counted.
    jac = depends_on(tangent, x, t, place, values, gradients, values, gradients)
    affine = not any(jax.tree.leaves((jac[3], jac[4])))
    constant = affine and not any(jax.tree.leaves((jac[0], jac[1], jac[2])))
    return Dependence(names, gradient_names, affine, constant, bool(used[0]), bool(used[1]))
