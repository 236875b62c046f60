"""Krylov methods in JAX, for any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._arrays import on_device
from solvers._same import padded_size
from solvers.linear._pattern import SparsePattern
from solvers.linear._places import Places

Product = Callable[[Array], Array]


def ell(pattern: SparsePattern) -> tuple[Array, Array]:
    """Slots and columns by the n-th entry of every row, (longest row or more, size).

    Unused places have slot −1, the zero behind the values. On a CPU this layout, unrolled over the
    entries, is many times faster than compressed rows.
    """
    lengths = np.diff(pattern.indptr)
    width = padded_size(int(lengths.max(initial=0)), "longest row")
    slots = np.full((width, pattern.size), -1, np.int32)
    columns = np.zeros((width, pattern.size), np.int32)
    place = np.arange(pattern.count) - np.repeat(pattern.indptr[:-1], lengths)
    slots[place, pattern.rows] = np.arange(pattern.count)
    columns[place, pattern.rows] = pattern.indices
    return on_device(slots), on_device(columns)


def conjugate_gradients(
    places: Places, values: Array, b: Array, tolerance: float, max_iterations: int
) -> Array:
    """A x = b for symmetric positive definite A, preconditioned by its diagonal (Jacobi).

    NaN where the relative residual does not come under the tolerance.
    """
    slots, columns = places.tables
    padded = jnp.append(values, 0.0)
    entries = [padded[s] for s in slots]

    def apply(x: Array) -> Array:
        total = entries[0] * x[columns[0]]
        for entry, place in zip(entries[1:], columns[1:], strict=True):
            total = total + entry * x[place]
        return total

    on_diagonal = places.rows == places.columns
    diagonal = jnp.zeros_like(b).at[places.rows].add(jnp.where(on_diagonal, values, 0.0))
    found = preconditioned_conjugate_gradients(
        apply, lambda r: r / diagonal, b, tolerance, jnp.asarray(max_iterations)
    )
    return jnp.where(found.converged, found.x, jnp.nan)


class Found(NamedTuple):
    """x, how many iterations, the relative residual, and whether that is small enough."""

    x: Array
    iterations: Array
    residual: Array
    converged: Array


def preconditioned_conjugate_gradients(
    apply: Product, precondition: Product, b: Array, tolerance: float, limit: Array
) -> Found:
    """For symmetric positive definite A and preconditioner (Hestenes and Stiefel 1952)."""
    size = jnp.linalg.norm(b)
    goal = tolerance * size

    def unfinished(state):
        r, k = state[1], state[4]
        return (jnp.linalg.norm(r) > goal) & (k < limit)

    def step(state):
        x, r, p, rho, k = state
        q = apply(p)
        a = rho / jnp.vdot(p, q)
        x, r = x + a * p, r - a * q
        y = precondition(r)
        new = jnp.vdot(r, y)
        return x, r, y + new / rho * p, new, k + 1

    y = precondition(b)
    state = (jnp.zeros_like(b), b, y, jnp.vdot(b, y), jnp.asarray(0))
    x, r, _, _, count = jax.lax.while_loop(unfinished, step, state)
    left = jnp.linalg.norm(r)
    # The recurrence's residual drifts from the true one, which stalls near rounding.
    slack = 10 * goal + 100 * jnp.finfo(b.dtype).eps * size
    return Found(x, count, left / jnp.where(size > 0, size, 1.0), left <= slack)
