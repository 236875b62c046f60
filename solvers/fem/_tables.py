"""Basis functions and quadrature on the reference cell, contracted beforehand where possible."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes.domain import Mesh
from solvers.fem._analysis import Blocks
from solvers.fem._element import (
    SIMPLICES,
    cell_quadrature,
    facet_quadrature,
    lagrange,
    turned_facets,
)
from solvers.fem._space import Space

_LARGEST = 2_000_000
# Marks a field's trace from outside on an interior facet, as a field of its own.
OUTSIDE = "+"


class Group(eqx.Module):
    """The parts of one block of element matrices that are contracted together.

    Attributes:
        product: test times trial table, (pairs, q, row nodes × column nodes), or None where it
            would be too large and for facets.
        left, right: the tables apart: (different test rows, q, nodes) and (pairs, q, nodes); of
            facets (facets, pairs, q, nodes) both.
        tests: which of the rows of `left` each pair has.
        kinds: (0 or 1 for v or ∇v, 0 or 1 for value or gradient); each gives its pairs of
            reference directions.
        merged: of the pairs of directions (i, r) and (r, i) of two gradients only one, for
            integrands that are symmetric in them.
        averaged: the product does not depend on the point but for the weight: the integrand is
            averaged over the cell first, and q is 1.
    """

    product: Array | None
    left: Array | None
    right: Array | None
    row: str = eqx.field(static=True)
    column: str = eqx.field(static=True)
    kinds: tuple[tuple[int, int], ...] = eqx.field(static=True)
    averaged: bool = eqx.field(static=True)
    merged: bool = eqx.field(static=True, default=False)
    tests: tuple[int, ...] = eqx.field(static=True, default=())

    def pairs(self, dim: int, kind: tuple[int, int]) -> list[tuple[int, int]]:
        """Rows of the test and the trial table that are multiplied."""
        return _row_pairs(dim, kind, self.merged)

    @property
    def slots(self) -> str:
        return f"{self.row}|{self.column}"


class Tables(eqx.Module):
    """Basis and quadrature on the reference cell.

    Attributes:
        basis: of each field, (q, 1 + dim, nodes): values, then reference gradients.
        geometry: likewise of the map. weights: (q,).
        normals: of the reference facet; None for cells.
        groups: of the tangent's blocks.
        affine: the Jacobian is the same at all points of a cell.
        sided: facets between two cells; fields marked `OUTSIDE` are those of the outer cell.
    All have one more leading axis, the facet's local number, where `facets` is true; sided ones
    the number of the facet and its turn, and their groups no tables beside `basis`.
    """

    basis: dict[str, Array]
    geometry: Array
    weights: Array
    normals: Array | None
    groups: tuple[Group, ...]
    facets: bool = eqx.field(static=True)
    affine: bool = eqx.field(static=True)
    sided: bool = eqx.field(static=True, default=False)


def geometry_degree(mesh: Mesh) -> int:
    return 1 if mesh.geometry is None else 2


def is_affine_map(mesh: Mesh) -> bool:
    return mesh.shape in SIMPLICES and mesh.geometry is None


def _real(array: np.ndarray) -> Array:
    return jnp.asarray(array, jnp.result_type(float))


def cell_tables(
    space: Space, degree: int, blocks: Blocks = frozenset(), *, symmetric: bool = False
) -> Tables:
    """Tables on cells, for quadrature of the degree.

    Arguments:
        symmetric: pulled back, tangents are symmetric in the directions of two gradients.
    """
    mesh = space.mesh
    points, weights = cell_quadrature(mesh.shape, degree)
    basis = {name: s.element.tabulate(points) for name, s in space.scalars.items()}
    groups = _groups(basis, weights, blocks, is_affine_map(mesh), symmetric)
    geometry = lagrange(mesh.shape, geometry_degree(mesh)).tabulate(points)
    return _tables(basis, geometry, weights, None, groups, mesh)


def constant_tables(space: Space, blocks: Blocks, *, symmetric: bool = False) -> Tables:
    """Tables for a tangent that is constant in every cell of affine map: one point, exact."""
    mesh = space.mesh
    degree = 2 * max(s.element.degree for s in space.scalars.values())
    points, weights = cell_quadrature(mesh.shape, degree)
    exact = {name: s.element.tabulate(points) for name, s in space.scalars.items()}
    groups = []
    for row, column, kinds in _pairs(blocks):
        product = _products(exact[row], exact[column], kinds, symmetric)
        product = np.einsum("q,pqk->pk", weights, product)[:, None]
        groups.append(Group(_real(product), None, None, row, column, kinds, True, symmetric))
    centre = points.mean(axis=0, keepdims=True)
    basis = {name: s.element.tabulate(centre) for name, s in space.scalars.items()}
    geometry = lagrange(mesh.shape, 1).tabulate(centre)
    return _tables(basis, geometry, np.ones(1), None, groups, mesh)


def facet_tables(space: Space, degree: int, blocks: Blocks = frozenset()) -> Tables:
    """Tables on facets, with one more leading axis for the facet's local number."""
    mesh = space.mesh
    points, weights, normals = facet_quadrature(mesh.shape, degree)
    map_element = lagrange(mesh.shape, geometry_degree(mesh))
    basis = {
        name: np.stack([s.element.tabulate(x) for x in points]) for name, s in space.scalars.items()
    }
    groups = []
    for row, column, kinds in _pairs(blocks):
        left, right = _sides(basis[row], basis[column], kinds)
        groups.append(Group(None, _real(left), _real(right), row, column, kinds, False))
    geometry = np.stack([map_element.tabulate(x) for x in points])
    return _tables(basis, geometry, weights, normals, groups, mesh)


