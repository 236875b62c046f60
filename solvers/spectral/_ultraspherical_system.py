"""A problem on an interval in Chebyshev coefficients, its equations in ultraspherical ones."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from solvers.spectral._chebyshev_layout import (
    Layout,
    boundary_mask,
    boundary_rows,
    fluxes,
    initial_slots,
    layout_of,
    point_at,
    rate_at,
    storage_at,
)
from solvers.spectral._chebyshev_line import part_at
from solvers.spectral._chebyshev_newton import CollocationSystem, consistent, implicit_solve
from solvers.spectral._ultraspherical_solve import Shape, solve_bordered


class UltrasphericalSystem(CollocationSystem):
    """State: T coefficients, (slots, points); rows: C⁽²⁾ coefficients, then boundary rows.

    Terms are evaluated at the Chebyshev–Lobatto points and transformed.
    """

    problem: Problem
    points: int = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    masks: tuple[tuple[bool, ...], tuple[bool, ...]] = eqx.field(static=True)

    def __init__(self, problem: Problem, points: int):
        self.problem = problem
        self.points = points
        self.layout = layout_of(problem)
        forms, conditions = problem.forms(), problem.conditions
        names = (part_at(problem, 0), part_at(problem, 1))
        left, right = (boundary_mask(self.layout, forms, conditions[name]) for name in names)
        self.masks = (left, right)

    @property
    def bounds(self) -> tuple[float, float]:
        low, high = self.problem.domain.bounds
        return float(low[0]), float(high[0])

    @property
    def nodes(self) -> Array:
        """Positions, decreasing, (points, 1)."""
        low, high = self.bounds
        n = self.points - 1
        # By the sine of half the angle from either end, exact close to both.
        j = np.arange(self.points)
        from_high = (high - low) * np.sin(np.pi * j / (2 * n)) ** 2
        from_low = (high - low) * np.sin(np.pi * (n - j) / (2 * n)) ** 2
        return jnp.asarray(np.where(2 * j < n, high - from_high, low + from_low)[:, None])

    @property
    def shape(self) -> Shape:
        signs = []
        for form in self.problem.forms().values():
            sign = 1.0 if form.kind == "Definition" else -1.0
            signs += [sign] * int(np.prod(form.shape, dtype=int))
        low, high = self.bounds
        borders = tuple(int(a) + int(b) for a, b in zip(*self.masks, strict=True))
        return Shape(
            self.layout.count, self.points, high - low, borders, tuple(signs), self.layout.algebraic
        )

    def initial_state(self) -> Array:
        z = to_series(initial_slots(self.layout, self.problem, self.nodes))
        if self.problem.steady:
            return z
        assert self.problem.time is not None
        return consistent(self, z, self.problem.time)

    def _values(self, z: Array) -> tuple[Array, Array]:
        """Slots and their derivatives at the points."""
        low, high = self.bounds
        return to_values(z), to_values(derivative(z)) * (2 / (high - low))

    def _terms(self, slots: Array, slope: Array, x: Array, t: Array) -> Array:
        """F, s and m of each slot at one point, (3, slots)."""
        forms = self.problem.forms()
        p = point_at(self.layout, forms, slots, slope[:, None], x, t)
        source = rate_at(self.layout, forms, slots, jnp.zeros_like(slots), p)
        flux = fluxes(self.layout, forms, p)[:, 0]
        return jnp.stack([flux, source, storage_at(self.layout, forms, slots, p)])

    def _rows(self, z: Array, t: Array) -> tuple[Array, Array]:
        """R and m of all equations in C⁽²⁾, before boundary rows."""
        low, high = self.bounds
        values, slopes = self._values(z)
        at = jax.vmap(self._terms, in_axes=(1, 1, 0, None), out_axes=2)
        flux, source, stored = to_series(at(values, slopes, self.nodes, t))
        signs = jnp.asarray(self.shape.signs)[:, None] * (2 / (high - low))
        rate = signs * _convert(_first_derivative(flux), 2) + _convert(_convert(source, 1), 2)
        return rate, _convert(_convert(stored, 1), 2)

    def _border(self, z: Array, t: Array, end: int) -> Array:
        """What is zero at one end for each slot, (slots,)."""
        low, high = self.bounds
        forms = self.problem.forms()
        conditions = self.problem.conditions[part_at(self.problem, end)]
        table, steep = _ends(self.points, end)
        x = jnp.array([high if end else low])
        n = jnp.array([1.0 if end else -1.0])
        slots, slope = z @ table, (z @ steep) * (2 / (high - low))
        p = point_at(self.layout, forms, slots, slope[:, None], x, t, n)
        return boundary_rows(self.layout, forms, conditions, slots, p)

    def _places(self) -> list[tuple[int, int, int]]:
        """(slot, row, end) of the boundary rows: the last rows of their slots."""
        out = []
        for s, count in enumerate(self.shape.borders):
            ends = [end for end in (0, 1) if self.masks[end][s]]
            out += [(s, self.points - count + i, end) for i, end in enumerate(ends)]
        return out

    def algebraic(self) -> Array | None:
        mask = np.zeros((self.layout.count, self.points), bool)
        mask[np.array(self.layout.algebraic)] = True
        for slot, row, _ in self._places():
            mask[slot, row] = True
        return jnp.asarray(mask) if mask.any() else None

    def storage(self, z: Array, t: Array) -> Array:
        rows = self._rows(z, jnp.asarray(t, z.dtype))[1]
        mask = self.algebraic()
        return rows if mask is None else jnp.where(mask, 0.0, rows)

    def rate(self, z: Array, t: Array) -> Array:
        t = jnp.asarray(t, z.dtype)
        rows = self._rows(z, t)[0]
        found = (self._border(z, t, 0), self._border(z, t, 1))
        for slot, row, end in self._places():
            rows = rows.at[slot, row].set(found[end][slot])
        return rows

    def residual(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        rate = self.rate(z, t)
        mask = self.algebraic()
        change = self.storage(z, t) - alpha * rate - right
        return change if mask is None else jnp.where(mask, rate, change)

    def scale(self, z: Array) -> Array:
        size = jnp.max(jnp.abs(z), axis=1, keepdims=True)
        return size + 1e-3 * jnp.max(size) + 1e-8

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        return implicit_solve(self, right, t, alpha, guess)

    def factorise(self, z: Array, t: Array, alpha: Array) -> Any:
        """The numbers that the matrix is made of; the host factors it when it is first used."""
        values, slopes = self._values(z)

        def tangents(slots, slope, x):
            return jnp.stack(jax.jacfwd(self._terms, (1, 0))(slots, slope, x, t), axis=1)

        parts = jax.vmap(tangents, in_axes=(1, 1, 0), out_axes=4)(values, slopes, self.nodes)
        rows = [jax.jacfwd(lambda y, e=end: self._border(y, t, e))(z) for end in (0, 1)]
        places = self._places()
        border = [rows[end][slot].reshape(-1) for slot, _, end in places]
        empty = jnp.zeros((0, z.size), z.dtype)
        return to_series(parts), jnp.stack(border) if border else empty, jnp.asarray(alpha, z.dtype)

    def solve_factorised(
        self, factors: Any, z: Array, t: Array, alpha: Array, right: Array, tolerance: float
    ) -> Array:
        shape = self.shape

        def product(v: Array) -> Array:
            def rows(y: Array) -> Array:
                return self.residual(y, jnp.zeros_like(y), t, alpha)

            return jax.jvp(rows, (z,), (v,))[1]

        def solver(transpose: bool):
            def solve(matvec, b: Array) -> Array:
                def once(r: Array) -> Array:
                    return solve_bordered(shape, factors, r.reshape(-1), transpose).reshape(b.shape)

                x = once(b)
                return x + once(b - matvec(x))

            return solve

        return jax.lax.custom_linear_solve(product, right, solver(False), solver(True))


def to_series(values: Array) -> Array:
    """Values at cos(πj/n), along the last axis, to T coefficients."""
    n = values.shape[-1] - 1
    mirrored = jnp.concatenate([values, values[..., -2:0:-1]], axis=-1)
    out = jnp.fft.rfft(mirrored, axis=-1).real / n
    return out.at[..., 0].multiply(0.5).at[..., -1].multiply(0.5)


def to_values(series: Array) -> Array:
    """T coefficients to values at cos(πj/n)."""
    n = series.shape[-1] - 1
    doubled = series.at[..., 0].multiply(2.0).at[..., -1].multiply(2.0)
    return jnp.fft.irfft(n * doubled, 2 * n, axis=-1)[..., : n + 1]


def derivative(series: Array) -> Array:
    """T coefficients of the derivative: bₖ = Σ 2j aⱼ over j = k + 1, k + 3, …, half that for b₀."""
    n = series.shape[-1]
    weighted = 2.0 * jnp.arange(n) * series
    weighted = jnp.pad(weighted, [(0, 0)] * (series.ndim - 1) + [(0, n % 2 + 2)])
    pairs = weighted.reshape(*series.shape[:-1], -1, 2)
    sums = jnp.flip(jnp.cumsum(jnp.flip(pairs, -2), axis=-2), -2)
    sums = sums.reshape(*series.shape[:-1], -1)[..., 1 : n + 1]
    return sums.at[..., 0].multiply(0.5)


def _first_derivative(series: Array) -> Array:
    """T to C⁽¹⁾."""
    weighted = jnp.arange(series.shape[-1]) * series
    return jnp.concatenate([weighted[..., 1:], jnp.zeros_like(series[..., :1])], axis=-1)


def _convert(series: Array, order: int) -> Array:
    """T to C⁽¹⁾ (order 1); for order 2 C⁽¹⁾ to C⁽²⁾."""
    n = series.shape[-1]
    k = jnp.arange(n)
    weights = jnp.where(k == 0, 1.0, 0.5) if order == 1 else 1.0 / (1.0 + k)
    scaled = weights * series
    later = jnp.concatenate([scaled[..., 2:], jnp.zeros_like(series[..., :2])], axis=-1)
    return scaled - later


def _ends(points: int, end: int) -> tuple[Array, Array]:
    """Tₖ and Tₖ′ at −1 (end 0) or 1."""
    k = np.arange(points)
    sign = np.ones(points) if end else (-1.0) ** k
    steep = k**2.0 * (1.0 if end else -1.0) * sign
    return jnp.asarray(sign), jnp.asarray(steep)
