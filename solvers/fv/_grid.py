"""Edges of cells on a box, from what the user gave for `cells`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pdes.domain import Box

_DEFAULT = {1: 1024, 2: 128, 3: 32}


def box_edges(domain: Box, cells: Any) -> tuple[np.ndarray, ...]:
    """Edges in each direction.

    Arguments:
        cells: one number (for the longest side, the others in proportion), or for each direction a
            number or edges; in one dimension edges alone.

    Raises:
        ValueError: fewer than four cells, edges that don't increase or don't fit the domain.
    """
    low, high = domain.bounds
    dim = domain.dim
    if cells is None:
        cells = _DEFAULT[dim]
    given: list[Any]
    if isinstance(cells, (int, float, np.integer, np.floating)):
        _check_count(cells)
        lengths = high - low
        shares = [max(4, round(float(cells * part / lengths.max()))) for part in lengths]
        given = shares if dim > 1 else [cells]
    elif dim == 1 and not (len(cells) == 1 and np.ndim(cells[0]) == 0):
        given = [cells]
    else:
        given = list(cells)
        if len(given) != dim:
            raise ValueError(f"cells has an entry for each of {dim} directions, got {len(given)}")
    return tuple(
        _edges(entry, float(a), float(b)) for entry, a, b in zip(given, low, high, strict=True)
    )


def _check_count(cells: Any) -> None:
    if not isinstance(cells, (int, np.integer)) or cells < 4:
        raise ValueError(f"cells is a whole number of at least 4, got {cells!r}")


def _edges(given: Any, low: float, high: float) -> np.ndarray:
    if np.ndim(given) == 0:
        _check_count(given)
        return np.linspace(low, high, int(given) + 1)
    edges = np.asarray(given, float)
    if edges.ndim != 1 or len(edges) < 5 or not (np.diff(edges) > 0).all():
        raise ValueError("cells is a number or at least 5 increasing edges")
    if not np.allclose(edges[[0, -1]], [low, high], rtol=0, atol=1e-9 * (high - low)):
        raise ValueError(
            f"the edges go from {edges[0]:g} to {edges[-1]:g}, the domain from {low:g} to {high:g}"
        )
    return edges


def are_equal(edges: np.ndarray) -> bool:
    """Whether all cells have one width."""
    widths = np.diff(edges)
    return bool(np.allclose(widths, widths[0], rtol=1e-6))
