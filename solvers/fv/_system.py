"""Finite volumes in one dimension: cell averages, fluxes at faces.

dUᵢ/dt = −(F_{i+½} − F_{i−½}) / hᵢ + s(Uᵢ): what leaves a cell enters its neighbour.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import FieldCondition, Form, Point, Problem
from solvers._pointwise import at_points
from solvers._system import System
from solvers.fv._limiter import LIMITERS, constant
from solvers.fv._riemann import RIEMANN, spectral_radius


class VolumeSystem(System):
    """A problem after discretisation; z has shape (slots, cells), a slot being a component.

    Attributes:
        edges: of the cells, increasing, (cells + 1,).
        limiter: name in `LIMITERS`, or "constant" for first order. riemann: name in `RIEMANN`.
        courant: share of a cell that the fastest wave may cross in a step.
    """

    problem: Problem
    edges: Array
    limiter: str = eqx.field(static=True)
    riemann: str = eqx.field(static=True)
    courant: float = eqx.field(static=True)
    offsets: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    names: tuple[str, str] | None = eqx.field(static=True)

    def __init__(self, problem: Problem, edges: Array, limiter: str, riemann: str, courant: float):
        self.problem, self.edges = problem, edges
        self.limiter, self.riemann, self.courant = limiter, riemann, courant
        offsets, start = [], 0
        for name, shape in problem.shapes.items():
            size = int(np.prod(shape, dtype=int))
            offsets.append((name, start, size))
            start += size
        self.offsets = tuple(offsets)
        self.names = None
        if not problem.domain.periodic[0]:
            low, high = problem.domain.bounds
            parts = problem.domain.boundary_names
            at = [int(problem.domain.part_of(x[None], 0, e)[0]) for e, x in enumerate((low, high))]  # type: ignore[attr-defined]
            self.names = (parts[at[0]], parts[at[1]])

    @property
    def widths(self) -> Array:
        return jnp.diff(self.edges)

    @property
    def centres(self) -> Array:
        return (self.edges[1:] + self.edges[:-1]) / 2

    def initial_state(self) -> Array:
        """Cell averages of the initial data by four Gauss points in each cell."""
        nodes, weights = np.polynomial.legendre.leggauss(4)
        x = self.centres[:, None] + self.widths[:, None] / 2 * jnp.asarray(nodes)
        rows = []
        for name, _, size in self.offsets:
            values = jax.vmap(jax.vmap(self.problem.initial[name]))(x[..., None])
            values = values.reshape(*x.shape, size)
            rows.append(jnp.einsum("cqk,q->kc", values, jnp.asarray(weights) / 2))
        return jnp.concatenate(rows)

    def storage(self, z: Array, t: Array) -> Array:
        return z

    def algebraic(self) -> Array | None:
        return None

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        raise NotImplementedError("finite volumes take explicit steppers only, such as SSPRK3")

    # Fluxes at a point.

    def _fields(self, slots: Array) -> dict[str, Array]:
        shapes = self.problem.shapes
        return {n: slots[i : i + k].reshape(shapes[n]) for n, i, k in self.offsets}

    def _point(
        self, u: Array, gradient: Array, x: Array, t: Array, n: Array | None = None
    ) -> Point:
        grads = {name: value[..., None] for name, value in self._fields(gradient).items()}
        return Point(x[None], t, self._fields(u), grads, n, None, None)

    def _flux(self, forms: dict[str, Form], p: Point, central: bool) -> Array:
        """Terms that use gradients (`central`) or those that don't, (slots,)."""
        rows = []
        for form in forms.values():
            chosen = tuple(
                name
                for name, term in zip(form.flux_names, form.equation.flux, strict=True)
                if bool(form.dependence(term).gradients) == central
            )
            rows.append(form.flux(p, chosen).reshape(-1))
        return jnp.concatenate(rows)

    def _padded(self, z: Array, t: Array) -> tuple[Array, Array]:
        """Two more cells on each side: values (slots, cells + 4) and their centres."""
        x, h = self.centres, self.widths
        if self.names is None:
            period = self.edges[-1] - self.edges[0]
            return (
                jnp.concatenate([z[:, -2:], z, z[:, :2]], axis=1),
                jnp.concatenate([x[-2:] - period, x, x[:2] + period]),
            )
        before = self.edges[0] - jnp.array([h[0] + h[1] / 2, h[0] / 2])
        after = self.edges[-1] + jnp.array([h[-1] / 2, h[-1] + h[-2] / 2])
        left, right = self._ghosts(z, t, 0), self._ghosts(z, t, 1)
        return (
            jnp.concatenate([left, z, right], axis=1),
            jnp.concatenate([before, x, after]),
        )

    def _ghosts(self, z: Array, t: Array, end: int) -> Array:
        """Two cells beyond an end, in the order of x: odd about a prescribed value, else linear."""
        first, second = (z[:, 0], z[:, 1]) if end == 0 else (z[:, -1], z[:, -2])
        essential, value = self._prescribed(t, end)
        slope = first - second
        near = jnp.where(essential, 2 * value - first, first + slope)
        far = jnp.where(essential, 2 * value - second, first + 2 * slope)
        return jnp.stack([far, near] if end == 0 else [near, far], axis=1)

    def _conditions(self, end: int) -> dict[str, FieldCondition]:
        assert self.names is not None
        return self.problem.conditions[self.names[end]]

    def _prescribed(self, t: Array, end: int) -> tuple[Array, Array]:
        """Which slots have a value at an end, and the values, (slots,) each."""
        conditions = self._conditions(end)
        x = self.edges[-end][None]
        mask, values = [], []
        for name, _, size in self.offsets:
            condition = conditions.get(name)
            if condition is None:
                mask += [False] * size
                values.append(jnp.zeros(size, x.dtype))
            else:
                # A normal-only condition (slip) is, in one dimension, the value zero.
                mask += [condition.normal_only or e for e in condition.essential]
                values.append(condition.value(x, t).reshape(-1))
        return jnp.array(mask), jnp.concatenate(values)

    def rate(self, z: Array, t: Array) -> Array:
        forms = self.problem.forms()
        t = jnp.asarray(t, z.dtype)
        padded, x = self._padded(z, t)
        jumps = jnp.diff(padded, axis=1) / jnp.diff(x)
        limit = constant if self.limiter == "constant" else LIMITERS[self.limiter]
        slopes = limit(jumps[:, :-1], jumps[:, 1:])
        inner, centre = padded[:, 1:-1], x[1:-1]
        faces = self.edges
        left = inner[:, :-1] + slopes[:, :-1] * (faces - centre[:-1])
        right = inner[:, 1:] + slopes[:, 1:] * (faces - centre[1:])
        flux = self._face_fluxes(forms, left, right, padded, x, t)
        if self.names is not None:
            for end, outside, inside in (
                (0, left[:, 0], right[:, 0]),
                (1, right[:, -1], left[:, -1]),
            ):
                flux = flux.at[:, -end].set(self._end_flux(forms, z, t, end, outside, inside))
        divergence = jnp.diff(flux, axis=1) / self.widths

        def source(u: Array, y: Array) -> Array:
            p = self._point(u, jnp.zeros_like(u), y, t)
            return jnp.concatenate([form.source(p).reshape(-1) for form in forms.values()])

        return at_points(source, (z, self.centres)) - divergence

    def _face_fluxes(self, forms, left, right, padded, x, t) -> Array:
        """Upwind plus central fluxes at all faces, (slots, cells + 1)."""
        solver = RIEMANN[self.riemann]
        low, high = padded[:, 1:-2], padded[:, 2:-1]
        gap = x[2:-1] - x[1:-2]
        share = (self.edges - x[1:-2]) / gap
        middle = low + share * (high - low)
        gradient = (high - low) / gap

        def at(u_left, u_right, u, g, y):
            def convection(v):
                return self._flux(forms, self._point(v, jnp.zeros_like(v), y, t), False)

            central = self._flux(forms, self._point(u, g, y, t), True)
            return solver(convection, u_left, u_right) + central

        return at_points(at, (left, right, middle, gradient, self.edges))

    def _end_flux(self, forms, z, t, end: int, outside: Array, inside: Array) -> Array:
        """Flux through an end of the interval in direction x, (slots,)."""
        essential, value = self._prescribed(t, end)
        x, h = self.edges[-end], self.widths[-end]
        first, second = (z[:, 0], z[:, 1]) if end == 0 else (z[:, -1], z[:, -2])
        sign = 1.0 if end else -1.0
        # The slope at the face of the parabola through the value and two averages; beside a
        # flux, that of the line through two averages.
        steep = sign * (8 * value - 9 * first + second) / (3 * h)
        flat = sign * (first - second) / h
        u = jnp.where(essential, value, inside)
        n = jnp.array([sign], z.dtype)
        p = self._point(u, jnp.where(essential, steep, flat), x, t, n)

        def convection(v):
            return self._flux(forms, self._point(v, jnp.zeros_like(v), x, t), False)

        states = (u, inside) if end == 0 else (inside, u)
        through = RIEMANN[self.riemann](convection, *states) + self._flux(forms, p, True)
        conditions = self._conditions(end)
        rows = []
        for name, start, size in self.offsets:
            condition = conditions.get(name)
            if condition is None:
                rows.append(through[start : start + size])
            else:
                natural = sign * condition.natural(forms[name], p).reshape(-1)
                given = essential[start : start + size]
                rows.append(jnp.where(given, through[start : start + size], natural))
        return jnp.concatenate(rows)

    def stable_step(self, z: Array, t: Array) -> Array:
        """1 / (s / (C h) + 4.7 D / (2.5 h²)) over all cells, s the speed and D the diffusivity.

        SSPRK3 is stable to −2.51 on the real axis; the parabola beside a prescribed value takes
        the spectral radius of the second difference from 4 to 4.62.
        """
        forms = self.problem.forms()
        slopes = jnp.asarray(jnp.gradient(z, axis=1)) / self.widths

        def fastest(u, g, y, h):
            def convection(v):
                return self._flux(forms, self._point(v, jnp.zeros_like(v), y, t), False)

            def diffusion(k):
                return self._flux(forms, self._point(u, k, y, t), True)

            rate = spectral_radius(convection, u) / (self.courant * h)
            if any(
                form.dependence(f).gradients for form in forms.values() for f in form.equation.flux
            ):
                matrix = jax.jacfwd(diffusion)(g)
                # A row sum bounds the eigenvalues.
                rate = rate + 4.7 * jnp.max(jnp.sum(jnp.abs(matrix), axis=1)) / (2.5 * h**2)
            return rate

        rates = jax.vmap(fastest, in_axes=(1, 1, 0, 0))(z, slopes, self.centres, self.widths)
        longest = self.edges[-1] - self.edges[0]
        return 1 / jnp.maximum(jnp.max(rates), 1e-12 / longest)
