"""One run of one method, isolated: what it raises becomes a row, never the comparison's end."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from pdes import Problem
from physml._folder import append_json, read_jsonl
from physml.compare._memory import PeakMemory
from physml.compare._row import Trial
from physml.compare._yardstick import Yardstick
from solvers import KnownTimes, Method, NotApplicable, Run, Solution
from solvers.output import Lattice, Sample, evaluate

_CURVE = "curve.jsonl"
_LONGEST_MESSAGE = 600
# Seconds of training beside which a certificate is cheap.
_WORTH_IT = 20.0


def run_trial(
    problem: Problem,
    method: Method,
    run: Run,
    where: Lattice,
    times: Any,
    yardstick: Yardstick | None,
    certify: bool | None = False,
) -> Trial:
    """Solves and samples. Exceptions become a failed trial; KeyboardInterrupt passes.

    Arguments:
        certify: estimate the error as well; None does so where it is cheap beside the solve.
    """
    curve: list[tuple[float, float]] = []
    if run.directory is not None:
        file = run.directory / _CURVE
        if run.resume:
            curve += [(float(s), float(e)) for s, e in read_jsonl(file) if e is not None]
        else:
            file.unlink(missing_ok=True)
    if yardstick is not None:
        run = dataclasses.replace(run, monitor=_monitor(yardstick, curve, run.directory))
    start = time.perf_counter()
    try:
        method.check(problem)
        with PeakMemory() as peak:
            solution = method.solve(problem, run)
        wall = time.perf_counter() - start
        times = answered_times(solution.representation, np.asarray(times, float))
        values = evaluate(solution.representation, where.points, times)
    except NotApplicable as error:
        reason = method.inapplicable(problem) or str(error)
        return Trial(run.seed, "skipped", reason)
    except Exception as error:
        wall = time.perf_counter() - start
        return Trial(run.seed, "failed", message_of(error), curve=tuple(curve), wall_seconds=wall)
    values = {name: values[name] for name in problem.shapes if name in values}
    bad = [name for name, value in values.items() if not np.isfinite(value).all()]
    if bad:
        message = f"[not_finite] the field {bad[0]!r} is not finite at some sampled points"
        return Trial(run.seed, "failed", message, curve=tuple(curve), wall_seconds=wall)
    stats = solution.stats
    wanted = wall >= _WORTH_IT if certify is None else certify
    return Trial(
        seed=run.seed,
        status="solved",
        curve=tuple(curve),
        compile_seconds=float(stats.compile_seconds),
        run_seconds=float(stats.run_seconds) or wall - float(stats.compile_seconds),
        wall_seconds=wall,
        unknowns=int(stats.unknowns),
        iterations=int(stats.iterations),
        peak_memory=int(stats.peak_memory) or peak.bytes,
        notes=tuple(str(note) for note in stats.notes),
        certificate=certificate_of(solution) if wanted else None,
        sample=Sample(where, times, problem.steady, values, problem.name, method.name),
    )


def certificate_of(solution: Solution) -> dict[str, Any] | None:
    """The certificate of a solution as plain data, with its effectivity where the exact solution
    is known; where it failed, the message in its place."""
    try:
        found = solution.certify()
    except Exception as error:
        return {
            "kind": "none", "estimate": None, "relative": None, "norm": "", "constant": None,
            "seconds": 0.0, "explanation": message_of(error), "effectivity": None,
        }  # fmt: skip
    problem = solution.problem
    known = found.distance is not None and set(problem.exact) >= set(problem.shapes)
    effectivity = found.effectivity() if known else None
    kept = ("kind", "estimate", "relative", "norm", "constant", "seconds", "explanation")
    out: dict[str, Any] = {name: getattr(found, name) for name in kept}
    finite = effectivity is not None and np.isfinite(effectivity)
    return {**out, "effectivity": effectivity if finite else None}


def answered_times(representation: Any, times: np.ndarray) -> np.ndarray:
    """Those of the times at which a representation answers.

    Raises:
        ValueError: none of them.
    """
    if not isinstance(representation, KnownTimes):
        return times
    known = representation.known_times()
    if known is None:
        return times
    known = np.asarray(known, float)
    span = max(float(np.ptp(times)), 1e-300)
    met = np.abs(times[:, None] - known[None]).min(axis=1) <= 1e-6 * span
    if not met.any():
        listed = np.array2string(known, precision=4, threshold=6)
        raise ValueError(
            f"it answers at the times {listed} only, none of the {len(times)} "
            "compared; choose frames so that some agree"
        )
    return times[met]


def _monitor(yardstick: Yardstick, curve: list[tuple[float, float]], directory: Path | None):
    def monitor(solution: Any, seconds: float) -> None:
        error = yardstick.quick(solution.representation)
        # A resumed run goes back to its checkpoint: what came after that is measured again.
        kept = [point for point in curve if point[0] < seconds]
        if directory is not None and len(kept) < len(curve):
            (directory / _CURVE).unlink(missing_ok=True)
            for point in kept:
                append_json(directory / _CURVE, list(point))
        curve[:] = [*kept, (float(seconds), error)]
        if directory is not None:
            append_json(directory / _CURVE, [float(seconds), error])

    return monitor


def message_of(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split()) or "no message"
    if len(text) > _LONGEST_MESSAGE:
        text = text[:_LONGEST_MESSAGE] + " …"
    return f"{type(error).__name__}: {text}"
