"""Element integrals over chunks of cells: residual vectors and tangent matrices.

A scan over chunks that fit in the cache, adding to the carried vector or matrix, is several times
faster than all cells at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from solvers.fem._analysis import Analysis, Blocks, Direction
from solvers.fem._chunk import Batch, Chunk
from solvers.fem._tables import Tables


class Integral(eqx.Module):
    """An integral over cells or facets: the integrand, where, and with what tables.

    Attributes:
        density: (values, gradients, place, anchors, scales) -> by field (c₀, c₁ or None).
        tables: for residuals. tangent_tables: for tangents; other than `tables` where a tangent
            that is constant in each cell needs one point only.
        analysis: what the density depends on. shapes: of the fields' values.
        differentiated: whether it has a tangent in the matrix.
    """

    density: Callable
    batch: Batch
    tables: Tables
    tangent_tables: Tables
    analysis: Analysis = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    differentiated: bool = eqx.field(static=True)

    @property
    def affine(self) -> bool:
        """Whether the tangent does not depend on the fields."""
        return self.analysis.affine

    @property
    def blocks(self) -> Blocks:
        """Of the tangent."""
        return self.analysis.blocks

    @property
    def directions(self) -> tuple[Direction, ...]:
        return self.analysis.directions

    @eqx.filter_jit
    def residual(self, out: Array, points: Array, z: Array, t: Array, extra: Any) -> Array:
        """Adds the integral against every basis function to `out`."""

        # What a chunk keeps for the derivative is made again in the backward pass: kept for all
        # chunks, it would be many times the size of the problem.
        @jax.checkpoint
        def add(total, piece: Batch):
            chunk = Chunk(self, self.tables, piece, points, t)
            return chunk.add_residual(total, chunk.pointwise(*chunk.fields(z), z, extra))

        return jax.lax.scan(lambda total, piece: (add(total, piece), None), out, self.batch)[0]

    @eqx.filter_jit
    def tangent(
        self, out: Array, matrix: Array, points: Array, z: Array, t: Array, extra: Any
    ) -> tuple[Array, Array]:
        """Adds residual and tangent to `out` and to the matrix's values."""
        if self.affine:
            out = self.residual(out, points, z, t, extra)
            return out, self.matrix(matrix, points, t, extra)

        def body(carried, piece: Batch):
            total, data = carried
            chunk = Chunk(self, self.tables, piece, points, t)
            values, gradients = chunk.fields(z)
            total = chunk.add_residual(total, chunk.pointwise(values, gradients, z, extra))
            return (total, chunk.add_matrix(data, values, gradients, z, extra)), None

        return jax.lax.scan(body, (out, matrix), self.batch)[0]

    @eqx.filter_jit
    def matrix(self, matrix: Array, points: Array, t: Array, extra: Any) -> Array:
        """Adds the tangent of an affine integral to the matrix's values."""
        if not (self.blocks and self.differentiated):
            return matrix

        def body(data, piece: Batch):
            chunk = Chunk(self, self.tangent_tables, piece, points, t)
            return chunk.add_matrix(data, *chunk.zeros(), None, extra), None

        return jax.lax.scan(body, matrix, self.batch)[0]
