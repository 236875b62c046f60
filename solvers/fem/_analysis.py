"""What a density depends on, found once for all densities of the same program."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend import core as jex_core

from pdes._dependence import used_inputs
from solvers._traced import Traced
from solvers.fem._sparsity import colours, output_masks

Blocks = frozenset[tuple[str, int, str, int]]


@dataclasses.dataclass(frozen=True)
class Direction:
    """One direction in which a density is differentiated: the sum of some unit vectors.

    Attributes:
        seed: what is moved, entry by entry of the field's value (kind 0) or gradient (1).
        entries: (row, 0 or 1, its entry, column's entry): where each nonzero entry of the tangent
            is found, entries flattened.
    """

    column: str
    kind: int
    seed: tuple[float, ...]
    entries: tuple[tuple[str, int, int, int], ...]


@dataclasses.dataclass(frozen=True)
class Analysis:
    """Attributes:

    blocks: (row field, 0 for v or 1 for ∇v, column field, 0 for value or 1 for gradient) that
        are not identically zero in the tangent.
    rows: (field, 0 or 1) of the outputs that are not zero whatever is put in.
    uses: (field, 0 for value or 1 for gradient) that the density reads.
    affine: the tangent does not depend on the fields. constant: nor on the place in a cell.
    directions: in which the tangent is found.
    """

    blocks: Blocks
    rows: frozenset[tuple[str, int]]
    uses: frozenset[tuple[str, int]]
    affine: bool
    constant: bool
    directions: tuple[Direction, ...]

    def diagonal(self, dim: int) -> bool:
        """Whether gradients of different directions don't mix, so that blocks are symmetric."""
        return all(
            entry % dim == other % dim
            for d in self.directions
            for _, part, entry, other in d.entries
            if d.kind == 1 and part == 1
        )


def analyse(density: Traced, arguments: tuple[Any, ...]) -> Analysis:
    """Reads a density's jaxpr.

    Arguments:
        arguments: values, gradients, place, anchors, scales at a sample point.
    """
    shapes = tuple((a.shape, str(a.dtype)) for a in (*density.constants, *density.arrays))
    return _analyse(_Sample(density, arguments), density.program, density.inputs, shapes)


class _Sample:
    """A density with arguments for tracing; equal to all others, since the program is compared."""

    def __init__(self, density: Traced, arguments: tuple[Any, ...]):
        self.density, self.arguments = density, arguments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sample)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=64)
def _analyse(sample: _Sample, *_: Any) -> Analysis:
    density, arguments = sample.density, sample.arguments
    jaxpr = density.program.jaxpr
    paths = jax.tree_util.tree_flatten_with_path(arguments)[0]
    labels = [
        (path[1].key, path[0].idx) if path[0].idx < 2 else None  # type: ignore[attr-defined]
        for path, _ in paths
    ]
    places = jax.tree.unflatten(density.outputs, range(len(jaxpr.outvars)))
    skipped = len(density.arrays)
    blocks, rows, uses = set(), set(), set()
    for row, parts in places.items():
        for part, index in enumerate(parts):
            if index is None:
                continue
            used = used_inputs(jaxpr, [i == index for i in range(len(jaxpr.outvars))])
            found = {label for label, u in zip(labels, used[skipped:], strict=True) if u and label}
            uses |= found
            blocks |= {(row, part, *label) for label in found}
            if any(used) or _constants_used(density, index) or _nonzero(density, arguments, index):
                rows.add((row, part))
    affine, constant, directions = _tangent(density, arguments, blocks)
    return Analysis(
        frozenset(blocks), frozenset(rows), frozenset(uses), affine, constant, directions
    )


def _constants_used(density: Traced, index: int) -> bool:
    """Whether an output depends on what the density closes over."""
    jaxpr = density.program.jaxpr
    live = {jaxpr.outvars[index]}
    for eqn in reversed(jaxpr.eqns):
        if any(v in live for v in eqn.outvars):
            live |= {v for v in eqn.invars if not isinstance(v, jex_core.Literal)}
    return any(v in live for v in jaxpr.constvars)


