"""What a mesh and its tables take at the least, so that what does not fit is refused beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pdes import Domain
from pdes.domain import Box
from solvers._memory import available_memory, human
from solvers._result import SolverError

# Simplices in a box's cell.
_PARTS = {"interval": 1, "triangle": 2, "tetrahedron": 6}
_DEFAULT = {1: "interval", 2: "triangle", 3: "tetrahedron"}


def expected_cells(domain: Domain, cells: Any, shape: str | None) -> int:
    """How many cells a box's uniform mesh will have; 0 for other domains, whose meshes tell."""
    if not isinstance(domain, Box):
        return 0
    sides = np.ptp(np.stack(domain.bounds), axis=0)
    counts = np.atleast_1d(np.asarray(cells, float))
    if len(counts) != domain.dim:
        counts = np.ceil(counts.max() * sides / sides.max())
    return int(counts.prod()) * _PARTS.get(shape or _DEFAULT[domain.dim], 1)


def table_bytes(
    cells: int, dim: int, shape: str, degrees: dict[str, int], components: dict[str, int]
) -> int:
    """A lower bound: corners, numbers of unknowns, and the places of element matrices.

    Arguments:
        degrees, components: of each field.
    """
    simplex = shape in _PARTS
    corners = dim + 1 if simplex else 2**dim
    nodes = sum(
        components[name] * (math.comb(p + dim, dim) if simplex else (p + 1) ** dim)
        for name, p in degrees.items()
    )
    return cells * (8 * corners + 4 * nodes + 4 * nodes**2)


def refuse_tables(
    cells: int,
    dim: int,
    shape: str | None,
    degrees: dict[str, int],
    components: dict[str, int],
) -> None:
    """Nothing, or an error.

    Raises:
        SolverError: "too_large", with the estimate and the remedy.
    """
    shape = shape or _DEFAULT[dim]
    needed = table_bytes(cells, dim, shape, degrees, components)
    free = available_memory()
    if needed > free:
        degree = max(degrees.values())
        raise SolverError(
            "too_large",
            f"the tables of {cells} {shape} cells of degree {degree} take at least "
            f"{human(needed)}, {human(free)} are available: use fewer cells (a higher degree or "
            "an adaptive mesh reaches the same error with fewer), or on a box of hexahedra or "
            'quadrilaterals linear="geometric", which stores no matrix',
        )
