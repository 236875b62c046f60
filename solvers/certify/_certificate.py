"""Certificate: an estimate of a solution's error, with the norm and the constant it holds in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from pdes import Problem

Fields = Callable[[Array, Array], dict[str, Array]]


@dataclasses.dataclass(frozen=True, eq=False)
class Certificate:
    """How far a solution is from the exact one, without knowing the exact one.

    Attributes:
        estimate: of the error in `norm`. relative: the same by the norm of the solution.
        norm: in words. constant: C in error ≤ C × estimate, up to the discretisation of the
            estimate itself; None where none is known.
        kind: "energy", "parabolic", "difference", "residual" or "zz". explanation: how it was
            found. parts: of the estimate, by where they come from; their squares add up.
        change: relative change of the estimate when its own resolution was last doubled (of
            "difference": error of the reference, by the estimate); NaN where it was not.
        seconds: what it cost, compilation included.
    """

    estimate: float
    relative: float
    norm: str
    constant: float | None
    kind: str
    explanation: str
    parts: dict[str, float]
    change: float
    seconds: float
    problem: Problem = dataclasses.field(repr=False)
    distance: Callable[[Fields], float] | None = dataclasses.field(repr=False, default=None)

    def error(self, exact: Any = None) -> float:
        """The true error in the certificate's norm, where the exact solution is known.

        Arguments:
            exact: functions (x, t) by field, or another solution; by default `problem.exact`.

        Raises:
            ValueError: no exact solution is known, or the kind has no norm to measure in.
        """
        if self.distance is None:
            raise ValueError(f"a certificate of kind {self.kind!r} can't be measured in its norm")
        return self.distance(exact_fields(self.problem, exact))

    def effectivity(self, exact: Any = None) -> float:
        """estimate / true error; `exact` as for `error`."""
        error = self.error(exact)
        return self.estimate / error if error > 0 else math.inf

    def __str__(self) -> str:
        bound = "" if self.constant is None else f"error ≤ {self.constant:g} × estimate, "
        parts = ", ".join(f"{name} {value:.2e}" for name, value in self.parts.items())
        lines = [
            f"estimated error {self.estimate:.3e} ({self.relative:.2e} relative), {self.norm}",
            f"  {bound}kind {self.kind!r}, {self.seconds:.1f} s",
            f"  {self.explanation}",
        ]
        return "\n".join([*lines, f"  parts: {parts}"] if len(self.parts) > 1 else lines)


def exact_fields(problem: Problem, exact: Any = None) -> Fields:
    """Every field at (x, t) from what a user gives as exact.

    Raises:
        ValueError: fields without an exact function.
    """
    from solvers._solution import Solution

    if isinstance(exact, Solution):
        return exact.representation.values
    known = problem.exact if exact is None else exact
    missing = [name for name in problem.shapes if name not in known]
    if missing:
        raise ValueError(
            f"no exact solution of {missing[0]!r} is known for {problem.name!r}: give "
            f"exact={{{missing[0]!r}: lambda x, t: …}}, or a reference solution"
        )
    if exact is None:
        return lambda x, t: {n: problem.exact_value(n, x, t) for n in problem.shapes}
    return lambda x, t: {n: known[n](x, t) for n in problem.shapes}
