"""The finite element fields inside one cell as functions of x and t, and lists of facets."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes.domain import Mesh
from pdes.domain._mesh import FACETS
from solvers.fem._build import geometry_points
from solvers.fem._element import SIMPLICES, facet_quadrature, lagrange
from solvers.fem._locate import FEMRepresentation, monomials, solve_small
from solvers.time import TimeSeries


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is the same in all cells: elements of the map and of each field, and their shapes."""

    shape: str
    map_degree: int
    degrees: tuple[tuple[str, int], ...]
    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def affine(self) -> bool:
        return self.map_degree == 1 and self.shape in SIMPLICES


def layout_of(representation: FEMRepresentation) -> Layout:
    mesh = representation.space.mesh
    return Layout(
        mesh.shape,
        1 if mesh.geometry is None else 2,
        tuple((n, s.element.degree) for n, s in representation.space.scalars.items()),
        tuple((n, tuple(s)) for n, s in representation.shapes.items()),
    )


class Cells(eqx.Module):
    """Some cells with what is needed of them; of one cell under `vmap`.

    Attributes:
        nodes: of the map, (n, nodes, dim). dofs: of each field, (n, orders, local dofs), with the
            derivatives in time of orders 0, 1, 2 at `t`, or the values alone. region, cell: (n,).
        size: the diameter h, (n,).
    """

    nodes: Array
    dofs: dict[str, Array]
    region: Array
    cell: Array
    size: Array
    t: Array

    def fields(self, layout: Layout, xi: Array) -> Any:
        """(x, t) -> values of every field near the place with reference coordinates ξ.

        Exact with two derivatives in x and in t, also where the map is not affine.
        """
        start = jax.lax.stop_gradient(xi)
        map_element = lagrange(layout.shape, layout.map_degree)

        def position(y: Array) -> Array:
            basis = monomials(y, map_element.exponents) @ jnp.asarray(
                map_element.coefficients, y.dtype
            )
            return basis @ self.nodes

        def values(x: Array, t: Array) -> dict[str, Array]:
            y = start
            # At ξ Newton's step is zero; a step in which x is free doubles the order to which the
            # derivatives are exact.
            for _ in range(1 if layout.affine else 2):
                y = y + solve_small(jax.jacfwd(position)(y), x - position(y))
            out = {}
            s = t - self.t
            for (name, degree), (_, shape) in zip(layout.degrees, layout.shapes, strict=True):
                element = lagrange(layout.shape, degree)
                basis = monomials(y, element.exponents) @ jnp.asarray(element.coefficients, y.dtype)
                local = self.dofs[name]
                series = local[0]
                if local.shape[0] > 1:
                    series = series + s * local[1] + 0.5 * s**2 * local[2]
                out[name] = (basis @ series.reshape(len(basis), -1)).reshape(shape)
            return out

        return values

    def place(self, layout: Layout, xi: Array) -> tuple[Array, Array]:
        """x and ∂x/∂ξ, (dim, dim)."""
        element = lagrange(layout.shape, layout.map_degree)

        def position(y: Array) -> Array:
            basis = monomials(y, element.exponents) @ jnp.asarray(element.coefficients, y.dtype)
            return basis @ self.nodes

        return position(xi), jax.jacfwd(position)(xi)


class CellTable:
    """All cells of a solution at one time, on the host; `take` gives some of them."""

    def __init__(self, representation: FEMRepresentation, t: float):
        mesh = representation.space.mesh
        nodes, numbers = geometry_points(mesh)
        self.nodes, self.numbers = np.asarray(nodes), np.asarray(numbers)
        self.mesh, self.t = mesh, t
        states = _time_derivatives(representation.state, t)
        self.dofs = {
            name: np.stack([s[representation.space.dofs(name)] for s in states], axis=1)
            for name in representation.space.scalars
        }
        self.size = diameters(self.nodes[self.numbers])

    def take(self, rows: np.ndarray) -> Cells:
        dtype = jnp.result_type(float)
        return Cells(
            jnp.asarray(self.nodes[self.numbers[rows]], dtype),
            {name: jnp.asarray(d[rows], dtype) for name, d in self.dofs.items()},
            jnp.asarray(self.mesh.cell_regions[rows], jnp.int32),
            jnp.asarray(rows, jnp.int32),
            jnp.asarray(self.size[rows], dtype),
            jnp.full(len(rows), self.t, dtype),
        )