def _nonzero(density: Traced, arguments: tuple[Any, ...], index: int) -> bool:
    """Whether an output that depends on nothing is not zero."""
    with jax.ensure_compile_time_eval():
        arrays = [jnp.ones(a.shape, a.dtype) for a in density.arrays]
        constants = [jnp.ones(a.shape, a.dtype) for a in density.constants]
        leaves = jax.tree.leaves(arguments)
        out = eval_jaxpr(density.program.jaxpr, constants, *arrays, *leaves)
        return bool(jnp.any(out[index] != 0))


def _tangent(density: Traced, arguments: tuple[Any, ...], blocks: set):
    """Whether the tangent is affine, constant in cells, and the directions that give it."""
    values, gradients, place, anchors, scales = arguments
    arrays, static = eqx.partition(density, eqx.is_array)

    def tangent(x, anchors, values, gradients, dv, dg, arrays):
        at = eqx.tree_at(lambda p: p.x, place, x)
        function = eqx.combine(arrays, static)
        return jax.jvp(
            lambda v, g: function(v, g, at, anchors, scales), (values, gradients), (dv, dg)
        )[1]

    given = (place.x, anchors, values, gradients, values, gradients, arrays)
    closed, out_shape = jax.make_jaxpr(tangent, return_shape=True)(*given)
    jaxpr = closed.jaxpr
    used = used_inputs(jaxpr, [True] * len(jaxpr.outvars))
    tree = jax.tree.structure(given)
    used_x, used_anchors, *fields, _, _, _ = jax.tree.unflatten(tree, used)
    affine = not any(jax.tree.leaves(fields))
    constant = affine and not any(jax.tree.leaves((used_x, used_anchors)))
    places = jax.tree.unflatten(jax.tree.structure(out_shape), range(len(jaxpr.outvars)))
    first = len(jax.tree.leaves(given[:4]))
    names = {**{(n, 0): i for i, n in enumerate(sorted(values))}}
    names |= {(n, 1): len(values) + i for i, n in enumerate(sorted(gradients))}
    directions = []
    for column, kind in sorted({(b[2], b[3]) for b in blocks}):
        shape = np.shape((gradients if kind else values)[column])
        wanted = [
            (row, part, places[row][part])
            for row, part, c, k in sorted(blocks)
            if (c, k) == (column, kind)
        ]
        zeros: list[Any] = [None] * len(jaxpr.invars)
        for i in range(len(values) + len(gradients)):
            variable = jaxpr.invars[first + i]
            zeros[first + i] = np.zeros(variable.aval.shape, bool)
        columns = []
        for j in range(int(np.prod(shape, dtype=int))):
            seed = np.zeros(int(np.prod(shape, dtype=int)), bool)
            seed[j] = True
            masks = list(zeros)
            masks[first + names[column, kind]] = seed.reshape(shape)
            found = output_masks(jaxpr, masks)
            columns.append(np.concatenate([found[i].ravel() for _, _, i in wanted]))
        matrix = np.stack(columns, axis=1)
        directions += _directions(column, kind, wanted, matrix, jaxpr)
    return affine, constant, tuple(directions)


def _directions(column, kind, wanted, matrix, jaxpr) -> list[Direction]:
    sizes = [int(np.prod(jaxpr.outvars[i].aval.shape, dtype=int)) for _, _, i in wanted]
    starts = np.cumsum([0, *sizes])
    out = []
    for members in colours(matrix):
        seed = tuple(float(j in members) for j in range(matrix.shape[1]))
        entries = []
        for (row, part, _), start, size in zip(wanted, starts, sizes, strict=False):
            for entry in range(size):
                for j in members:
                    if matrix[start + entry, j]:
                        entries.append((row, part, entry, j))
        out.append(Direction(column, kind, seed, tuple(entries)))
    return out