def sided_tables(space: Space, degree: int, blocks: Blocks = frozenset()) -> Tables:
    """Tables on facets between two cells, by facet and turn (see `turned_facets`)."""
    mesh = space.mesh
    _, weights, normals = facet_quadrature(mesh.shape, degree)
    points = turned_facets(mesh.shape, degree)
    turned = len(points) // len(normals)
    map_element = lagrange(mesh.shape, geometry_degree(mesh))
    basis = {
        name: _real(np.stack([s.element.tabulate(x) for x in points]))
        for name, s in space.scalars.items()
    }
    groups = [Group(None, None, None, *pair, False) for pair in _pairs(blocks)]
    return Tables(
        basis | {OUTSIDE + name: table for name, table in basis.items()},
        _real(np.stack([map_element.tabulate(x) for x in points])),
        _real(np.repeat(weights, turned, axis=0)),
        _real(np.repeat(normals, turned, axis=0)),
        tuple(groups),
        True,
        is_affine_map(mesh),
        True,
    )


def _tables(basis, geometry, weights, normals, groups, mesh: Mesh) -> Tables:
    return Tables(
        {name: _real(table) for name, table in basis.items()},
        _real(geometry),
        _real(weights),
        None if normals is None else _real(normals),
        tuple(groups),
        normals is not None,
        is_affine_map(mesh),
    )


def _pairs(blocks: Blocks) -> list[tuple[str, str, tuple[tuple[int, int], ...]]]:
    fields = sorted({(b[0], b[2]) for b in blocks})
    return [
        (row, column, tuple(sorted((b[1], b[3]) for b in blocks if (b[0], b[2]) == (row, column))))
        for row, column in fields
    ]


def _row_pairs(dim: int, kind: tuple[int, int], merged: bool = False) -> list[tuple[int, int]]:
    parts = {0: [0], 1: list(range(1, dim + 1))}
    if merged and kind == (1, 1):
        return [(i, r) for i in parts[1] for r in parts[1] if i <= r]
    return [(i, r) for i in parts[kind[0]] for r in parts[kind[1]]]


def _sides(test: np.ndarray, trial: np.ndarray, kinds) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the tables by pair, (…, pairs, q, nodes)."""
    pairs = [pair for kind in kinds for pair in _row_pairs(test.shape[-2] - 1, kind)]
    left = np.stack([test[..., i, :] for i, _ in pairs], axis=-3)
    right = np.stack([trial[..., r, :] for _, r in pairs], axis=-3)
    return left, right


def _products(test: np.ndarray, trial: np.ndarray, kinds, merged: bool) -> np.ndarray:
    """Products of the tables by pair, (pairs, q, row nodes × column nodes)."""
    out = []
    for kind in kinds:
        for i, r in _row_pairs(test.shape[-2] - 1, kind, merged):
            product = test[:, i, :, None] * trial[:, r, None, :]
            if merged and kind == (1, 1) and i < r:
                product = product + test[:, r, :, None] * trial[:, i, None, :]
            out.append(product.reshape(len(product), -1))
    return np.stack(out)


def _groups(
    basis: Mapping[str, np.ndarray],
    weights: np.ndarray,
    blocks: Blocks,
    affine: bool,
    symmetric: bool,
) -> list[Group]:
    groups = []
    for row, column, kinds in _pairs(blocks):
        test, trial = basis[row], basis[column]
        flat = tuple(k for k in kinds if affine and _is_flat(test, trial, k))
        rest = tuple(k for k in kinds if k not in flat)
        if flat:
            product = _products(test, trial, flat, symmetric)[:, :1] * weights.sum()
            groups.append(Group(_real(product), None, None, row, column, flat, True, symmetric))
        if not rest:
            continue
        left, right = _sides(test, trial, rest)
        if left.size * right.shape[-1] <= _LARGEST:
            product = _products(test, trial, rest, symmetric)
            groups.append(Group(_real(product), None, None, row, column, rest, False, symmetric))
        else:
            rows = [i for kind in rest for i, _ in _row_pairs(test.shape[-2] - 1, kind)]
            kept = sorted(set(rows))
            first = np.stack([test[:, r] for r in kept])
            tests = tuple(kept.index(r) for r in rows)
            sides = (_real(first), _real(right))
            groups.append(Group(None, *sides, row, column, rest, False, False, tests))
    return groups


def _is_flat(test: np.ndarray, trial: np.ndarray, kind: tuple[int, int]) -> bool:
    """Whether the products of these rows are the same at all points, as of gradients of P1."""
    left, right = _sides(test, trial, (kind,))
    return bool(np.ptp(left, axis=1).max() < 1e-13 and np.ptp(right, axis=1).max() < 1e-13)
