"""What every method promises: say whether it applies, discretise, solve."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx

from pdes import Problem
from solvers._result import NotApplicable


@dataclasses.dataclass(frozen=True)
class Run:
    """How a solve is run; the same for every method, which ignores what it has no use for.

    Attributes:
        seed: for everything random.
        budget: wall seconds that an iterative (neural) method may take in all, compilation
            included, or None for the method's own.
        steps: likewise in optimizer steps.
        directory: where the log and the checkpoints go; None writes nothing.
        resume: continue from the checkpoint in `directory`.
        progress: show progress on the terminal.
        monitor: called as monitor(solution_so_far, seconds) from time to time by iterative
            methods, with the seconds of running: neither compilation nor its own time count.
    """

    seed: int = 0
    budget: float | None = None
    steps: int | None = None
    directory: Path | None = None
    resume: bool = False
    progress: bool = False
    monitor: Callable[[Any, float], None] | None = None


class Method(eqx.Module):
    """A way to solve problems: a small module that holds options.

    Numerical and neural methods are the same to the caller.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Short name for tables, such as "FEM P2"."""

    @property
    @abc.abstractmethod
    def neural(self) -> bool:
        """Whether it trains a network: such a method takes a budget."""

    @abc.abstractmethod
    def inapplicable(self, problem: Problem) -> str | None:
        """Why the method can't solve the problem, with what could; None if it can."""

    @abc.abstractmethod
    def discretize(self, problem: Problem) -> Any:
        """The system of equations in the method's unknowns."""

    @abc.abstractmethod
    def solve(self, problem: Problem, run: Run = Run()) -> Any:
        """A `Solution`.

        Raises:
            NotApplicable: see `inapplicable`.
            SolverError: it did not converge, with the reason's name and a remedy.
        """

    def check(self, problem: Problem) -> None:
        """Raises NotApplicable with the reason when the method does not apply."""
        reason = self.inapplicable(problem)
        if reason is not None:
            raise NotApplicable(f"{self.name} can't solve {problem.name!r}: {reason}")

    def state(self, problem: Problem, system: Any, fields: Mapping[str, Callable]) -> Any:
        """Functions of x by field as a state of the system; fields left out are zero.

        Raises:
            NotApplicable: a method that has no state of functions.
        """
        raise NotApplicable(f"{self.name} makes no state of given functions")

    def functions(self, problem: Problem, system: Any, series: Any) -> Any:
        """States of the system, a `TimeSeries` of them, as a `Representation`.

        Raises:
            NotApplicable: a method that has no state of functions.
        """
        raise NotApplicable(f"{self.name} makes no functions of given states")

    def refined(self, factor: float) -> Method | None:
        """The same method with `factor` times the resolution in each direction and in time.

        A comparison measures a reference against `refined(0.5)` to estimate its error. None where
        the method has no resolution to change.
        """
        return None
