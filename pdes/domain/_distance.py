"""Smooth functions that vanish on the boundary and are positive inside, for hard constraints.

Sukumar & Srivastava, Exact imposition of boundary conditions with distance functions in
physics-informed deep neural networks, CMAME 389 (2022): each piece gets a function φᵢ that is
zero on it alone and normalised to first order (their equation 5); pieces are joined by
R-equivalence, 1/φ = Σ 1/φᵢ, which keeps |∇φ| = 1 on every smooth piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes.domain._base import Floats
from pdes.domain._curves import Arc, Curve, Segment

_TINY = 1e-30  # below round-off, above the smallest float32: keeps gradients of roots finite


def curve_distance(curves: Sequence[Curve]) -> Callable[[Array], Array]:
    """φ for a set of segments and arcs."""
    segments, arcs, circles = [], [], []
    for curve in merge_circles(curves):
        if isinstance(curve, Segment):
            segments.append(curve)
        elif isinstance(curve, Arc) and abs(curve.sweep) >= 2 * np.pi * (1 - 1e-12):
            circles.append(curve)
        elif isinstance(curve, Arc):
            # An arc is trimmed by its chord, which cuts off at most a half of the circle.
            halves = abs(curve.sweep) > np.pi * (1 + 1e-12)
            ends = [(0.0, 0.5), (0.5, 1.0)] if halves else [(0.0, 1.0)]
            arcs += [curve.part(*e) for e in ends]
    kinds = ((_circles, circles), (_segments, segments), (_arcs, arcs))
    functions = [make(group) for make, group in kinds if group]
    if not functions:
        raise ValueError("a distance needs at least one part of the boundary")

    def distance(x: Array) -> Array:
        return _least(jnp.concatenate([f(x) for f in functions]))

    return distance


def joined(functions: Sequence[Callable[[Array], Array]]) -> Callable[[Array], Array]:
    """R-equivalence of several φᵢ ≥ 0: zero where one is, 1/φ = Σ 1/φᵢ elsewhere."""
    if not functions:
        raise ValueError("a distance needs at least one part of the boundary")
    if len(functions) == 1:
        return functions[0]

    def distance(x: Array) -> Array:
        return _least(jnp.stack([f(x) for f in functions]))

    return distance


def _least(values: Array) -> Array:
    """1/Σ(1/φᵢ) of values (n,)."""
    if len(values) == 1:
        return values[0]
    # Divided by the least one, so that no reciprocal overflows at the boundary.
    # Picked, since the derivative of a minimum asks which entry equals it, and none may where XLA
    # computes the entries anew with another rounding.
    least = values[jnp.argmin(values)]
    return least / jnp.sum(_ratio(least, values))


def _ratio(least: Array, values: Array) -> Array:
    zero = values <= _TINY
    return jnp.where(zero, 1.0, least / jnp.where(zero, 1.0, values))


def sphere_distance(center: Floats, radius: float, outward: bool) -> Callable[[Array], Array]:
    """(R² − |x − c|²)/2R for a ball, its negative outside of one: polynomials."""
    sign = 1.0 if outward else -1.0

    def distance(x: Array) -> Array:
        offset = x - jnp.asarray(center, x.dtype)
        return sign * (radius**2 - jnp.sum(offset**2)) / (2 * radius)

    return distance


def box_distance(
    low: Floats, high: Floats, sides: Sequence[tuple[int, int]]
) -> Callable[[Array], Array]:
    """Product of the distances to the planes of the sides: a polynomial without corners.

    (x − a)(b − x)/(b − a) where both sides of a direction are in, x − a or b − x where one is;
    the factors of several directions are scaled to at most 1, but the smallest.
    """
    if not sides:
        raise ValueError("a distance needs at least one part of the boundary")
    both = {axis: [e for a, e in sides if a == axis] for axis, _ in sides}
    extent = high - low
    peaks = {a: extent[a] / 4 if len(ends) == 2 else extent[a] for a, ends in both.items()}
    smallest = min(peaks.values())

    def distance(x: Array) -> Array:
        product = jnp.asarray(smallest, x.dtype)
        for axis, ends in both.items():
            factor = jnp.asarray(1.0 / peaks[axis], x.dtype)
            if 0 in ends:
                factor = factor * (x[axis] - low[axis])
            if 1 in ends:
                factor = factor * (high[axis] - x[axis])
            if len(ends) == 2:
                factor = factor / extent[axis]
            product = product * factor
        return product

    return distance


def _trimmed(f: Array, t: Array) -> Array:
    """√(f² + ((√(t² + f⁴) − t)/2)²): zero where f = 0 and t ≥ 0 only."""
    root = jnp.sqrt(t**2 + f**4 + _TINY)
    # The difference without cancellation where t > 0.
    gap = jnp.where(t > 0, f**4 / (root + jnp.abs(t)), root - t)
    return jnp.sqrt(f**2 + 0.25 * gap**2 + _TINY)


def _segments(segments: Sequence[Segment]) -> Callable[[Array], Array]:
    """φᵢ of each segment, (n,)."""
    middle = np.array([np.add(s.start, s.end) / 2 for s in segments])
    length = np.array([s.length for s in segments])
    inward = -np.array([s.normal(np.zeros(1))[0] for s in segments])

    def values(x: Array) -> Array:
        offset = x - jnp.asarray(middle, x.dtype)
        f = jnp.sum(offset * jnp.asarray(inward, x.dtype), axis=1)
        size = jnp.asarray(length, x.dtype)
        return _trimmed(f, ((size / 2) ** 2 - jnp.sum(offset**2, axis=1)) / size)

    return values


def _circles(arcs: Sequence[Arc]) -> Callable[[Array], Array]:
    """(R² − |x − c|²)/2R of each circle, (n,); negative of it for holes."""
    center = np.array([a.center for a in arcs])
    radius = np.array([a.radius for a in arcs])
    sign = np.array([np.sign(a.sweep) for a in arcs])

    def values(x: Array) -> Array:
        square = jnp.sum((x - jnp.asarray(center, x.dtype)) ** 2, axis=1)
        size = jnp.asarray(radius, x.dtype)
        return jnp.asarray(sign, x.dtype) * (size**2 - square) / (2 * size)

    return values


def _arcs(arcs: Sequence[Arc]) -> Callable[[Array], Array]:
    """φᵢ of each arc of at most a half circle, (n,)."""
    ends = np.stack([a.point(np.array([0.0, 0.5, 1.0])) for a in arcs])
    start, middle, end = ends[:, 0], ends[:, 1], ends[:, 2]
    across = np.stack([start[:, 1] - end[:, 1], end[:, 0] - start[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    across *= np.sign(np.sum(across * (middle - start), axis=1, keepdims=True))
    circles = _circles(arcs)

    def values(x: Array) -> Array:
        offset = x - jnp.asarray(start, x.dtype)
        return _trimmed(circles(x), jnp.sum(offset * jnp.asarray(across, x.dtype), axis=1))

    return values


def merge_circles(curves: Sequence[Curve]) -> list[Curve]:
    """The curves with all the arcs that make up a whole circle as one: no joint, no kink there."""
    groups: dict[tuple, list[Arc]] = {}
    rest: list[Curve] = []
    for curve in curves:
        if isinstance(curve, Arc):
            key = (*np.round([*curve.center, curve.radius], 12).tolist(), curve.sweep > 0)
            groups.setdefault(key, []).append(curve)
        else:
            rest.append(curve)
    for arcs in groups.values():
        total = sum(a.sweep for a in arcs)
        if abs(abs(total) - 2 * np.pi) < 1e-9:
            first = arcs[0]
            rest.append(Arc(first.center, first.radius, first.start, total, first.label))
        else:
            rest.extend(arcs)
    return rest
