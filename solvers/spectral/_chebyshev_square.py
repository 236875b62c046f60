"""Collocation on a rectangle by a tensor grid of Chebyshev–Lobatto points."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jaxtyping import Array

from pdes import Problem
from solvers.spectral._chebyshev_grid import differentiation, lobatto
from solvers.spectral._chebyshev_layout import (
    Layout,
    boundary_mask,
    boundary_rows,
    fluxes,
    initial_slots,
    layout_of,
    point_at,
    rate_at,
    rate_tangent,
    storage_at,
)
from solvers.spectral._chebyshev_newton import CollocationSystem, consistent, implicit_solve


@dataclasses.dataclass(frozen=True)
class _Group:
    """Boundary nodes of one side and part: flat indices, normal, slots replaced there.

    `replaced` (slots, nodes) is where this group's condition stands in for the equation.
    """

    part: str
    nodes: tuple[int, ...]
    normal: tuple[float, float]
    replaced: tuple[tuple[bool, ...], ...]


def _groups(problem: Problem, points: tuple[int, int], layout: Layout) -> tuple[_Group, ...]:
    """Who owns each boundary node: a prescribed value before a flux, then the later entry."""
    domain: Any = problem.domain
    forms = problem.forms()
    low, high = domain.bounds
    axes = [low[d] + (high[d] - low[d]) * (1 + lobatto(points[d])) / 2 for d in (0, 1)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    index = np.arange(len(grid)).reshape(points)
    found = []
    for axis, end in domain.sides:
        nodes = np.take(index, -end, axis=axis)
        parts = domain.part_of(grid[nodes], axis, end)
        normal = [0.0, 0.0]
        normal[axis] = 1.0 if end else -1.0
        for k in np.unique(parts):
            found.append((domain.boundary_names[k], nodes[parts == k], tuple(normal)))
    order = list(problem.conditions)
    found.sort(key=lambda group: order.index(group[0]))
    owner = np.full((layout.count, len(grid)), -1)
    for essential in (False, True):
        for g, (part, nodes, _) in enumerate(found):
            conditions = problem.conditions[part]
            mask = np.array(boundary_mask(layout, forms, conditions))
            values = np.array(
                boundary_mask(
                    layout, forms, {n: c for n, c in conditions.items() if c.any_essential}
                )
            )
            chosen = np.flatnonzero(values if essential else mask & ~values)
            owner[np.ix_(chosen, nodes)] = g
    return tuple(
        _Group(
            part,
            tuple(int(i) for i in nodes),
            normal,
            tuple(tuple(bool(v) for v in row) for row in owner[:, nodes] == g),
        )
        for g, (part, nodes, normal) in enumerate(found)
    )


class SquareSystem(CollocationSystem):
    """A problem on a rectangle after collocation; z has shape (slots, points x, points y).

    Attributes:
        problem: what is solved. points: collocation points in each direction.
    """

    problem: Problem
    points: tuple[int, int] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    groups: tuple[_Group, ...] = eqx.field(static=True)

    def __init__(self, problem: Problem, points: tuple[int, int]):
        self.problem = problem
        self.points = points
        self.layout = layout_of(problem)
        self.groups = _groups(problem, points, self.layout)

    @property
    def nodes(self) -> Array:
        """Positions, (points x · points y, 2)."""
        low, high = self.problem.domain.bounds
        axes = [low[d] + (high[d] - low[d]) * (1 + lobatto(self.points[d])) / 2 for d in (0, 1)]
        return jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2))

    def initial_state(self) -> Array:
        z = initial_slots(self.layout, self.problem, self.nodes)
        z = z.reshape(self.layout.count, *self.points)
        if self.problem.steady:
            return z
        assert self.problem.time is not None
        return consistent(self, z, self.problem.time)

    def _derivatives(self) -> tuple[Array, Array]:
        low, high = self.problem.domain.bounds
        return tuple(  # type: ignore[return-value]
            jnp.asarray(differentiation(self.points[d]) * (2 / (high[d] - low[d]))) for d in (0, 1)
        )

    def _gradients(self, z: Array) -> Array:
        """(slots, points x, points y, 2)."""
        dx, dy = self._derivatives()
        return jnp.stack([jnp.einsum("ij,sjk->sik", dx, z), z @ dy.T], axis=-1)

    def _flat(self, z: Array) -> tuple[Array, Array]:
        count = self.layout.count
        return z.reshape(count, -1), self._gradients(z).reshape(count, -1, 2)

    def algebraic(self) -> Array | None:
        mask = np.zeros((self.layout.count, self.points[0] * self.points[1]), bool)
        mask[np.array(self.layout.algebraic)] = True
        for group in self.groups:
            mask[:, np.array(group.nodes)] |= np.array(group.replaced)
        return jnp.asarray(mask.reshape(-1, *self.points)) if mask.any() else None

    def storage(self, z: Array, t: Array) -> Array:
        forms = self.problem.forms()
        slots, gradients = self._flat(z)
        t = jnp.asarray(t, z.dtype)

        def at(slots, gradient, x):
            return storage_at(
                self.layout, forms, slots, point_at(self.layout, forms, slots, gradient, x, t)
            )

        rows = jax.vmap(at, in_axes=(1, 1, 0), out_axes=1)(slots, gradients, self.nodes)
        rows = rows.reshape(z.shape)
        mask = self.algebraic()
        return rows if mask is None else jnp.where(mask, 0.0, rows)

    def rate(self, z: Array, t: Array) -> Array:
        forms = self.problem.forms()
        slots, gradients = self._flat(z)
        x = self.nodes
        t = jnp.asarray(t, z.dtype)

        def flux(slots, gradient, y):
            return fluxes(self.layout, forms, point_at(self.layout, forms, slots, gradient, y, t))

        flow = jax.vmap(flux, in_axes=(1, 1, 0), out_axes=1)(slots, gradients, x)
        flow = flow.reshape(*z.shape, 2)
        dx, dy = self._derivatives()
        divergence = jnp.einsum("ij,sjk->sik", dx, flow[..., 0]) + flow[..., 1] @ dy.T

        def rows(slots, gradient, div, y):
            p = point_at(self.layout, forms, slots, gradient, y, t)
            return rate_at(self.layout, forms, slots, div, p)

        out = jax.vmap(rows, in_axes=(1, 1, 1, 0), out_axes=1)(
            slots, gradients, divergence.reshape(slots.shape), x
        )
        return self._with_boundary(out, z, t).reshape(z.shape)

    def _with_boundary(self, rows: Array, z: Array, t: Array) -> Array:
        for group in self.groups:
            nodes = np.array(group.nodes)

            def at(z: Array, t: Array, group: _Group = group, nodes: Any = nodes) -> Array:
                forms = self.problem.forms()
                conditions = self.problem.conditions[group.part]
                n = jnp.array(group.normal)
                slots, gradients = self._flat(z)

                def one(slots, gradient, y):
                    p = point_at(self.layout, forms, slots, gradient, y, t, n)
                    return boundary_rows(self.layout, forms, conditions, slots, p)

                return jax.vmap(one, in_axes=(1, 1, 0), out_axes=1)(
                    slots[:, nodes], gradients[:, nodes], self.nodes[nodes]
                )

            found = at(z, t)
            if self.layout.rates:
                # The rows of ∂ₜu are those of u differentiated in time.
                moving = jax.jvp(at, (z, t), (rate_tangent(self.layout, z), jnp.ones_like(t)))[1]
                for name, start in self.layout.rates.items():
                    first, size = self.layout.offsets[name], self.layout.sizes[name]
                    found = found.at[start : start + size].set(moving[first : first + size])
            rows = rows.at[:, nodes].set(
                jnp.where(jnp.array(group.replaced), found, rows[:, nodes]), unique_indices=True
            )
        return rows

    def residual(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        rate = self.rate(z, t)
        mask = self.algebraic()
        change = self.storage(z, t) - alpha * rate - right
        return change if mask is None else jnp.where(mask, rate, change)

    def scale(self, z: Array) -> Array:
        size = jnp.max(jnp.abs(z), axis=(1, 2), keepdims=True)
        return size + 1e-3 * jnp.max(size) + 1e-8

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        return implicit_solve(self, right, t, alpha, guess)

    def factorise(self, z: Array, t: Array, alpha: Array) -> Any:
        def rows(flat: Array) -> Array:
            return self.residual(flat.reshape(z.shape), jnp.zeros_like(z), t, alpha).reshape(-1)

        return jsl.lu_factor(jax.jacfwd(rows)(z.reshape(-1)))

    def solve_factorised(self, factors: Any, right: Array) -> Array:
        return jsl.lu_solve(factors, right.reshape(-1)).reshape(right.shape)
