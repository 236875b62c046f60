"""Overlapping subdomains with a network each, joined by a partition of unity (FBPINN)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from physml.losses._trial import TrialFunction, shaped_fields


class Windows(eqx.Module):
    """Boxes around the middles of a uniform grid, and smooth weights ω_k ≥ 0 with Σ ω_k = 1.

    In each direction w(d) = (1 + cos πd/σ)² for |d| < σ, else 0, with d the distance to the
    middle and 2σ = overlap · spacing, wrapped where the direction is periodic; ω is the product
    over directions divided by its sum. Directions in one piece have w = 1.

    Source: Moseley, Markham and Nissen-Meyer (2023), section 3.
    """

    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    counts: tuple[int, ...] = eqx.field(static=True)
    overlap: float = eqx.field(static=True)

    @property
    def size(self) -> int:
        return int(np.prod(self.counts))

    @property
    def in_size(self) -> int:
        """Inputs of a network: cos and sin of a periodic direction that is in one piece."""
        pairs = zip(self.counts, self.periodic, strict=True)
        return sum(2 if n == 1 and periodic else 1 for n, periodic in pairs)

    def weights(self, z: Array) -> Array:
        """ω_k at one point of space and time z (directions,), (size,)."""
        total = jnp.ones(1, z.dtype)
        for i in range(len(self.counts)):
            line = self._line(z, i)
            total = (total[:, None] * line[None, :]).reshape(-1)
        return total / jnp.sum(total)

    def inputs(self, z: Array) -> Array:
        """The point as each network sees it, its window being [−1, 1], (size, in_size)."""
        columns = []
        for i, count in enumerate(self.counts):
            if count == 1 and self.periodic[i]:
                angle = 2 * np.pi * (z[i] - self.lower[i]) / (self.upper[i] - self.lower[i])
                columns.append(jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None])
            else:
                columns.append((self._distance(z, i) / self._half(i))[:, None])
        places = itertools.product(*(range(n) for n in self.counts))
        chosen = np.array(list(places))
        parts = [column[chosen[:, i]] for i, column in enumerate(columns)]
        return jnp.concatenate(parts, axis=1)

    def _spacing(self, i: int) -> float:
        return (self.upper[i] - self.lower[i]) / self.counts[i]

    def _half(self, i: int) -> float:
        return self._spacing(i) * (0.5 if self.counts[i] == 1 else 0.5 * self.overlap)

    def _distance(self, z: Array, i: int) -> Array:
        """Signed, to the middles of one direction."""
        middles = self.lower[i] + self._spacing(i) * (np.arange(self.counts[i]) + 0.5)
        gap = z[i] - jnp.asarray(middles, z.dtype)
        if self.periodic[i]:
            extent = self.upper[i] - self.lower[i]
            gap = gap - extent * jnp.round(jax.lax.stop_gradient(gap) / extent)
        return gap

    def _line(self, z: Array, i: int) -> Array:
        if self.counts[i] == 1:
            return jnp.ones(1, z.dtype)
        unit = self._distance(z, i) / self._half(i)
        bump = (1 + jnp.cos(np.pi * jnp.clip(unit, -1, 1))) ** 2
        return jnp.where(jnp.abs(unit) < 1, bump, 0.0)


def make_windows(problem: Problem, given: Any, overlap: float) -> Windows:
    """Windows over the box around the domain, and over time.

    Arguments:
        given: numbers of windows in each direction, time last; one number for all of space; or
            by name, {"x": 4, "t": 2}.

    Raises:
        ValueError: other numbers, or an overlap that leaves gaps or reaches past neighbours.
    """
    if not 1 < overlap <= 2:
        raise ValueError(f"overlap, in widths of a cell, is above 1 and at most 2, got {overlap!r}")
    low, high = problem.domain.bounds
    names = ["x", "y", "z"][: problem.dim] if problem.dim <= 3 else []
    names = names or [f"x{i}" for i in range(problem.dim)]
    names = names + (["t"] if problem.time is not None else [])
    counts = _counts(given, names, problem.dim)
    ends = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    periodic = list(problem.domain.periodic)
    if problem.time is not None:
        ends.append(problem.time)
        periodic.append(False)
    return Windows(
        tuple(a for a, _ in ends), tuple(b for _, b in ends), tuple(periodic), counts, overlap
    )


def _counts(given: Any, names: list[str], dim: int) -> tuple[int, ...]:
    timed = len(names) > dim
    if given is None:
        given = (4,) if dim == 1 else (2,) * dim
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"windows: no direction {unknown[0]!r}; there are {names}")
        found = tuple(given.get(name, 1) for name in names)
    elif isinstance(given, int):
        found = (given,) * dim + (1,) * timed
    else:
        found = tuple(given)
        if timed and len(found) == dim:
            found = (*found, 1)
    if len(found) != len(names) or any(not isinstance(n, int) or n < 1 for n in found):
        raise ValueError(
            f"windows: expected positive whole numbers for the directions {names}, got {given!r}"
        )
    return found


class WindowTrial(TrialFunction):
    """fields(x, t) = offset + factor · scale · Σ_k ω_k N_k.

    The networks are one module whose arrays have a leading axis of windows: all are evaluated
    by one batched product.
    """

    windows: Windows
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    scales: tuple[float, ...] = eqx.field(static=True)
    shaping: dict[str, Any]

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        z = x if len(self.windows.counts) == len(x) else jnp.concatenate([x, t[None]])
        outputs = eqx.filter_vmap(lambda one, at: one(at))(network, self.windows.inputs(z))
        return shaped_fields(self.windows.weights(z) @ outputs, self, x, t)
