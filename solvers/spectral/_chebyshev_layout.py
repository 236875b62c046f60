"""Which unknowns a collocation method has at each point, and the equations there.

A slot is one scalar unknown: a component of a field, or of the rate ∂ₜu of a field with inertia.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import FieldCondition, Form, Point, Problem


@dataclasses.dataclass(frozen=True)
class Layout:
    """Slots of a problem.

    Attributes:
        offsets: first slot of each field. sizes: its components. rates: first slot of ∂ₜu for
            fields with inertia. count: slots in all.
        algebraic: slots whose equation has no time derivative, (count,).
        own: for each slot, the slot of the field itself (for a rate, its field's).
    """

    offsets: dict[str, int]
    sizes: dict[str, int]
    rates: dict[str, int]
    count: int
    algebraic: tuple[bool, ...]
    own: tuple[int, ...]

    def __hash__(self) -> int:
        return hash((tuple(self.offsets.items()), tuple(self.rates.items()), self.algebraic))


def layout_of(problem: Problem) -> Layout:
    """The slots of a problem, fields first, then rates."""
    offsets, sizes, rates = {}, {}, {}
    algebraic: list[bool] = []
    forms = problem.forms()
    for name, form in forms.items():
        offsets[name] = len(algebraic)
        sizes[name] = int(np.prod(form.shape, dtype=int))
        evolves = not problem.steady and (form.has_storage or form.has_inertia)
        algebraic += [not evolves] * sizes[name]
    own = list(range(len(algebraic)))
    for name, form in forms.items():
        if form.has_inertia and not problem.steady:
            rates[name] = len(algebraic)
            algebraic += [False] * sizes[name]
            own += range(offsets[name], offsets[name] + sizes[name])
    return Layout(offsets, sizes, rates, len(algebraic), tuple(algebraic), tuple(own))


def fields_at(layout: Layout, forms: dict[str, Form], slots: Array) -> dict[str, Array]:
    """Fields from slots (count, …) to arrays (*shape, …)."""
    rest = slots.shape[1:]
    return {
        name: slots[layout.offsets[name] : layout.offsets[name] + layout.sizes[name]].reshape(
            *form.shape, *rest
        )
        for name, form in forms.items()
    }


def point_at(
    layout: Layout,
    forms: dict[str, Form],
    slots: Array,
    gradients: Array,
    x: Array,
    t: Array,
    n: Array | None = None,
) -> Point:
    """The Point of slots (count,) and their gradients (count, dim)."""
    return Point(
        x, t, fields_at(layout, forms, slots), fields_at(layout, forms, gradients), n, None, None
    )


def fluxes(layout: Layout, forms: dict[str, Form], p: Point) -> Array:
    """F of each slot at one point, (count, dim); zero in rate slots."""
    rows = [form.flux(p).reshape(-1, form.dim) for form in forms.values()]
    rates = layout.count - sum(layout.sizes.values())
    dim = p.x.shape[0]
    return jnp.concatenate([*rows, jnp.zeros((rates, dim), rows[0].dtype)])


def storage_at(layout: Layout, forms: dict[str, Form], slots: Array, p: Point) -> Array:
    """m of each slot at one point, (count,); zero in algebraic slots."""
    out = jnp.zeros(layout.count, slots.dtype)
    for name, form in forms.items():
        first, size = layout.offsets[name], layout.sizes[name]
        here = slots[first : first + size]
        if layout.algebraic[first]:
            continue
        if name in layout.rates:
            out = out.at[first : first + size].set(here)
            start = layout.rates[name]
            rate = slots[start : start + size].reshape(form.shape)
            momentum = form.inertia(p) * rate
            if form.has_storage:
                momentum = momentum + form.storage(p)
            out = out.at[start : start + size].set(momentum.reshape(-1))
        else:
            out = out.at[first : first + size].set(form.storage(p).reshape(-1))
    return out


def rate_at(
    layout: Layout, forms: dict[str, Form], slots: Array, divergence: Array, p: Point
) -> Array:
    """R of each slot at one point, given ∇·F of each slot, (count,)."""
    out = jnp.zeros(layout.count, slots.dtype)
    for name, form in forms.items():
        first, size = layout.offsets[name], layout.sizes[name]
        div = divergence[first : first + size]
        source = form.source(p).reshape(-1)
        if form.kind == "Definition":
            row = source + div - slots[first : first + size]
        else:
            row = source - div
        if name in layout.rates:
            start = layout.rates[name]
            out = out.at[first : first + size].set(slots[start : start + size])
            out = out.at[start : start + size].set(row)
        else:
            out = out.at[first : first + size].set(row)
    return out


def keeps_equation(condition: FieldCondition) -> bool:
    """Nothing is prescribed: Free, or an Outflow of a flux without gradients."""
    return condition.free or (not condition.any_essential and condition.prescribed_terms == ())


def boundary_rows(
    layout: Layout,
    forms: dict[str, Form],
    conditions: dict[str, FieldCondition],
    slots: Array,
    p: Point,
) -> Array:
    """What is zero at a boundary point for each field slot, (count,); see `boundary_mask`."""
    out = jnp.zeros(layout.count, slots.dtype)
    assert p.n is not None
    for name, form in forms.items():
        condition = conditions.get(name)
        if condition is None or keeps_equation(condition):
            continue
        first, size = layout.offsets[name], layout.sizes[name]
        here = slots[first : first + size]
        flux = (form.flux(p) @ p.n - condition.natural(form, p)).reshape(-1)
        essential = jnp.asarray(condition.essential)
        if condition.normal_only:
            essential = jnp.abs(p.n) > 0.5
        value = here - condition.value(p.x, p.t).reshape(-1)
        out = out.at[first : first + size].set(jnp.where(essential, value, flux))
    return out


def boundary_mask(
    layout: Layout, forms: dict[str, Form], conditions: dict[str, FieldCondition]
) -> tuple[bool, ...]:
    """Slots whose equation a boundary condition replaces, (count,), rates as their fields."""
    mask = [False] * layout.count
    for name in forms:
        condition = conditions.get(name)
        if condition is not None and not keeps_equation(condition):
            first, size = layout.offsets[name], layout.sizes[name]
            mask[first : first + size] = [True] * size
    return tuple(mask[own] for own in layout.own)


def rate_tangent(layout: Layout, slots: Array) -> Array:
    """∂ₜ of the slots as far as it is known: rates for the fields that have one, else zero."""
    out = jnp.zeros_like(slots)
    for name, start in layout.rates.items():
        first, size = layout.offsets[name], layout.sizes[name]
        out = out.at[first : first + size].set(slots[start : start + size])
    return out


def slots_of(layout: Layout, fields: Mapping[str, Callable], x: Array) -> Array:
    """Functions of x at points (n, dim) as slots (count, n); zero where there is none."""
    out = jnp.zeros((layout.count, len(x)), x.dtype)
    for name, function in fields.items():
        first, size = layout.offsets[name], layout.sizes[name]
        values = jax.vmap(function)(x).reshape(len(x), size).T
        out = out.at[first : first + size].set(values)
    return out


def initial_slots(layout: Layout, problem: Problem, x: Array) -> Array:
    """Initial data at points x (n, dim) as slots (count, n); zero where there is none."""
    out = jnp.zeros((layout.count, len(x)), x.dtype)
    for name, offset in layout.offsets.items():
        size = layout.sizes[name]
        for start, data in (
            (offset, problem.initial.get(name)),
            (layout.rates.get(name), problem.initial_rate.get(name)),
        ):
            if data is not None and start is not None:
                values = jax.vmap(data)(x).reshape(len(x), size).T
                out = out.at[start : start + size].set(values)
    return out
