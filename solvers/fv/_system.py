"""Finite volumes on boxes: cell averages, fluxes at faces, one direction after the other.

dU/dt = −Σₐ (F_{a,+½} − F_{a,−½}) / hₐ + s(U): what leaves a cell enters its neighbour.
"""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from solvers._pointwise import at_points
from solvers._system import System
from solvers.fv._border import Border
from solvers.fv._law import Law
from solvers.fv._reconstruction import REACH, face_states

_NO_IMPLICIT = "finite volumes take explicit steppers only, such as SSPRK3"


class VolumeSystem(System):
    """A problem after discretisation; z has shape (slots, *cells), a slot being a component.

    Attributes:
        law: fluxes and waves. axes: edges of the cells in each direction, (cells + 1,) each.
        reconstruction: "constant", "muscl" or "weno5". limiter: of muscl. riemann: the flux.
        courant: share of a cell that the fastest wave may cross in a step.
        borders: of each direction the lower and the upper side; None where it is periodic.
    """

    law: Law
    axes: tuple[Array, ...]
    reconstruction: str = eqx.field(static=True)
    limiter: str = eqx.field(static=True)
    riemann: str = eqx.field(static=True)
    courant: float = eqx.field(static=True)
    borders: tuple[tuple[Border, Border] | None, ...]

    def __init__(
        self,
        law: Law,
        edges: tuple[np.ndarray, ...],
        reconstruction: str,
        limiter: str,
        riemann: str,
        courant: float,
    ):
        self.law = law
        self.axes = tuple(on_device(e) for e in edges)
        self.reconstruction, self.limiter = reconstruction, limiter
        self.riemann, self.courant = riemann, courant
        self.borders = tuple(
            None if flag else (_side(self.law, edges, axis, 0), _side(self.law, edges, axis, 1))
            for axis, flag in enumerate(law.problem.domain.periodic)
        )

    @property
    def problem(self) -> Problem:
        return self.law.problem

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells in each direction."""
        return tuple(len(e) - 1 for e in self.axes)

    @property
    def widths(self) -> Array:
        """Length, area or volume of each cell, of shape (*cells)."""
        out = jnp.ones((), self.axes[0].dtype)
        for edges in self.axes:
            out = out[..., None] * jnp.diff(edges)
        return out

    def centres(self, axis: int) -> Array:
        return (self.axes[axis][1:] + self.axes[axis][:-1]) / 2

    def initial_state(self) -> Array:
        """Cell averages of the initial data by Gauss points: four in each direction, in three
        dimensions two."""
        dim = self.problem.dim
        nodes, weights = np.polynomial.legendre.leggauss(4 if dim < 3 else 2)
        places = on_device(np.array(list(itertools.product(nodes, repeat=dim))))
        shares = on_device(np.prod(list(itertools.product(weights / 2, repeat=dim)), axis=1))

        def add(total: Array, point: tuple[Array, Array]) -> tuple[Array, None]:
            place, share = point
            along = [self.centres(a) + jnp.diff(self.axes[a]) / 2 * place[a] for a in range(dim)]
            x = jnp.stack([g.reshape(-1) for g in jnp.meshgrid(*along, indexing="ij")])
            return total + share * self.law.initial_values(x), None

        nothing = jnp.zeros((self.law.slots, int(np.prod(self.shape))), self.axes[0].dtype)
        total = jax.lax.scan(add, nothing, (places, shares))[0]
        return total.reshape(self.law.slots, *self.shape)

    def storage(self, z: Array, t: Array) -> Array:
        return z

    def algebraic(self) -> Array | None:
        return None

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        raise NotImplementedError(_NO_IMPLICIT)

    # Lines of cells along one direction: (slots, other cells, cells of this direction).

    def _lines(self, z: Array, axis: int) -> Array:
        moved = jnp.moveaxis(z, axis + 1, -1)
        return moved.reshape(moved.shape[0], -1, moved.shape[-1])

    def _from_lines(self, lines: Array, axis: int) -> Array:
        others = [n for a, n in enumerate(self.shape) if a != axis]
        return jnp.moveaxis(lines.reshape(lines.shape[0], *others, -1), -1, axis + 1)

    def _positions(self, axis: int, along: Array) -> Array:
        """Points of all lines, (dim, lines · len(along))."""
        grids = [along if a == axis else self.centres(a) for a in range(self.problem.dim)]
        full = jnp.stack(jnp.meshgrid(*grids, indexing="ij"))
        moved = jnp.moveaxis(full, axis + 1, -1)
        return moved.reshape(self.problem.dim, -1)

    def _padded(self, lines: Array, t: Array, axis: int, reach: int) -> Array:
        """Lines with `reach` more cells at both ends."""
        if reach == 0:
            return lines
        border = self.borders[axis]
        if border is None:
            return jnp.concatenate([lines[..., -reach:], lines, lines[..., :reach]], axis=-1)
        steep = reach == 1
        count = max(reach, 2)
        low = border[0].ghosts([lines[..., k] for k in range(count)], t, steep)[:reach]
        high = border[1].ghosts([lines[..., -1 - k] for k in range(count)], t, steep)[:reach]
        return jnp.concatenate(
            [jnp.stack(low[::-1], axis=-1), lines, jnp.stack(high, axis=-1)], axis=-1
        )

    def _padded_widths(self, axis: int) -> Array:
        h = jnp.diff(self.axes[axis])
        if self.borders[axis] is None:
            return jnp.concatenate([h[-1:], h, h[:1]])
        return jnp.concatenate([h[:1], h, h[-1:]])

    def extended(self, z: Array, t: Array, reach: int) -> Array:
        """z with `reach` more cells at every side, those at corners the nearest ones."""
        dim = self.problem.dim
        out = jnp.pad(z, [(0, 0), *[(reach, reach)] * dim], mode="edge")
        # Periodic directions last: they repeat what the other sides have been given.
        for axis in sorted(range(dim), key=lambda a: self.borders[a] is None):
            n = self.shape[axis]
            inner = [slice(None)] + [slice(reach, -reach)] * dim
            ends = ((slice(0, reach), n), (slice(n + reach, None), 0))
            wide = self._padded(self._lines(z, axis), t, axis, reach)
            for place, source in ends:
                if self.borders[axis] is None:
                    inner = [slice(None)] * (dim + 1)
                    start = source if source else reach
                    inner[axis + 1] = slice(start, start + reach)
                    values = out[tuple(inner)]
                else:
                    part = wide[..., :reach] if source else wide[..., -reach:]
                    values = self._from_lines(part, axis)
                inner[axis + 1] = place
                out = out.at[tuple(inner)].set(values)
        return out

    def extended_centres(self, axis: int, reach: int) -> Array:
        """Centres of the cells along one direction of `extended`."""
        x, h = self.centres(axis), jnp.diff(self.axes[axis])
        if self.borders[axis] is None:
            length = self.axes[axis][-1] - self.axes[axis][0]
            return jnp.concatenate([x[-reach:] - length, x, x[:reach] + length])
        k = jnp.arange(1, reach + 1)
        return jnp.concatenate([x[0] - k[::-1] * h[0], x, x[-1] + k * h[-1]])

    def rate(self, z: Array, t: Array) -> Array:
        t = jnp.asarray(t, z.dtype)
        dim = self.problem.dim
        slopes = [self._slopes(z, t, a) for a in range(dim)] if self.law.diffusive else None
        out = -sum(self._divergence(z, t, a, slopes) for a in range(dim))
        if self.law.sources:
            x = self._positions(dim - 1, self.centres(dim - 1))
            flat = z.reshape(z.shape[0], -1)
            found = at_points(lambda u, y: self.law.source(u, y, t), (flat, x))
            out = out + found.reshape(z.shape)
        return jnp.asarray(out)

    def _divergence(self, z: Array, t: Array, axis: int, slopes: list[Array] | None) -> Array:
        """(F_{+½} − F_{−½}) / h along one direction."""
        lines = self._lines(z, axis)
        slots, count, n = lines.shape
        low, high = self._faces(lines, t, axis)
        border = self.borders[axis]
        if border is None:
            first, last = high[..., -1], low[..., 0]
        else:
            first, last = border[0].outside(low[..., 0], t), border[1].outside(high[..., -1], t)
        left = jnp.concatenate([first[..., None], high], axis=-1)
        right = jnp.concatenate([low, last[..., None]], axis=-1)
        x = self._positions(axis, self.axes[axis])
        normal = np.eye(self.problem.dim)[axis]

        def through(u_left, u_right, y):
            return self.law.through(self.riemann, u_left, u_right, y, t, jnp.asarray(normal))

        flat = (left.reshape(slots, -1), right.reshape(slots, -1), x)
        flux = at_points(through, flat).reshape(slots, count, n + 1)
        central = gradient = middle = None
        if slopes is not None:
            middle, gradient = self._central_states(z, lines, t, axis, slopes, (left, right))
            central = self._central(middle, gradient, x, t, axis)
            flux = flux + central
        if border is not None:
            for end in (0, 1):
                at = -end
                pair = (left[..., at], right[..., at])
                outer, inner = pair if end == 0 else pair[::-1]
                essential, _ = border[end].prescribed(t)
                face = jnp.where(essential, outer, (outer + inner) / 2)
                g = (
                    jnp.zeros((slots, self.problem.dim, count), z.dtype)
                    if gradient is None
                    else gradient[..., at]
                )
                sign = 1.0 if end else -1.0
                found = border[end].fluxes(sign * flux[..., at], face, g, t)
                flux = flux.at[..., at].set(sign * found)
        return self._from_lines(jnp.diff(flux, axis=-1) / jnp.diff(self.axes[axis]), axis)

    def _faces(self, lines: Array, t: Array, axis: int) -> tuple[Array, Array]:
        """States at the lower and the upper face of every cell, like `lines` each."""
        reach = REACH[self.reconstruction]
        slots, count, n = lines.shape
        padded = self._padded(lines, t, axis, reach)
        kernel = face_states(
            self.law, self.reconstruction, self.limiter, jnp.eye(self.problem.dim)[axis]
        )
        averages = tuple(padded[..., k : k + n].reshape(slots, -1) for k in range(2 * reach + 1))
        h = self._padded_widths(axis)
        widths = jnp.stack([jnp.tile(h[k : k + n], count) for k in range(3)])
        x = self._positions(axis, self.centres(axis))
        found = at_points(lambda u, w, y: kernel(u, w, y, t), (averages, widths, x))
        low, high = (part.reshape(lines.shape) for part in found)
        return low, high

    # Terms with gradients.

    def _slopes(self, z: Array, t: Array, axis: int) -> Array:
        """Central differences along one direction, of the shape of z."""
        padded = self._padded(self._lines(z, axis), t, axis, 1)
        h = self._padded_widths(axis)
        centres = jnp.cumsum(h) - h / 2
        slopes = (padded[..., 2:] - padded[..., :-2]) / (centres[2:] - centres[:-2])
        return self._from_lines(slopes, axis)

    def _central_states(self, z, lines, t, axis, slopes, states) -> tuple[Array, Array]:
        """Values (slots, lines, faces) and gradients (slots, dim, lines, faces) at faces."""
        padded = self._padded(lines, t, axis, 1)
        h = self._padded_widths(axis)
        low, high = padded[..., :-1], padded[..., 1:]
        gap = (h[:-1] + h[1:]) / 2
        share = h[:-1] / 2 / gap
        middle = low + share * (high - low)
        normal = (high - low) / gap
        border = self.borders[axis]
        if border is not None:
            for end in (0, 1):
                steep, value = self._steep(border[end], lines, t, axis, end)
                at = -end
                left, right = states[0][..., at], states[1][..., at]
                essential, _ = border[end].prescribed(t)
                normal = normal.at[..., at].set(jnp.where(essential, steep, normal[..., at]))
                middle = middle.at[..., at].set(jnp.where(essential, value, (left + right) / 2))
        rows = []
        for other, slope in enumerate(slopes):
            if other == axis:
                rows.append(normal)
                continue
            along = self._lines(slope, axis)
            if border is None:
                wide = jnp.concatenate([along[..., -1:], along, along[..., :1]], axis=-1)
            else:
                wide = jnp.concatenate([along[..., :1], along, along[..., -1:]], axis=-1)
            rows.append((wide[..., 1:] + wide[..., :-1]) / 2)
        return middle, jnp.stack(rows, axis=1)

    def _steep(self, border: Border, lines: Array, t: Array, axis: int, end: int):
        """∂u/∂x at a side by the parabola through the value and two averages, and the value."""
        value = border.prescribed(t)[1]
        first, second = lines[..., -end], lines[..., 1 if end == 0 else -2]
        h = jnp.diff(self.axes[axis])[-end]
        return (1.0 if end else -1.0) * (8 * value - 9 * first + second) / (3 * h), value

    def _central(self, middle: Array, gradient: Array, x: Array, t: Array, axis: int) -> Array:
        slots, dim = gradient.shape[:2]

        def at(u, g, y):
            return self.law.flux(self.law.point(u, y, t, g), central=True)[:, axis]

        found = at_points(at, (middle.reshape(slots, -1), gradient.reshape(slots, dim, -1), x))
        return found.reshape(middle.shape)

    # Steps.

    def stable_step(self, z: Array, t: Array, courant: float | None = None) -> Array:
        """1 / Σₐ (s / (C hₐ) + 4.7 D / (2.5 hₐ²)) over all cells, s the speed, D the diffusivity.

        SSPRK3 is stable to −2.51 on the real axis; the parabola beside a prescribed value takes
        the spectral radius of the second difference from 4 to 4.62.
        """
        dim = self.problem.dim
        courant = self.courant if courant is None else courant
        gradient = (
            jnp.stack([self._slopes(z, t, a) for a in range(dim)], axis=1)
            if self.law.diffusive
            else jnp.zeros((z.shape[0], dim, *z.shape[1:]), z.dtype)
        )

        def rate(u, g, h, y):
            total = jnp.zeros((), u.dtype)
            for axis in range(dim):
                n = jnp.eye(dim, dtype=u.dtype)[axis]
                low, high = self.law.speeds(u, y, t, n)
                fastest = jnp.maximum(jnp.abs(low), jnp.abs(high))
                total = total + fastest / (courant * h[axis])
                if self.law.diffusive:
                    d = self.law.diffusivity(u, g, y, t, n)
                    total = total + 4.7 * d / (2.5 * h[axis] ** 2)
            return total

        sizes = jnp.meshgrid(*(jnp.diff(e) for e in self.axes), indexing="ij")
        flat = (
            z.reshape(z.shape[0], -1),
            gradient.reshape(*gradient.shape[:2], -1),
            jnp.stack([s.reshape(-1) for s in sizes]),
            self._positions(dim - 1, self.centres(dim - 1)),
        )
        longest = self.axes[0][-1] - self.axes[0][0]
        return 1 / jnp.maximum(jnp.max(at_points(rate, flat)), 1e-12 / longest)

    def admissible(self, z: Array, t: Array) -> Array:
        """Whether the averages are finite and every quantity of the PDE is positive."""
        finite = jnp.all(jnp.isfinite(z))
        if "admissible" not in self.law.given:
            return finite
        return finite & jnp.all(self.least(z, t) > 0)

    def least(self, z: Array, t: Array) -> Array:
        """The least value of each quantity that must stay positive, (quantities,)."""
        x = self._positions(self.problem.dim - 1, self.centres(self.problem.dim - 1))
        flat = z.reshape(z.shape[0], -1)
        found = at_points(lambda u, y: jnp.stack(self.law.quantities(u, y, t)), (flat, x))
        return jnp.min(found, axis=1)


def _side(law: Law, edges: tuple[np.ndarray, ...], axis: int, end: int) -> Border:
    """The faces of one side, in the order of the lines."""
    domain, dim = law.problem.domain, law.problem.dim
    grids = [(e[1:] + e[:-1]) / 2 for e in edges]
    grids[axis] = edges[axis][[-end]]
    full = np.moveaxis(np.stack(np.meshgrid(*grids, indexing="ij")), axis + 1, -1)
    x = full.reshape(dim, -1)
    n = np.zeros_like(x)
    n[axis] = 1.0 if end else -1.0
    parts = domain.part_of(x.T, axis, end)  # type: ignore[attr-defined]
    return Border(law, x, n, np.asarray(parts))