def _time_derivatives(state: Any, t: float) -> list[np.ndarray]:
    """The state at t; for a series with its first and second derivative."""
    if not isinstance(state, TimeSeries):
        return [np.asarray(state)]
    at = jnp.asarray(t, state.times.dtype)

    def rate(s: Array) -> Array:
        return jax.jvp(state, (s,), (jnp.ones_like(s),))[1]

    return [np.asarray(state(at)), np.asarray(rate(at)), np.asarray(jax.jacfwd(rate)(at))]


def diameters(corners: np.ndarray) -> np.ndarray:
    """Greatest distance of two nodes of each cell or facet, (n, nodes, dim) -> (n,)."""
    largest = np.zeros(len(corners))
    for i in range(corners.shape[1]):
        for j in range(i):
            largest = np.maximum(largest, np.linalg.norm(corners[:, i] - corners[:, j], axis=1))
    return largest


@dataclasses.dataclass(frozen=True)
class Facets:
    """Facets with quadrature points from the side of their first cell and of the second.

    Attributes:
        cells: (n, 2), the second repeats the first on the boundary. local: number of the facet in
            the first cell, (n,). points: (n, 2, q, dim). normals: reference normals of the first
            cell, (n, dim). weights: (n, q). size: diameters, (n,).
    """

    cells: np.ndarray
    local: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    size: np.ndarray


def boundary(mesh: Mesh, degree: int, part: str) -> Facets:
    """The facets of one part of the boundary."""
    rows = mesh.facets[mesh.facet_parts == mesh.boundary_names.index(part)]
    points, weights, normals = facet_quadrature(mesh.shape, degree)
    cell, local = rows[:, 0], rows[:, 1]
    return Facets(
        np.stack([cell, cell], axis=1),
        local,
        np.repeat(points[local][:, None], 2, axis=1),
        normals[local],
        weights[local],
        _facet_sizes(mesh, cell, local),
    )


def interior(mesh: Mesh, degree: int) -> Facets:
    """The facets between two cells, periodic ones included."""
    owner = np.arange(len(mesh.points))
    if len(mesh.periodic_pairs):
        owner[mesh.periodic_pairs[:, 0]] = mesh.periodic_pairs[:, 1]
    corners_of = np.array(FACETS[mesh.shape])
    corners = owner[mesh.cells[:, corners_of]].reshape(-1, corners_of.shape[1])
    ordered = np.sort(corners, axis=1)
    order = np.lexsort(ordered.T)
    same = (ordered[order[1:]] == ordered[order[:-1]]).all(axis=1)
    first, second = order[:-1][same], order[1:][same]
    per_cell = len(corners_of)
    cells = np.stack([first // per_cell, second // per_cell], axis=1)
    locals_ = np.stack([first % per_cell, second % per_cell], axis=1)
    points, weights, normals = facet_quadrature(mesh.shape, degree)
    # Each corner of the first side among those of the second.
    match = (corners[first][:, :, None] == corners[second][:, None, :]).argmax(axis=2)
    reference = lagrange(mesh.shape, 1).nodes
    shares = _corner_shares(mesh.shape, points)
    across = reference[corners_of[locals_[:, 1][:, None], match]]
    other = np.einsum("nqv,nvd->nqd", shares[locals_[:, 0]], across)
    return Facets(
        cells,
        locals_[:, 0],
        np.stack([points[locals_[:, 0]], other], axis=1),
        normals[locals_[:, 0]],
        weights[locals_[:, 0]],
        _facet_sizes(mesh, cells[:, 0], locals_[:, 0]),
    )


def _corner_shares(shape: str, points: np.ndarray) -> np.ndarray:
    """Multilinear coordinates of points on facets with respect to the facet's corners,
    (facets, q, dim) -> (facets, q, corners of a facet)."""
    linear = lagrange(shape, 1)
    tables = [linear.tabulate(x)[:, 0] for x in points]
    return np.stack([t[:, list(FACETS[shape][i])] for i, t in enumerate(tables)])


def _facet_sizes(mesh: Mesh, cells: np.ndarray, local: np.ndarray) -> np.ndarray:
    corners = np.array(FACETS[mesh.shape])[local]
    if mesh.dim == 1:
        return np.abs(np.ptp(mesh.points[mesh.cells[cells]], axis=1))[:, 0]
    return diameters(mesh.points[np.take_along_axis(mesh.cells[cells], corners, axis=1)])
