"""Terms of an equation on the grid: which there are, what they sum to, which sums are distinct."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Form, Point
from solvers.spectral._dealias import polynomial_degree
from solvers.spectral._symbol import Layout, zero_point

# A component and the direction of a derivative; −1 for the value itself.
Fields = dict[str, Array]
Slot = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Term:
    """A term by its place in the equations; `data` takes only its value at zero fields."""

    field: str
    kind: str
    index: int
    data: bool = False

    def function(self, forms: dict[str, Form]) -> Callable[[Point], Any]:
        equation = forms[self.field].equation
        return (equation.flux if self.kind == "flux" else equation.source)[self.index]


def has_data(form: Form) -> bool:
    """Whether any term of the equation may differ from zero where every field is zero."""
    for term in (*form.equation.flux, *form.equation.source):
        dependence = form.dependence(term)
        if dependence.space or dependence.time or value_at_zero(term, form.shapes, form.dim):
            return True
    return False


def value_at_zero(term: Callable, shapes: dict[str, tuple[int, ...]], dim: int) -> bool:
    """Whether the term may differ from zero where every field is zero."""
    try:
        return bool(np.any(np.asarray(term(zero_point(shapes, dim)))))
    except jax.errors.TracerArrayConversionError:
        return True


def degree_of(term: Term, forms: dict[str, Form], layout: Layout) -> float:
    if term.data:
        return 0.0
    return polynomial_degree(term.function(forms), zero_point(layout.shapes_by_name, layout.dim))


def slots_of(terms: tuple[Term, ...], layout: Layout) -> tuple[Slot, ...]:
    slots = {}
    for term in terms:
        directions = range(layout.dim) if term.kind == "flux" else (-1,)
        for component in layout.components(term.field):
            for direction in directions:
                slots[component, direction] = None
    return tuple(slots)


def fields_of(slots: tuple[Slot, ...], layout: Layout, q: Array) -> tuple[Fields, Fields]:
    """Values and gradients by field, (*shape, …), of quantities q (slots, …) in their order.

    Made before a vmap over the last axis: what is stacked under it would be interleaved in memory.
    """
    values: Fields = {}
    gradients: Fields = {}
    place = {slot: i for i, slot in enumerate(slots)}
    rest = q.shape[1:]
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        components = layout.components(name)
        if (components[0], -1) in place:
            first = place[components[0], -1]
            values[name] = q[first : first + len(components)].reshape(*shape, *rest)
        if (components[0], 0) in place:
            first = place[components[0], 0]
            count = len(components) * layout.dim
            gradients[name] = q[first : first + count].reshape(*shape, layout.dim, *rest)
    return values, gradients


def evaluate_terms(
    terms, forms, layout: Layout, sums, x: Array, t: Array, values: Fields, gradients: Fields
) -> tuple[Array, ...]:
    """Sums of the terms at one point, in the order of `sums`; fields not given are zero."""
    zero = zero_point(layout.shapes_by_name, layout.dim, x, t)
    none = jnp.zeros((), x.dtype)
    point = Point(x, t, dict(zero.values or {}) | values, dict(zero.gradients or {}) | gradients)
    total = dict.fromkeys(sums, none)
    for term in terms:
        out = jnp.asarray(term.function(forms)(zero if term.data else point), x.dtype)
        components = layout.components(term.field)
        flat = out.reshape(len(components), -1)
        for row, component in enumerate(components):
            for column in range(flat.shape[1]):
                slot = (component, column if term.kind == "flux" else -1)
                total[slot] = total[slot] + flat[row, column]
    return tuple(jnp.broadcast_to(total[slot], ()) for slot in sums)


def distinct_sums(terms, forms, layout, slots, sums, polynomial: bool):
    """Which sums to transform: for polynomials, equal ones once and zero ones never.

    Polynomials that agree at random points are equal with probability one.
    """
    everything = tuple(range(len(sums))), tuple(((slot, 1.0),) for slot in sums)
    if not polynomial or not slots:
        return everything
    generator = np.random.default_rng(11)
    x, t = jnp.ones(layout.dim), jnp.ones(())
    samples = jnp.asarray(generator.standard_normal((8, len(slots))))

    def sampled(q: Array) -> Array:
        fields = fields_of(slots, layout, q)
        return jnp.stack(evaluate_terms(terms, forms, layout, sums, x, t, *fields))

    try:
        found = np.asarray(jax.vmap(sampled)(samples))
    except jax.errors.TracerArrayConversionError:
        return everything
    picked: list[int] = []
    feeds: list[list[tuple[Slot, float]]] = []
    for i, slot in enumerate(sums):
        column = found[:, i]
        if not column.any():
            continue
        for j, first in enumerate(picked):
            for sign in (1.0, -1.0):
                if np.allclose(
                    column, sign * found[:, first], rtol=8 * np.finfo(found.dtype).eps, atol=0
                ):
                    feeds[j].append((slot, sign))
                    break
            else:
                continue
            break
        else:
            picked.append(i)
            feeds.append([(slot, 1.0)])
    return tuple(picked), tuple(tuple(f) for f in feeds)
