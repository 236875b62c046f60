"""Collocation on a tensor grid in 2-D and 3-D: Chebyshev directions, Fourier where periodic.

The multiplier of a constraint (a pressure) is two degrees lower in each Chebyshev direction,
P_N–P_{N−2}: its values on the boundary are those of the polynomial through its interior points,
where the constraint is collocated. So it has no spurious modes and needs no boundary condition
(Bernardi & Maday 1997; Botella 1997).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Balance, Form, Problem
from solvers._result import SolverError
from solvers.spectral._chebyshev_axis import Axis
from solvers.spectral._chebyshev_blocks import Blocks, DenseFactor, Factor, krylov_solve
from solvers.spectral._chebyshev_layout import (
    Layout,
    boundary_rows,
    fluxes,
    initial_slots,
    layout_of,
    point_at,
    rate_at,
    rate_tangent,
    storage_at,
)
from solvers.spectral._chebyshev_newton import (
    CollocationSystem,
    consistent,
    implicit_solve,
    residual_of,
)
from solvers.spectral._chebyshev_parts import Part, boundary_parts, grid_nodes, multiplier_slots
from solvers.time._semi_implicit import ImplicitExplicitSystem

Forms = dict[str, Form]


class TensorSystem(CollocationSystem, ImplicitExplicitSystem):
    """A problem on a box after collocation; z has shape (slots, *points).

    Attributes:
        problem: what is solved. axes: the directions of the grid.
        fine: the axes on which pointwise terms are evaluated: more points where periodic.
        multipliers: slots two degrees lower.
    """

    problem: Problem
    axes: tuple[Axis, ...] = eqx.field(static=True)
    fine: tuple[Axis, ...] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    parts: tuple[Part, ...] = eqx.field(static=True)
    multipliers: tuple[bool, ...] = eqx.field(static=True)

    def __init__(self, problem: Problem, axes: tuple[Axis, ...], fraction: float = 1.0):
        self.problem = problem
        self.axes = axes
        self.fine = tuple(a.finer(fraction) if a.periodic else a for a in axes)
        self.layout = layout_of(problem)
        self.parts = boundary_parts(problem, axes, self.layout)
        self.multipliers = multiplier_slots(self.layout, problem.forms())

    @property
    def points(self) -> tuple[int, ...]:
        return tuple(axis.points for axis in self.axes)

    @property
    def periodic(self) -> tuple[int, ...]:
        """Which axes are periodic."""
        return tuple(d for d, axis in enumerate(self.axes) if axis.periodic)

    @property
    def nodes(self) -> Array:
        """Positions, (points, dim)."""
        return jnp.asarray(grid_nodes(self.axes))

    def given_state(self) -> Array:
        z = initial_slots(self.layout, self.problem, self.nodes)
        return z.reshape(self.layout.count, *self.points)

    def sample_state(self) -> Array:
        x, wave = self.nodes, 1.0
        for d, axis in enumerate(self.axes):
            angle = (x[:, d] - axis.low) / axis.length * (2 * jnp.pi if axis.periodic else 1.0)
            wave = wave * (1.5 + jnp.cos(angle + 0.3))
        return jnp.broadcast_to(wave, (self.layout.count, len(x))).reshape(-1, *self.points)

    def initial_state(self) -> Array:
        z = self.given_state()
        if self.problem.steady:
            return z
        assert self.problem.time is not None
        return consistent(self, z, self.problem.time, any(self.multipliers))

    # Tensor products; grid axes come after the first axis of z, and others after them.

    def _gradients(self, z: Array) -> Array:
        """(slots, *points, dim)."""
        parts = [_along(a.derivative, z, d + 1) for d, a in enumerate(self.axes)]
        return jnp.stack(parts, axis=-1)

    def _refine(self, z: Array) -> Array:
        for d in self.periodic:
            z = _along(self.axes[d].interpolation(self.fine[d])[0], z, d + 1)
        return z

    def _truncate(self, z: Array) -> Array:
        for d in self.periodic:
            z = _along(self.axes[d].interpolation(self.fine[d])[1], z, d + 1)
        return z

    def _extrapolate(self, z: Array) -> Array:
        for d, axis in enumerate(self.axes):
            if not axis.periodic:
                z = _along(axis.extrapolation, z, d + 1)
        return z

    def mean(self, slot: int, z: Array) -> Array:
        """∫ z dx / ∫ dx of one slot."""
        out = z[slot]
        for axis in reversed(self.axes):
            out = out @ jnp.asarray(axis.weights / axis.length)
        return out

    def _pointwise(self, function: Any, t: Array, *arrays: Array) -> Array:
        """function(arrays at one point, x, t) on the fine grid, truncated to (slots, *points, …).

        Arrays have shape (slots, *fine points, …); what follows the points belongs to the point.
        """
        dim = len(self.axes)
        flat = []
        for array in arrays:
            moved = jnp.moveaxis(array, range(1, dim + 1), range(array.ndim - dim, array.ndim))
            flat.append(moved.reshape(*moved.shape[:-dim], -1))
        x = jnp.asarray(grid_nodes(self.fine)).T
        out = jax.vmap(function, (*[-1] * (len(flat) + 1), None), -1)(*flat, x, t)
        shape = tuple(axis.points for axis in self.fine)
        out = out.reshape(*out.shape[:-1], *shape)
        out = jnp.moveaxis(out, range(out.ndim - dim, out.ndim), range(1, dim + 1))
        return self._truncate(out)

    # Rows.

    def algebraic(self) -> Array:
        return jnp.asarray(self.algebraic_mask())

    def algebraic_mask(self) -> np.ndarray:
        """Rows without a time derivative, (slots, *points), as NumPy."""
        mask = np.zeros((self.layout.count, int(np.prod(self.points))), bool)
        mask[np.array(self.layout.algebraic)] = True
        for part in self.parts:
            mask[:, np.array(part.nodes)] |= np.array(part.replaced)
        return mask.reshape(-1, *self.points)

    def border_mask(self) -> np.ndarray:
        """Nodes on the boundary, (*points,)."""
        mask = np.zeros(int(np.prod(self.points)), bool)
        for part in self.parts:
            mask[np.array(part.nodes)] = True
        return mask.reshape(self.points)

    def storage(self, z: Array, t: Array) -> Array:
        forms = self.problem.forms()
        t = jnp.asarray(t, z.dtype)

        def at(slots, gradient, x, t):
            p = point_at(self.layout, forms, slots, gradient, x, t)
            return storage_at(self.layout, forms, slots, p)

        rows = self._pointwise(at, t, self._refine(z), self._refine(self._gradients(z)))
        return jnp.where(self.algebraic(), 0.0, rows)

    def rate(self, z: Array, t: Array) -> Array:
        t = jnp.asarray(t, z.dtype)
        return self._closed(self.balance(z, t, self.problem.forms()), z, t)

    def _closed(self, rows: Array, z: Array, t: Array) -> Array:
        """Rows of the equations with gauges, multipliers and boundary conditions."""
        rows = self._with_multipliers(self._gauged(rows, z), z)
        return self._with_boundary(rows, z, t)

    def balance(self, z: Array, t: Array, forms: Forms) -> Array:
        """R of every slot by these forms before rows on the boundary are replaced."""
        values, gradients = self._refine(z), self._refine(self._gradients(z))

        def flux(slots, gradient, x, t):
            return fluxes(self.layout, forms, point_at(self.layout, forms, slots, gradient, x, t))

        flow = self._pointwise(flux, t, values, gradients)
        divergence = sum(
            _along(axis.derivative, flow[..., d], d + 1) for d, axis in enumerate(self.axes)
        )

        def rows(slots, gradient, div, x, t):
            p = point_at(self.layout, forms, slots, gradient, x, t)
            return rate_at(self.layout, forms, slots, div, p)

        return self._pointwise(rows, t, values, gradients, self._refine(jnp.asarray(divergence)))

    def gauges(self) -> tuple[tuple[int, float], ...]:
        """(slot, mean) of the fields whose constant nothing but a gauge fixes."""
        means = {name: value for name, value in self.problem.zero_mean.items()}
        # A pinned field gets a mean, and is moved to its pinned value when it is evaluated.
        means |= {name: 0.0 for name, _, _ in self.problem.pins}
        return tuple((self.layout.offsets[name], value) for name, value in means.items())

    def _gauged(self, rows: Array, z: Array) -> Array:
        """Equations with a null space, plus how far the mean is from its value.

        The equations of a solvable problem add up to zero with some weights, and the excess does
        not: so the mean is as given and the equations hold.
        """
        for slot, value in self.gauges():
            rows = rows.at[slot].add(self.mean(slot, z) - value)
        return rows

    def _with_multipliers(self, rows: Array, z: Array) -> Array:
        if not any(self.multipliers):
            return rows
        mask = np.array(self.multipliers).reshape(-1, *(1,) * len(self.axes)) & self.border_mask()
        return jnp.where(mask, z - self._extrapolate(z), rows)

    def _with_boundary(self, rows: Array, z: Array, t: Array) -> Array:
        shape, dim = rows.shape, len(self.axes)
        rows = rows.reshape(shape[0], -1)
        for part in self.parts:
            nodes = np.array(part.nodes)

            def at(z: Array, t: Array, part: Part = part, nodes: Any = nodes) -> Array:
                forms = self.problem.forms()
                conditions = self.problem.conditions[part.name]
                n = jnp.array(part.normal)
                slots = z.reshape(shape[0], -1)[:, nodes]
                gradients = self._gradients(z).reshape(shape[0], -1, dim)[:, nodes]

                def one(slots, gradient, y):
                    p = point_at(self.layout, forms, slots, gradient, y, t, n)
                    return boundary_rows(self.layout, forms, conditions, slots, p)

                return jax.vmap(one, in_axes=(1, 1, 0), out_axes=1)(
                    slots, gradients, self.nodes[nodes]
                )

            found = at(z, t)
            if self.layout.rates:
                # The rows of ∂ₜu are those of u differentiated in time.
                moving = jax.jvp(at, (z, t), (rate_tangent(self.layout, z), jnp.ones_like(t)))[1]
                for name, start in self.layout.rates.items():
                    first, size = self.layout.offsets[name], self.layout.sizes[name]
                    found = found.at[start : start + size].set(moving[first : first + size])
            rows = rows.at[:, nodes].set(
                jnp.where(jnp.array(part.replaced), found, rows[:, nodes]), unique_indices=True
            )
        return rows.reshape(shape)

    # What Newton's method needs.

    def residual(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        rate = self.rate(z, t)
        change = self.storage(z, t) - alpha * rate - right
        return jnp.where(self.algebraic(), rate, change)

    def scale(self, z: Array) -> Array:
        size = jnp.max(jnp.abs(z), axis=tuple(range(1, z.ndim)), keepdims=True)
        return size + 1e-3 * jnp.max(size) + 1e-8

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        return implicit_solve(self, right, t, alpha, guess)

    def factorise(self, z: Array, t: Array, alpha: Array) -> Factor:
        def rows(z: Array) -> Array:
            return residual_of(self, z, jnp.zeros_like(z), t, alpha)

        if not self.periodic:
            return DenseFactor.of(rows, z)
        for d in self.periodic:
            z = jnp.broadcast_to(z.mean(axis=d + 1, keepdims=True), z.shape)
        return Blocks.of(rows, z, self.periodic).inverse()

    def solve_factorised(
        self, factors: Factor, z: Array, t: Array, alpha: Array, right: Array, tolerance: float
    ) -> Array:
        if isinstance(factors, DenseFactor):
            return factors.solve(right)

        def rows(z: Array) -> Array:
            return residual_of(self, z, jnp.zeros_like(z), t, alpha)

        return krylov_solve(rows, z, factors, right, tolerance)

    # What implicit-explicit steppers need.

    def split(self) -> tuple[Forms, Forms]:
        """The equations with their affine terms, and balances with all others."""
        forms = self.problem.forms()
        return _part_of(forms, True), _part_of(forms, False)

    def implicit_rows(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        """m(z) − α R(z, t) − right with the affine terms of R; in algebraic rows R(z, t)."""
        t = jnp.asarray(t, z.dtype)
        rate = self._closed(self.balance(z, t, self.split()[0]), z, t)
        change = self.storage(z, t) - alpha * rate - right
        return jnp.where(self.algebraic(), rate, change)

    def implicit_factor(self, alpha: Array) -> Factor:
        assert self.problem.time is not None
        zero = jnp.zeros((self.layout.count, *self.points), jnp.result_type(float))
        t = jnp.asarray(self.problem.time[0], zero.dtype)

        def rows(z: Array) -> Array:
            return self.implicit_rows(z, zero, t, alpha)

        if not self.periodic:
            return DenseFactor.of(rows, zero)
        return Blocks.of(rows, zero, self.periodic).inverse()

    def explicit_rate(self, z: Array, t: Array) -> Array:
        """The terms that are not affine, truncated; zero in algebraic rows."""
        rate = self.balance(z, jnp.asarray(t, z.dtype), self.split()[1])
        return jnp.where(self.algebraic(), 0.0, rate)


def _part_of(forms: Forms, affine: bool) -> Forms:
    """The same equations with their affine terms alone, or without them."""

    def chosen(form: Form, terms: Any) -> tuple:
        return tuple(term for term in terms if form.dependence(term).affine == affine)

    out = {}
    for name, form in forms.items():
        given: Any = form.equation
        flux, source = chosen(form, given.flux), chosen(form, given.source)
        if form.kind == "Balance":
            equation: Any = Balance(flux, source, given.storage, given.inertia)
        else:
            equation = type(given)(flux, source)
        out[name] = Form(name, equation, form.shapes, form.dim)
    return out


def check_gauges(system: TensorSystem, z: np.ndarray) -> None:
    """Raises SolverError where data leave the equations of a field with a gauge unsolvable.

    What is missed by less is the error of the discretisation, as in the corners of a cavity.
    """
    for slot, value in system.gauges():
        mean = float(system.mean(slot, jnp.asarray(z)))
        if abs(mean - value) > 1e-3 * float(np.abs(z).max()):
            raise SolverError(
                "incompatible_data",
                f"what flows in is not what flows out: the equations of an undetermined field are "
                f"missed by {abs(mean - value):.1e} everywhere; make the boundary data and the "
                "sources agree",
            )


def _along(matrix: Any, z: Array, axis: int) -> Array:
    """A matrix applied along one axis."""
    return jnp.moveaxis(jnp.tensordot(jnp.asarray(matrix, z.dtype), z, (1, axis)), 0, axis)
