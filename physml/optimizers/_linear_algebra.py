"""Damped least squares, d(λ) = argmin ‖r − J d‖² + λ‖d‖², for many λ from one factorisation.

On a CPU the factorisations are SciPy's LAPACK rather than XLA's: measured on 2 cores in float64
at J 2500×2000, JᵀJ 0.11 s against 0.20 s, Cholesky 0.034 s against 0.15 s. An array of XLA is one
of NumPy on a CPU, so that no callback is needed (`benchmarks/neural_linear_algebra.py` measures).
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs

(_syrk,) = get_blas_funcs(("syrk",), dtype=np.float64)
_potrf, _potrs, _tpqrt, _trtrs, _gesdd, _geqrf = get_lapack_funcs(
    ("potrf", "potrs", "tpqrt", "trtrs", "gesdd", "geqrf"), dtype=np.float64
)


class Damped(NamedTuple):
    """The solution for one λ.

    `direction` d (P,); `prediction` the reduction ‖r‖² − ‖r − J d‖²; `again` solves for
    another right side, s (N,) ↦ (JᵀJ + λI)⁻¹ Jᵀ s.
    """

    direction: np.ndarray
    prediction: float
    again: Callable[[np.ndarray], np.ndarray]


class Factorisation(abc.ABC):
    """A factorised pair (J, r). `largest` is max diag JᵀJ (or JJᵀ), the scale of λ."""

    name: str
    largest: float
    mean: float
    smallest_damping: float

    @abc.abstractmethod
    def solve(self, damping: float) -> Damped | None:
        """The damped solution; `None` if λ is too small for it."""


class NormalCholesky(Factorisation):
    """(JᵀJ + λI) d = Jᵀr by Cholesky, or d = Jᵀ(JJᵀ + λI)⁻¹ r where J has fewer rows (Woodbury).

    Half the digits of J's small singular values are lost in the product.
    """

    def __init__(self, jacobian: np.ndarray, residual: np.ndarray):
        rows, columns = jacobian.shape
        self._dual = rows < columns
        self._jacobian = jacobian
        self._residual = residual
        # The transpose of a C-ordered array is Fortran-ordered: no copy is made.
        self._gram = _syrk(1.0, jacobian.T, lower=1, trans=1 if self._dual else 0)
        self._gradient = jacobian.T @ residual
        diagonal = np.diagonal(self._gram)
        self.largest = float(diagonal.max())
        self.mean = float(diagonal.sum() / columns)
        self.smallest_damping = 4 * np.finfo(float).eps * self.largest * len(diagonal) ** 0.5
        self.name = f"Cholesky of {'J Jᵀ' if self._dual else 'Jᵀ J'} ({len(diagonal)}) by LAPACK"

    def solve(self, damping: float) -> Damped | None:
        shifted = self._gram.copy(order="F")
        shifted.flat[:: len(shifted) + 1] += damping
        factor, failed = _potrf(shifted, lower=1, clean=0, overwrite_a=1)
        if failed:
            return None

        def again(right: np.ndarray) -> np.ndarray:
            if self._dual:
                return self._jacobian.T @ _potrs(factor, right, lower=1)[0]
            return _potrs(factor, self._jacobian.T @ right, lower=1)[0]

        return _damped(again(self._residual), self._gradient, damping, again)


class Orthogonal(Factorisation):
    """J = Q R once, then R and √λ I by a triangular-pentagonal QR: all digits of J are kept.

    Where J has fewer rows, the R of [Jᵀ; √λ I] solves (JJᵀ + λI) z = r, d = Jᵀz.
    """

    def __init__(self, jacobian: np.ndarray, residual: np.ndarray):
        rows, columns = jacobian.shape
        self._dual = rows < columns
        self._jacobian = jacobian
        self._residual = residual
        self._gradient = jacobian.T @ residual
        if self._dual:
            stacked = np.array(jacobian.T, order="F")
        else:
            stacked = np.empty((rows, columns + 1), order="F")
            stacked[:, :-1] = jacobian
            stacked[:, -1] = residual
        self._triangle = _triangle(stacked)
        squares = np.einsum("ij,ij->i" if self._dual else "ij,ij->j", jacobian, jacobian)
        self.largest = float(squares.max())
        self.mean = float(squares.sum() / columns)
        size = len(squares)
        self.smallest_damping = (np.finfo(float).eps * size**0.5) ** 2 * self.largest
        self.name = f"QR of {'Jᵀ' if self._dual else 'J'} ({rows}×{columns}) by LAPACK"

    def solve(self, damping: float) -> Damped | None:
        triangle = self._triangle.copy(order="F")
        size = len(self._residual) if self._dual else self._jacobian.shape[1]
        below = np.zeros((size, triangle.shape[1]), order="F")
        below.flat[:: triangle.shape[1] + 1] = damping**0.5
        triangle = _tpqrt(size, min(32, size), triangle, below, overwrite_a=1, overwrite_b=1)[0]
        diagonal = np.abs(np.diagonal(triangle)[:size])
        if not diagonal.min() > 0:
            return None
        square = triangle[:size, :size]

        def again(right: np.ndarray) -> np.ndarray:
            start = right if self._dual else self._jacobian.T @ right
            solution = _trtrs(square, _trtrs(square, start, trans=1)[0])[0]
            return self._jacobian.T @ solution if self._dual else solution

        if self._dual:
            direction = again(self._residual)
        else:
            direction, _ = _trtrs(square, triangle[:size, size])
        return _damped(direction, self._gradient, damping, again)


class SingularValues(Factorisation):
    """J = U S Vᵀ: each further λ costs one matrix–vector product; undamped, a minimal norm."""

    def __init__(self, jacobian: np.ndarray, residual: np.ndarray):
        rows, columns = jacobian.shape
        # Of the transpose, which is Fortran-ordered: J.T = V S Uᵀ.
        v, s, ut, failed = _gesdd(jacobian.T, full_matrices=0)
        if failed:
            raise np.linalg.LinAlgError("the singular value decomposition did not converge.")
        self._v, self._s, self._ut = v, s, ut
        self._projected = ut @ residual
        self.largest = float(s[0] ** 2)
        self.mean = float(np.sum(s**2) / columns)
        self.smallest_damping = (np.finfo(float).eps * max(rows, columns) ** 0.5) ** 2 * s[0] ** 2
        self.name = f"SVD of J ({rows}×{columns}) by LAPACK"

    def solve(self, damping: float) -> Damped | None:
        damped = self._s**2 + damping
        if not damped.min() > 0:
            return None
        weights = self._s / damped * self._projected
        prediction = weights @ (self._s * self._projected) + damping * (weights @ weights)

        def again(right: np.ndarray) -> np.ndarray:
            return self._v @ (self._s / damped * (self._ut @ right))

        return Damped(self._v @ weights, float(prediction), again)


class TrustRegion:
    """argmin ‖r − J z‖ over ‖z‖ ≤ Δ for many radii Δ, by one singular value decomposition.

    On the boundary z = (JᵀJ + λI)⁻¹ Jᵀ r with the λ ≥ 0 of the secular equation ‖z(λ)‖ = Δ.
    `longest` is the radius beyond which the constraint is not active.
    """

    def __init__(self, jacobian: np.ndarray, residual: np.ndarray):
        rows, columns = jacobian.shape
        v, s, ut, failed = _gesdd(jacobian.T, full_matrices=0)
        if failed:
            raise np.linalg.LinAlgError("the singular value decomposition did not converge.")
        self._v, self._s = v, s
        self._projected = s * (ut @ residual)
        self._smallest = (np.finfo(float).eps * max(rows, columns) ** 0.5 * s[0]) ** 2
        self.longest = float(np.linalg.norm(self._projected / (s**2 + self._smallest)))

    def solve(self, radius: float) -> tuple[np.ndarray, float]:
        """z and its λ."""
        damping = self._secular(radius)
        return self._v @ (self._projected / (self._s**2 + damping)), damping

    def _secular(self, radius: float) -> float:
        """λ by Newton's method on 1/‖z(λ)‖ − 1/Δ, which is nearly linear (Moré and Sorensen)."""
        if radius >= self.longest:
            return self._smallest
        low = self._smallest
        high = float(np.linalg.norm(self._projected)) / radius
        damping = (low * high) ** 0.5
        for _ in range(200):
            weights = self._projected / (self._s**2 + damping)
            length = float(np.linalg.norm(weights))
            if length > radius:
                low = damping
            else:
                high = damping
            if abs(length - radius) <= 1e-12 * radius or high - low <= 1e-15 * high:
                break
            bend = float(np.sum(weights**2 / (self._s**2 + damping)))
            newton = damping + length**2 / bend * (length - radius) / radius
            damping = newton if low < newton < high else (low * high) ** 0.5
        return damping


