"""Conditions that hold exactly: u = offset(x, t) + factor(x, t) · N.

On a box the offset is the Boolean sum (Coons patch) of the boundary values, plus what initial
data need; the factor vanishes where values are prescribed. Source: Lagaris, Likas and Fotiadis
(1998); Sukumar and Srivastava (2022); Gordon (1971) for the Boolean sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Problem


class _Side(eqx.Module):
    """Prescribed values on the side of a box where coordinate `axis` is at its end."""

    axis: int = eqx.field(static=True)
    end: int = eqx.field(static=True)
    mask: tuple[bool, ...] = eqx.field(static=True)
    value: Callable[..., Array]


class Shaping(eqx.Module):
    """offset + factor · N for one field, flattened to (components,).

    Attributes:
        sides: prescribed sides. initial, rate: data at the start, or None where they are soft.
        order: power of the time factor: 0 without initial data, 1, or 2 with a rate.
        free: initial data are where u starts from and no more: N need not vanish there.
    """

    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)
    time: tuple[float, float] | None = eqx.field(static=True)
    size: int = eqx.field(static=True)
    sides: tuple[_Side, ...]
    initial: Callable | None
    rate: Callable | None
    free: bool = eqx.field(static=True, default=False)

    @property
    def order(self) -> int:
        if self.initial is None or self.free:
            return 0
        return 1 if self.rate is None else 2

    def __call__(self, output: Array, x: Array, t: Array) -> Array:
        return self.offset(x, t) + self.factor(x, t) * output

    def factor(self, x: Array, t: Array) -> Array:
        """Zero where values are prescribed, about 1 at most, (components,)."""
        factor = jnp.ones(self.size, x.dtype)
        for axis in range(len(self.lower)):
            here = [side for side in self.sides if side.axis == axis]
            if not here:
                continue
            unit = self._unit(x, axis)
            both = np.logical_and.reduce([side.mask for side in here]) & (len(here) == 2)
            for side in here:
                distance = jnp.where(both, 2.0, 1.0) * (1 - unit if side.end else unit)
                factor = factor * jnp.where(jnp.asarray(side.mask), distance, 1.0)
        if self.time is not None and self.order:
            start, end = self.time
            factor = factor * ((t - start) / (end - start)) ** self.order
        return factor

    def offset(self, x: Array, t: Array) -> Array:
        """The prescribed values extended inward, (components,)."""
        value = self._extension(x, t)
        if self.initial is None or self.time is None:
            return value
        start = jnp.asarray(self.time[0], t.dtype)
        before = self._extension(x, start)
        value = value + self.initial(x).reshape(-1) - before
        if self.rate is not None:
            one = jnp.ones_like(start)
            speed = jax.jvp(lambda s: self._extension(x, s), (start,), (one,))[1]
            value = value + (t - start) * (self.rate(x).reshape(-1) - speed)
        return value

    def _unit(self, x: Array, axis: int) -> Array:
        return (x[axis] - self.lower[axis]) / (self.upper[axis] - self.lower[axis])

    def _extension(self, x: Array, t: Array, axis: int | None = None) -> Array:
        """Boolean sum over the axes up to `axis` of linear blends of the sides' values."""
        last = len(self.lower) - 1 if axis is None else axis
        if last < 0 or not self.sides:
            return jnp.zeros(self.size, x.dtype)
        value = self._extension(x, t, last - 1)
        here = [side for side in self.sides if side.axis == last]
        unit = self._unit(x, last)
        for side in here:
            others = [np.asarray(s.mask) for s in here if s is not side]
            opposite = others[0] if others else np.zeros(self.size, bool)
            blend = jnp.where(jnp.asarray(opposite), unit if side.end else 1 - unit, 1.0)
            at = x.at[last].set((self.lower, self.upper)[side.end][last])
            gap = side.value(at, t).reshape(-1) - self._extension(at, t, last - 1)
            value = value + jnp.where(jnp.asarray(side.mask), blend * gap, 0.0)
        return value


