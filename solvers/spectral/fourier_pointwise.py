"""The pointwise part N of a periodic problem in Fourier space: to the grid, terms, and back.

Pointwise terms see only the modes that de-aliasing keeps, about 2/3 in each direction: 44 % of a
plane's and 30 % of a box's. A `Block` cuts these out; a step works on them alone, and since the
others are neither read nor fed by pointwise terms, they follow the linear part exactly.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from solvers._pointwise import at_points
from solvers.spectral.fourier_pattern import Pattern
from solvers.spectral.fourier_plan import Plan, Stage
from solvers.spectral.fourier_terms import evaluate_terms, fields_of


@dataclasses.dataclass(frozen=True)
class Block:
    """The modes |kᵢ| ≤ mᵢ of real transforms, as arrays (…, 2m₁ + 1, …, m_d + 1).

    Attributes:
        grid: shape of the transforms. largest: mᵢ, below the Nyquist modes.
    """

    grid: tuple[int, ...]
    largest: tuple[int, ...]

    def take(self, z: Array) -> Array:
        """From transforms (…, *grid); numbers, and directions of length 1, stay as they are."""
        if z.ndim == 0:
            return z
        for axis, (m, last) in enumerate(self._axes()):
            at = axis - len(self.grid)
            if z.shape[at] == 1:
                continue
            first = jax.lax.slice_in_dim(z, 0, m + 1, axis=at % z.ndim)
            if not last:
                rest = jax.lax.slice_in_dim(z, z.shape[at] - m, z.shape[at], axis=at % z.ndim)
                first = jnp.concatenate([first, rest], axis=at)
            z = first
        return z

    def backward(self, block: Array, points: tuple[int, ...]) -> Array:
        """Values (n, *points) on the grid from the modes (n, …)."""
        if not self._by_lines(points):
            fields = [backward(self._pad(z)[None], points)[0] for z in block]
            return jnp.stack(fields)
        if len(points) < 3:
            return self._backward(block, points)
        return jax.lax.map(lambda z: self._backward(z, points), block)

    def forward(self, values: Array) -> Array:
        """The modes (n, …) of real transforms of values (n, *points)."""
        points = values.shape[1:]
        if not self._by_lines(points):
            return self.take(forward(values))
        if len(points) < 3:
            return self._forward(values)
        return jax.lax.map(self._forward, values)

    @staticmethod
    def _by_lines(points: tuple[int, ...]) -> bool:
        """Whether to transform one direction after the other, which leaves out lines of zeros.

        On a CPU it is faster where a field leaves the caches: twice for a box of 64³, one field
        at a time, by 30 % for 1024², but not for 256².
        """
        return jax.default_backend() == "cpu" and math.prod(points) > 2**17

    def _widen(self, z: Array, axis: int) -> Array:
        """Zeros put between the modes of positive and of negative index."""
        at, m = z.ndim + axis - len(self.grid), self.largest[axis]
        gap = list(z.shape)
        gap[at] = self.grid[axis] - z.shape[at]
        parts = jnp.split(z, [m + 1], axis=at)
        return jnp.concatenate([parts[0], jnp.zeros(gap, z.dtype), parts[1]], axis=at)

    def _pad(self, z: Array) -> Array:
        for axis in range(len(self.grid)):
            z = self._widen(z, axis)
        return z

    def _backward(self, z: Array, points: tuple[int, ...]) -> Array:
        for axis in range(len(self.grid) - 1):
            z = jnp.fft.ifft(self._widen(z, axis), axis=z.ndim + axis - len(self.grid))
        return jnp.fft.irfft(z, n=points[-1], axis=-1)

    def _forward(self, values: Array) -> Array:
        z = jnp.fft.rfft(values, axis=-1)[..., : self.largest[-1] + 1]
        for axis in range(len(self.grid) - 2, -1, -1):
            at, m = z.ndim + axis - len(self.grid), self.largest[axis]
            z = jnp.fft.fft(z, axis=at)
            count = z.shape[at]
            low = jax.lax.slice_in_dim(z, 0, m + 1, axis=at)
            high = jax.lax.slice_in_dim(z, count - m, count, axis=at)
            z = jnp.concatenate([low, high], axis=at)
        return z

    def put(self, z: Array, block: Array) -> Array:
        """z with these modes replaced."""
        for corner in np.ndindex(*(2,) * (len(self.grid) - 1)):
            source: list[Any] = [Ellipsis]
            target: list[Any] = [Ellipsis]
            for axis, (m, last) in enumerate(self._axes()):
                low = last or not corner[axis]
                source.append(slice(0, m + 1) if low else slice(m + 1, 2 * m + 1))
                count = self.grid[axis]
                target.append(slice(0, m + 1) if low else slice(count - m, count))
            z = z.at[tuple(target)].set(block[tuple(source)])
        return z

    def _axes(self) -> list[tuple[int, bool]]:
        return [(m, axis == len(self.grid) - 1) for axis, m in enumerate(self.largest)]


class SparseMap(eqx.Module):
    """A small matrix a wavenumber, by its entries that are not zero; ones take no product."""

    entries: tuple[Array | None, ...]
    pattern: Pattern = eqx.field(static=True)
    rows: int = eqx.field(static=True)

    def __call__(self, z: Array) -> Array:
        """(columns, *grid) to (rows, *grid)."""
        nothing = jnp.zeros(z.shape[1:], z.dtype)
        out = self.parts(list(z))
        if not out:
            return nothing[None][:0]
        return jnp.stack([nothing if part is None else part for part in out])

    def parts(self, columns: list[Any]) -> list[Any]:
        """One array a row, from one a column; None for what is zero."""
        out: list[Any] = [None] * self.rows
        for (i, j, _), entry in zip(self.pattern, self.entries, strict=True):
            if columns[j] is None:
                continue
            part = columns[j] if entry is None else entry * columns[j]
            out[i] = part if out[i] is None else out[i] + part
        return out


class Projected(eqx.Module):
    """Two small matrices one after the other: divergences, then their projection.

    The first has entries that vary along one direction only. Their product would have more
    entries, each as large as a field, and reading them is what a step would wait for.
    """

    rows: SparseMap
    projection: SparseMap

    def __call__(self, z: Array) -> Array:
        nothing = jnp.zeros(z.shape[1:], z.dtype)
        out = self.projection.parts(self.rows.parts(list(z)))
        return jnp.stack([nothing if part is None else part for part in out])


class Pointwise(eqx.Module):
    """N(z, t): sums of pointwise terms in stages, and sources that do not change in time.

    Arguments:
        block: where given, all arrays are those of its modes.
    """

    problem: Problem
    inputs: tuple[SparseMap, ...]
    extra: tuple[SparseMap, ...]
    rates: tuple[SparseMap | Projected, ...]
    source: Array | None
    plan: Plan = eqx.field(static=True)
    block: Block | None = eqx.field(static=True, default=None)

    def within(self, block: Block) -> Pointwise:
        """The same on the modes of a block alone."""

        def cut(array: Array | None) -> Array | None:
            return None if array is None else block.take(array)

        maps = (self.inputs, self.extra, self.rates, self.source)
        inputs, extra, rates, source = jax.tree.map(cut, maps)
        return Pointwise(self.problem, inputs, extra, rates, source, self.plan, block)

    def __call__(self, z: Array, t: Array) -> Array:
        total = self.source
        for stage, outputs in zip(self.rates, self.transforms(z, t), strict=True):
            part = stage(outputs)
            total = part if total is None else total + part
        return jnp.zeros_like(z) if total is None else total

    def transforms(self, z: Array, t: Array) -> list[Array]:
        """Transforms of the pointwise sums of each stage."""
        found: list[Array] = []
        for i, stage in enumerate(self.plan.stages):
            quantities = self.inputs[i](z) if stage.quantities else None
            if quantities is not None and i > 0:
                quantities = quantities + self.extra[i](found[i - 1])
            found.append(self._stage(stage, quantities, t))
        return found

    def _stage(self, stage: Stage, quantities: Array | None, t: Array) -> Array:
        plan = self.plan
        forms = self.problem.pde.forms(plan.layout.dim)
        dtype = jnp.result_type(float) if quantities is None else quantities.real.dtype
        t = jnp.asarray(t, dtype)

        def at_point(x: Array, fields: Any) -> tuple[Array, ...]:
            sums = evaluate_terms(stage.terms, forms, plan.layout, stage.sums, x, t, *fields)
            return tuple(sums[i] for i in stage.picked)

        used = stage.space or quantities is None
        x = grid_points(plan).astype(dtype) if used else jnp.zeros(plan.layout.dim, dtype)
        if quantities is None:
            out = at_points(lambda x: at_point(x, ({}, {})), (x,))
        else:
            if self.block is None:
                values = backward(quantities, plan.points)
            else:
                values = self.block.backward(quantities, plan.points)
            values = values.reshape(len(stage.quantities), -1)
            fields = fields_of(stage.quantities, plan.layout, values)
            out = at_points(at_point, (x, fields), (stage.space, True))
        grids = jnp.stack(out).reshape(-1, *plan.points)
        return forward(grids) if self.block is None else self.block.forward(grids)


def grid_points(plan: Plan) -> Array:
    """x (dim, count) of the grid, its last direction fastest."""
    axes = [
        a + length * np.arange(n) / n
        for a, length, n in zip(plan.lower, plan.lengths, plan.points, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1)
    # Behind the barrier the compiler does not evaluate by itself what is made of large constants.
    return jax.lax.optimization_barrier(jnp.asarray(points))


def forward(values: Array) -> Array:
    """Real transforms over all but the first axis."""
    return jnp.fft.rfftn(values, axes=range(1, values.ndim))


def backward(transforms: Array, points: tuple[int, ...]) -> Array:
    return jnp.fft.irfftn(transforms, s=points, axes=range(1, transforms.ndim))
