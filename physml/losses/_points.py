"""Collocation points: in the interior, on the boundary, at the start; and their adaptation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdes import Box, Problem
from pdes.domain._sampling import unit_points

Points = dict[str, np.ndarray]


def interior_points(problem: Problem, count: int, seed: int, scheme: str = "sobol") -> Points:
    """`count` points of the domain and of the time interval: x (count, dim), t (count,)."""
    domain = problem.domain
    if problem.time is None:
        return {"x": domain.sample_interior(count, seed, scheme), "t": np.zeros(count)}
    start, end = problem.time
    if isinstance(domain, Box):
        # Drawn jointly, so that the sequence has low discrepancy in space and time.
        unit = unit_points(count, domain.dim + 1, seed, scheme)
        low, high = domain.bounds
        return {"x": low + unit[:, :-1] * (high - low), "t": start + unit[:, -1] * (end - start)}
    x = domain.sample_interior(count, seed, scheme)
    return {"x": x, "t": start + _times(count, seed, scheme) * (end - start)}


def boundary_points(
    problem: Problem, part: str, count: int, seed: int, scheme: str = "sobol"
) -> Points:
    """`count` points of one part: x (count, dim), outward normals n (count, dim), t (count,)."""
    sample = problem.domain.sample_boundary(count, seed, scheme, part)
    t = np.zeros(count)
    if problem.time is not None:
        start, end = problem.time
        # A point boundary (one dimension) takes the sequence as it is.
        t = start + _times(count, seed, scheme) * (end - start)
    return {"x": sample.points, "t": t, "n": sample.normals}


def initial_points(problem: Problem, count: int, seed: int, scheme: str = "sobol") -> Points:
    """`count` points of the domain: x (count, dim)."""
    return {"x": problem.domain.sample_interior(count, seed, scheme)}


def _times(count: int, seed: int, scheme: str) -> np.ndarray:
    rng = np.random.default_rng(seed + 7919)
    return rng.permutation(unit_points(count, 1, seed + 7919, scheme)[:, 0])


def stacked(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch as arrays of the current precision."""

    def array(leaf: np.ndarray) -> Any:
        floating = np.issubdtype(leaf.dtype, np.floating)
        return jnp.asarray(leaf, jnp.result_type(float) if floating else None)

    return jax.tree.map(array, batch)
