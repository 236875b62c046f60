"""Interior facets of a mesh: the two cells of each, how they are turned, and trace inequalities."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pdes.domain import Mesh
from pdes.domain._mesh import FACETS
from solvers.fem._element import (
    SIMPLICES,
    cell_quadrature,
    facet_quadrature,
    lagrange,
    turns,
)

Integers = NDArray[np.integer]
Floats = NDArray[np.floating]
_AT_ONCE = 1_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class InteriorFacets:
    """Facets between two cells, also across a periodic boundary.

    Attributes:
        cells: inside and outside, (facets, 2); the normal points outside. local: number of the
            facet in each, (facets, 2). turn: how the outer cell's facet is turned, an index in
            `turns`, (facets,).
    """

    cells: Integers
    local: Integers
    turn: Integers

    def __len__(self) -> int:
        return len(self.cells)


@functools.lru_cache(maxsize=16)
def interior_facets(mesh: Mesh) -> InteriorFacets:
    """Finds them by their corners; those on periodic sides are identified with their masters.

    Raises:
        ValueError: too few cells across a periodic direction, or a facet of more than two cells.
    """
    owner = np.arange(len(mesh.points))
    if len(mesh.periodic_pairs):
        owner[mesh.periodic_pairs[:, 0]] = mesh.periodic_pairs[:, 1]
    local = np.array(FACETS[mesh.shape])
    corners = owner[np.asarray(mesh.cells)][:, local].reshape(-1, local.shape[1])
    ordered = np.sort(corners, axis=1)
    _, inverse, counts = np.unique(ordered, axis=0, return_inverse=True, return_counts=True)
    if counts.max() > 2 or (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError(
            "a facet belongs to more than two cells: a periodic direction needs at least 3 cells "
            "across it (give a larger `cells`), and cells must not overlap"
        )
    rows = np.argsort(inverse.ravel(), kind="stable")
    rows = rows[counts[inverse.ravel()[rows]] == 2].reshape(-1, 2)
    inside, outside = corners[rows[:, 0]], corners[rows[:, 1]]
    turn = np.full(len(rows), -1, np.int32)
    for number, order in enumerate(turns(mesh.shape)):
        turn[(outside[:, list(order)] == inside).all(axis=1)] = number
    assert (turn >= 0).all()
    count = len(local)
    return InteriorFacets(rows // count, rows % count, turn)


@functools.lru_cache(maxsize=16)
def neighbours(mesh: Mesh) -> sp.csr_matrix:
    """Which cells share a facet, (cells, cells)."""
    pairs, count = interior_facets(mesh).cells, len(mesh.cells)
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    return sp.csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(count, count))


@functools.lru_cache(maxsize=16)
def trace_constants(mesh: Mesh, degree: int) -> Floats:
    """C of ∫_F |∇u|² ≤ C ∫_K |∇u|² for the polynomials of each cell K, (cells, facets).

    On simplices ∇u has degree p − 1 and C = p (p − 1 + d)/d · |F|/|K|; on quadrilaterals and
    hexahedra C = (p + 1)² |F|/|K|. Where the map x(ξ) is not affine, ∇u is no polynomial in x but
    J₀⁻ᵀ∇̂u is, with J₀ the Jacobian in the middle: with A = J⁻ᵀJ₀ᵀ and the measures J_F, J_K of the
    map, |F|/|K| becomes |F̂|/|K̂| · max_F(‖A‖² J_F) · max_K(‖A⁻¹‖² / J_K), a bound that is sharp
    for affine cells. Source: Warburton and Hesthaven (2003); Epshteyn and Rivière (2007).
    """
    dim, simplex = mesh.dim, mesh.shape in SIMPLICES
    constant = degree * (degree - 1 + dim) / dim if simplex else (degree + 1) ** 2
    element = lagrange(mesh.shape, 1 if mesh.geometry is None else 2)
    affine = simplex and mesh.geometry is None
    order = 1 if affine else 2 * degree + 1
    inside, weights = cell_quadrature(mesh.shape, order)
    inside = np.concatenate([inside, lagrange(mesh.shape, 1).nodes])
    points, facet_weights, normals = facet_quadrature(mesh.shape, order)
    if affine:
        inside, points = inside[:1], points[:, :1]
    centre = lagrange(mesh.shape, 1).nodes.mean(axis=0, keepdims=True)
    tables = [element.tabulate(x)[:, 1:] for x in (centre, inside, *points)]
    share = facet_weights.sum(axis=1) / weights.sum()
    nodes = mesh.points[mesh.cells] if mesh.geometry is None else mesh.geometry
    out = np.empty((len(nodes), len(points)))
    step = max(1, _AT_ONCE // tables[1].size)
    for start in range(0, len(nodes), step):
        here = slice(start, start + step)
        middle, volume, *faces = (_jacobian(table, nodes[here]) for table in tables)
        stretch = _norm(volume @ np.linalg.inv(middle)) ** 2
        least = (stretch / np.abs(np.linalg.det(volume))).max(axis=1)
        for number, (face, normal) in enumerate(zip(faces, normals, strict=True)):
            back = np.linalg.inv(face)
            measure = np.abs(np.linalg.det(face)) * np.linalg.norm(normal @ back, axis=-1)
            largest = (_norm(middle @ back) ** 2 * measure).max(axis=1)
            out[here, number] = constant * share[number] * largest * least
    return out


def _jacobian(table: Floats, nodes: Floats) -> Floats:
    """∂x_k/∂ξ_r, (cells, q, dim, dim) as [k, r]."""
    return np.einsum("qrv,cvk->cqkr", table, nodes)


def _norm(matrices: Floats) -> Floats:
    """The largest singular value."""
    return np.linalg.norm(matrices, 2, axis=(-2, -1))
