"""solve: one problem by one method."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdes import Problem
from physml._folder import writable_folder
from solvers import Method, Run, Solution


def solve(
    problem: Problem,
    method: Method,
    *,
    seed: int = 0,
    budget: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    monitor: Callable[[Any, float], None] | None = None,
) -> Solution:
    """Solves `problem` by `method`.

    Arguments:
        seed: for everything random.
        budget: wall seconds for a neural method, compilation included; None for its own.
        steps: likewise in optimizer steps.
        out: folder for the log and the checkpoints; None writes nothing.
        resume: continue from the checkpoint in `out`.
        progress: show progress on the terminal.
        monitor: called as monitor(solution_so_far, seconds) by iterative methods.

    Raises:
        TypeError: `problem` or `method` is of another kind.
        ValueError: an option out of range.
        OSError: `out` can't be written.
        NotApplicable: the method is not made for the problem; says why and what is.
        SolverError: it did not converge; says how and names a remedy.
    """
    check_problem(problem)
    check_method(method)
    check_limits(budget, steps)
    if resume and out is None:
        raise ValueError("resume=True needs out=…, the folder with the checkpoint")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed is a whole number ≥ 0, got {seed!r}")
    method.check(problem)
    directory = None if out is None else writable_folder(out)
    run = Run(
        seed=seed,
        budget=budget,
        steps=steps,
        directory=directory,
        resume=resume,
        progress=progress,
        monitor=monitor,
    )
    return method.solve(problem, run)


def check_problem(problem: Any) -> None:
    """Raises TypeError for anything but a Problem."""
    if isinstance(problem, Problem):
        return
    if callable(problem):
        name = getattr(problem, "__name__", type(problem).__name__)
        hint = f": call it, {name}(…)"
        if isinstance(problem, type):
            hint = ": give a problem, pm.Problem(…)"
        raise TypeError(f"expected a pm.Problem, got {name}{hint}")
    raise TypeError(
        f"expected a pm.Problem, got {problem!r}; make one with pm.Problem(pde, domain, …) "
        "or take one of pm.library"
    )


def check_method(method: Any) -> None:
    """Raises TypeError for anything but a Method."""
    if isinstance(method, Method):
        return
    if isinstance(method, type) and issubclass(method, Method):
        raise TypeError(f"{method.__name__} is a class: give a method, {method.__name__}()")
    raise TypeError(f"expected a method such as pm.FiniteElement(), got {method!r}")


def check_limits(budget: Any, steps: Any) -> None:
    """Raises ValueError for a budget or a number of steps that is not positive."""
    if budget is not None and not (
        isinstance(budget, int | float) and math.isfinite(budget) and budget > 0
    ):
        raise ValueError(f"budget is a positive number of seconds or None, got {budget!r}")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise ValueError(f"steps is a positive whole number or None, got {steps!r}")
