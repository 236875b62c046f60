"""Lagrange elements on reference cells: tables, quadrature, facets, from basix."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import basix
import numpy as np
from numpy.typing import NDArray

from pdes.domain._mesh import CELL_DIMENSION, FACETS

Floats = NDArray[np.floating]

SIMPLICES = ("interval", "triangle", "tetrahedron")
_FACET_SHAPES = {
    "triangle": "interval",
    "quadrilateral": "interval",
    "tetrahedron": "triangle",
    "hexahedron": "quadrilateral",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Element:
    """A scalar Lagrange element of one degree on one shape of cell.

    Attributes:
        nodes: where its degrees of freedom sit, (nodes, dim).
        corner_weights: multilinear coordinates of the nodes, (nodes, corners).
        facet_nodes: nodes in the closure of each facet.
        exponents: of the monomials that span the space, (nodes, dim).
        coefficients: of the basis functions in these monomials, (monomials, nodes).
    """

    shape: str
    degree: int
    nodes: Floats
    corner_weights: Floats
    facet_nodes: tuple[tuple[int, ...], ...]
    exponents: NDArray[np.integer]
    coefficients: Floats

    @property
    def dim(self) -> int:
        return CELL_DIMENSION[self.shape]

    def tabulate(self, points: Floats) -> Floats:
        """Values and reference gradients, (points, 1 + dim, nodes)."""
        table = _basix(self.shape, self.degree).tabulate(1, np.ascontiguousarray(points))
        return np.array(np.moveaxis(table[..., 0], 0, 1), order="C")


@functools.lru_cache(maxsize=64)
def lagrange(shape: str, degree: int) -> Element:
    """The Lagrange element with nodes at (warped) Gauss–Lobatto points.

    Raises:
        ValueError: a degree that is not positive.
    """
    if degree < 1:
        raise ValueError(f"Lagrange elements have degree 1 or more, got {degree}")
    element, linear = _basix(shape, degree), _basix(shape, 1)
    # Copies: basix complains at exit about arrays of its own that are still in use.
    nodes = np.array(element.points)
    dim = CELL_DIMENSION[shape]
    weights = np.array(linear.tabulate(0, nodes)[0, :, :, 0])
    closure = element.entity_closure_dofs[dim - 1]
    exponents = _exponents(shape, degree, dim)
    vandermonde = np.prod(nodes[:, None, :] ** exponents[None], axis=-1)
    return Element(
        shape,
        degree,
        nodes,
        weights,
        tuple(tuple(c) for c in closure),
        exponents,
        np.linalg.inv(vandermonde),
    )


def _cell(shape: str) -> Any:
    return getattr(basix.CellType, shape)


def _basix(shape: str, degree: int) -> Any:
    variant = basix.LagrangeVariant.gll_warped
    return basix.create_element(basix.ElementFamily.P, _cell(shape), degree, variant)


def _exponents(shape: str, degree: int, dim: int) -> NDArray[np.integer]:
    grid = np.stack(np.meshgrid(*[np.arange(degree + 1)] * dim, indexing="ij"), -1)
    grid = grid.reshape(-1, dim)
    return grid[grid.sum(axis=1) <= degree] if shape in SIMPLICES else grid


@functools.lru_cache(maxsize=64)
def cell_quadrature(shape: str, degree: int) -> tuple[Floats, Floats]:
    """Points (q, dim) and weights (q,) exact for polynomials of the degree."""
    return _quadrature(shape, degree)


def _quadrature(shape: str, degree: int) -> tuple[Floats, Floats]:
    points, weights = basix.make_quadrature(_cell(shape), degree)
    return np.array(points), np.array(weights)


@functools.lru_cache(maxsize=64)
def facet_quadrature(shape: str, degree: int) -> tuple[Floats, Floats, Floats]:
    """For each facet of the reference cell: points, weights, outward normals.

    Returns:
        Points (facets, q, dim) in the cell, weights (facets, q) with the facet's measure, and
        normals (facets, dim).
    """
    corners = basix.geometry(_cell(shape))
    normals = basix.cell.facet_outward_normals(_cell(shape))
    points, weights = [], []
    for local in FACETS[shape]:
        v = np.asarray(corners)[list(local)]
        if shape == "interval":
            points.append(np.array(v))
            weights.append(np.ones(1))
            continue
        s, w = _quadrature(_FACET_SHAPES[shape], degree)
        tangents = v[1 : s.shape[1] + 1] - v[0]
        points.append(v[0] + s @ tangents)
        weights.append(w * np.sqrt(np.linalg.det(tangents @ tangents.T)))
    return np.array(points), np.array(weights), normals


def turns(shape: str) -> tuple[tuple[int, ...], ...]:
    """How the corners of a cell's facet may lie in those of the same facet of a neighbour: corner
    i here is corner `turn[i]` there. The first is the identity."""
    count = len(FACETS[shape][0])
    found = itertools.permutations(range(count))
    if shape != "hexahedron":
        return tuple(found)
    # Corners of a square are numbered by rows: diagonals stay diagonals.
    return tuple(turn for turn in found if {turn[0], turn[3]} in ({0, 3}, {1, 2}))


@functools.lru_cache(maxsize=64)
def turned_facets(shape: str, degree: int) -> Floats:
    """Points of `facet_quadrature` in the order of a neighbour whose facet is turned,
    (facets × turns, q, dim): point k is that which the neighbour calls k."""
    corners = np.asarray(basix.geometry(_cell(shape)))
    out = []
    for local in FACETS[shape]:
        for turn in turns(shape):
            v = corners[[local[i] for i in turn]]
            if shape == "interval":
                out.append(np.array(v))
                continue
            s, _ = _quadrature(_FACET_SHAPES[shape], degree)
            out.append(v[0] + s @ (v[1 : s.shape[1] + 1] - v[0]))
    return np.array(out)
