"""Geometric multigrid for −∇·(k∇u) on a uniform lattice, matrix-free and all in JAX.

Multilinear elements with a coefficient per cell have one element matrix K for all cells, so that

    A u = Σ_cells k Gᵀ K G u

needs no more memory than u and k. Arrays of nodes are (…, n_y + 1, n_x + 1), of cells
(…, n_y, n_x).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Of the spectrum of D⁻¹A, the part that a smoother damps.
_SMOOTHED = 0.2
_COARSE = 600


@dataclasses.dataclass(frozen=True)
class Lattice:
    """Attributes: cells by axis and their sides, in the order of the array's axes."""

    cells: tuple[int, ...]
    spacing: tuple[float, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(n + 1 for n in self.cells)

    @functools.cached_property
    def element(self) -> np.ndarray:
        """K of a cell with k = 1, (2^dim, 2^dim)."""
        slope = np.array([[1.0, -1.0], [-1.0, 1.0]])
        mass = np.array([[2.0, 1.0], [1.0, 2.0]]) / 6
        dim = len(self.cells)
        total = np.zeros((2**dim, 2**dim))
        for axis in range(dim):
            part = np.ones((1, 1))
            for other, h in enumerate(self.spacing):
                part = np.kron(part, slope / h if other == axis else mass * h)
            total += part
        return total

    @functools.cached_property
    def radius(self) -> float:
        """Bounds the spectrum of D⁻¹A for any k: that of the element's own matrices."""
        return float(np.linalg.eigvalsh(self.element).max() / self.element[0, 0])

    def coarser(self) -> Lattice | None:
        """Half as many cells along the axes of the smallest spacing; None at the end."""
        able = [a for a, n in enumerate(self.cells) if n > 2]
        if not able or np.prod(self.nodes) <= _COARSE:
            return None
        least = min(self.spacing[a] for a in able)
        cells, spacing = list(self.cells), list(self.spacing)
        for a in able:
            if self.spacing[a] < 1.9 * least:
                cells[a] = -(-self.cells[a] // 2)
                spacing[a] = self.spacing[a] * self.cells[a] / cells[a]
        return Lattice(tuple(cells), tuple(spacing))

    def levels(self) -> list[Lattice]:
        """From this one to the coarsest."""
        out: list[Lattice] = [self]
        while (following := out[-1].coarser()) is not None:
            out.append(following)
        return out


def _corners(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """The nodes at each corner of all cells, last axis fastest."""
    return [
        tuple(slice(o, n - 1 + o) for o, n in zip(offset, shape, strict=True))
        for offset in itertools.product((0, 1), repeat=len(shape))
    ]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def apply(lattice: Lattice, k: Array, u: Array) -> Array:
    """A u, linear in k and in u; prescribed nodes are not told apart."""
    corners = _corners(lattice.nodes)
    parts = [u[c] for c in corners]
    out = jnp.zeros_like(u)
    for row, c in zip(lattice.element, corners, strict=True):
        # Sums into slices of one array: several times faster than padded arrays that are added.
        out = out.at[c].add(k * sum(float(w) * p for w, p in zip(row, parts, strict=True)))
    return out


@apply.defjvp
def _apply_jvp(lattice, primals, tangents):
    """Both transposes are written out: XLA's of the sums above are many times slower."""
    (k, u), (dk, du) = primals, tangents
    linear_call = jax.custom_derivatives.linear_call
    by_k = linear_call(
        lambda u, dk: apply(lattice, dk, u), lambda u, v: contract(lattice, u, v), u, dk
    )
    by_u = linear_call(
        lambda k, du: apply(lattice, k, du), lambda k, v: apply(lattice, k, v), k, du
    )
    return apply(lattice, k, u), by_k + by_u


def contract(lattice: Lattice, u: Array, v: Array) -> Array:
    """∂(v·A u)/∂k, by cell."""
    corners = _corners(lattice.nodes)
    parts, others = [u[c] for c in corners], [v[c] for c in corners]
    return sum(
        other * sum(float(w) * p for w, p in zip(row, parts, strict=True))
        for row, other in zip(lattice.element, others, strict=True)
    )  # type: ignore[return-value]


def diagonal(lattice: Lattice, k: Array) -> Array:
    """diag(A)."""
    out = jnp.zeros(lattice.nodes, k.dtype)
    for i, c in enumerate(_corners(lattice.nodes)):
        out = out.at[c].add(float(lattice.element[i, i]) * k)
    return out


def interpolation(fine: int, coarse: int) -> np.ndarray:
    """Linear along one axis from coarse + 1 nodes to fine + 1, of one interval."""
    place = np.arange(fine + 1) * (coarse / fine)
    left = np.minimum(place.astype(int), coarse - 1)
    out = np.zeros((fine + 1, coarse + 1))
    out[np.arange(fine + 1), left] = 1 - (place - left)
    out[np.arange(fine + 1), left + 1] += place - left
    return out


def _averages(fine: int, coarse: int) -> np.ndarray:
    """Means over coarse cells of a function that is constant on fine ones, (coarse, fine)."""
    ends = [np.arange(n + 1) / n for n in (coarse, fine)]
    low = np.maximum(ends[0][:-1, None], ends[1][None, :-1])
    high = np.minimum(ends[0][1:, None], ends[1][None, 1:])
    return np.maximum(high - low, 0.0) * coarse


def _along(u: Array, matrices: list[np.ndarray | None]) -> Array:
    """A matrix along each axis; None leaves it."""
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            moved = jnp.tensordot(jnp.asarray(matrix, u.dtype), u, axes=([1], [axis]))
            u = jnp.moveaxis(moved, 0, axis)
    return u


def _transfers(fine: Lattice, coarse: Lattice) -> tuple[list, list]:
    """Interpolations of nodes and averages of cells by axis, None where nothing changes."""
    pairs = list(zip(fine.cells, coarse.cells, strict=True))
    up = [None if a == b else interpolation(a, b) for a, b in pairs]
    mean = [None if a == b else _averages(a, b) for a, b in pairs]
    return up, mean


class Multigrid:
    """One V-cycle with Chebyshev smoothing, for a coefficient and prescribed nodes.

    Arguments:
        k: (cells). free: nodes that are not prescribed.

    Coarse coefficients are means; coarse nodes are prescribed where the nearest fine one is.
    """

    def __init__(self, lattice: Lattice, k: Array, free: Array):
        self.levels = lattice.levels()
        self.k, self.free, self.inverse = [k], [free], []
        self.up = []
        for fine, coarse in itertools.pairwise(self.levels):
            up, mean = _transfers(fine, coarse)
            self.up.append(up)
            self.k.append(_along(self.k[-1], mean))
            nearest = [
                np.round(np.arange(c + 1) * (f / c)).astype(int)
                for f, c in zip(fine.cells, coarse.cells, strict=True)
            ]
            self.free.append(self.free[-1][np.ix_(*nearest)])
        for level, values in zip(self.levels, self.k, strict=True):
            self.inverse.append(1.0 / diagonal(level, values))
        self.coarse = self._factor()

    def _factor(self) -> Array:
        level, k, free = self.levels[-1], self.k[-1], self.free[-1].ravel()
        n = free.size
        unit = jnp.eye(n, dtype=k.dtype).reshape(n, *level.nodes)
        matrix = jax.vmap(lambda u: apply(level, k, u).ravel())(unit)
        matrix = jnp.where(free[:, None] & free[None, :], matrix, 0.0)
        return jnp.linalg.cholesky(matrix + jnp.diag(jnp.where(free, 0.0, 1.0)))

    def operator(self, i: int, u: Array) -> Array:
        return jnp.where(self.free[i], apply(self.levels[i], self.k[i], u), 0.0)

    def __call__(self, b: Array, i: int = 0) -> Array:
        if i == len(self.levels) - 1:
            b = jnp.where(self.free[i], b, 0.0)
            return jax.scipy.linalg.cho_solve((self.coarse, True), b.ravel()).reshape(b.shape)
        first, second = _chebyshev(self.levels[i].radius)
        start = first[1] * self.inverse[i] * b
        u, r = self._smooth(i, start, start, b, (second, (0.0, 0.0)))
        down = [None if m is None else m.T for m in self.up[i]]
        rest = jnp.where(self.free[i + 1], _along(r, down), 0.0)
        u = u + jnp.where(self.free[i], _along(self(rest, i + 1), self.up[i]), 0.0)
        return self._smooth(i, u, u, b, (first, second))[0]

    def _smooth(
        self, i: int, u: Array, change: Array, r: Array, steps: tuple[tuple[float, float], ...]
    ) -> tuple[Array, Array]:
        """u and the residual after r ← r − A δ, δ ← α δ + β D⁻¹r, u ← u + δ with each (α, β).

        A loop, for its operator is compiled once.
        """
        factors = jnp.asarray(steps, r.dtype)

        def step(k, state):
            u, change, r = state
            r = r - self.operator(i, change)
            change = factors[k, 0] * change + factors[k, 1] * self.inverse[i] * r
            return u + change, change, r

        u, _, r = jax.lax.fori_loop(0, len(steps), step, (u, change, r))
        return u, r


def _chebyshev(high: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """(α, β) of two Chebyshev steps for D⁻¹A with the largest eigenvalue `high` (Saad 2003,
    algorithm 12.1)."""
    low = _SMOOTHED * high
    centre, half = (high + low) / 2, (high - low) / 2
    sigma = centre / half
    following = 1 / (2 * sigma - 1 / sigma)
    return (0.0, 1 / centre), (following / sigma, 2 * following / half)


def solve_lattice(
    lattice: Lattice, k: Array, free: Array, b: Array, tolerance: float, limit: int
) -> tuple[Array, Array, Array]:
    """u, zero in nodes that are not free, with A u = b in the others, by conjugate gradients.

    Differentiable in k and b, by one more solve.

    Returns:
        u (NaN where it did not converge), iterations, relative residual.
    """
    fixed = jax.lax.stop_gradient(k)
    b = jnp.where(free, b, 0.0)

    def operator(u: Array) -> Array:
        return jnp.where(free, apply(lattice, k, u), 0.0)

    def iterate(_, right: Array) -> tuple[Array, tuple[Array, Array]]:
        # A cotangent may have entries in prescribed nodes, which nothing depends on.
        right = jnp.where(free, right, 0.0)
        return _conjugate_gradients(lattice, fixed, free, right, tolerance, limit)

    u, (count, size) = jax.lax.custom_linear_solve(
        operator, b, iterate, transpose_solve=iterate, symmetric=True, has_aux=True
    )
    return u, count, size


def _conjugate_gradients(lattice, k, free, b, tolerance, limit):
    cycle = Multigrid(lattice, k, free)
    goal = tolerance * jnp.linalg.norm(b)

    def unfinished(state):
        return (state[5] > goal) & (state[4] < limit)

    def step(state):
        u, r, p, rho, count, _ = state
        y = cycle(r)
        new = jnp.vdot(r, y)
        p = y + new / rho * p
        q = cycle.operator(0, p)
        length = new / jnp.vdot(p, q)
        u, r = u + length * p, r - length * q
        return u, r, p, new, count + 1, jnp.linalg.norm(r)

    zero = jnp.zeros_like(b)
    one = jnp.ones((), b.dtype)
    state = (zero, b, zero, one, jnp.asarray(0), jnp.linalg.norm(b))
    u, _, _, _, count, size = jax.lax.while_loop(unfinished, step, state)
    slack = 10 * goal + 100 * jnp.finfo(b.dtype).eps * jnp.linalg.norm(b)
    found = jnp.where(size <= slack, u, jnp.nan)
    return found, (count, size / jnp.where(goal > 0, jnp.linalg.norm(b), 1.0))