class OnDevice(Factorisation):
    """The normal equations by XLA, where J lives on an accelerator."""

    def __init__(self, jacobian: Any, residual: Any):
        columns = jacobian.shape[1]
        self._jacobian, self._residual = jacobian, residual
        self._gram, self._gradient, diagonal = _products(jacobian, residual)
        diagonal = np.asarray(diagonal)
        self.largest = float(diagonal.max())
        self.mean = float(diagonal.sum() / columns)
        eps = float(jnp.finfo(jacobian.dtype).eps)
        self.smallest_damping = 4 * eps * self.largest * len(diagonal) ** 0.5
        self.name = f"Cholesky on the device ({len(diagonal)}) by XLA"

    def solve(self, damping: float) -> Damped | None:
        factor = _shifted_cholesky(self._gram, damping)

        def again(right: Any) -> np.ndarray:
            return np.asarray(_by_cholesky(factor, self._jacobian, jnp.asarray(right)))

        return _damped(again(self._residual), np.asarray(self._gradient), damping, again)


class OrthogonalOnDevice(Factorisation):
    """As `Orthogonal`, by XLA where J lives on an accelerator: R of [J r], then of it and √λ I."""

    def __init__(self, jacobian: Any, residual: Any):
        rows, columns = jacobian.shape
        self._dual = rows < columns
        self._jacobian, self._residual = jacobian, residual
        self._triangle, self._gradient, squares = _triangle_on_device(jacobian, residual)
        squares = np.asarray(squares)
        self.largest = float(squares.max())
        self.mean = float(squares.sum() / columns)
        eps = float(jnp.finfo(jacobian.dtype).eps)
        self.smallest_damping = (eps * len(squares) ** 0.5) ** 2 * self.largest
        self.name = f"QR of {'Jᵀ' if self._dual else 'J'} ({rows}×{columns}) on the device by XLA"

    def solve(self, damping: float) -> Damped | None:
        square, right = _extended_triangle(self._triangle, damping, self._jacobian.shape)

        def again(other: Any) -> np.ndarray:
            return np.asarray(_by_triangle(square, self._jacobian, jnp.asarray(other)))

        direction = again(self._residual) if self._dual else _back_substituted(square, right)
        return _damped(np.asarray(direction), np.asarray(self._gradient), damping, again)


