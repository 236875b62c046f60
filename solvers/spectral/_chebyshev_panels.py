"""Where to cut an interval: panels no longer than the solution's own length scale asks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.spectral._chebyshev_grid import differentiation, lobatto, to_coefficients

Floats = NDArray[np.floating]


def unresolved(states: Floats, slots: int) -> float:
    """The largest of the last three coefficients in any panel at any frame, relative to its slot.

    Arguments:
        states: (frames, panels, slots, points). slots: how many of them are fields.
    """
    states = np.asarray(states)[:, :, :slots]
    coefficients = np.abs(states @ to_coefficients(states.shape[-1]).T)
    largest = coefficients.max(axis=(0, 1, 3))
    last = coefficients[..., -3:].max(axis=(0, 1, 3))
    return float((last / np.maximum(largest, 1e-12 * largest.max() + 1e-300)).max())


def length_scale(states: Floats, edges: Floats, slots: int) -> tuple[Floats, Floats]:
    """Positions and the smallest length scale there over all frames and fields.

    1/ℓ = |u′|/U + (|u″|/U)^½ with U the size of the field. Since a feature at distance d limits
    the convergence in a panel to about d, ℓ grows no faster than d.
    """
    states = np.asarray(states)[:, :, :slots]
    edges = np.asarray(edges)
    points = states.shape[-1]
    width = np.diff(edges)[:, None]
    derivative = differentiation(points)
    first = states @ derivative.T * (2 / width[..., None])
    second = first @ derivative.T * (2 / width[..., None])
    size = np.abs(states).max(axis=(0, 1, 3), keepdims=True) + 1e-300
    inverse = (np.abs(first) / size + np.sqrt(np.abs(second) / size)).max(axis=(0, 2))
    x = (edges[:-1, None] + width * (1 + lobatto(points)) / 2).reshape(-1)
    scale = 1 / np.maximum(inverse.reshape(-1), 1 / (edges[-1] - edges[0]))
    return x, (scale[None, :] + np.abs(x[:, None] - x[None, :])).min(axis=1)


def moved_edges(states: Floats, edges: Floats, slots: int, panels: int) -> Floats:
    """Edges of `panels` panels of equal length in units of the length scale."""
    x, scale = length_scale(states, edges, slots)
    grid, at = np.unique(x, return_index=True)
    density = 1 / scale[at]
    steps = np.diff(grid) * (density[1:] + density[:-1]) / 2
    total = np.concatenate([[0.0], np.cumsum(steps)])
    new = np.interp(np.linspace(0.0, total[-1], panels + 1), total, grid)
    new[0], new[-1] = edges[0], edges[-1]
    return new
