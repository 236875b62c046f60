"""Block preconditioners of saddle points: a field under a constraint and its multiplier.

⎡A  Bᵀ⎤ ⎡u⎤   ⎡f⎤
⎣B  0 ⎦ ⎣p⎦ = ⎣g⎦,   Schur complement −S, S = B A⁻¹ Bᵀ
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.linear._cycle import Cycle
from solvers.linear._hierarchy import smoothed_aggregation
from solvers.linear._layout import Block
from solvers.linear._reach import Reach

Apply = Callable[[NDArray], NDArray]


def stokes(reach: Reach, symmetric: bool, inner: Callable[[Reach], Any]) -> Apply:
    """For MINRES the block diagonal of A and ν⁻¹ M, the viscous pressure mass (Silvester and
    Wathen 1994); for GMRES the block triangle with the least-squares commutator (Elman 1999).

    Arguments:
        inner: the preconditioner of each field's own block.

    Raises:
        ValueError: no field is the multiplier of a constraint.
    """
    multipliers = reach.layout.multipliers
    if not multipliers:
        raise ValueError(
            'preconditioner "stokes" is for problems with a constraint; use "amg" or "auto"'
        )
    fields = [b for b in reach.layout.blocks if not b.multiplier]
    pressure = [_places(reach, block) for block in multipliers]
    last = max(block.stop for block in reach.layout.blocks)
    border = np.flatnonzero(reach.keep >= last)
    velocity = [(_places(reach, block), inner(reach.only(block))) for block in fields]
    if symmetric:
        schur = [_viscous_mass(reach, block, fields) for block in multipliers]
        return _diagonal(reach, velocity, list(zip(pressure, schur, strict=True)), border)
    where = np.concatenate([place for place, _ in velocity])
    below = np.concatenate(pressure)
    return _triangular(reach, velocity, where, below, border, fields)


def _places(reach: Reach, block: Block) -> NDArray[np.integer]:
    return np.flatnonzero((reach.keep >= block.start) & (reach.keep < block.stop))


def _viscous_mass(reach: Reach, block: Block, fields: list[Block]) -> NDArray:
    """1 / diag(ν⁻¹ M) of a multiplier, with ν read off the diagonal of A beside a Laplacian's."""
    if block.mass is None:
        raise ValueError('preconditioner "stokes" needs a finite element discretisation')
    mass = np.repeat(block.mass()[0], block.components)
    ratios = []
    diagonal = reach.matrix.diagonal()
    for field in fields:
        if field.mass is not None and field.components == field.coordinates.shape[1]:
            places = _places(reach, field)
            unit = np.repeat(field.mass()[1], field.components)
            ratios.append(diagonal[places] / unit[reach.keep[places] - field.start])
    viscosity = float(np.median(np.concatenate(ratios))) if ratios else 1.0
    places = _places(reach, block)
    return viscosity / mass[reach.keep[places] - block.start]


def _diagonal(reach: Reach, velocity: list, pressure: list, border: NDArray) -> Apply:
    scale = np.ones(len(border))
    for k, i in enumerate(border):
        row = reach.matrix[i].toarray().ravel()
        total = sum(float(s @ row[place] ** 2) for place, s in pressure)
        scale[k] = 1.0 / total if total > 0 else 1.0

    def apply(r: NDArray) -> NDArray:
        x = np.empty_like(r)
        for place, solve in velocity:
            x[place] = solve(r[place])
        for place, weight in pressure:
            x[place] = weight * r[place]
        x[border] = scale * r[border]
        return x

    return apply


def _triangular(
    reach: Reach, velocity: list, where: NDArray, below: NDArray, border: NDArray, fields: list
) -> Apply:
    matrix = reach.matrix.tocsr()
    rows = matrix[where]
    upper, inner = rows[:, below].tocsr(), rows[:, where].tocsr()
    lower = matrix[below][:, where].tocsr()
    weights = np.concatenate([_inverse_mass(reach, field) for field in fields])
    scaled = sp.diags(weights) @ upper
    laplacian = (lower @ scaled).tocsr()
    size = laplacian.diagonal().mean()
    # Of an enclosed flow it is singular: constants are left out, and come by the mean's multiplier.
    enclosed = abs(laplacian.sum(axis=1)).max() < 1e-10 * size
    total = matrix[border][:, below].sum() if len(border) == 1 else 0.0
    laplacian = (laplacian + 1e-8 * size * sp.identity(len(below))).tocsr()
    laplacian.sort_indices()
    poisson = Cycle(smoothed_aggregation(laplacian, None, 1))
    offsets = np.cumsum([0, *[len(place) for place, _ in velocity]])

    def inverse(r: NDArray) -> NDArray:
        y = poisson(r - r.mean() if enclosed else r)
        return y - y.mean() if enclosed else y

    def schur(r: NDArray) -> NDArray:
        return inverse(lower @ (weights * (inner @ (scaled @ inverse(r)))))

    def apply(r: NDArray) -> NDArray:
        x = np.empty_like(r)
        x[border] = r[border]
        x[below] = -schur(r[below])
        if total:
            x[below] += r[border] / total
            x[border] = r[below].sum() / total
        rest = r[where] - upper @ x[below]
        for k, (place, solve) in enumerate(velocity):
            x[place] = solve(rest[offsets[k] : offsets[k + 1]])
        return x

    return apply


def _inverse_mass(reach: Reach, field: Block) -> NDArray:
    places = _places(reach, field)
    if field.mass is None:
        return np.ones(len(places))
    mass = np.repeat(field.mass()[0], field.components)
    return 1.0 / mass[reach.keep[places] - field.start]
