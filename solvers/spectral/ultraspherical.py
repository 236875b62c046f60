"""Ultraspherical: sparse, well-conditioned Chebyshev coefficients on an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Problem
from solvers._method import Method, Run
from solvers._result import SolverError
from solvers._solution import Solution, Stats
from solvers._traced import with_programs
from solvers.spectral._chebyshev_checks import need_double, obstacle, odd_order
from solvers.spectral._chebyshev_layout import slots_of
from solvers.spectral._chebyshev_newton import solve_steady
from solvers.spectral._chebyshev_solution import LineFunctions
from solvers.spectral._ultraspherical_system import UltrasphericalSystem, to_series
from solvers.time import TimeSeries, esdirk4, integrate
from solvers.time._compiled import initial_state, is_traced, timed_call
from solvers.time._series import at_rest

_FIRST = 64


class Ultraspherical(Method):
    """Σ aₖ Tₖ on one interval, the equations in ultraspherical polynomials: for high resolution.

    Differentiation, multiplication and conversion are banded, and boundary conditions are full
    rows beside them: the matrix is sparse, and its condition does not grow with the degree, so
    that thousands of coefficients keep their digits. Newton's method on any PDE, with the tangent
    by automatic differentiation; its bandwidth is the number of coefficients of the terms'
    derivatives. Double precision only.

    Arguments:
        points: coefficients; by default 64, then four times as many until the last are below
            `tolerance` of the largest, at most `most`. In time 64 where it is not given.
        tolerance: see `points`.
        dt, rtol, atol, stepper, max_steps, frames: in time, as of `Chebyshev`.

    Source: Olver and Townsend, A fast and well-conditioned spectral method (2013).

    Raises:
        NotApplicable: see `inapplicable`. ValueError: 32-bit mode, too few points. SolverError:
            "newton_diverged"; "not_resolved" in time, where `points` is not given and 64 are
            far too few.
        SolverError: "newton_diverged", or those of `solvers.time.integrate`.
    """

    points: int | None = eqx.field(static=True, default=None)
    tolerance: float = eqx.field(static=True, default=1e-12)
    most: int = eqx.field(static=True, default=8192)
    dt: float | None = eqx.field(static=True, default=None)
    rtol: float = eqx.field(static=True, default=1e-7)
    atol: float = eqx.field(static=True, default=1e-9)
    max_steps: int = eqx.field(static=True, default=4096)
    stepper: Any = None
    frames: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        points = self.points
        if points is not None and (not isinstance(points, (int, np.integer)) or points < 8):
            raise ValueError(f"points is a whole number of at least 8, got {points!r}")

    @property
    def name(self) -> str:
        return "Ultraspherical"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        domain = problem.domain
        if not isinstance(domain, Box) or domain.dim != 1:
            return "the ultraspherical method is for intervals; use pm.Chebyshev"
        reason = obstacle(problem, 1)
        if reason is not None:
            return reason
        if odd_order(problem):
            return "a third derivative needs rows of a higher order; use pm.Chebyshev(panels=1)"
        for name, form in problem.forms().items():
            if form.has_inertia:
                return f"{name!r} is of second order in time; use pm.Chebyshev"
        return None

    def discretize(self, problem: Problem) -> UltrasphericalSystem:
        self.check(problem)
        need_double()
        return UltrasphericalSystem(problem, self.points or _FIRST)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        system = self.discretize(with_programs(problem))
        if not problem.steady:
            return self._in_time(problem, system)
        z = initial_state(system)
        if is_traced(system):
            z, size, _, _ = solve_steady(system, z)
            z = eqx.error_if(
                z, ~(size < 1e-8), "[newton_diverged] Newton's method did not converge"
            )
            return self._answer(problem, system, at_rest(z), 0.0, {})
        compiling = running = 0.0
        memory = iterations = 0
        while True:
            found, *cost = timed_call(_steady, system, z)
            z, size, count, _ = found
            compiling, running = compiling + cost[0], running + cost[1]
            memory, iterations = max(memory, cost[2]), iterations + int(count) + 1
            left = _tail(np.asarray(z))
            more = 4 * system.points
            if self.points is not None or left <= self.tolerance or more > self.most:
                break
            # A solve that fails on too few coefficients starts anew on more.
            start = z if float(size) < 1e-8 else jnp.zeros_like(z)
            z = jnp.pad(start, ((0, 0), (0, more - system.points)))
            system = UltrasphericalSystem(system.problem, more)
        if not float(size) < 1e-8:
            raise SolverError(
                "newton_diverged",
                f"Newton's method did not converge: last update {float(size):.1e} with "
                f"{system.points} coefficients; start nearer to the solution (a continuation in "
                "the coefficient), or give more points",
            )
        stats = {
            "compile_seconds": compiling,
            "run_seconds": running,
            "iterations": iterations,
            "peak_memory": memory,
        }
        return self._answer(problem, system, at_rest(z), left, stats)

    def _in_time(self, problem: Problem, system: UltrasphericalSystem) -> Solution:
        assert problem.time is not None
        found = integrate(
            system,
            problem.time,
            stepper=esdirk4() if self.stepper is None else self.stepper,
            dt=self.dt,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
            frames=self.frames,
        )
        if is_traced(system, found.series):
            return self._answer(problem, system, found.series, 0.0, {})
        left = max(_tail(z) for z in np.asarray(found.series.states))
        if self.points is None and left > _LOST:
            raise SolverError(
                "not_resolved",
                f"{system.points} coefficients do not resolve the solution in time: the last ones "
                f"are {left:.1e} of the largest; give points={4 * system.points} or more, or use "
                "pm.FiniteElement or pm.Chebyshev, which put points where they are needed",
            )
        stats = {
            "compile_seconds": found.compile_seconds,
            "run_seconds": found.run_seconds,
            "iterations": found.steps,
            "peak_memory": found.memory,
        }
        return self._answer(problem, system, found.series, left, stats)

    def state(
        self, problem: Problem, system: UltrasphericalSystem, fields: Mapping[str, Callable]
    ) -> Array:
        return to_series(slots_of(system.layout, fields, system.nodes))

    def functions(
        self, problem: Problem, system: UltrasphericalSystem, series: TimeSeries
    ) -> LineFunctions:
        panels = TimeSeries(
            series.times, series.states[:, None], series.slopes[:, None], series.count
        )
        edges = jnp.asarray(system.bounds)
        shapes = tuple(problem.shapes.items())
        return LineFunctions(panels, edges, system.layout, shapes, problem.steady)

    def _answer(
        self, problem: Problem, system: UltrasphericalSystem, series: TimeSeries, left: float, stats
    ) -> Solution:
        notes = ()
        if left > self.tolerance:
            notes = (
                f"the last coefficients are {left:.1e} of the largest: more points would resolve "
                "the solution better",
            )
        return Solution(
            problem,
            self.functions(problem, system, series),
            self,
            Stats(
                unknowns=system.layout.count * system.points,
                notes=notes,
                extra={"points": system.points, "unresolved": left},
                **stats,
            ),
        )


# An answer in time whose last coefficients are larger than this, beside the largest, is none.
_LOST = 1e-2


def _steady(system: UltrasphericalSystem, z: Array) -> tuple[Array, Array, Array, Array]:
    return solve_steady(system, z)


def _tail(z: np.ndarray) -> float:
    """The largest of the last coefficients of any slot, relative to its largest."""
    size = np.abs(z).max(axis=1)
    size = np.maximum(size, 1e-12 * size.max() + 1e-300)
    return float((np.abs(z[:, -4:]).max(axis=1) / size).max())


__all__ = ["Ultraspherical"]
