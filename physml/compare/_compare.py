"""compare: every method on one problem, measured on the same points against the same answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from pdes import Problem
from physml._folder import append_json, slug, writable_folder, write_json
from physml._solve import check_limits, check_method, check_problem
from physml.compare._comparison import Comparison
from physml.compare._environment import environment, now
from physml.compare._row import Row, Trial
from physml.compare._statement import statement
from physml.compare._store import (
    describe_method,
    fingerprint,
    forget_trial,
    load_trial,
    problem_fingerprint,
    save_trial,
)
from physml.compare._trial import run_trial
from physml.compare._yardstick import Yardstick, from_exact, from_samples, grid
from solvers import Method, Run, Solution, SolverError
from solvers.output import Lattice, Sample, evaluate


def compare(
    problem: Problem,
    methods: Sequence[Method],
    reference: Method | Solution | None = None,
    *,
    budget: float | None = None,
    steps: int | None = None,
    seeds: Sequence[int] = (0,),
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    resolution: int | None = None,
    frames: int = 41,
    certify: bool | None = None,
) -> Comparison:
    """Solves `problem` by each method and measures the answers on one lattice.

    A method that does not apply is skipped with the reason; one that fails is a row with its
    message; the others go on.

    Arguments:
        reference: what errors are measured against: a method, a solution, or None for the exact
            solution, or where none is known the first numerical method that solves the problem.
            A method's own error is estimated by solving at half the resolution; no method is
            credited below it.
        budget: wall seconds for each neural method, compilation included; None for its own.
        steps: likewise in optimizer steps.
        seeds: neural methods run once for each, the others once.
        out: folder for each method's results, log and checkpoints.
        resume: read finished results back from `out` and go on with the unfinished.
        progress: say on the terminal what runs.
        resolution: number of points in space at which errors are measured.
        frames: number of times, evenly spaced from start to end.
        certify: estimate the error of each neural solution without the reference as well, see
            `Solution.certify`, and show it with its effectivity. By default where training took
            long enough for it to be cheap, 20 s.

    Raises:
        TypeError, ValueError: arguments of another kind or out of range.
        OSError: `out` can't be written.
        SolverError: the reference that was named does not solve the problem.
    """
    _check(problem, methods, reference, budget, steps, seeds, resolution, frames)
    if resume and out is None:
        raise ValueError("resume=True needs out=…, the folder with the results so far")
    folder = None if out is None else writable_folder(out)
    where, times = grid(problem, resolution, frames)
    job = _Job(
        problem, where, times, budget, steps, tuple(seeds), folder, resume, progress, certify
    )
    job.open(methods)
    yardstick, labelled, used = _find_yardstick(job, methods, reference)
    rows = tuple(job.row(label, method, yardstick, method is used) for label, method in labelled)
    return Comparison(
        problem=statement(problem),
        rows=rows,
        yardstick=yardstick,
        environment=environment(),
        settings={
            "budget": budget,
            "steps": steps,
            "seeds": list(seeds),
            "points": int(where.inside.sum()),
            "times": len(times),
            "created": now(),
        },
    )


def _check(problem, methods, reference, budget, steps, seeds, resolution, frames) -> None:
    check_problem(problem)
    if isinstance(methods, Method) or not isinstance(methods, Sequence) or len(methods) == 0:
        raise TypeError(
            f"methods is a list such as [pm.FiniteElement(), pm.PINN()], got {methods!r}"
        )
    for method in methods:
        check_method(method)
    if reference is not None and not isinstance(reference, Solution):
        check_method(reference)
    check_limits(budget, steps)
    whole = all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds)
    if len(seeds) == 0 or not whole or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are different whole numbers ≥ 0, at least one, got {seeds!r}")
    if resolution is not None and (not isinstance(resolution, int) or resolution < 5):
        raise ValueError(f"resolution is a number of points, at least 5, got {resolution!r}")
    if not isinstance(frames, int) or frames < 2:
        raise ValueError(f"frames is a number of times, at least 2, got {frames!r}")


def labels(methods: Sequence[Method]) -> list[tuple[str, Method]]:
    """Each method with a name of its own: a repeated one is numbered."""
    out: list[tuple[str, Method]] = []
    counts: dict[str, int] = {}
    for method in methods:
        counts[method.name] = counts.get(method.name, 0) + 1
        n = counts[method.name]
        out.append((method.name if n == 1 else f"{method.name} ({n})", method))
    return out


@dataclasses.dataclass
class _Job:
    """What all trials of one comparison share."""

    problem: Problem
    where: Lattice
    times: Any
    budget: float | None
    steps: int | None
    seeds: tuple[int, ...]
    folder: Path | None
    resume: bool
    progress: bool
    certify: bool | None = None

    def open(self, methods: Sequence[Method]) -> None:
        """Writes what the folder is for, or checks it when resuming.

        Raises:
            ValueError: the folder holds results of another problem.
        """
        if self.folder is None:
            return
        digest = problem_fingerprint(self.problem)
        file = self.folder / "problem.json"
        if self.resume and file.is_file():
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept.get("fingerprint") != digest:
                raise ValueError(
                    f"{str(self.folder)!r} holds results of another problem "
                    f"({kept.get('name')!r}, not this {self.problem.name!r}); "
                    "choose another folder, or start afresh without resume"
                )
        write_json(file, {"name": self.problem.name, "fingerprint": digest})

    def say(self, text: str) -> None:
        if self.progress:
            from rich.console import Console

            Console().print(text, highlight=False)

    def log(self, event: str, **data: Any) -> None:
        if self.folder is not None:
            append_json(self.folder / "log.jsonl", {"date": now(), "event": event, **data})

    def trial(
        self, label: str, method: Method, seed: int, yardstick: Yardstick | None, monitor: bool
    ) -> Trial:
        """One run, or its result from disk. `monitor`: record the curve of an iterative method."""
        place = None
        digest = fingerprint(
            describe_method(method), seed, self.budget if method.neural else None,
            self.steps if method.neural else None, len(self.times), int(self.where.inside.sum()),
            str(jnp.result_type(float)),
        )  # fmt: skip
        if self.folder is not None:
            place = self.folder / "methods" / slug(label) / f"seed{seed}"
            if self.resume:
                kept = load_trial(place, digest)
                if kept is not None:
                    self.say(f"[dim]{label}: read back from {place}[/dim]")
                    return kept
            place.mkdir(parents=True, exist_ok=True)
            forget_trial(place)
        run = Run(
            seed=seed,
            budget=self.budget if method.neural else None,
            steps=self.steps if method.neural else None,
            directory=place,
            resume=self.resume,
            progress=self.progress,
        )
        self.log("start", method=label, seed=seed)
        note = f", seed {seed}" if method.neural and len(self.seeds) > 1 else ""
        limit = f" (budget {self.budget:g} s)" if method.neural and self.budget else ""
        self.say(f"[bold]{label}[/bold]{note}{limit} …")
        trial = run_trial(
            self.problem,
            method,
            run,
            self.where,
            self.times,
            yardstick if monitor else None,
            self.certify if method.neural else False,
        )
        if place is not None:
            save_trial(place, trial, digest)
        self.log("end", method=label, seed=seed, status=trial.status, message=trial.message)
        return trial

    def row(self, label: str, method: Method, yardstick: Yardstick | None, used: bool) -> Row:
        """All trials of one method, with errors. `used`: it is the reference itself."""
        seeds = self.seeds if method.neural else self.seeds[:1]
        trials = []
        for seed in seeds:
            if used and yardstick is not None and yardstick.trial is not None:
                trial = yardstick.trial
            else:
                trial = self.trial(label, method, seed, yardstick, monitor=method.neural)
            if trial.sample is not None and yardstick is not None:
                trial = dataclasses.replace(trial, errors=yardstick.errors(trial.sample))
            self.say(f"  {_outcome(trial)}")
            trials.append(trial)
        return Row(label, describe_method(method), method.neural, tuple(trials), used)


def _outcome(trial: Trial) -> str:
    if trial.status == "solved":
        error = f"relative L2 error {trial.l2:.2e}, " if trial.errors else ""
        return f"[green]solved[/green] {error}{trial.wall_seconds:.1f} s"
    colour = "yellow" if trial.status == "skipped" else "red"
    return f"[{colour}]{trial.status}[/{colour}] {_escape(trial.message)}"


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _find_yardstick(
    job: _Job, methods: Sequence[Method], reference: Method | Solution | None
) -> tuple[Yardstick | None, list[tuple[str, Method]], Method | None]:
    """The yardstick, the methods with labels, and which of them is the reference."""
    labelled = labels(methods)
    if reference is None and job.problem.exact:
        return from_exact(job.problem, job.where, job.times), labelled, None
    if isinstance(reference, Solution):
        if reference.problem.domain.dim != job.problem.dim or set(reference.problem.shapes) != set(
            job.problem.shapes
        ):
            raise ValueError(
                f"the reference solves {reference.problem.name!r}, whose fields or dimension "
                f"differ from those of {job.problem.name!r}"
            )
        values = evaluate(reference.representation, job.where.points, job.times)
        name = getattr(reference.method, "name", "a given solution")
        taken = Sample(job.where, job.times, job.problem.steady, values, job.problem.name, name)
        return from_samples(taken, None), labelled, None
    from physml.surrogates import Surrogate

    candidates = labelled if reference is None else _with_reference(labelled, reference)
    for label, method in candidates:
        trained = method.neural or isinstance(method, Surrogate)
        if reference is None and (trained or method.inapplicable(job.problem)):
            continue
        job.say(f"reference: {label}")
        trial = job.trial(label, method, job.seeds[0], None, monitor=False)
        if trial.sample is not None:
            used = next((m for _, m in labelled if m is method), None)
            return _from_trial(job, label, method, trial), labelled, used
        if reference is not None:
            raise SolverError("reference_failed", f"the reference {label}: {trial.message}")
    return None, labelled, None


def _with_reference(labelled, reference: Method) -> list[tuple[str, Method]]:
    """The reference under the label it has in the list, or one of its own."""
    for label, method in labelled:
        if method is reference or describe_method(method) == describe_method(reference):
            return [(label, method)]
    return [(f"{reference.name}, reference", reference)]


def _from_trial(job: _Job, label: str, method: Method, trial: Trial) -> Yardstick:
    coarser = method.refined(0.5)
    coarse = None
    if coarser is not None and coarser.inapplicable(job.problem) is None:
        coarse = job.trial(f"{label}, half resolution", coarser, job.seeds[0], None, monitor=False)
    assert trial.sample is not None
    seconds = trial.wall_seconds + (coarse.wall_seconds if coarse else 0.0)
    yardstick = from_samples(trial.sample, coarse.sample if coarse else None, seconds)
    return dataclasses.replace(yardstick, trial=trial)
