"""Tests and quadrature on the cells of any mesh, as one tensor for all of them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np
from numpy.polynomial import legendre

from pdes import Mesh
from solvers.fem._build import geometry_points
from solvers.fem._element import SIMPLICES, Element, cell_quadrature, lagrange
from solvers.fem._tables import geometry_degree


@dataclasses.dataclass(frozen=True)
class Jets:
    """Values (n, Q), gradients (n, Q, dim) and second derivatives (n, Q, dim, dim)."""

    values: np.ndarray
    gradients: np.ndarray
    hessians: np.ndarray

    def __mul__(self, other: Jets) -> Jets:
        """The product rule, entry by entry of the first axis."""
        u, v = self.values, other.values
        cross = self.gradients[..., :, None] * other.gradients[..., None, :]
        return Jets(
            u * v,
            self.gradients * v[..., None] + u[..., None] * other.gradients,
            self.hessians * v[..., None, None]
            + u[..., None, None] * other.hessians
            + cross
            + np.swapaxes(cross, -1, -2),
        )

    def combined(self, matrix: np.ndarray) -> Jets:
        """matrix (m, n) applied to the first axis."""
        return Jets(*(np.tensordot(matrix, a, 1) for a in dataclasses.astuple(self)))


def bubble_tests(shape: str, count: int, power: int, points: np.ndarray) -> Jets:
    """Polynomials times a bubble on a reference cell, orthonormal in its mean.

    The bubble is Π ξᵢ(1 − ξᵢ) on intervals, squares and cubes, with polynomials of degree below
    `count` in each direction, and Π λᵢ over the barycentric coordinates on simplices, with
    polynomials of total degree below `count`; to the `power` 1 or 2, with which the tests vanish
    on the cell's sides alone or together with their gradients.
    """
    dim = points.shape[1]
    exact, weights = cell_quadrature(shape, 2 * (count - 1) + 2 * power * (dim + 1))
    if shape not in SIMPLICES:
        exact, weights = cell_quadrature(shape, 2 * (count - 1 + 2 * power))
    raw = _raw(shape, count, power, exact)
    scaled = np.sqrt(weights / weights.sum())[:, None] * raw.values.T
    _, triangle = np.linalg.qr(scaled)
    triangle *= np.sign(np.diagonal(triangle))[:, None]
    return _raw(shape, count, power, points).combined(np.linalg.inv(triangle.T))


def test_count(shape: str, dim: int, count: int) -> int:
    """How many tests `bubble_tests` gives."""
    return math.comb(count - 1 + dim, dim) if shape in SIMPLICES else count**dim


def _raw(shape: str, count: int, power: int, points: np.ndarray) -> Jets:
    dim = points.shape[1]
    simplex = shape in SIMPLICES and dim > 1
    degrees = [
        degree
        for degree in itertools.product(range(count), repeat=dim)
        if not simplex or sum(degree) < count
    ]
    lines = [[_line(k, points, i) for k in range(count)] for i in range(dim)]
    found = []
    for degree in degrees:
        product = functools.reduce(lambda a, b: a * b, (lines[i][k] for i, k in enumerate(degree)))
        found.append(product)
    polynomials = Jets(
        *(np.concatenate(parts) for parts in zip(*map(dataclasses.astuple, found), strict=True))
    )
    factors = [_coordinate(points, i) for i in range(dim)]
    if simplex:
        factors.append(_affine(points, 1.0, -np.ones(dim)))
    else:
        factors += [_affine(points, 1.0, -np.eye(dim)[i]) for i in range(dim)]
    for factor in factors * power:
        polynomials = polynomials * factor
    return polynomials


def _coordinate(points: np.ndarray, i: int) -> Jets:
    return _affine(points, 0.0, np.eye(points.shape[1])[i])


def _affine(points: np.ndarray, constant: float, slope: np.ndarray) -> Jets:
    count, dim = points.shape
    return Jets(
        (constant + points @ slope)[None],
        np.broadcast_to(slope, (1, count, dim)),
        np.zeros((1, count, dim, dim)),
    )


def _line(k: int, points: np.ndarray, i: int) -> Jets:
    """L_k(2ξᵢ − 1)."""
    count, dim = points.shape
    series = np.eye(k + 1)[k]
    at = 2 * points[:, i] - 1
    slope = 2 * legendre.legval(at, legendre.legder(series))
    curvature = 4 * legendre.legval(at, legendre.legder(series, 2))
    gradient = np.zeros((1, count, dim))
    hessian = np.zeros((1, count, dim, dim))
    gradient[0, :, i], hessian[0, :, i, i] = slope, curvature
    return Jets(legendre.legval(at, series)[None], gradient, hessian)


def element_jets(element: Element, points: np.ndarray) -> Jets:
    """The basis functions of a Lagrange element."""
    table = element.tabulate(points)
    return Jets(
        table[:, 0].T, np.moveaxis(table[:, 1:], 2, 0), _second_derivatives(element, points)
    )


def _second_derivatives(element: Element, points: np.ndarray) -> np.ndarray:
    dim, exponents = points.shape[1], element.exponents
    out = np.zeros((len(element.nodes), len(points), dim, dim))
    for i, j in itertools.product(range(dim), repeat=2):
        factor, rest = np.ones(len(exponents)), exponents.copy()
        for axis in (i, j):
            factor = factor * rest[:, axis]
            rest[:, axis] = np.maximum(rest[:, axis] - 1, 0)
        monomials = factor * np.prod(points[:, None, :] ** rest[None], axis=-1)
        out[..., i, j] = (monomials @ element.coefficients).T
    return out


@dataclasses.dataclass(frozen=True)
class Map:
    """Where the quadrature points of every cell are, and how gradients are carried there.

    Attributes:
        x: (E, Q, dim). measure: of the cell that each point stands for, (E, Q), which add up to
            the cell's. inverse: ∂ξ/∂x as [reference, physical], (E, Q, dim, dim).
        bend: ∂²x/∂ξ², (E, Q, dim of x, dim, dim); None where the map is affine.
    """

    x: np.ndarray
    measure: np.ndarray
    inverse: np.ndarray
    bend: np.ndarray | None

    def tests(self, jets: Jets, second: bool) -> np.ndarray:
        """v, ∇v and, where `second`, ∇∇v in physical coordinates, (E, T, Q, K).

        K is 1 + dim, or 1 + dim + dim².
        """
        elements, dim = len(self.x), self.x.shape[-1]
        values = np.broadcast_to(jets.values, (elements, *jets.values.shape))
        slopes = np.einsum("tqr,eqrk->etqk", jets.gradients, self.inverse, optimize=True)
        parts = [values[..., None], slopes]
        if second:
            inner = np.broadcast_to(jets.hessians, (elements, *jets.hessians.shape))
            if self.bend is not None:
                inner = inner - np.einsum("etqk,eqkrs->etqrs", slopes, self.bend, optimize=True)
            hessian = np.einsum(
                "etqrs,eqri,eqsj->etqij", inner, self.inverse, self.inverse, optimize=True
            )
            parts.append(hessian.reshape(*slopes.shape[:-1], dim * dim))
        return np.concatenate(parts, axis=-1)


def cell_map(mesh: Mesh, degree: int, cells: np.ndarray | None = None) -> tuple[np.ndarray, Map]:
    """The reference points of a quadrature of the degree, and the map of the given cells (all)."""
    points, weights = cell_quadrature(mesh.shape, degree)
    corners, numbers = geometry_points(mesh)
    nodes = corners[numbers if cells is None else numbers[cells]]
    jets = element_jets(lagrange(mesh.shape, geometry_degree(mesh)), points)
    jacobian = np.einsum("aqr,eak->eqkr", jets.gradients, nodes, optimize=True)
    bend = None
    if mesh.geometry is not None or mesh.shape not in SIMPLICES:
        bend = np.einsum("aqrs,eak->eqkrs", jets.hessians, nodes, optimize=True)
    return points, Map(
        np.einsum("aq,eak->eqk", jets.values, nodes, optimize=True),
        np.abs(np.linalg.det(jacobian)) * weights,
        np.linalg.inv(jacobian),
        bend,
    )
