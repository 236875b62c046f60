"""Time slabs: a neural method on one slab of time after the other, each started from the last."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._window import window
from physml.methods._handover import FEWEST, handover
from physml.methods._stages import (
    Watch,
    check_inner,
    joined_stats,
    seconds_left,
    share,
    solve_stage,
    stage_folder,
    warm_started,
)
from solvers import Method, Representation, Run, Solution, Stats


class TimeSlabs(Method):
    """The time interval in `count` equal slabs, solved one after the other (time marching).

    Each slab is a problem of its own, whose initial data are the state (and rate) at the end of the
    one before, and whose network starts from the one before. Information then travels forward in
    time as in the equation, and each network has little to represent. The solution is piecewise in
    time, one function everywhere: continuous at the edges where initial data hold exactly.

    Arguments:
        method: a neural method such as `PINN`. count: number of slabs.
        warm: start each network from the one before (methods of one network).

    The steps are shared evenly by the slabs. Of the budget, slab k of n may use what is left until
    k/n of it: time that earlier slabs left over is there for the next one that needs it (for a
    program to be compiled, or a front that forms). After a delay, what is left is shared evenly. A
    run with a directory keeps the finished slabs there, so that `resume` goes on in the slab that
    was interrupted.

    `stats.extra["slabs"]` has the loss, the steps and the outcome of each. Since errors are carried
    on, `stats.notes` says which slabs were cut off far from where others ended, and which have a
    warning of their own; estimates by slab (`SpectralPINN`) are added up over the slabs.

    Sources: Wight and Zhao (2021); Krishnapriyan et al. (2021), sequence-to-sequence learning.

    Raises:
        NotApplicable: a steady problem, or where `method` is.
        ValueError: fewer than two slabs, or a method that trains nothing.
    """

    method: Method
    count: int = eqx.field(static=True, default=10)
    warm: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        check_inner("TimeSlabs", self.method)
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 2:
            raise ValueError(f"TimeSlabs needs a whole number of slabs ≥ 2, got {self.count!r}")

    @property
    def name(self) -> str:
        return f"{self.method.name}, {self.count} slabs"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        if problem.time is None:
            return f"it is steady and has no time to cut into slabs; use {self.method.name} alone"
        return self.method.inapplicable(problem)

    def discretize(self, problem: Problem) -> Any:
        """The set-up of the first slab."""
        self.check(problem)
        edges = self._edges(problem)
        return self.method.discretize(window(problem, edges[0], _length(edges)))

    def _edges(self, problem: Problem) -> np.ndarray:
        assert problem.time is not None
        return np.linspace(*problem.time, self.count + 1)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        self.check(problem)
        watch = Watch()
        edges = self._edges(problem)
        length = _length(edges)
        done: list[Solution] = []
        # Of the most that a method's own series may leave, or each longer one would be compiled.
        method, terms = self.method, getattr(self.method, "state_terms", FEWEST)
        for k in range(self.count):
            data, rates = None, None
            if done:
                data, rates, terms = handover(problem, done[-1].representation, length, terms)
            slab = window(problem, edges[k], length, data, rates)
            own = self._run(run, k, watch, done, problem, edges)
            done.append(solve_stage(method, slab, own))
            if self.warm:
                method = warm_started(method, done[-1])
        return joined(problem, self, edges, done)

    def _run(self, run: Run, k: int, watch: Watch, done, problem: Problem, edges) -> Run:
        """What the k-th slab may use, and where it keeps its files."""
        steps = None if run.steps is None else share(run.steps, self.count)[k]
        left = seconds_left(self.method, run, watch)
        budget = None if left is None else slab_budget(left, watch.seconds, k, self.count)
        return dataclasses.replace(
            run,
            budget=budget,
            steps=steps,
            directory=stage_folder(run, f"slab-{k:03d}"),
            monitor=None
            if run.monitor is None
            else watch.aside(self._monitor(run, done, problem, edges)),
        )

    def _monitor(self, run: Run, done, problem: Problem, edges) -> Callable:
        """Reports the slabs so far as one solution."""
        report, before = run.monitor, tuple(done)
        spent = sum(s.stats.run_seconds for s in before)
        assert report is not None

        def monitor(current: Solution, seconds: float) -> None:
            report(joined(problem, self, edges, [*before, current]), spent + seconds)

        return monitor


def slab_budget(left: float, spent: float, k: int, count: int) -> float:
    """Seconds of the k-th slab, from 0: to its end in an even schedule, or its part of the rest."""
    rest = count - k
    return max(left - (left + spent) * (rest - 1) / count, left / rest)


def _length(edges: np.ndarray) -> float:
    """Of a slab, without round-off, since slabs of another length are another compiled program."""
    return float(f"{edges[1] - edges[0]:.14g}")


# Slabs that are all evaluated at each point; and, where they are more, the points that are taken
# at once, each with its slab's parameters.
_FEW, _COPIES = 4, 2048
_LATER = 1e-6


class SlabFields(Representation):
    """Fields by the slab in which t lies; before the first and after the last by these.

    `groups` are representations of one structure in a row, stacked on a leading axis. Slab k holds
    on [edges[k], edges[k + 1]) in its own clock: t − edges[k], or of unit slabs the part of the
    slab that has passed; those keep the last state afterwards.
    """

    groups: tuple[Any, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    edges: Array
    unit: bool = eqx.field(static=True, default=False)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        edges = self.edges.astype(t.dtype)
        inside = jnp.sum(t >= edges[1:-1])
        total, first = None, 0
        for group, size in zip(self.groups, self.sizes, strict=True):
            total = self._add(total, group, first, size, inside, x, t, edges)
            first += size
        assert total is not None
        return total

    def _add(self, total, group, first, size, inside, x, t, edges) -> dict[str, Array]:
        arrays, static = eqx.partition(group, eqx.is_array)

        def at(slab: Any, k: Any) -> dict[str, Array]:
            # Elsewhere a slab is asked at its start, where it is finite, and left out.
            clock = jnp.where(inside == k, t - edges[k], 0.0)
            if self.unit:
                clock = clock / (edges[k + 1] - edges[k])
                # At the end itself round-off is no later time: rates there are those of the slab.
                clock = jnp.where(clock > 1 + _LATER, 1.0, clock)
            return eqx.combine(slab, static).values(x, clock)

        def add(total: Any, this: Any) -> Any:
            slab, k = this
            values = at(slab, k)
            if total is None:
                total = jax.tree.map(jnp.zeros_like, values)
            return {n: jnp.where(inside == k, v, total[n]) for n, v in values.items()}, None

        if size > _FEW:
            # Each point takes a copy of its slab's parameters, and evaluates it alone.
            k = jnp.clip(inside, first, first + size - 1)
            return add(total, (jax.tree.map(lambda a: a[k - first], arrays), k))[0]
        if total is None:
            shapes = jax.eval_shape(at, jax.tree.map(lambda a: a[0], arrays), 0)
            total = {n: jnp.zeros(s.shape, s.dtype) for n, s in shapes.items()}
        return jax.lax.scan(add, total, (arrays, first + jnp.arange(size)))[0]

    @property
    def at_once(self) -> int | None:
        return _COPIES if max(self.sizes) > _FEW else None

    def frames(self) -> Array | None:
        return None


def joined(
    problem: Problem,
    method: Method,
    edges: np.ndarray,
    done: list[Solution],
    unit: bool = False,
) -> Solution:
    """One solution of all slabs so far; a time that none has reached is given the last.

    With `unit` each slab has the clock of a unit window, and the last state is kept at later times.
    """
    groups, sizes = _grouped([s.representation for s in done])
    fields = SlabFields(groups, sizes, jnp.asarray(edges[: len(done) + 1]), unit)
    stats = [s.stats for s in done]
    total = joined_stats(stats, "slabs", sum(s.unknowns for s in stats))
    total = dataclasses.replace(
        total,
        notes=(*_notes_by_slab(stats), *_cut_off(stats)),
        extra=total.extra | _added_up(stats),
    )
    return Solution(problem, fields, method, total, tuple(s.parameters for s in done))


def _notes_by_slab(stats: list[Stats]) -> list[str]:
    """The notes: those of all slabs as they are, of others the first of a kind and its slabs."""
    everywhere = set.intersection(*(set(s.notes) for s in stats))
    kinds: dict[str, tuple[str, list[int]]] = {}
    for k, slab in enumerate(stats, start=1):
        for note in dict.fromkeys(slab.notes):
            # What differs from slab to slab is its numbers.
            kind = note if note in everywhere else re.sub(r"\d[\d.e+-]*", "0", note)
            kinds.setdefault(kind, (note, []))[1].append(k)
    return [
        note if note in everywhere else f"{_slabs(which, len(stats))}: {note}"
        for note, which in kinds.values()
    ]


def _slabs(which: list[int], count: int) -> str:
    """Names of slabs, counted from 1."""
    if len(which) == 1:
        return f"slab {which[0]} of {count}"
    if len(which) == count:
        return f"each slab, such as 1 of {count}"
    if len(which) > _NAMED:
        shown = ", ".join(map(str, which[:_NAMED]))
        return f"slabs {shown}, … ({len(which)} of {count})"
    return f"slabs {', '.join(map(str, which[:-1]))} and {which[-1]} of {count}"


_NAMED = 5
# Times the middle loss of all slabs: far from where the others ended.
_FAR = 1e3


def _cut_off(stats: list[Stats]) -> list[str]:
    """A note of slabs whose budget ended far from where the others did."""
    losses = np.array([s.extra.get("loss", np.nan) for s in stats])
    if len(stats) < 3 or not np.isfinite(losses).all():
        return []
    middle = float(np.median(losses))
    ended = [s.extra.get("status") in ("seconds", "steps") for s in stats]
    far = [k for k, loss in enumerate(losses) if ended[k] and loss > _FAR * middle]
    if not far:
        return []
    worst = max(far, key=lambda k: losses[k])
    return [
        f"NOT CONVERGED in {_slabs([k + 1 for k in far], len(stats))}: the budget ended at a loss "
        f"of {losses[worst]:.1e} in slab {worst + 1}, the middle one is {middle:.1e}, and the "
        "error is carried on; give more time, or shorter slabs"
    ]


def _added_up(stats: list[Stats]) -> dict[str, Any]:
    """Estimates of the error that slabs have each by field, in sum, as one carries it to the next.

    What the equation damps or amplifies on the way they do not know.
    """
    found: dict[str, Any] = {}
    for label in ("dual_norm", "untested"):
        if all(label in s.extra for s in stats):
            fields = stats[-1].extra[label]
            found[label] = {n: sum(float(s.extra[label][n]) for s in stats) for n in fields}
    return found


def _grouped(parts: list[Representation]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Neighbours of one structure stacked, so that they are evaluated by one loop."""
    groups: list[list[Any]] = []
    for part in parts:
        if groups and _alike(groups[-1][-1], part):
            groups[-1].append(part)
        else:
            groups.append([part])
    stacked = tuple(_stack(group) for group in groups)
    return stacked, tuple(len(group) for group in groups)


def _alike(a: Any, b: Any) -> bool:
    (x, p), (y, q) = (eqx.partition(node, eqx.is_array) for node in (a, b))
    if jax.tree.structure(x) != jax.tree.structure(y) or not eqx.tree_equal(p, q):
        return False
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)
    return all(u.shape == v.shape and u.dtype == v.dtype for u, v in pairs)


def _stack(group: list[Any]) -> Any:
    arrays = [eqx.partition(part, eqx.is_array)[0] for part in group]
    static = eqx.partition(group[0], eqx.is_array)[1]
    # By NumPy: JAX would compile each stack anew for every number of slabs.
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *arrays)
    return eqx.combine(stacked, static)
