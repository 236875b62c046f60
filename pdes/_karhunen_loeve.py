"""Random fields by their Karhunen–Loève series: a coefficient of a few independent numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._coefficient import AbstractCoefficient
from pdes._point import Point
from pdes.domain._base import Domain

_POINTS = {1: 64, 2: 20, 3: 10}


def _squared_exponential(r: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * r**2)


def _exponential(r: np.ndarray) -> np.ndarray:
    return np.exp(-r)


def _matern32(r: np.ndarray) -> np.ndarray:
    return (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)


def _matern52(r: np.ndarray) -> np.ndarray:
    return (1 + np.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-np.sqrt(5) * r)


COVARIANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "squared_exponential": _squared_exponential,
    "exponential": _exponential,
    "matern32": _matern32,
    "matern52": _matern52,
}


class _Modes:
    """√λₖ φₖ as tensor Legendre series, equal to another with the same numbers.

    `table` is (modes, n, …), one axis a direction.
    """

    def __init__(self, low, high, eigenvalues: np.ndarray, table: np.ndarray):
        self.low, self.high = tuple(low), tuple(high)
        self.eigenvalues, self.table = eigenvalues, table
        self._key = (self.low, self.high, table.shape, table.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Modes) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class KarhunenLoeve(AbstractCoefficient):
    """k(x) = g(m + Σₖ ξₖ √λₖ φₖ(x)), with ∫ C(x, y) φₖ(y) dy = λₖ φₖ(x), ∫ φₖ φₗ = δₖₗ.

    With independent ξₖ ~ N(0, 1) and enough modes, the series is a Gaussian field of mean m and
    covariance C(x, y) = s² c(|x − y|/ℓ) on the box around the domain. Eigenpairs are Nyström's at
    Gauss–Legendre points, φₖ between them the polynomial through its values there, so that k is
    smooth in x, and differentiable in x and ξ.

    Arguments:
        domain: its bounds are the box. modes: number of terms.
        covariance: c by name, "squared_exponential" e^{−r²/2}, "exponential" e^{−r}, "matern32",
            "matern52", or a function of the array r. length: ℓ. deviation: s. mean: m.
        transform: g, by default the exponential: a log-normal field.
        coefficients: ξ, (modes,), by default zero. points: Gauss points in each direction.

    The numbers to identify are `coefficients` alone: `where=lambda pde: pde.k`.
    `eigenvalues` are λₖ, falling; their sum is s² times the volume where all are taken.

    Raises:
        ValueError: an unknown covariance, more modes than points, numbers out of range.

    Source: Ghanem & Spanos (1991), section 2.3; Nyström: Atkinson (1997), chapter 4.
    """

    coefficients: Array
    mean: float = eqx.field(static=True)
    transform: Callable[[Array], Array] = eqx.field(static=True)
    modes: _Modes = eqx.field(static=True)

    def __init__(
        self,
        domain: Domain,
        modes: int = 16,
        *,
        covariance: str | Callable[[np.ndarray], np.ndarray] = "squared_exponential",
        length: float = 0.3,
        deviation: float = 1.0,
        mean: float = 0.0,
        transform: Callable[[Array], Array] = jnp.exp,
        coefficients: Any = None,
        points: int | None = None,
    ):
        if isinstance(covariance, str) and covariance not in COVARIANCES:
            raise ValueError(f"covariance is one of {sorted(COVARIANCES)}, got {covariance!r}")
        if not (length > 0 and deviation > 0):
            raise ValueError(
                f"a covariance needs length > 0 and deviation > 0, got {length!r}, {deviation!r}"
            )
        count = _POINTS.get(domain.dim, 5) if points is None else points
        if not 1 <= modes <= count**domain.dim:
            raise ValueError(
                f"modes is between 1 and the number of points, {count**domain.dim}, got {modes!r}; "
                "give more points"
            )
        kernel = COVARIANCES[covariance] if isinstance(covariance, str) else covariance
        self.modes = _nystrom(domain, modes, kernel, float(length), float(deviation), count)
        self.mean = float(mean)
        self.transform = transform
        xi = jnp.zeros(modes) if coefficients is None else jnp.asarray(coefficients, float)
        if xi.shape != (modes,):
            raise ValueError(f"coefficients have shape ({modes},), got {xi.shape}")
        self.coefficients = xi

    @property
    def eigenvalues(self) -> np.ndarray:
        """λₖ, (modes,), falling."""
        return self.modes.eigenvalues

    def basis(self, x: Array) -> Array:
        """√λₖ φₖ at one point, (modes,)."""
        found = jnp.asarray(self.modes.table, x.dtype)
        for axis in reversed(range(len(self.modes.low))):
            low, high = self.modes.low[axis], self.modes.high[axis]
            unit = 2 * (x[axis] - low) / (high - low) - 1
            found = found @ _legendre(unit, found.shape[-1])
        return found

    def __call__(self, p: Point) -> Array:
        return self.transform(self.mean + self.basis(p.x) @ self.coefficients)


def _legendre(x: Array, count: int) -> Array:
    """P₀ … P_{count−1} at x by the recurrence, (count,)."""
    values = [jnp.ones_like(x), x]
    for n in range(1, count - 1):
        values.append(((2 * n + 1) * x * values[-1] - n * values[-2]) / (n + 1))
    return jnp.stack(values[:count])


def _nystrom(domain: Domain, modes: int, kernel, length, deviation, count: int) -> _Modes:
    low, high = (np.asarray(b, float) for b in domain.bounds)
    dim, half = len(low), 0.5 * (high - low)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    grid = np.array(list(itertools.product(nodes, repeat=dim)))
    w = np.prod(np.array(list(itertools.product(weights, repeat=dim))), axis=1) * np.prod(half)
    x = low + half * (1 + grid)
    r = np.sqrt(np.maximum(((x[:, None] - x[None]) ** 2).sum(axis=2), 0.0))
    matrix = deviation**2 * kernel(r / length) * np.sqrt(w[:, None] * w)
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values[::-1][:modes], 0.0)
    functions = vectors[:, ::-1][:, :modes] / np.sqrt(w)[:, None]
    # The sign of an eigenvector is arbitrary: the sum of each is made positive where it is not 0.
    largest = functions[np.argmax(np.abs(functions), axis=0), np.arange(modes)]
    total = w @ functions
    sign = np.where(np.abs(total) > 1e-8, np.sign(total), np.sign(largest))
    table = (np.sqrt(values) * sign * functions).T.reshape(modes, *[count] * dim)
    # Values at Gauss points to Legendre coefficients: exact for these polynomials.
    transform = np.polynomial.legendre.legvander(nodes, count - 1) * weights[:, None]
    transform = transform * (np.arange(count) + 0.5)
    for axis in range(1, dim + 1):
        table = np.moveaxis(np.tensordot(table, transform, (axis, 0)), -1, axis)
    return _Modes(low.tolist(), high.tolist(), values, table)
