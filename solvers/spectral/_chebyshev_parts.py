"""Who owns each boundary node of a tensor grid, and which rows its condition replaces."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdes import Form, Problem
from solvers.spectral._chebyshev_axis import Axis
from solvers.spectral._chebyshev_layout import Layout, boundary_mask


@dataclasses.dataclass(frozen=True)
class Part:
    """Boundary nodes of one side and part: flat indices, normal, slots replaced there.

    `replaced` (slots, nodes) is where this part's condition stands in for the equation.
    """

    name: str
    nodes: tuple[int, ...]
    normal: tuple[float, ...]
    replaced: tuple[tuple[bool, ...], ...]


def grid_nodes(axes: tuple[Axis, ...]) -> NDArray[np.floating]:
    """Positions of all points, the last axis fastest, (points, dim)."""
    mesh = np.meshgrid(*(axis.nodes for axis in axes), indexing="ij")
    return np.stack(mesh, axis=-1).reshape(-1, len(axes))


def boundary_parts(problem: Problem, axes: tuple[Axis, ...], layout: Layout) -> tuple[Part, ...]:
    """The owner of each boundary node: a prescribed value before a flux, then the later entry."""
    domain: Any = problem.domain
    forms = problem.forms()
    grid = grid_nodes(axes)
    index = np.arange(len(grid)).reshape([axis.points for axis in axes])
    found = []
    for axis, end in domain.sides:
        nodes = np.take(index, -end, axis=axis).reshape(-1)
        parts = domain.part_of(grid[nodes], axis, end)
        normal = [0.0] * len(axes)
        normal[axis] = 1.0 if end else -1.0
        for k in np.unique(parts):
            found.append((domain.boundary_names[k], nodes[parts == k], tuple(normal)))
    order = list(problem.conditions)
    found.sort(key=lambda part: order.index(part[0]))
    owner = np.full((layout.count, len(grid)), -1)
    for essential in (False, True):
        for g, (name, nodes, _) in enumerate(found):
            conditions = problem.conditions[name]
            mask = np.array(boundary_mask(layout, forms, conditions))
            given = {n: c for n, c in conditions.items() if c.any_essential}
            values = np.array(boundary_mask(layout, forms, given))
            chosen = np.flatnonzero(values if essential else mask & ~values)
            owner[np.ix_(chosen, nodes)] = g
    return tuple(
        Part(
            name,
            tuple(int(i) for i in nodes),
            normal,
            tuple(tuple(bool(v) for v in row) for row in owner[:, nodes] == g),
        )
        for g, (name, nodes, normal) in enumerate(found)
    )


def is_multiplier(form: Form) -> bool:
    """A constraint on the divergence of other fields, whose own field has no derivatives in it."""
    if form.kind != "Constraint" or not form.equation.flux:
        return False
    return not any(form.name in form.dependence(term).gradients for term in form.all_terms())


def multiplier_slots(layout: Layout, forms: dict[str, Form]) -> tuple[bool, ...]:
    """Slots whose values on the boundary are those of a polynomial of lower degree, (count,)."""
    mask = [False] * layout.count
    for name, form in forms.items():
        if is_multiplier(form):
            first = layout.offsets[name]
            mask[first : first + layout.sizes[name]] = [True] * layout.sizes[name]
    return tuple(mask)