@dataclasses.dataclass(frozen=True)
class Hard:
    """Which conditions the trial functions satisfy exactly.

    Attributes:
        shaping: by field. boundary: (part, field) pairs that are exact. initial: fields whose
            initial data (and rate) are exact. notes: why others are not. equations: fields whose
            equation every trial function satisfies.
    """

    shaping: dict[str, Shaping]
    boundary: frozenset[tuple[str, str]]
    initial: frozenset[str]
    notes: tuple[str, ...]
    equations: frozenset[str] = frozenset()


SOFT = Hard({}, frozenset(), frozenset(), ())


def hard_constraints(problem: Problem, names: Any, mode: str = "auto") -> Hard:
    """Exact conditions for the named fields.

    Arguments:
        mode: "soft" for none; "hard" for all of Dirichlet and initial data, an error where that
            is impossible; "auto" for those that are compatible and smooth; "near" for boundary
            data as by "auto", while u = u₀(x) + N, where N at the start is a residual.

    Raises:
        ValueError: an unknown mode, or "hard" where it can't be had, with the reason.
    """
    if mode not in ("auto", "hard", "near", "soft"):
        raise ValueError(f"constraints is 'auto', 'hard', 'near' or 'soft', got {mode!r}")
    if mode == "soft":
        return SOFT
    shaping, boundary, initial, notes = {}, set(), set(), []
    for name in names:
        sides, parts, reason = _hard_sides(problem, name)
        if reason and mode == "hard":
            raise ValueError(f"constraints='hard' for {name!r}: {reason}; use 'auto' or 'soft'")
        starts = name in problem.initial
        for with_sides, with_start in ((True, True), (True, False), (False, True)):
            if (with_sides and not sides) or (with_start and not starts):
                continue
            candidate = _shaping(problem, name, sides if with_sides else (), with_start)
            flaw = _flaw(problem, name, candidate)
            if flaw and mode == "hard":
                raise ValueError(f"constraints='hard' for {name!r}: {flaw}; use 'auto' or 'soft'")
            if not flaw:
                shaping[name] = dataclasses.replace(candidate, free=mode == "near")
                boundary |= {(part, name) for part in parts} if with_sides else set()
                initial |= {name} if with_start and mode != "near" else set()
                break
            notes.append(f"{name}: {flaw}")
        if reason:
            notes.append(f"{name}: {reason}")
    return Hard(shaping, frozenset(boundary), frozenset(initial), tuple(notes))


def _shaping(problem: Problem, name: str, sides, start: bool) -> Shaping:
    low, high = problem.domain.bounds
    return Shaping(
        tuple(low.tolist()),
        tuple(high.tolist()),
        problem.time,
        int(np.prod(problem.shapes[name], dtype=int)),
        tuple(sides),
        problem.initial[name] if start else None,
        problem.initial_rate.get(name) if start else None,
    )


def _hard_sides(problem: Problem, name: str) -> tuple[list[_Side], set[str], str]:
    """Sides of a box on which values can be exact, the parts they cover, and why not others."""
    prescribed = {
        part: conditions[name]
        for part, conditions in problem.conditions.items()
        if name in conditions and conditions[name].any_essential
    }
    if not prescribed:
        return [], set(), ""
    domain = problem.domain
    if not isinstance(domain, Box):
        return [], set(), "values on this kind of boundary are not built into the trial functions"
    if domain.dim > 3:
        return [], set(), "products of distances are too small in more than three dimensions"
    names = domain.boundary_names
    sides, parts, broken = [], set(), set()
    for axis, end in domain.sides:
        on_side = _side_points(domain, axis, end)
        found = {names[i] for i in domain.part_of(on_side, axis, end)} & set(prescribed)
        if len(found) != 1 or len(set(domain.part_of(on_side, axis, end))) > 1:
            broken |= found
            continue
        part = found.pop()
        condition = prescribed[part]
        sides.append(_Side(axis, end, condition.essential, condition.value))
        parts.add(part)
    reason = f"{sorted(broken)} covers only a part of a side" if broken else ""
    kept = parts - broken
    return [s for s in sides if _part(domain, s) in kept], kept, reason


def _side_points(domain: Box, axis: int, end: int) -> np.ndarray:
    low, high = domain.bounds
    unit = np.random.default_rng(0).random((64, domain.dim))
    unit[:, axis] = end
    points = low + unit * (high - low)
    points[:, axis] = (low, high)[end][axis]
    return points


