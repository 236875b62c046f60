"""What methods of several stages share: a network that starts from another, files that tell what
is finished, parts of a budget.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdes import Problem
from physml.losses import Trial
from physml.methods._neural import NeuralFields, fingerprint
from physml.training._checkpoint import CheckpointError, load, prepare_folder, restore, save
from solvers import Method, Run, Solution, Stats


def check_inner(outer: str, method: Any) -> None:
    """Raises ValueError for anything but a neural method."""
    if not isinstance(method, Method) or not method.neural:
        raise ValueError(
            f"{outer} takes a neural method such as pm.PINN(), got "
            f"{getattr(method, 'name', method)!r}, which trains nothing"
        )


def warm_started(method: Any, solution: Solution) -> Any:
    """The method with the trained network of a solution as its network.

    Methods of several networks, which take a factory, are given back as they are.
    """
    fields = solution.representation
    if isinstance(fields, NeuralFields) and isinstance(fields.trial, Trial):
        return dataclasses.replace(method, network=fields.network)
    return method


def share(total: int, parts: int) -> list[int]:
    """A whole number in nearly equal parts, each at least 1."""
    return [max((k + 1) * total // parts - k * total // parts, 1) for k in range(parts)]


class Watch:
    """Seconds since it was made, without those that monitors took: they are not the method's."""

    def __init__(self):
        self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._since

    def aside(self, monitor: Callable[..., None]) -> Callable[..., None]:
        """The monitor, its own time left out."""

        def timed(*args: Any) -> None:
            start = time.perf_counter()
            monitor(*args)
            self._since += time.perf_counter() - start

        return timed


def seconds_left(method: Any, run: Run, watch: Watch) -> float | None:
    """What is left of a run's budget, or of the method's own; None where steps end it."""
    budget = run.budget
    if budget is None and run.steps is None:
        budget = getattr(method, "seconds", None)
    return None if budget is None else max(budget - watch.seconds, 1e-3)


def stage_folder(run: Run, name: str) -> Path | None:
    """A folder of the stage inside the run's own, made and writable."""
    if run.directory is None:
        return None
    prepare_folder(run.directory / name)
    return run.directory / name


def solve_stage(
    method: Any,
    problem: Problem,
    run: Run,
    keep: Callable[[Solution], bool] = lambda solution: True,
) -> Solution:
    """Solves, or takes what an earlier run finished; keeps what is finished.

    A method that would cut its time into slabs of its own is taken as that of one slab.

    Raises:
        CheckpointError: what was kept is of another stage, or of other settings.
    """
    method = getattr(method, "one_slab", method)
    done = _finished(method, problem, run) if run.resume else None
    if done is not None:
        return done
    solution = method.solve(problem, run)
    if run.directory is not None and keep(solution):
        folder = run.directory / "finished"
        prepare_folder(folder)
        record = json.loads(json.dumps(dataclasses.asdict(solution.stats), default=str))
        record["fingerprint"] = fingerprint(problem, method)
        save(folder, {"params": solution.parameters}, record)
    return solution


def _finished(method: Any, problem: Problem, run: Run) -> Solution | None:
    folder = None if run.directory is None else run.directory / "finished"
    found = None if folder is None or not folder.is_dir() else load(folder)
    if found is None:
        return None
    leaves, content = found
    own, kept = fingerprint(problem, method), content["record"].pop("fingerprint", None)
    if kept not in (None, own):
        raise CheckpointError(
            f"what is kept in {folder} is of another run: {kept!r}, this one is {own!r}. Use its "
            "settings, another folder, or resume=False to start again over it."
        )
    setup = method.setup(problem, run.seed)
    params = restore(setup.params, leaves["params"], content["structure"]["params"], "params")
    record = content["record"]
    record["history"] = tuple((float(s), int(k), float(v)) for s, k, v in record["history"])
    record["notes"] = tuple(record["notes"])
    representation, solved = setup.represent(params)
    return Solution(solved, representation, method, Stats(**record), params)


def joined_stats(parts: list[Stats], label: str, unknowns: int) -> Stats:
    """The cost of all stages together; `extra[label]` has the loss and outcome of each."""
    history, seconds, steps = [], 0.0, 0
    for part in parts:
        history += [(seconds + s, steps + k, loss) for s, k, loss in part.history]
        seconds, steps = seconds + part.run_seconds, steps + part.iterations
    each = [
        {"loss": s.extra.get("loss"), "steps": s.iterations, "seconds": s.run_seconds}
        | {name: s.extra[name] for name in ("status", "dual_norm") if name in s.extra}
        for s in parts
    ]
    return Stats(
        unknowns=unknowns,
        compile_seconds=sum(s.compile_seconds for s in parts),
        run_seconds=seconds,
        iterations=steps,
        history=tuple(history),
        notes=tuple(dict.fromkeys(note for s in parts for note in s.notes)),
        extra={**parts[-1].extra, label: each},
    )
