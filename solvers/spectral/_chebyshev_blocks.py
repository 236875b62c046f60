"""Linear solves on a tensor grid: dense, or one small matrix a wavenumber where it is periodic.

A linearisation that does not change along the periodic axes maps v(y) e^{ikx} to w(y) e^{ikx}.
Its answers to unit vectors at x = 0 and one transform give the matrices of all wavenumbers: they
are read off the equations by automatic differentiation. About a state that does change they
precondition GMRES.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax.scipy.sparse.linalg import gmres
from jaxtyping import Array

_AT_ONCE = 64


def factor(matrix: Array) -> tuple[Array, Array]:
    """LU factors of a matrix and the order of its rows.

    SciPy's pivots would be turned into that order anew at each solution.
    """
    lu, _, order = jax.lax.linalg.lu(matrix)
    return lu, order


def solve_by(factors: tuple[Array, Array], right: Array) -> Array:
    """A⁻¹ b by `factor(A)`, for b of (n,) or (n, k)."""
    lu, order = factors
    lower = jsl.solve_triangular(lu, right[order], lower=True, unit_diagonal=True)
    return jsl.solve_triangular(lu, lower)


class DenseFactor(eqx.Module):
    """LU factors of a Jacobian."""

    lu: tuple[Array, Array]

    @staticmethod
    def of(rows: Callable[[Array], Array], z: Array) -> DenseFactor:
        """The Jacobian of `rows` at z."""

        def flat(y: Array) -> Array:
            return rows(y.reshape(z.shape)).reshape(-1)

        return DenseFactor(factor(jax.jacfwd(flat)(z.reshape(-1))))

    def solve(self, right: Array) -> Array:
        return solve_by(self.lu, right.reshape(-1)).reshape(right.shape)


class Blocks(eqx.Module):
    """One matrix for each wavenumber, (modes, rows, rows); rows are slots × points elsewhere.

    Attributes:
        shape: of a state, (slots, *points). periodic: its periodic axes among the points.
    """

    values: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    periodic: tuple[int, ...] = eqx.field(static=True)

    @staticmethod
    def of(rows: Callable[[Array], Array], z: Array, periodic: tuple[int, ...]) -> Blocks:
        """The Jacobian of `rows` at z, which must not change along the periodic axes."""
        shape = z.shape
        front = tuple(d + 1 for d in periodic)
        rest = tuple(n for d, n in enumerate(shape) if d not in front)
        count = int(np.prod(rest))
        _, push = jax.linearize(rows, z)

        def answer(column: Array) -> Array:
            unit = jnp.zeros(count, z.dtype).at[column].set(1.0).reshape(rest)
            unit = jnp.expand_dims(unit, front)
            widths = [(0, n - 1) if d in front else (0, 0) for d, n in enumerate(shape)]
            return _to_modes(push(jnp.pad(unit, widths)), periodic)

        columns = jax.lax.map(answer, jnp.arange(count), batch_size=min(_AT_ONCE, count))
        return Blocks(jnp.moveaxis(columns, 0, 2), shape, periodic)

    def inverse(self) -> Blocks:
        """The inverse of each matrix."""
        return Blocks(jnp.linalg.inv(self.values), self.shape, self.periodic)

    def solve(self, right: Array) -> Array:
        """The matrices applied to a state: of an inverse, a solve."""
        modes = jnp.einsum("kij,kj->ki", self.values, _to_modes(right, self.periodic))
        return _from_modes(modes, self.shape, self.periodic).astype(right.dtype)

    def wavenumbers(self) -> np.ndarray:
        """Integer wavenumber along each periodic axis of each matrix, (modes, axes)."""
        counts = [self.shape[d + 1] for d in self.periodic]
        axes = [np.fft.fftfreq(n, 1 / n) for n in counts[:-1]] + [np.arange(counts[-1] // 2 + 1)]
        mesh = np.meshgrid(*axes, indexing="ij")
        return np.round(np.stack(mesh, axis=-1)).astype(int).reshape(-1, len(counts))

    def wave(self, vector: np.ndarray, wavenumber: np.ndarray) -> np.ndarray:
        """v of one wavenumber as a complex state, v(y) e^{ikx}."""
        rest = [n for d, n in enumerate(self.shape) if d - 1 not in self.periodic]
        front = tuple(d + 1 for d in self.periodic)
        out = np.expand_dims(vector.reshape(rest), front)
        for d, k in zip(front, wavenumber, strict=True):
            phase = np.exp(2j * np.pi * k * np.arange(self.shape[d]) / self.shape[d])
            out = out * phase.reshape(-1, *(1,) * (len(self.shape) - d - 1))
        return out


Factor = DenseFactor | Blocks


def _to_modes(z: Array, periodic: tuple[int, ...]) -> Array:
    """(slots, *points) to (modes, rows); half of the modes along the last periodic axis."""
    axes = tuple(range(len(periodic)))
    moved = jnp.moveaxis(z, tuple(d + 1 for d in periodic), axes)
    modes = jnp.fft.rfftn(moved, axes=axes)
    return modes.reshape(int(np.prod(modes.shape[: len(axes)])), -1)


def _from_modes(modes: Array, shape: tuple[int, ...], periodic: tuple[int, ...]) -> Array:
    front = tuple(d + 1 for d in periodic)
    counts = [shape[d] for d in front]
    rest = [n for d, n in enumerate(shape) if d not in front]
    spectrum = modes.reshape(*counts[:-1], counts[-1] // 2 + 1, *rest)
    axes = tuple(range(len(front)))
    return jnp.moveaxis(jnp.fft.irfftn(spectrum, s=counts, axes=axes), axes, front)


def krylov_solve(
    rows: Callable[[Array], Array], z: Array, blocks: Blocks, right: Array, tolerance: float
) -> Array:
    """(rows)′(z)⁻¹ right by GMRES, preconditioned by the inverse blocks; Aᵀ for gradients."""
    blocks = jax.lax.stop_gradient(blocks)

    def product(v: Array) -> Array:
        return jax.jvp(rows, (z,), (v,))[1]

    def run(matvec: Callable, b: Array, preconditioner: Callable) -> Array:
        return gmres(
            matvec,
            b,
            tol=tolerance,
            restart=30,
            maxiter=6,
            M=preconditioner,
            solve_method="incremental",
        )[0]

    def forward(matvec: Callable, b: Array) -> Array:
        return run(matvec, b, blocks.solve)

    def backward(matvec: Callable, b: Array) -> Array:
        transposed = jax.linear_transpose(blocks.solve, b)
        return run(matvec, b, lambda v: transposed(v)[0])

    return jax.lax.custom_linear_solve(product, right, forward, backward)
