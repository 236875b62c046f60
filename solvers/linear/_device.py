"""Conjugate gradients with a V-cycle of smoothed aggregation in JAX, for any device.

Levels are matrices of blocks by the n-th entry of every row (column-major ELLPACK), vectors are
(components, nodes). The host coarsens and multiplies the levels out, see `_tables`; every product
of the iteration is the device's.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes._arrays import on_device
from solvers._host_call import host_call
from solvers.linear._cycle import SMOOTHED
from solvers.linear._iterative import REMEDY
from solvers.linear._krylov import Product, preconditioned_conjugate_gradients
from solvers.linear._pattern import SparsePattern
from solvers.linear._places import Places
from solvers.linear._tables import LevelTables, Report, table_shapes
from solvers.linear._tower import Shapes, block_slots, tower_of

NAME = "conjugate gradients with algebraic multigrid (smoothed aggregation) in JAX"
# Unrolled multiply-adds of one step of a product, beyond which compiling takes longer than running.
_UNROLLED = 96


class DeviceTables(eqx.Module):
    """What a program needs to know of a pattern beforehand.

    Attributes:
        slots, columns: see `block_slots`. shapes: of the levels.
    """

    slots: Array
    columns: Array
    shapes: Shapes = eqx.field(static=True)
    components: int = eqx.field(static=True)


class Operator(eqx.Module):
    """A matrix of blocks: data (width, p, q, n), columns (width, n)."""

    data: Array
    columns: Array

    def __call__(self, x: Array) -> Array:
        """(q, N) ↦ (p, n)."""
        # Fused into the gathers, what makes x would be computed anew for every entry.
        x = jax.lax.optimization_barrier(x)
        width, p, q, n = self.data.shape
        step = 8
        while step > 1 and step * p * q > _UNROLLED:
            step //= 2
        if width <= step or width * p * q <= _UNROLLED:
            return _sum(self.data, self.columns, x)
        chunks = (
            self.data.reshape(width // step, step, p, q, n),
            self.columns.reshape(width // step, step, n),
        )
        zero = jnp.zeros((p, n), jnp.result_type(self.data, x))
        return jax.lax.scan(lambda y, c: (y + _sum(*c, x), None), zero, chunks)[0]


def _sum(data: Array, columns: Array, x: Array) -> Array:
    width, p, q, _ = data.shape
    rows: list[Any] = [0.0] * p
    for k in range(width):
        picked = [x[j][columns[k]] for j in range(q)]
        for i in range(p):
            rows[i] = rows[i] + sum(data[k, i, j] * picked[j] for j in range(q))
    return jnp.stack(rows)


class DeviceLevel(eqx.Module):
    """One level: A, P, Pᵀ, 1/diag(A) and a bound of the spectrum of D⁻¹A."""

    matrix: Operator
    up: Operator
    down: Operator
    inverse: Array
    radius: Array

    def smooth(self, r: Array) -> tuple[Array, Array]:
        """Two Chebyshev steps from zero (Saad 2003, algorithm 12.1): x, and the last change, whose
        part of the residual is still to be taken from what is given back."""
        low, high = SMOOTHED * self.radius, self.radius
        centre, half = (high + low) / 2, (high - low) / 2
        sigma = centre / half
        following = 1 / (2 * sigma - 1 / sigma)
        first = self.inverse * r / centre
        r = r - self.matrix(first)
        change = following / sigma * first + (2 * following / half) * self.inverse * r
        return first + change, r - self.matrix(change)


class DeviceCycle(eqx.Module):
    """One V-cycle from zero."""

    levels: tuple[DeviceLevel, ...]
    coarse: Array

    def __call__(self, b: Array, k: int = 0) -> Array:
        if k == len(self.levels):
            return (self.coarse @ b.T.ravel()).reshape(b.shape[1], b.shape[0]).T
        level = self.levels[k]
        x, r = level.smooth(b)
        x = x + level.up(self(level.down(r), k + 1))
        return x + level.smooth(b - level.matrix(x))[0]


def device_tables(pattern: SparsePattern, components: int) -> DeviceTables:
    """Tables of the places of a pattern.

    Raises:
        ValueError: see `tower_of`.
    """
    tower = tower_of(pattern, components)
    slots, columns = block_slots(pattern, tower)
    return DeviceTables(on_device(slots), on_device(columns), tower.shapes, tower.components)


def multigrid_conjugate_gradients(
    places: Places, values: Array, b: Array, tolerance: float, limit: int
) -> Array:
    """A x = b for symmetric positive definite A; NaN where it does not converge, with the reason
    in the pattern's journal."""
    known: DeviceTables = places.tables
    number = places.pattern.number
    s = known.components
    fine = Operator(jnp.append(values, 0.0)[known.slots], known.columns)
    cycle, usable = _cycle(known, number, values, fine)

    def precondition(r: Array) -> Array:
        # Small residuals would underflow in single precision.
        size = jnp.linalg.norm(r)
        scaled = (r / jnp.where(size > 0, size, 1.0)).astype(jnp.float32)
        return cycle(scaled).astype(r.dtype) * size

    product: Product = fine
    right = b.reshape(-1, s).T
    found = preconditioned_conjugate_gradients(
        product, precondition, right, tolerance, jnp.where(usable, limit, 0)
    )
    report = Report(NAME, tolerance, REMEDY)
    flag = jax.ShapeDtypeStruct((), jnp.bool_)
    arguments = (number, found.iterations, found.residual, found.converged & usable)
    good = host_call(report, [flag], *arguments)[0]
    return jnp.where(good, found.x, jnp.nan).T.ravel()


def _cycle(known: DeviceTables, number: Array, values: Array, fine: Operator):
    function = LevelTables(known.shapes, known.components)
    out = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in table_shapes(known.shapes)]
    tables = list(host_call(function, out, number, values))
    usable, coarse = tables.pop(), tables.pop()
    largest = jnp.maximum(jnp.abs(values).max(), jnp.finfo(values.dtype).tiny)
    first = Operator((fine.data / largest).astype(jnp.float32), fine.columns)
    levels = []
    for k in range(len(known.shapes.levels)):
        a = Operator(tables.pop(0), tables.pop(0)) if k else first
        up, down = (Operator(tables.pop(0), tables.pop(0)) for _ in range(2))
        levels.append(DeviceLevel(a, up, down, tables.pop(0), tables.pop(0)))
    return DeviceCycle(tuple(levels), coarse), usable