@jax.jit
def _products(jacobian, residual):
    rows, columns = jacobian.shape
    gram = jacobian @ jacobian.T if rows < columns else jacobian.T @ jacobian
    return gram, jacobian.T @ residual, jnp.diagonal(gram)


@jax.jit
def _shifted_cholesky(gram, damping):
    return jnp.linalg.cholesky(gram + damping * jnp.eye(len(gram)))


@jax.jit
def _by_cholesky(factor, jacobian, right):
    rows, columns = jacobian.shape
    if rows < columns:
        return jacobian.T @ jax.scipy.linalg.cho_solve((factor, True), right)
    return jax.scipy.linalg.cho_solve((factor, True), jacobian.T @ right)


@jax.jit
def _triangle_on_device(jacobian, residual):
    rows, columns = jacobian.shape
    if rows < columns:
        matrix, squares = jacobian.T, jnp.sum(jacobian**2, axis=1)
    else:
        matrix = jnp.concatenate([jacobian, residual[:, None]], axis=1)
        squares = jnp.sum(jacobian**2, axis=0)
    return jnp.linalg.qr(matrix, mode="r"), jacobian.T @ residual, squares


@functools.partial(jax.jit, static_argnums=2)
def _extended_triangle(triangle, damping, shape):
    """R of [J; √λ I], or of its transpose, and Qᵀ [r; 0]."""
    size = min(shape)
    below = jnp.sqrt(damping) * jnp.eye(size, triangle.shape[1])
    found = jnp.linalg.qr(jnp.concatenate([triangle, below]), mode="r")
    return found[:size, :size], found[:size, -1]


@jax.jit
def _back_substituted(square, right):
    return jax.scipy.linalg.solve_triangular(square, right)


@jax.jit
def _by_triangle(square, jacobian, right):
    rows, columns = jacobian.shape

    def twice(b):
        half = jax.scipy.linalg.solve_triangular(square, b, trans=1)
        return jax.scipy.linalg.solve_triangular(square, half)

    return jacobian.T @ twice(right) if rows < columns else twice(jacobian.T @ right)


def _damped(direction, gradient, damping, again) -> Damped | None:
    prediction = float(direction @ gradient + damping * (direction @ direction))
    return Damped(direction, prediction, again) if np.isfinite(prediction) else None


def _triangle(matrix: np.ndarray) -> np.ndarray:
    """The square R of a QR factorisation, overwriting `matrix`."""
    # Without this workspace LAPACK falls back to its unblocked algorithm, 5 times slower.
    workspace = 64 * matrix.shape[1]
    packed = _geqrf(matrix, lwork=workspace, overwrite_a=1)[0]
    size = matrix.shape[1]
    triangle = np.zeros((size, size), order="F")
    triangle[: len(packed)] = packed[:size]
    return np.asfortranarray(np.triu(triangle))


SOLVERS = ("auto", "cholesky", "qr", "svd")


def check_solver(solver: str) -> None:
    if solver not in SOLVERS:
        raise ValueError(f"solver must be 'auto', 'cholesky', 'qr' or 'svd', got {solver!r}.")


def factorise(solver: str, jacobian: Any, residual: Any, damping: float) -> Factorisation:
    """The factorisation that `solver` names; by "auto" the one that λ = `damping` asks for."""
    if next(iter(jacobian.devices())).platform != "cpu":
        return _factorised_on_device(solver, jacobian, residual, damping)
    matrix, vector = np.asarray(jacobian), np.asarray(residual)
    if solver == "svd":
        return SingularValues(matrix, vector)
    if solver == "qr":
        return Orthogonal(matrix, vector)
    system = NormalCholesky(matrix, vector)
    if solver == "auto" and 0 < damping < 1000 * system.smallest_damping:
        return Orthogonal(matrix, vector)
    return system


def _factorised_on_device(solver: str, jacobian: Any, residual: Any, damping: float):
    if solver in ("qr", "svd"):
        return OrthogonalOnDevice(jacobian, residual)
    system = OnDevice(jacobian, residual)
    if solver == "auto" and 0 < damping < 1000 * system.smallest_damping:
        return OrthogonalOnDevice(jacobian, residual)
    return system
