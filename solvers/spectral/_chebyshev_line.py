"""Collocation on an interval cut into panels, joined by value and by F·n.

Each panel has its own Chebyshev–Lobatto points, so that an interface has two copies of every
slot. One of their two rows is [u] = 0; the other is, for a flux that uses gradients, [F·n] = 0
(in a definition, which has to give its own field there, the weak form that adds the equation
from both sides), and for a flux that does not, the mean of the equation from both sides. A
field without flux has its equation on each side.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from solvers.spectral._chebyshev_blocks import factor, solve_by
from solvers.spectral._chebyshev_grid import differentiation, lobatto, quadrature
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

JUMP, WEAK, AVERAGE, LOCAL = "jump", "weak", "average", "local"


def interface_kinds(problem: Problem) -> tuple[str, ...]:
    """How each slot is joined at an interface."""
    layout = layout_of(problem)
    kinds = [LOCAL] * layout.count
    for name, form in problem.forms().items():
        if not form.equation.flux:
            continue
        uses = any(form.dependence(term).gradients for term in form.equation.flux)
        first, size = layout.offsets[name], layout.sizes[name]
        across = WEAK if form.kind == "Definition" else JUMP
        kinds[first : first + size] = [across if uses else AVERAGE] * size
    return tuple(kinds[own] for own in layout.own)


class _Factors(eqx.Module):
    """A condensed Jacobian: interiors of panels eliminated, ends coupled."""

    interior: Any
    coupling: Array
    own: Array
    neighbour: Array
    ends: Any


class LineSystem(CollocationSystem):
    """A problem in one dimension after collocation; z has shape (panels, slots, points).

    Attributes:
        problem: what is solved. edges: of the panels, increasing, (panels + 1,).
        points: collocation points in each panel.
    """

    problem: Problem
    edges: Array
    points: int = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    kinds: tuple[str, ...] = eqx.field(static=True)
    masks: tuple[tuple[bool, ...], tuple[bool, ...]] = eqx.field(static=True)

    def __init__(self, problem: Problem, edges: Any, points: int):
        self.problem = problem
        self.edges = on_device(edges)
        self.points = points
        self.layout = layout_of(problem)
        self.kinds = interface_kinds(problem)
        forms, conditions = problem.forms(), problem.conditions
        names = (part_at(problem, 0), part_at(problem, 1))
        left, right = (boundary_mask(self.layout, forms, conditions[name]) for name in names)
        self.masks = (left, right)

    @property
    def panels(self) -> int:
        return len(self.edges) - 1

    @property
    def nodes(self) -> Array:
        """Positions, (panels, points)."""
        xi = jnp.asarray(lobatto(self.points))
        a, b = self.edges[:-1, None], self.edges[1:, None]
        return a + (b - a) * (1 + xi) / 2

    def initial_state(self) -> Array:
        x = self.nodes.reshape(-1, 1)
        slots = initial_slots(self.layout, self.problem, x)
        z = jnp.moveaxis(slots.reshape(self.layout.count, self.panels, self.points), 0, 1)
        if self.problem.steady:
            return z
        assert self.problem.time is not None
        return consistent(self, z, self.problem.time)

    # Rows of one panel, before those at its ends are replaced.

    def _pointwise(self, z: Array, a: Array, b: Array, t: Array) -> tuple[Array, Array, Array]:
        """m and R of every slot at a panel's points, (slots, points), and F at its ends."""
        forms = self.problem.forms()
        derivative = jnp.asarray(differentiation(self.points)) * (2 / (b - a))
        x = (a + (b - a) * (1 + jnp.asarray(lobatto(self.points))) / 2)[:, None]

        def flux(z: Array) -> Array:
            slope = z @ derivative.T

            def at(slots, gradient, y):
                p = point_at(self.layout, forms, slots, gradient[:, None], y, t)
                return fluxes(self.layout, forms, p)[:, 0]

            return jax.vmap(at, in_axes=(1, 1, 0), out_axes=1)(z, slope, x)

        flow = flux(z)
        divergence, slope = flow @ derivative.T, z @ derivative.T

        def rows(slots, gradient, div, y):
            p = point_at(self.layout, forms, slots, gradient[:, None], y, t)
            storage = storage_at(self.layout, forms, slots, p)
            return storage, rate_at(self.layout, forms, slots, div, p)

        storage, rate = jax.vmap(rows, in_axes=(1, 1, 1, 0), out_axes=1)(z, slope, divergence, x)
        if self.layout.rates:
            # The rows of ∂ₜu continue those of u: differentiate them in time.
            moving = jax.jvp(flux, (z,), (rate_tangent(self.layout, z),))[1]
            for name, start in self.layout.rates.items():
                first, size = self.layout.offsets[name], self.layout.sizes[name]
                flow = flow.at[start : start + size].set(moving[first : first + size])
        return storage, rate, flow[:, jnp.array([0, -1])].T

    def _boundary(self, z: Array, t: Array, end: int) -> Array:
        """Rows of the conditions at one end of the domain, (slots,); z is its panel."""
        forms = self.problem.forms()
        conditions = self.problem.conditions[part_at(self.problem, end)]
        i = 0 if end == 0 else -1
        a, b = self.edges[i - 1 if end else 0], self.edges[i if end else 1]
        derivative = jnp.asarray(differentiation(self.points)[i]) * (2 / (b - a))
        x, n = self.edges[i][None], jnp.array([1.0 if end else -1.0])

        def rows(z: Array, t: Array) -> Array:
            p = point_at(self.layout, forms, z[:, i], (z @ derivative)[:, None], x, t, n)
            return boundary_rows(self.layout, forms, conditions, z[:, i], p)

        out = rows(z, t)
        if self.layout.rates:
            tangent = (rate_tangent(self.layout, z), jnp.ones_like(t))
            moving = jax.jvp(rows, (z, t), tangent)[1]
            for name, start in self.layout.rates.items():
                first, size = self.layout.offsets[name], self.layout.sizes[name]
                out = out.at[start : start + size].set(moving[first : first + size])
        return out

    def _weights(self) -> tuple[Array, Array]:
        """Rows at ends as sums of (equation, flux, value) of the panel and of its neighbour.

        Two arrays (panels, 2, slots, 3); end 0 is the left one, whose neighbour is on the left.
        """
        panels, slots = self.panels, self.layout.count
        kinds = np.array(self.kinds)
        own, other = np.zeros((panels, 2, slots, 3)), np.zeros((panels, 2, slots, 3))
        own[..., 0] = 1.0
        joined = kinds != LOCAL
        own[:-1, 1, joined], other[:-1, 1, joined] = (0, 0, 1), (0, 0, -1)
        own[1:, 0, joined] = 0.0
        jump = (kinds == JUMP) | (kinds == WEAK)
        own[1:, 0, jump, 1], other[1:, 0, jump, 1] = 1.0, -1.0
        own[0, 0, np.array(self.masks[0], bool)] = 0.0
        own[-1, 1, np.array(self.masks[1], bool)] = 0.0
        # Equations from both sides weigh as the test function of the interface would.
        length = jnp.diff(self.edges)
        left, right = length[:-1, None], length[1:, None]
        share = jnp.asarray(kinds == AVERAGE) / (left + right)
        share = share + jnp.asarray(kinds == WEAK) * quadrature(self.points)[0] / 2
        mine = jnp.asarray(own).at[1:, 0, :, 0].add(share * right)
        return mine, jnp.asarray(other).at[1:, 0, :, 0].add(share * left)

    def algebraic(self) -> Array | None:
        mask = np.zeros((self.panels, self.layout.count, self.points), bool)
        mask[:, np.array(self.layout.algebraic)] = True
        for s, kind in enumerate(self.kinds):
            if kind != LOCAL:
                mask[:-1, s, -1] = True
            if kind == JUMP:
                mask[1:, s, 0] = True
        mask[0, np.array(self.masks[0], bool), 0] = True
        mask[-1, np.array(self.masks[1], bool), -1] = True
        return jnp.asarray(mask) if mask.any() else None

    def _parts(self, z: Array, t: Array) -> tuple[Array, Array, Array]:
        a, b = self.edges[:-1], self.edges[1:]
        return jax.vmap(lambda z, a, b: self._pointwise(z, a, b, t))(z, a, b)

    def _replace_ends(self, rows: Array, quantities: Array) -> Array:
        """Rows (panels, slots, points, …) with those at ends made of (panels, 2, slots, 3, …)."""
        own, other = self._weights()
        extra = (1,) * (quantities.ndim - 4)
        mine = (own.reshape(*own.shape, *extra) * quantities).sum(axis=3)
        beside = _neighbours(quantities)
        mine = mine + (other.reshape(*other.shape, *extra) * beside).sum(axis=3)
        return rows.at[:, :, 0].set(mine[:, 0]).at[:, :, -1].set(mine[:, 1])

    def storage(self, z: Array, t: Array) -> Array:
        m, _, _ = self._parts(z, t)
        ends = jnp.stack([m[:, :, 0], m[:, :, -1]], axis=1)
        zero = jnp.zeros_like(ends)
        rows = self._replace_ends(m, jnp.stack([ends, zero, zero], axis=-1))
        mask = self.algebraic()
        return rows if mask is None else jnp.where(mask, 0.0, rows)

    def rate(self, z: Array, t: Array) -> Array:
        _, r, flux = self._parts(z, t)
        ends = jnp.stack([r[:, :, 0], r[:, :, -1]], axis=1)
        values = jnp.stack([z[:, :, 0], z[:, :, -1]], axis=1)
        rows = self._replace_ends(r, jnp.stack([ends, flux, values], axis=-1))
        t = jnp.asarray(t, z.dtype)
        left, right = (jnp.array(mask, bool) for mask in self.masks)
        rows = rows.at[0, :, 0].set(jnp.where(left, self._boundary(z[0], t, 0), rows[0, :, 0]))
        return rows.at[-1, :, -1].set(
            jnp.where(right, self._boundary(z[-1], t, 1), rows[-1, :, -1])
        )

    def residual(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        rate = self.rate(z, t)
        mask = self.algebraic()
        change = self.storage(z, t) - alpha * rate - right
        return change if mask is None else jnp.where(mask, rate, change)

    def scale(self, z: Array) -> Array:
        size = jnp.max(jnp.abs(z), axis=(0, 2), keepdims=True)
        return size + 1e-3 * jnp.max(size) + 1e-8

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        return implicit_solve(self, right, t, alpha, guess)

    # The Jacobian, panel by panel, condensed to the ends of the panels.

    def _panel_jacobians(self, z: Array, t: Array, alpha: Array) -> tuple[Array, Array]:
        """Rows (panels, slots, points, b) and fluxes at ends (panels, 2, slots, b)."""
        algebraic = jnp.array(self.layout.algebraic, bool)[:, None]
        slots, points = self.layout.count, self.points

        def rows(flat: Array, a: Array, b: Array) -> tuple[Array, Array]:
            m, r, flux = self._pointwise(flat.reshape(slots, points), a, b, t)
            return jnp.where(algebraic, r, m - alpha * r), flux

        flat = z.reshape(self.panels, -1)
        return jax.vmap(jax.jacfwd(rows))(flat, self.edges[:-1], self.edges[1:])

    def factorise(self, z: Array, t: Array, alpha: Array) -> _Factors:
        panels, slots, points = self.panels, self.layout.count, self.points
        size = slots * points
        rows, flux = self._panel_jacobians(z, t, alpha)
        identity = jnp.eye(size, dtype=z.dtype).reshape(slots, points, size)
        values = jnp.stack([identity[:, 0], identity[:, -1]])
        values = jnp.broadcast_to(values, (panels, 2, slots, size))
        equation = jnp.stack([rows[:, :, 0], rows[:, :, -1]], axis=1)
        quantities = jnp.stack([equation, flux, values], axis=3)
        own, other = (w[..., None] for w in self._weights())
        mine = (own * quantities).sum(axis=3)
        beside = (other * _neighbours(quantities)).sum(axis=3)
        for end, panel in ((0, 0), (1, -1)):
            jac = jax.jacfwd(lambda y, e=end: self._boundary(y, t, e))(z[panel])
            chosen = jnp.where(
                jnp.array(self.masks[end], bool)[:, None],
                jac.reshape(slots, size),
                mine[panel, end],
            )
            mine = mine.at[panel, end].set(chosen)
        inner, outer = self._split()
        interior = rows.reshape(panels, size, size)[:, inner]
        lu = jax.vmap(factor)(interior[:, :, inner])
        coupling = jax.vmap(solve_by)(lu, interior[:, :, outer])
        mine = mine.reshape(panels, 2 * slots, size)
        beside = beside.reshape(panels, 2 * slots, size)
        return _Factors(lu, coupling, mine, beside, self._ends(mine, beside, coupling))

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices in a flattened panel of interior unknowns, and of (end, slot) ones."""
        index = np.arange(self.layout.count * self.points).reshape(self.layout.count, self.points)
        return index[:, 1:-1].reshape(-1), np.concatenate([index[:, 0], index[:, -1]])

    def _ends(self, mine: Array, beside: Array, coupling: Array) -> Any:
        """LU of the equations at the ends of all panels, their interiors eliminated."""
        panels, slots = self.panels, self.layout.count
        inner, outer = self._split()
        own = mine[:, :, outer] - mine[:, :, inner] @ coupling
        near = jnp.stack([_shift(coupling, 1), _shift(coupling, -1)], axis=1)
        parts = beside.reshape(panels, 2, slots, -1)
        cross = parts[..., outer] - jnp.einsum("pesi,peij->pesj", parts[..., inner], near)
        width = 2 * slots
        full = jnp.zeros((panels, width, panels, width), mine.dtype)
        p = np.arange(panels)
        full = full.at[p, :, p].set(own)
        if panels > 1:
            full = full.at[p[1:], :slots, p[:-1]].set(cross[1:, 0])
            full = full.at[p[:-1], slots:, p[1:]].set(cross[:-1, 1])
        return factor(full.reshape(panels * width, panels * width))

    def solve_factorised(
        self, factors: _Factors, z: Array, t: Array, alpha: Array, right: Array, tolerance: float
    ) -> Array:
        panels, slots, points = self.panels, self.layout.count, self.points
        inner, outer = self._split()
        flat = right.reshape(panels, slots * points)
        first = jax.vmap(solve_by)(factors.interior, flat[:, inner])
        ends = flat[:, outer] - jnp.einsum("pei,pi->pe", factors.own[:, :, inner], first)
        near = jnp.stack([_shift(first, 1), _shift(first, -1)], axis=1)
        parts = factors.neighbour.reshape(panels, 2, slots, -1)
        beside = jnp.einsum("pesi,pei->pes", parts[..., inner], near)
        ends = ends - beside.reshape(panels, 2 * slots)
        outside = solve_by(factors.ends, ends.reshape(-1)).reshape(panels, -1)
        inside = first - jnp.einsum("pie,pe->pi", factors.coupling, outside)
        order = np.argsort(np.concatenate([inner, outer]))
        return jnp.concatenate([inside, outside], axis=1)[:, order].reshape(right.shape)


def part_at(problem: Problem, end: int) -> str:
    """Name of the boundary at one end of the interval."""
    domain: Any = problem.domain
    low, high = domain.bounds
    point = (high if end else low)[None]
    return domain.boundary_names[int(domain.part_of(point, 0, end)[0])]


def _shift(array: Array, by: int) -> Array:
    """array[p − by] at p, zero beyond the first and last panel."""
    zero = jnp.zeros_like(array[:1])
    if by == 1:
        return jnp.concatenate([zero, array[:-1]])
    return jnp.concatenate([array[1:], zero])


def _neighbours(quantities: Array) -> Array:
    """At each panel's left end the right end of the panel before, and conversely."""
    return jnp.stack([_shift(quantities[:, 1], 1), _shift(quantities[:, 0], -1)], axis=1)
