"""One direction of a tensor grid: Chebyshev–Lobatto points, or equidistant ones if periodic."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from solvers.spectral._chebyshev_grid import (
    differentiation,
    lobatto,
    polynomials,
    quadrature,
    to_coefficients,
)

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Axis:
    """[low, high] with `points` points; polynomials, or the Fourier modes |k| ≤ (points − 1)/2.

    A periodic axis has an odd number of points: with an even one the derivative of the highest
    cosine vanishes at all of them, so that it is lost.
    """

    low: float
    high: float
    points: int
    periodic: bool

    @property
    def length(self) -> float:
        return self.high - self.low

    @property
    def nodes(self) -> Floats:
        if self.periodic:
            return self.low + self.length * np.arange(self.points) / self.points
        return self.low + self.length * (1 + lobatto(self.points)) / 2

    @property
    def derivative(self) -> Floats:
        """D with (D u)ⱼ = u′(xⱼ)."""
        if not self.periodic:
            return differentiation(self.points) * (2 / self.length)
        n = self.points
        gap = np.arange(n)[:, None] - np.arange(n)[None, :]
        angle = np.pi * gap / n
        np.fill_diagonal(angle, 0.5 * np.pi)
        matrix = 0.5 * (-1.0) ** gap / np.sin(angle)
        np.fill_diagonal(matrix, 0.0)
        return matrix * (2 * np.pi / self.length)

    @property
    def weights(self) -> Floats:
        """∫ u dx = Σ wⱼ uⱼ."""
        if self.periodic:
            return np.full(self.points, self.length / self.points)
        return quadrature(self.points) * (self.length / 2)

    @property
    def coefficients(self) -> Floats:
        """From values at the points to coefficients of `table`."""
        if not self.periodic:
            return to_coefficients(self.points)
        modes = np.arange(1, (self.points + 1) // 2)
        angle = 2 * np.pi * np.outer(modes, np.arange(self.points)) / self.points
        rows = [np.ones((1, self.points)) / 2, np.cos(angle), np.sin(angle)]
        return np.concatenate(rows) * (2 / self.points)

    def table(self, x: Array) -> Array:
        """Tₖ at one x, or 1, cos, …, sin, …; (points,)."""
        if not self.periodic:
            return polynomials(x, self.low, self.high, self.points)
        modes = jnp.arange(1, (self.points + 1) // 2)
        angle = 2 * jnp.pi / self.length * (x - self.low) * modes
        return jnp.concatenate([jnp.ones(1, angle.dtype), jnp.cos(angle), jnp.sin(angle)])

    @property
    def extrapolation(self) -> Floats:
        """E: values of the polynomial through the interior points, two degrees lower."""
        matrix = np.eye(self.points)
        if self.periodic:
            return matrix
        x, inner = lobatto(self.points), slice(1, self.points - 1)
        # Barycentric weights of the interior points: (−1)ʲ sin² of their angle.
        weights = (-1.0) ** np.arange(self.points) * (1 - x**2)
        for end in (0, self.points - 1):
            terms = weights[inner] / (x[end] - x[inner])
            matrix[end] = 0.0
            matrix[end, inner] = terms / terms.sum()
        return matrix

    def finer(self, fraction: float) -> Axis:
        """The periodic axis on which pointwise terms leave `fraction` of the modes unaliased."""
        count = int(np.ceil(self.points / fraction - 1e-9))
        return dataclasses.replace(self, points=count + 1 - count % 2)

    def interpolation(self, fine: Axis) -> tuple[Floats, Floats]:
        """From values here to those on a finer periodic axis, and back by truncation."""
        gap = fine.nodes[:, None] - self.nodes[None, :]
        modes = np.arange(1, (self.points + 1) // 2)
        waves = np.cos(2 * np.pi / self.length * gap[..., None] * modes).sum(axis=-1)
        kernel = (1 + 2 * waves) / self.points
        return kernel, kernel.T * (self.points / fine.points)

    def tail(self) -> tuple[int, ...]:
        """Rows of `coefficients` that show whether the points resolve a function."""
        if not self.periodic:
            return tuple(range(max(self.points - 3, 0), self.points))
        half = (self.points - 1) // 2
        return (half, self.points - 1)
