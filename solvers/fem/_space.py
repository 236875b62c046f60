"""Numbering of degrees of freedom, on the host: nodes of Lagrange spaces, fields side by side."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pdes.domain import Mesh
from solvers._same import padded, padded_size
from solvers.fem._element import Element, lagrange

Integers = NDArray[np.integer]
Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class ScalarSpace:
    """A continuous Lagrange space of one degree on a mesh.

    Attributes:
        cell_nodes: number of each local node, (cells, local nodes).
        coordinates: of the nodes, (nodes, dim).
    """

    element: Element
    cell_nodes: Integers
    coordinates: Floats

    @property
    def size(self) -> int:
        return len(self.coordinates)


@functools.lru_cache(maxsize=16)
def scalar_space(mesh: Mesh, degree: int) -> ScalarSpace:
    """Numbers the nodes; those on periodic sides are identified with their masters.

    A node is known by the corners of the entity that it lies on and its multilinear coordinates
    with respect to them, so any degree and any orientation of cells is right.

    Raises:
        ValueError: too few cells across a periodic direction.
    """
    element = lagrange(mesh.shape, degree)
    corners = np.asarray(mesh.cells)
    if len(mesh.periodic_pairs):
        owner = np.arange(len(mesh.points))
        owner[mesh.periodic_pairs[:, 0]] = mesh.periodic_pairs[:, 1]
        corners = owner[corners]
        _check_periodic(corners, degree)
    weights = np.round(element.corner_weights * 1e7).astype(np.int64)
    numbers = np.empty((len(corners), len(element.nodes)), dtype=np.int32)
    count = 0
    used = [np.flatnonzero(row) for row in weights]
    for size in sorted({len(u) for u in used}):
        local = [i for i, u in enumerate(used) if len(u) == size]
        if size == corners.shape[1] and size > 1:
            block = np.arange(len(corners) * len(local)).reshape(len(corners), len(local))
            numbers[:, local] = count + block
            count += block.size
            continue
        if size == 1:
            unique, inverse = _number(corners[:, [used[i][0] for i in local]], len(mesh.points))
            numbers[:, local] = inverse
        else:
            levels = np.unique(weights)
            keys = [_keys(corners, np.searchsorted(levels, weights[i]), used[i]) for i in local]
            unique, inverse = _number_rows(
                np.concatenate([k[0] for k in keys]), np.concatenate([k[1] for k in keys])
            )
            numbers[:, local] = count + inverse.reshape(len(local), len(corners)).T
        count += unique
    return ScalarSpace(element, numbers, _coordinates(mesh, element, numbers, count))


@functools.lru_cache(maxsize=16)
def broken_space(mesh: Mesh, degree: int) -> ScalarSpace:
    """The same polynomials in every cell, each cell with nodes of its own: discontinuous."""
    element = lagrange(mesh.shape, degree)
    shape = (len(mesh.cells), len(element.nodes))
    numbers = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    coordinates = _cell_coordinates(mesh, element).reshape(-1, mesh.dim)
    return ScalarSpace(element, numbers, coordinates)


def _number(keys: Integers, bound: int) -> tuple[int, Integers]:
    """Numbers from 0 to `bound` renumbered without gaps: how many, and the new ones."""
    present = np.zeros(bound, dtype=bool)
    present[keys] = True
    return int(present.sum()), (np.cumsum(present, dtype=np.int32) - 1)[keys]


def _keys(corners: Integers, levels: Integers, used: Integers) -> tuple[Integers, Integers]:
    """What identifies one local node in every cell: sorted corners, and the levels of its weights
    in their order as one code; (cells, corners of the entity) and (cells,)."""
    chosen = corners[:, used]
    share = levels[used]
    if len(set(share.tolist())) == 1:
        return np.sort(chosen, axis=1), np.zeros(len(chosen), np.int64)
    order = np.argsort(chosen, axis=1)
    radix = (int(levels.max()) + 1) ** np.arange(len(share))
    return np.take_along_axis(chosen, order, axis=1), 1 + share[order] @ radix


def _number_rows(corners: Integers, codes: Integers) -> tuple[int, Integers]:
    """Distinct rows numbered: their count and each one's number.

    The two extreme corners tell edges apart, three corners faces; four would be more than enough.
    """
    bound = int(corners.max()) + 1
    key = corners[:, 0].astype(np.int64) * bound + corners[:, -1]
    if corners.shape[1] > 2:
        _, key = np.unique(key, return_inverse=True)
        key = key * bound + corners[:, 1]
    if codes.any():
        _, key = np.unique(key, return_inverse=True)
        key = key * (codes.max() + 1) + codes
    unique, inverse = np.unique(key, return_inverse=True)
    return len(unique), inverse


def _cell_coordinates(mesh: Mesh, element: Element) -> Floats:
    """Of the nodes of every cell, (cells, nodes, dim)."""
    if mesh.geometry is None:
        return np.einsum("in,cnd->cid", element.corner_weights, mesh.points[mesh.cells])
    table = lagrange(mesh.shape, 2).tabulate(element.nodes)[:, 0]
    return np.einsum("in,cnd->cid", table, mesh.geometry)


def _coordinates(mesh: Mesh, element: Element, numbers: Integers, count: int) -> Floats:
    nodes = _cell_coordinates(mesh, element)
    straight = element.degree == 1 and mesh.geometry is None
    if straight and not len(mesh.periodic_pairs) and count == len(mesh.points):
        return np.asarray(mesh.points)
    out = np.empty((count, mesh.dim))
    # Written backwards, so that a node belongs to the first cell that has it.
    out[numbers.ravel()[::-1]] = nodes.reshape(-1, mesh.dim)[::-1]
    return out


def _check_periodic(corners: Integers, degree: int) -> None:
    ordered = np.sort(corners, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any() or (
        degree > 1 and len(np.unique(ordered, axis=0)) < len(ordered)
    ):
        raise ValueError(
            "a periodic direction needs at least 3 cells across it: give a larger `cells`"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """The spaces of all fields side by side in one vector.

    Field f with n nodes and s components takes n s entries from `offsets[f]` on, components of a
    node together, then the entries of nodes that do not exist: they pad the vector to a size that
    meshes of about the same size share, and with it compiled programs.

    Attributes:
        padded_nodes: nodes of each field, with those that pad. length: of the vector.
        broken: cells share no nodes.
    """

    mesh: Mesh
    scalars: dict[str, ScalarSpace]
    components: dict[str, int]
    offsets: dict[str, int]
    padded_nodes: dict[str, int]
    length: int
    broken: bool = False

    @property
    def size(self) -> int:
        """Entries that exist."""
        return sum(s.size * self.components[name] for name, s in self.scalars.items())

    @property
    def real(self) -> Integers:
        """Places of the entries that exist."""
        return np.concatenate(
            [
                self.offsets[name] + np.arange(s.size * self.components[name])
                for name, s in self.scalars.items()
            ]
        )

    def dofs(self, field: str) -> Integers:
        """Entries of each cell, (cells, local nodes × components)."""
        s = self.components[field]
        nodes = self.scalars[field].cell_nodes
        if s == 1:
            return nodes + np.int32(self.offsets[field])
        dofs = self.offsets[field] + nodes[..., None] * s + np.arange(s, dtype=np.int32)
        return dofs.reshape(len(nodes), -1)

    def slice(self, field: str) -> slice:
        """Entries of a field, padding included."""
        start = self.offsets[field]
        return slice(start, start + self.padded_nodes[field] * self.components[field])

    def padded_coordinates(self, field: str) -> Floats:
        """Of the nodes of a field, padding included."""
        return padded(self.scalars[field].coordinates, self.padded_nodes[field])


def make_space(
    mesh: Mesh, degrees: Mapping[str, int], components: Mapping[str, int], *, broken: bool = False
) -> Space:
    """One space for each field; discontinuous ones where `broken`."""
    scalar = broken_space if broken else scalar_space
    scalars = {name: scalar(mesh, degree) for name, degree in degrees.items()}
    offsets, padding, length = {}, {}, 0
    for name, found in scalars.items():
        offsets[name] = length
        padding[name] = padded_size(found.size, f"{mesh.shape} nodes {degrees[name]}")
        length += padding[name] * components[name]
    return Space(mesh, scalars, dict(components), offsets, padding, length, broken)
