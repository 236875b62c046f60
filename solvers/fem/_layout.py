"""The layout of finite element unknowns, for linear solvers that can use it."""

from __future__ import annotations

import functools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.fem._build import geometry_points
from solvers.fem._element import cell_quadrature, lagrange
from solvers.fem._space import ScalarSpace, Space, scalar_space
from solvers.linear import Block, Layout

_CHUNK = 4096
_SIMPLICES = ("triangle", "tetrahedron")
# A product of slopes this small beside the largest of its cell is what rounding left of zero.
_ORTHOGONAL = 1e-10


@functools.lru_cache(maxsize=8)
def layout_of(space: Space, multipliers: frozenset[str]) -> Layout:
    """One layout a space, so that compiled programs and factors are kept with it."""
    return Layout(tuple(_block(space, name, name in multipliers) for name in space.scalars))


def _block(space: Space, name: str, multiplier: bool) -> Block:
    scalar = space.scalars[name]
    degree = scalar.element.degree
    simple = degree == 1 and space.components[name] == 1 and space.mesh.shape in _SIMPLICES
    return Block(
        name,
        space.offsets[name],
        space.components[name],
        scalar.coordinates,
        degree,
        multiplier,
        functools.cache(functools.partial(_interpolation, space, scalar))
        if degree > 1 or space.broken
        else None,
        functools.cache(functools.partial(_diagonals, space, scalar)),
        functools.partial(_couplings, space, scalar) if simple else None,
    )


def _interpolation(space: Space, scalar: ScalarSpace) -> sp.csr_matrix:
    """Values at the nodes of a field that is linear (or multilinear) on the same cells."""
    vertices = scalar_space(space.mesh, 1)
    weights = scalar.element.corner_weights
    where = np.argwhere(np.abs(weights) > 1e-12)
    rows = scalar.cell_nodes[:, where[:, 0]].ravel()
    columns = vertices.cell_nodes[:, where[:, 1]].ravel()
    values = np.tile(weights[where[:, 0], where[:, 1]], len(scalar.cell_nodes))
    # The same entry comes from every cell that has the node: keep one.
    keys, first = np.unique(rows.astype(np.int64) * vertices.size + columns, return_index=True)
    shape = (scalar.size, vertices.size)
    data = values[first]
    return sp.csr_matrix((data, (keys // vertices.size, keys % vertices.size)), shape=shape)


def _couplings(space: Space, scalar: ScalarSpace) -> sp.csr_matrix:
    """Pairs of nodes with ∇φᵢ·∇φⱼ ≠ 0 in some cell; at the right angles of regular meshes it is
    zero, whatever the coefficient."""
    mesh, nodes = space.mesh, scalar.cell_nodes
    corners = mesh.points[mesh.cells]
    inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1])
    slopes = np.concatenate([-inverse.sum(axis=2, keepdims=True), inverse], axis=2)
    products = np.abs(np.einsum("cki,ckj->cij", slopes, slopes))
    met = products > _ORTHOGONAL * products.max(axis=(1, 2), keepdims=True)
    cell, i, j = np.nonzero(met)
    shape = (scalar.size, scalar.size)
    ones = np.ones(len(cell))
    return sp.csr_matrix((ones, (nodes[cell, i], nodes[cell, j])), shape=shape)


def _diagonals(space: Space, scalar: ScalarSpace) -> tuple[NDArray, NDArray]:
    """Diagonals of the mass matrix and of the Laplacian's stiffness matrix, (nodes,)."""
    mesh, element = space.mesh, scalar.element
    points, weights = cell_quadrature(mesh.shape, 2 * element.degree)
    basis = element.tabulate(points)
    geometry = lagrange(mesh.shape, 1 if mesh.geometry is None else 2).tabulate(points)
    nodes, corners = geometry_points(mesh)
    mass, stiffness = np.zeros(scalar.size), np.zeros(scalar.size)
    for start in range(0, len(corners), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        jacobian = np.einsum("qrv,cvk->cqkr", geometry[:, 1:], nodes[corners[chunk]])
        measure = np.abs(np.linalg.det(jacobian)) * weights
        slopes = np.einsum("cqrk,qrn->cqkn", np.linalg.inv(jacobian), basis[:, 1:])
        at = scalar.cell_nodes[chunk]
        np.add.at(mass, at, np.einsum("cq,qn->cn", measure, basis[:, 0] ** 2))
        np.add.at(stiffness, at, np.einsum("cq,cqkn->cn", measure, slopes**2))
    return mass, stiffness
