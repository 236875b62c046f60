"""Small methods with known behaviour: an oracle whose error is chosen, one that fails, one that
does not apply, and an iterative one that improves with each step."""

from __future__ import annotations

import time

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pdes import Problem
from solvers import Method, Representation, Run, Solution, SolverError, Stats


class Scaled(Representation):
    """(1 + offset) times the exact solution."""

    problem: Problem
    offset: Array

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        return {
            name: (1 + self.offset) * self.problem.exact_value(name, x, t)
            for name in self.problem.exact
        }

    def frames(self):
        return None


class Oracle(Method):
    """The exact solution with a relative error of `error`."""

    error: float = 0.0
    label: str = eqx.field(static=True, default="oracle")

    @property
    def name(self) -> str:
        return self.label

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        return None

    def discretize(self, problem: Problem):
        raise NotImplementedError

    def refined(self, factor: float):
        return Oracle(self.error / factor**2, f"{self.label} x{factor:g}")

    def solve(self, problem: Problem, run: Run = Run()):  # noqa: B008
        stats = Stats(unknowns=7, compile_seconds=0.25, run_seconds=0.5, notes=("exact",))
        return Solution(problem, Scaled(problem, jnp.asarray(self.error)), self, stats)


class Failing(Oracle):
    """Raises what it is given."""

    exception: type[BaseException] = eqx.field(static=True, default=SolverError)

    def solve(self, problem: Problem, run: Run = Run()):  # noqa: B008
        if self.exception is SolverError:
            raise SolverError("newton_diverged", "residual 1e9 after 50 steps; refine the mesh")
        raise self.exception("stopped")


class Periodic(Oracle):
    """Does not apply."""

    def inapplicable(self, problem: Problem) -> str | None:
        return "the domain is not periodic; use FEM"


class Halving(Oracle):
    """A neural method's behaviour: the error halves with each step; a checkpoint is kept."""

    pause: float = 0.0
    count: int = eqx.field(static=True, default=6)

    @property
    def neural(self) -> bool:
        return True

    def refined(self, factor: float):
        return None

    def solve(self, problem: Problem, run: Run = Run()):  # noqa: B008
        count = run.steps or self.count
        first = 0
        file = None if run.directory is None else run.directory / "step.txt"
        if run.resume and file is not None and file.is_file():
            first = int(file.read_text())
        solution = None
        for step in range(first, count):
            offset = jnp.asarray(0.5 ** (step + 1 + run.seed))
            stats = Stats(unknowns=3, run_seconds=step + 1.0, iterations=step + 1)
            solution = Solution(problem, Scaled(problem, offset), self, stats)
            if run.monitor is not None:
                run.monitor(solution, step + 1.0)
            if file is not None:
                file.write_text(str(step + 1))
            time.sleep(self.pause)
        if solution is None:
            offset = jnp.asarray(0.5 ** (count + run.seed))
            stats = Stats(unknowns=3, run_seconds=float(count), iterations=count)
            solution = Solution(problem, Scaled(problem, offset), self, stats)
        return solution