def _part(domain: Box, side: _Side) -> str:
    points = _side_points(domain, side.axis, side.end)[:1]
    return domain.boundary_names[int(domain.part_of(points, side.axis, side.end)[0])]


def _flaw(problem: Problem, name: str, shaping: Shaping) -> str:
    """Why an offset is not what it should be, or ""."""
    data = [d for d in (shaping.initial, shaping.rate) if d is not None]
    # A sum of few waves has no kink, though steep ones look like it between points.
    if not shaping.sides and all(getattr(d.function, "smooth", False) for d in data):
        return ""
    dtype = jnp.result_type(float)
    tolerance = 1e-9 if dtype == jnp.float64 else 1e-5
    sides = [_side_points(problem.domain, s.axis, s.end) for s in shaping.sides]  # type: ignore[arg-type]
    times = np.linspace(*(problem.time or (0.0, 0.0)), _ON_SIDE)
    lines_x, lines_t = _lines(problem)
    x = jnp.asarray(np.concatenate([*sides, lines_x]), dtype)
    t = jnp.asarray(np.concatenate([*[times] * len(sides), lines_t]), dtype)
    offsets, wanted = (np.asarray(v) for v in _evaluated(shaping, x, t))
    for i, side in enumerate(shaping.sides):
        rows = slice(i * _ON_SIDE, (i + 1) * _ON_SIDE)
        gap = np.abs(offsets[rows] - wanted[i, rows])[:, np.asarray(side.mask)]
        if not gap.max() <= tolerance * (1 + np.abs(wanted[i, rows]).max()):
            return "its boundary values disagree at corners, or with the initial data"
    if not _smooth(problem, offsets[len(sides) * _ON_SIDE :]):
        return "its data have a kink or a jump, which every trial function would keep"
    return ""


_ON_SIDE, _COARSE, _LINES = 64, 1024, 2


def _directions(problem: Problem) -> list[int]:
    """Directions of space, and of time as the last."""
    return [*range(problem.dim), *([problem.dim] if problem.time is not None else [])]


def _lines(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Points of lines in each direction, with a spacing h and then with h/2."""
    low, high = problem.domain.bounds
    start, end = problem.time or (0.0, 0.0)
    xs, ts = [], []
    for direction in _directions(problem):
        for count in (_COARSE, 2 * _COARSE):
            # Irrational to the box, so that no kink hides on a grid point.
            s = (np.arange(count) + 0.381966) / count
            for line in range(_LINES):
                unit = np.random.default_rng(line).random(problem.dim)
                x = np.tile(low + unit * (high - low), (count, 1))
                t = np.full(count, start + 0.37 * (end - start))
                if direction < problem.dim:
                    x[:, direction] = low[direction] + s * (high - low)[direction]
                else:
                    t = start + s * (end - start)
                xs.append(x)
                ts.append(t)
    return np.concatenate(xs), np.concatenate(ts)


def _smooth(problem: Problem, values: np.ndarray) -> bool:
    """Whether second differences along `_lines` stay bounded as their spacing is halved."""
    position = 0
    eps = np.finfo(values.dtype).eps
    for direction in _directions(problem):
        curvature = []
        for count in (_COARSE, 2 * _COARSE):
            worst = 0.0
            for _ in range(_LINES):
                line = values[position : position + count]
                position += count
                # Round-off in a second difference is ε·count² of the values.
                noise = 8 * eps * count**2 * (1 + np.abs(line).max())
                if direction < problem.dim and problem.domain.periodic[direction]:
                    line = np.concatenate([line, line[:2]])
                second = np.abs(np.diff(line, 2, axis=0)) * count**2
                worst = max(worst, float(second.max()), float(noise))
            curvature.append(worst)
        if not curvature[1] <= 1.6 * curvature[0] + 1.0:
            return False
    return True


@eqx.filter_jit
def _evaluated(shaping: Shaping, x: Array, t: Array) -> tuple[Array, Array]:
    """The offset, and each side's values, at all points."""
    values = [
        jax.vmap(lambda y, s, side=side: side.value(y, s).reshape(-1))(x, t)
        for side in shaping.sides
    ]
    return jax.vmap(shaping.offset)(x, t), jnp.stack(values) if values else jnp.zeros(0)
