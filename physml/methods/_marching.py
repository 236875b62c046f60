"""Slabs of time as long as the residual allows, and as many waves as it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pdes import Problem
from pdes._window import window
from physml.methods._handover import handover, start_series
from physml.methods._stages import Watch, seconds_left, solve_stage, stage_folder
from physml.methods._time_slabs import joined
from solvers import Method, Run, Solution, SolverError, Stats

# The first slab, of the interval; later ones follow the estimates.
_FIRST = 1 / 16
# Of a slab's length: at most and at least that of the next.
_LONGER, _SHORTER, _CAUTION = 4.0, 0.1, 0.8
# Of the interval: where slabs are shorter, time is not what is missing.
_SHORTEST = 1e-5
# Relative to the fields: what training leaves of a slab, however short.
_ROUND_OFF = {"float64": 3e-11, "float32": 1e-4}
# Training of a slab ends at this part of what it may leave.
_BELOW = 0.3
# Weight of the residual at an end of a slab, where a smooth one is three to five times its mean.
_AT_AN_END = 1 / 8
# Part of the error that waves without a test may make.
_OF_WAVES = 0.1
# Of a length to the next, once the best has been passed.
_STRIDE = 1.4
# Steps that a slab takes as long as, without its own.
_BESIDES = 6
# Of the work: what is no more than the problem's own change, and what is much.
_WORSE, _FALLS = 1.1, 0.8
# Steps of a slab's training: one that needs more is too long.
_STEPS = 15
# Relative to the fields: an error that may be round-off, where shorter slabs do not help.
_NOISE = 1e-10
# Slabs of the shortest length, one after the other, that do not hold.
_HOPELESS = 5


class March:
    """Trains one slab after the other, and chooses the length of each.

    Of a relative error `accuracy` a slab may leave the part that its length is of the interval, by
    the estimate of its own residual. One that leaves more is trained again at a shorter length, or
    with more waves where those without a test miss.

    Arguments:
        outer: the method that asks. inner: (harmonics, target loss) -> the method of one slab. Its
            solutions have "dual_norm", "untested" and "size" in `stats.extra`.
        harmonics: the numbers of waves to try, in turn. order: of the error in a slab's length.
        dtype: of the training.
    """

    def __init__(
        self,
        outer: Method,
        inner: Callable[[int, float], Any],
        harmonics: Sequence[int],
        order: int,
        accuracy: float,
        dtype: str,
    ):
        self.round_off = _ROUND_OFF[dtype]
        self.outer, self.inner, self.harmonics = outer, inner, tuple(harmonics)
        self.order, self.accuracy = order, accuracy

    def solve(self, problem: Problem, run: Run) -> Solution:
        """The slabs, joined; `stats.notes` says where they miss the accuracy or the end.

        Raises:
            SolverError: the loss of the shortest slab is not finite.
        """
        assert problem.time is not None
        start, end = problem.time
        whole = end - start
        way = _Way(problem, run, self.outer, Watch(), edges=[start])
        length, shortened, hopeless, pace = whole * _FIRST, False, 0, _Pace()
        # Of the error to the length: what the functions of time leave by their own round-off.
        noise, before, longest = 0.0, np.inf, 0.0
        level, state = self._first(way)
        while way.now < end:
            allowed = float(max(self.accuracy * length / whole, self.round_off, noise * length))
            goal = max(_BELOW * allowed, min(1.2 * noise * length, allowed))
            method = self.inner(self.harmonics[level], way.squared(goal))
            slab = window(problem, way.now, length, *state, unit=True)
            shortest = _SHORTEST * whole
            solution = way.trained(method, slab, length, last=length <= shortest)
            if way.ended:
                break
            missed, unseen = (np.inf, 0.0) if solution is None else way.misses(solution)
            shorter = max(min(self._next(length, allowed, missed), 0.5 * length), shortest)
            # Of a smooth solution the error falls by a high power of the length: what falls no
            # faster than the length itself, and is small, is round-off.
            steady = length < _CAUTION * longest and missed > 0.5 * length * before
            if steady and missed < _NOISE and not _at_target(solution):
                noise = max(noise, missed / length)
                allowed = max(allowed, missed)
            before, longest = missed / length, length
            if missed > 2 * allowed and length > shortest:
                shortened, length = True, shorter
                continue
            assert solution is not None
            # Waves that are left out are missing in each slab anew, and not carried on. What the
            # start leaves out is lost already: the first slab need not be so much better.
            enough = _OF_WAVES * max(self.accuracy, 0.0 if way.done else way.missing)
            if unseen > enough and level + 1 < len(self.harmonics):
                level += 1
                state = self._state(way, level)
                continue
            way.take(solution, length)
            hopeless = hopeless + 1 if missed > 2 * allowed and length <= shortest else 0
            if hopeless == _HOPELESS:
                way.why = f"slabs of {length:.1e} no longer hold, as where a solution blows up"
                break
            factor = pace.after(length, solution.stats, shortened, length <= shortest)
            shortened = False
            if way.now < end:
                state = self._state(way, level)
                # An error that ended at what is allowed, or is round-off, and not what the
                # functions of time can't follow, says little of the length that would hold.
                said_little = _at_target(solution) or missed < 2 * noise * length
                most = max(self._next(length, allowed, missed), 2 * length * said_little)
                longer = min(most, factor * length)
                # What is left in equal parts: no last one that is much shorter.
                left = end - way.now
                length = max(left / max(np.ceil(left / longer - 1e-9), 1.0), shortest)
        return way.joined(self.accuracy)

    def _state(self, way: _Way, level: int) -> tuple[Any, Any]:
        waves = self.harmonics[level]
        return way.state(self.inner(waves, 0.0).state_terms, waves)

    def _first(self, way: _Way) -> tuple[int, tuple[Any, Any]]:
        """The fewest waves that have the initial data; of data that none have, the middle ones."""
        for level in range(len(self.harmonics)):
            way.terms = 0
            state = self._state(way, level)
            if way.missing <= self.accuracy:
                return level, state
        level, way.terms = len(self.harmonics) // 2, 0
        return level, self._state(way, level)

    def _next(self, length: float, allowed: float, missed: float) -> float:
        """The length that leaves what is allowed, which is in proportion to the length itself."""
        ratio = (allowed / max(missed, 1e-300)) ** (1 / (self.order - 1))
        return length * float(np.clip(_CAUTION * ratio, _SHORTER, _LONGER))


def _at_target(solution: Solution | None) -> bool:
    return solution is not None and solution.stats.extra["status"] == "target"


class _Pace:
    """The length of least work for the time: it is sought on the way.

    Longer slabs are fewer, but their steps are more, and take more products where waves travel far
    in a slab. The length goes on to grow, or to shrink, as long as the work for a unit of time
    falls. By what is counted, not by the clock: a run is the same on every machine.
    """

    def __init__(self):
        self.factor, self.work = 2.0, np.inf

    def after(self, length: float, stats: Stats, shortened: bool, least: bool) -> float:
        """The factor to the next length, after one that was `shortened`, or the `least`."""
        # A slab takes as long as some of its steps besides: to hand over, to set up, to judge.
        work = stats.extra["evaluations"] * (1 + _BESIDES / max(stats.iterations, 1)) / length
        if shortened or work > _WORSE * self.work:
            self.factor = _STRIDE if self.factor < 1 else 1 / _STRIDE
        elif least or (self.factor > 1 and work < _FALLS * self.work):
            # Far from the best, as after a moment that asked for short slabs.
            self.factor = 2.0
        self.work = work
        # What was too long a moment ago is not tried again at once.
        return min(self.factor, 1.0) if shortened else self.factor


@dataclasses.dataclass
class _Way:
    """What the march has behind it: slabs that hold, and those that were tried in vain."""

    problem: Problem
    run: Run
    outer: Method
    watch: Watch
    edges: list[float]
    done: list[Solution] = dataclasses.field(default_factory=list)
    tried: list[Solution] = dataclasses.field(default_factory=list)
    sizes: dict[str, float] = dataclasses.field(default_factory=dict)
    terms: int = 0
    attempts: int = 0
    missing: float = 0.0
    ended: bool = False
    why: str = ""

    def state(self, terms: int, waves: int) -> tuple[Any, Any]:
        """Initial data and rates of the next slab, by series of as many terms at least.

        Of the start by no more than `waves`, which the slab has as well.
        """
        self.terms = max(self.terms, terms)
        if self.done:
            last, pace = self.done[-1].representation, self.edges[-1] - self.edges[-2]
            *state, self.terms = handover(self.problem, last, 1.0, self.terms, pace)
        else:
            *state, self.terms, self.missing = start_series(self.problem, self.terms, waves)
            sizes = {n: part.mean_square() ** 0.5 for n, part in state[0].items()}
            self.sizes = {n: size for n, size in sizes.items() if size > 0}
        return state[0], state[1]

    def squared(self, relative: float) -> float:
        """The square of a part of the smallest field, or 0 before any is known."""
        return float((relative * min(self.sizes.values())) ** 2) if self.sizes else 0.0

    @property
    def now(self) -> float:
        return self.edges[-1]

    @property
    def end(self) -> float:
        assert self.problem.time is not None
        return self.problem.time[1]

    def trained(self, method: Any, slab: Problem, length: float, last: bool) -> Solution | None:
        """A slab's solution; None where the run has ended, or its loss is not finite.

        Raises:
            SolverError: as the slab's training, in the `last` attempt; and what is no matter of its
                length.
        """
        left = seconds_left(self.outer, self.run, self.watch)
        steps = _STEPS
        if self.run.steps is not None:
            steps = min(_STEPS, self.run.steps - sum(s.stats.iterations for s in self.tried))
        if steps < 1 or (left is not None and left < _MOMENT and self.tried):
            self.ended = True
            return None
        own = dataclasses.replace(
            self.run,
            budget=left,
            steps=steps,
            directory=stage_folder(self.run, f"slab-{self.attempts:04d}"),
            monitor=None if self.run.monitor is None else self.watch.aside(self._monitor(length)),
        )
        self.attempts += 1

        def cut(solution: Solution) -> bool:
            status = solution.stats.extra["status"]
            return status == "seconds" or (status == "steps" and steps < _STEPS)

        try:
            solution = solve_stage(method, slab, own, keep=lambda s: not cut(s))
            if not np.isfinite(self.misses(solution)).all():
                raise SolverError("not_finite", "the residual of a slab is not finite")
        except SolverError as error:
            if last or error.reason != "not_finite":
                raise
            return None
        self.tried.append(solution)
        if cut(solution):
            self.ended = True
            if not self.done or self.misses(solution)[0] <= _LARGE:
                self.take(solution, length)
            return None
        return solution

    def misses(self, solution: Solution) -> tuple[float, float]:
        """What the residual says of the error, by waves with a test and by others.

        The largest of the fields, each relative to the root mean square that it has had.
        """
        extra = solution.stats.extra
        sizes = self._largest(solution)
        most = max(sizes.values())
        seen = {}
        for name, value in extra["dual_norm"].items():
            # A source that sets in between the times that were trained shows at an end. So does
            # what waves without a test make, at all times.
            last = _AT_AN_END * extra["at_the_ends"][name]
            seen[name] = max(value, last if last > extra["untested"][name] else 0.0)
        found = []
        for misses in (seen, extra["untested"]):
            # Of a field that is nothing but round-off, the others tell the size.
            relative = [
                float(misses[n]) / max(size, 1e-8 * most, 1e-300) for n, size in sizes.items()
            ]
            found.append(float(np.max(relative)))
        return found[0], found[1]

    def _largest(self, solution: Solution) -> dict[str, float]:
        sizes = solution.stats.extra["size"]
        return {n: max(float(size), self.sizes.get(n, 0.0)) for n, size in sizes.items()}

    def take(self, solution: Solution, length: float) -> None:
        self.sizes = self._largest(solution)
        self.done.append(solution)
        # To the end itself, without round-off.
        left = self.end - self.now - length
        self.edges.append(self.end if left < 1e-9 * self.end_to_end else self.now + length)

    @property
    def end_to_end(self) -> float:
        return self.end - self.edges[0]

    def _monitor(self, length: float) -> Callable:
        """Reports the slabs so far as one solution."""
        report, before, edges = self.run.monitor, tuple(self.done), tuple(self.edges)
        spent = sum(s.stats.run_seconds for s in self.tried)
        assert report is not None

        def monitor(current: Solution, seconds: float) -> None:
            ends = np.array([*edges, edges[-1] + length])
            so_far = joined(self.problem, self.outer, ends, [*before, current], unit=True)
            report(so_far, spent + seconds)

        return monitor

    def joined(self, accuracy: float) -> Solution:
        found = joined(self.problem, self.outer, np.array(self.edges), self.done, unit=True)
        stats = found.stats
        lengths = np.diff(self.edges)
        notes = [
            f"{len(lengths)} slab{'s' * (len(lengths) > 1)} of time by the residual, of lengths "
            f"{lengths.min():.2g} to {lengths.max():.2g}; {len(self.tried) - len(lengths)} tried "
            "again, shorter or with more waves"
        ]
        if self.now < self.end:
            limit = "steps" if self.run.steps is not None and self.run.budget is None else "budget"
            why = self.why or f"the {limit} ended there; give more"
            notes.append(
                f"NOT SOLVED beyond t = {self.now:.4g} of {self.end:.4g}, where the last state is "
                f"kept: {why}"
            )
        if self.missing > accuracy:
            notes.append(
                "LESS ACCURATE at the start than asked for: waves beyond those of the first slab "
                f"are left out, {self.missing:.1e} of its size; raise harmonics, or take another "
                "method where the data have a jump"
            )
        missed, unseen = self._in_all()
        if missed + unseen > 2 * accuracy:
            notes.append(
                f"LESS ACCURATE than asked for: the residual says {missed + unseen:.1e} of the "
                f"size, asked {accuracy:.1e}; "
                + ("raise harmonics" if unseen > missed else "the data may be rough in time")
            )
        stats = dataclasses.replace(
            stats,
            run_seconds=sum(s.stats.run_seconds for s in self.tried),
            compile_seconds=sum(s.stats.compile_seconds for s in self.tried),
            iterations=sum(s.stats.iterations for s in self.tried),
            notes=(*stats.notes, *notes),
            extra=stats.extra
            | {
                "edges": [float(t) for t in self.edges],
                # These are not carried on.
                "untested": {
                    n: max(s.stats.extra["untested"][n] for s in self.done)
                    for n in stats.extra["untested"]
                },
            },
        )
        return dataclasses.replace(found, stats=stats)

    def _in_all(self) -> tuple[float, float]:
        """The estimates of all slabs, relative: in sum of what is carried on; the largest."""
        each = [self.misses(s) for s in self.done]
        return sum(m for m, _ in each), max(u for _, u in each)


# Seconds, relative error: with less left, or an error so large, a slab that was cut off is not
# taken.
_MOMENT, _LARGE = 0.01, 1e-2
