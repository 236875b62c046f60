"""Which cells may hold a point: a lattice of bins, or a tree where cells differ much in size."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.spatial import KDTree

from pdes._arrays import on_device
from pdes.domain import Mesh
from solvers._same import padded, padded_size
from solvers.fem._build import geometry_points

# Most cells in a bin of meshes of even cells; beyond, a tree has fewer to try.
_CROWD = {1: 16, 2: 32, 3: 128}
# Cells that a leaf is made for; those that lie across a cut are in both halves.
_LEAF = 4


class Bins(eqx.Module):
    """Bins of one size.

    Attributes:
        lower: corner (dim,). rate: bins a unit length (dim,). counts: (dim,). table: cells of each
        bin, (bins, most).
    """

    lower: Array
    rate: Array
    counts: Array
    table: Array

    def __call__(self, x: Array) -> Array:
        """Cells that may hold a point, (most,)."""
        place = jnp.clip(((x - self.lower) * self.rate).astype(jnp.int32), 0, self.counts - 1)
        index = place[0]
        for axis in range(1, x.shape[0]):
            index = index * self.counts[axis] + place[axis]
        return self.table[index]


class Tree(eqx.Module):
    """Halves of halves: node i is cut across `axes[i]` at `cuts[i]` into 2i and 2i + 1.

    Attributes:
        axes, cuts: (2^depth,), the root at 1. table: cells of each leaf, (2^depth, most).
    """

    axes: Array
    cuts: Array
    table: Array

    def __call__(self, x: Array) -> Array:
        """Cells that may hold a point, (most,)."""
        depth = len(self.axes).bit_length() - 1

        def down(_: Any, node: Array) -> Array:
            return 2 * node + (x[self.axes[node]] > self.cuts[node]).astype(node.dtype)

        node = jax.lax.fori_loop(0, depth, down, jnp.ones((), jnp.int32))
        return self.table[node - len(self.axes)]


def make_search(mesh: Mesh, dtype: Any) -> Bins | Tree:
    """Bins where cells are of about one size, else a tree."""
    found = _bins(mesh)
    if found is not None:
        lower, rate, counts, table = found
        # Padded, so that meshes of about the same size share compiled programs.
        width = padded_size(table.shape[1], "candidates")
        length = padded_size(len(table), "bins", room=0.2)
        return Bins(
            on_device(lower.astype(dtype)),
            on_device(rate.astype(dtype)),
            on_device(counts.astype(np.int32)),
            on_device(padded(padded(table.T, width).T, length)),
        )
    axes, cuts, table = _tree(mesh)
    return Tree(jnp.asarray(axes, jnp.int32), jnp.asarray(cuts, dtype), jnp.asarray(table))


def _boxes(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper corners and means of the nodes of each cell."""
    nodes, numbers = geometry_points(mesh)
    corners = nodes[numbers]
    return corners.min(axis=1), corners.max(axis=1), corners.mean(axis=1)


@functools.lru_cache(maxsize=8)
def _bins(mesh: Mesh) -> tuple[np.ndarray, ...] | None:
    """A lattice of bins over the mesh, and the cells whose bounding boxes meet each.

    Returns:
        Lower corner (dim,), bins a unit length (dim,), number of bins by direction (dim,), and
        cells of each bin (bins, most), filled up by repeating one of them. An empty bin has the
        cell that is nearest to it. None where a bin has so many that a tree is faster.
    """
    low, high, centre = _boxes(mesh)
    lower, upper = low.min(axis=0), high.max(axis=0)
    extent = np.maximum(upper - lower, 1e-300)
    pad = 1e-9 * extent
    side = (np.prod(extent) / len(low)) ** (1 / mesh.dim)
    counts = np.maximum(np.ceil(extent / side).astype(int), 1)
    rate = counts / extent
    first = np.clip(((low - pad - lower) * rate).astype(int), 0, counts - 1)
    last = np.clip(((high + pad - lower) * rate).astype(int), 0, counts - 1)
    spans = last - first + 1
    total = spans.prod(axis=1)
    cell = np.repeat(np.arange(len(low)), total)
    place = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    index = np.zeros(len(cell), dtype=np.int64)
    for axis in range(mesh.dim):
        step = place % spans[cell, axis]
        place = place // spans[cell, axis]
        index = index * counts[axis] + first[cell, axis] + step
    held = np.bincount(index, minlength=int(np.prod(counts)))
    if held.max() > _CROWD[mesh.dim]:
        return None
    order = np.argsort(index, kind="stable")
    index, cell = index[order], cell[order]
    table = np.empty((len(held), max(int(held.max()), 1)), dtype=np.int32)
    starts = np.cumsum(held) - held
    empty = np.flatnonzero(held == 0)
    filled = np.flatnonzero(held)
    table[filled] = cell[starts[filled]][:, None]
    table[index, np.arange(len(cell)) - starts[index]] = cell
    if len(empty):
        centres = (np.stack(np.unravel_index(empty, counts), 1) + 0.5) / rate + lower
        table[empty] = np.asarray(KDTree(centre).query(centres)[1])[:, None]
    return lower, rate, counts, table


@functools.lru_cache(maxsize=8)
def _tree(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts every box of cells at the median of their centres, across its longest side.

    Returns:
        Axis and place of each cut, (2^depth,) with the root at 1 and the halves of i at 2i and
        2i + 1, and the cells of each leaf, (2^depth, most), filled up by repeating one.
    """
    low, high, _ = _boxes(mesh)
    centre = 0.5 * (low + high)
    pad = 1e-9 * (high - low).max(axis=1)
    depth = max(int(np.ceil(np.log2(max(len(low), 1) / _LEAF))), 0)
    axes, cuts = np.zeros(2**depth, int), np.zeros(2**depth)
    node, cell = np.ones(len(low), int), np.arange(len(low))
    for level in range(depth):
        first = 2**level
        order = np.argsort(node, kind="stable")
        node, cell = node[order], cell[order]
        starts = np.searchsorted(node, np.arange(first, 2 * first))
        spread = np.maximum.reduceat(centre[cell], starts) - np.minimum.reduceat(
            centre[cell], starts
        )
        axes[first : 2 * first] = spread.argmax(axis=1)
        along = centre[cell, axes[node]]
        order = np.lexsort((along, node))
        middle = starts + np.diff(np.append(starts, len(node))) // 2
        cuts[first : 2 * first] = along[order][middle]
        axis, cut = axes[node], cuts[node]
        left = low[cell, axis] <= cut + pad[cell]
        right = high[cell, axis] >= cut - pad[cell]
        # The cell of the median is in both halves, so that none is empty.
        node = np.concatenate([2 * node[left], 2 * node[right] + 1])
        cell = np.concatenate([cell[left], cell[right]])
    order = np.argsort(node, kind="stable")
    leaf, cell = node[order] - 2**depth, cell[order]
    held = np.bincount(leaf, minlength=2**depth)
    starts = np.cumsum(held) - held
    table = np.repeat(cell[starts][:, None], held.max(), axis=1)
    table[leaf, np.arange(len(leaf)) - starts[leaf]] = cell
    return axes, cuts, table.astype(np.int32)
