"""Dirichlet conditions that hold exactly on any domain with a distance: u = g + φ · N."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Domain, Problem
from physml.losses._hard import Hard, hard_constraints

_SAMPLES = 256


class DistanceShaping(eqx.Module):
    """g(x, t) + φ(x) · N for one field, flattened to (components,).

    φ vanishes on the boundary where a component is prescribed and is at most about 1.

    Source: Lagaris, Likas and Fotiadis (1998); Sukumar and Srivastava (2022).
    """

    distances: tuple[Callable | None, ...] = eqx.field(static=True)
    sizes: tuple[float, ...] = eqx.field(static=True)
    value: Callable[..., Array]

    def __call__(self, output: Array, x: Array, t: Array) -> Array:
        return self.offset(x, t) + self.factor(x, t) * output

    def factor(self, x: Array, t: Array) -> Array:
        """φ of each component, 1 where nothing is prescribed, (components,)."""
        known = {d: d(x) for d in dict.fromkeys(self.distances) if d is not None}
        one = jnp.ones((), x.dtype)
        return jnp.stack(
            [
                one if d is None else known[d] / size
                for d, size in zip(self.distances, self.sizes, strict=True)
            ]
        )

    def offset(self, x: Array, t: Array) -> Array:
        """The prescribed values, continued inward by their own formula, (components,)."""
        mask = jnp.array([d is not None for d in self.distances])
        return jnp.where(mask, self.value(x, t).reshape(-1), 0.0)


class LocalShaping(eqx.Module):
    """A shaping's offset and factor to first order about one point: exact values and slopes there.

    Distances to many facets cost more than the network; a weak residual needs them at fixed
    points, and no second derivatives.
    """

    x: Array
    offsets: Array
    offset_slopes: Array
    factors: Array
    factor_slopes: Array

    def __call__(self, output: Array, x: Array, t: Array) -> Array:
        offset = self.offsets + self.offset_slopes @ (x - self.x)
        return offset + self.factor(x, t) * output

    def factor(self, x: Array, t: Array) -> Array:
        return self.factors + self.factor_slopes @ (x - self.x)


@eqx.filter_jit
def local_shaping(shaping: eqx.Module, x: Array) -> LocalShaping:
    """`LocalShaping` at the points x (points, dim) of a steady problem."""
    zero = jnp.zeros((), x.dtype)

    def at(point: Array) -> LocalShaping:
        parts = []
        for part in (shaping.offset, shaping.factor):  # type: ignore[attr-defined]
            slopes = []
            for direction in jnp.eye(len(point), dtype=x.dtype):
                value, slope = jax.jvp(lambda y, f=part: f(y, zero), (point,), (direction,))
                slopes.append(slope)
            parts += [value, jnp.stack(slopes, axis=-1)]
        return LocalShaping(point, *parts)

    return jax.lax.map(at, x, batch_size=4096)


def distance_constraints(problem: Problem, names, mode: str = "auto") -> Hard:
    """As `hard_constraints`; on domains other than boxes by the domain's distance function.

    Initial data stay residuals there, and so do prescribed values that differ in their formula
    from one part of the boundary to the next.

    Raises:
        ValueError: an unknown mode, or "hard" where it can't be had, with the reason.
    """
    if isinstance(problem.domain, Box) or mode not in ("auto", "hard"):
        return hard_constraints(problem, names, mode)
    shaping, boundary, notes = {}, set(), []
    for name in names:
        parts = {
            part: conditions[name]
            for part, conditions in problem.conditions.items()
            if name in conditions and conditions[name].any_essential
        }
        if not parts:
            continue
        made = _shaping(problem, name, parts)
        if isinstance(made, str):
            if mode == "hard":
                raise ValueError(f"constraints='hard' for {name!r}: {made}; use 'auto' or 'soft'")
            notes.append(f"{name}: {made}")
            continue
        shaping[name] = made
        boundary |= {(part, name) for part in parts}
    return Hard(shaping, frozenset(boundary), frozenset(), tuple(notes))


def _shaping(problem: Problem, name: str, parts: dict) -> DistanceShaping | str:
    """The shaping, or why there is none."""
    first = next(iter(parts.values()))
    for part, condition in parts.items():
        if condition.essential != first.essential:
            return "its components are prescribed on different parts of the boundary"
        gap, size = _difference(problem, part, first.value, condition.value)
        if not gap <= 1e-9 * (1 + size):
            return f"its values on {part!r} do not follow the formula of those on other parts"
    dtype = jnp.result_type(float)
    try:
        distance, largest = _distance(problem.domain, tuple(parts), dtype)
    except ValueError as error:
        return str(error)
    inside = jnp.asarray(_inside(problem.domain), dtype)
    offsets = jax.vmap(first.value)(inside, jnp.zeros(len(inside), dtype))
    if not (np.isfinite(offsets).all() and np.isfinite(largest)):
        return "its boundary values are not finite inside the domain"
    return DistanceShaping(
        tuple(distance if e else None for e in first.essential),
        (largest,) * len(first.essential),
        first.value,
    )


def _inside(domain: Domain) -> np.ndarray:
    return domain.sample_interior(_SAMPLES, seed=0)


@functools.lru_cache(maxsize=32)
def _distance(domain: Domain, parts: tuple[str, ...], dtype: Any) -> tuple[Callable, float]:
    """The distance to parts of the boundary, and about its largest value.

    Made once: what is compiled for one run then serves the next, since functions are equal only
    to themselves.
    """
    distance = domain.distance(parts)
    return distance, float(jax.jit(jax.vmap(distance))(jnp.asarray(_inside(domain), dtype)).max())


def _difference(problem: Problem, part: str, one, other) -> tuple[float, float]:
    """max |one − other| and max |other| on a part of the boundary."""
    points = problem.domain.sample_boundary(64, seed=0, part=part).points
    x = jnp.asarray(points, jnp.result_type(float))
    t = jnp.linspace(*(problem.time or (0.0, 0.0)), len(x), dtype=x.dtype)
    a, b = (jax.vmap(f)(x, t) for f in (one, other))
    return float(jnp.abs(a - b).max()), float(jnp.abs(b).max())
