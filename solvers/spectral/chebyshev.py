"""Chebyshev: collocation on an interval or a box, with boundary rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from pdes._pde import sample_point
from solvers._method import Method, Run
from solvers._result import NotApplicable, SolverError
from solvers._solution import Solution, Stats
from solvers._traced import with_programs
from solvers.spectral._chebyshev_axis import Axis
from solvers.spectral._chebyshev_checks import (
    check_periodic_data,
    explicit_trouble,
    need_double,
    obstacle,
    odd_order,
)
from solvers.spectral._chebyshev_grid import to_coefficients
from solvers.spectral._chebyshev_layout import slots_of
from solvers.spectral._chebyshev_line import LineSystem
from solvers.spectral._chebyshev_newton import CollocationSystem, solve_steady
from solvers.spectral._chebyshev_panels import moved_edges, unresolved
from solvers.spectral._chebyshev_solution import LineFunctions, TensorFunctions
from solvers.spectral._chebyshev_tensor import TensorSystem, check_gauges
from solvers.spectral._dealias import fraction_for, polynomial_degree
from solvers.time import TimeSeries, esdirk4, integrate
from solvers.time._compiled import is_traced, timed_call
from solvers.time._semi_implicit import SBDF2, sbdf2
from solvers.time._series import at_rest

_PANELS = 16
_POINTS = 20
_SINGLE = 96
# Points a direction, in 2-D and 3-D: the first of them that resolves the solution.
_GRIDS = {2: (24, 36, 48), 3: (10, 14)}


@dataclasses.dataclass(frozen=True)
class _Cost:
    """What all passes of a solve have cost so far."""

    compiling: float = 0.0
    running: float = 0.0
    memory: int = 0
    iterations: Any = 0
    rejected: Any = 0

    def plus(self, compiling, running, memory, iterations, rejected=0) -> _Cost:
        return _Cost(
            self.compiling + compiling,
            self.running + running,
            max(self.memory, memory),
            self.iterations + iterations,
            self.rejected + rejected,
        )


class Chebyshev(Method):
    """Chebyshev collocation in strong form: panels in 1-D, tensor grids in 2-D and 3-D.

    Fluxes are evaluated at Chebyshev–Lobatto points and differentiated by the collocation
    matrix; a boundary condition replaces the equation at its points, `Free` leaves it. Panels
    join by value and by F·n. Periodic directions of a box have Fourier modes, with pointwise terms
    de-aliased. The multiplier of a constraint (a pressure) is two degrees lower, P_N–P_{N−2}.
    Systems in time are DAEs, stepped by ESDIRK4(3), or by SBDF2 where speed matters. Double
    precision only, since the second derivative costs N⁴ ε; `Ultraspherical` is for thousands of
    points.

    Arguments:
        points: collocation points in each panel and direction, one number or one for each
            direction, odd where it is periodic. By default 20 in each of 16 panels (96 in one for
            odd order); the first of 24, 36, 48 that resolves the solution in 2-D, of 10, 14 in 3-D.
        panels: in 1-D a number of equal panels or their edges, (panels + 1,). By default they
            are moved to where the solution needs them, by solving again, at most `passes` times.
        tolerance: relative size of the last coefficients below which a solution is resolved.
        dt: fixed time steps; by default adaptive, with errors per step of rtol |z| + atol.
        stepper: any implicit one of `solvers.time`, or "sbdf2" (2-D and 3-D, fixed steps): affine
            terms implicit, a matrix for each wavenumber factored once, the others explicit.
        frames: how many states to keep in time; by default all steps.

    Under `jax.grad` nothing can be adapted: give `points` and `panels`, for example those that
    a plain solve has chosen, `solution.stats.extra["panels"]`.

    Source: Boyd, Chebyshev and Fourier Spectral Methods (2001); patching: Orszag (1980);
    P_N–P_{N−2}: Bernardi and Maday (1997).

    Raises:
        NotApplicable: see `inapplicable`. ValueError: 32-bit mode, too few points.
        SolverError: "newton_diverged", or those of `solvers.time.integrate`.
    """

    points: int | tuple[int, ...] | None = eqx.field(static=True, default=None)
    panels: Any = None
    tolerance: float = eqx.field(static=True, default=1e-7)
    passes: int = eqx.field(static=True, default=4)
    dt: float | None = eqx.field(static=True, default=None)
    rtol: float = eqx.field(static=True, default=1e-7)
    atol: float = eqx.field(static=True, default=1e-9)
    max_steps: int = eqx.field(static=True, default=4096)
    stepper: Any = None
    frames: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if isinstance(self.stepper, str) and self.stepper != "sbdf2":
            raise ValueError(
                f'stepper={self.stepper!r} is unknown: use "sbdf2" or a stepper of solvers.time'
            )

    @property
    def name(self) -> str:
        return "Chebyshev"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        return obstacle(problem, self.panels)

    def discretize(self, problem: Problem) -> CollocationSystem:
        self.check(problem)
        need_double()
        if problem.dim == 1:
            single = self.panels is None and odd_order(problem)
            points = _SINGLE if single and self.points is None else self._line_points()
            edges = Chebyshev(panels=1)._edges(problem) if single else self._edges(problem)
            return LineSystem(problem, edges, points)
        return self._tensor(problem, _GRIDS[problem.dim][0])

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        system = self.discretize(with_programs(problem))
        if isinstance(system, LineSystem):
            return self._solve_line(problem, system, run)
        assert isinstance(system, TensorSystem)
        return self._solve_tensor(problem, system)

    def _line_points(self) -> int:
        if self.points is None:
            return _POINTS
        return _check_points(self.points)

    def _tensor(self, problem: Problem, default: int) -> TensorSystem:
        low, high = problem.domain.bounds
        periodic = problem.domain.periodic
        given: Any = self.points
        if given is None:
            given = tuple(default + 1 - default % 2 if p else default for p in periodic)
        if not isinstance(given, Sequence):
            given = (given,) * problem.dim
        if len(given) != problem.dim:
            raise ValueError(
                f"points is one number or one for each of {problem.dim} directions, got {given!r}"
            )
        axes = tuple(
            Axis(float(a), float(b), _check_points(n, p), p)
            for a, b, n, p in zip(low, high, given, periodic, strict=True)
        )
        if any(periodic) and not is_traced(problem):
            check_periodic_data(problem)
        return TensorSystem(problem, axes, self._fraction(problem))

    def _fraction(self, problem: Problem) -> float:
        """Part of the modes of periodic directions that pointwise terms leave free of aliases."""
        point = sample_point(problem.shapes, problem.dim)
        terms = [term for form in problem.forms().values() for term in form.all_terms()]
        return min(fraction_for(polynomial_degree(term, point)) for term in terms)

    def _edges(self, problem: Problem) -> Array:
        low, high = problem.domain.bounds
        if self.panels is None or isinstance(self.panels, int):
            count = _PANELS if self.panels is None else self.panels
            if count < 1:
                raise ValueError(f"panels must be at least 1, got {count}")
            return on_device(np.linspace(low[0], high[0], count + 1))
        edges = np.asarray(self.panels, float)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ValueError(f"panels is a number or increasing edges, got {self.panels!r}")
        if not np.allclose(edges[[0, -1]], [low[0], high[0]], rtol=0, atol=1e-9 * (high - low)[0]):
            raise ValueError(
                f"the edges of the panels go from {edges[0]:g} to {edges[-1]:g}, the domain from "
                f"{low[0]:g} to {high[0]:g}"
            )
        return on_device(edges)

    def _states(self, system, problem: Problem, cost: _Cost) -> tuple[TimeSeries, _Cost]:
        """One solve on one grid."""
        if not problem.steady:
            assert problem.time is not None
            stepper, dt, start = self.stepper, self.dt, None
            if self.stepper == "sbdf2":
                stepper, start, dt, spent = self._split(system, problem)
                cost = cost.plus(*spent, 0)
            found = integrate(
                system,
                problem.time,
                stepper=esdirk4() if stepper is None else stepper,
                start=start,
                dt=dt,
                rtol=self.rtol,
                atol=self.atol,
                max_steps=self.max_steps,
                frames=self.frames,
            )
            return found.series, cost.plus(
                found.compile_seconds, found.run_seconds, found.memory, found.steps, found.rejected
            )
        if is_traced(system):
            z, size, _, _ = _steady(system)
            z = eqx.error_if(
                z, ~(size < 1e-8), "[newton_diverged] Newton's method did not converge"
            )
            return at_rest(z), cost
        (z, size, count, sizes), compiling, running, memory = timed_call(_steady, system)
        if not float(size) < 1e-8:
            raise SolverError(
                "newton_diverged",
                f"Newton's method did not converge: last update {float(size):.1e} after "
                f"{int(count)} iterations; start nearer to the solution (a continuation in the "
                "coefficient), or give more points",
                tuple(np.asarray(sizes)[: int(count)]),
            )
        return at_rest(z), cost.plus(compiling, running, memory, int(count) + 1)

    def _split(
        self, system: CollocationSystem, problem: Problem
    ) -> tuple[SBDF2, Array, float, tuple[float, float, int]]:
        """SBDF2 with its start, its step, and what they cost."""
        reason = explicit_trouble(problem)
        if reason is not None:
            raise NotApplicable(f'{self.name} can\'t solve {problem.name!r} by "sbdf2": {reason}')
        if self.dt is None:
            raise ValueError('"sbdf2" takes fixed steps: give dt')
        assert problem.time is not None and isinstance(system, TensorSystem)
        length = problem.time[1] - problem.time[0]
        dt = length / max(int(np.ceil(length / self.dt * (1 - 1e-9))), 1)
        if is_traced(system):
            stepper, start, _ = sbdf2(system, dt, problem.time)
            return stepper, start, dt, (0.0, 0.0, 0)
        made, compiling, running, memory = timed_call(sbdf2, system, jnp.asarray(dt), problem.time)
        stepper, start, missed = made
        if float(missed) > 1e-5:
            raise NotApplicable(
                '"sbdf2" needs affine terms and boundary conditions whose coefficients change '
                "neither in time nor along a periodic direction: use an implicit stepper, such as "
                "solvers.time.esdirk4()"
            )
        return stepper, start, dt, (compiling, running, memory)

    def _solve_line(self, problem: Problem, system: LineSystem, run: Run) -> Solution:
        series, cost = self._states(system, problem, _Cost())
        slots = sum(system.layout.sizes.values())
        left = 0.0
        if not is_traced(system, series):
            best = unresolved(np.asarray(series.states), slots), system, series
            for attempt in range(self.passes - 1):
                if self.panels is not None or best[0] <= self.tolerance or odd_order(problem):
                    break
                # Twice the panels only when moving those that there are was not enough.
                count = system.panels * (2 if attempt > 1 else 1)
                edges = moved_edges(
                    np.asarray(series.states), np.asarray(system.edges), slots, count
                )
                system = LineSystem(system.problem, edges, system.points)
                series, cost = self._states(system, problem, cost)
                found = unresolved(np.asarray(series.states), slots), system, series
                best = min(best, found, key=lambda item: item[0])
            left, system, series = best
        representation = self.functions(problem, system, series)
        unknowns = system.panels * system.layout.count * system.points
        extra = {"points": system.points, "unresolved": left}
        if not is_traced(system.edges):
            extra["panels"] = tuple(float(e) for e in np.asarray(system.edges))
        return self._solution(problem, representation, cost, unknowns, extra)

    def _solve_tensor(self, problem: Problem, system: TensorSystem) -> Solution:
        series, cost = self._states(system, problem, _Cost())
        left = 0.0
        if not is_traced(system, series):
            left = _unresolved(system, np.asarray(series.states))
            for count in _GRIDS[problem.dim][1:]:
                if self.points is not None or left <= self.tolerance:
                    break
                system = self._tensor(system.problem, count)
                series, cost = self._states(system, problem, cost)
                left = _unresolved(system, np.asarray(series.states))
            check_gauges(system, np.asarray(series.states[-1]))
        unknowns = system.layout.count * int(np.prod(system.points))
        extra = {"points": system.points, "unresolved": left}
        functions = self.functions(problem, system, series)
        return self._solution(problem, functions, cost, unknowns, extra)

    def state(
        self, problem: Problem, system: CollocationSystem, fields: Mapping[str, Callable]
    ) -> Array:
        if isinstance(system, LineSystem):
            x = system.nodes.reshape(-1, 1)
            slots = slots_of(system.layout, fields, x)
            return jnp.moveaxis(slots.reshape(-1, system.panels, system.points), 0, 1)
        assert isinstance(system, TensorSystem)
        slots = slots_of(system.layout, fields, system.nodes)
        return slots.reshape(-1, *system.points)

    def functions(
        self, problem: Problem, system: CollocationSystem, series: TimeSeries
    ) -> LineFunctions | TensorFunctions:
        """States of a system as functions of x and t."""
        shapes = tuple(problem.shapes.items())
        if isinstance(system, LineSystem):
            matrix = on_device(to_coefficients(system.points).T)
            moved = _transformed(series, lambda states: states @ matrix)
            return LineFunctions(moved, system.edges, system.layout, shapes, problem.steady)
        assert isinstance(system, TensorSystem)
        moved = _transformed(series, lambda states: _transform(_matrices(system), states))
        return TensorFunctions(
            moved, system.axes, system.layout, shapes, problem.steady, problem.pins
        )

    def _solution(self, problem, representation, cost: _Cost, unknowns: int, extra) -> Solution:
        notes = ()
        if extra["unresolved"] > self.tolerance:
            notes = (
                f"the last coefficients are {extra['unresolved']:.1e} of the largest: "
                "more points or panels would resolve the solution better",
            )
        traced = is_traced(cost.iterations)
        extra["rejected"] = None if traced else cost.rejected
        stats = Stats(
            unknowns=unknowns,
            compile_seconds=cost.compiling,
            run_seconds=cost.running,
            iterations=0 if traced else cost.iterations,
            peak_memory=cost.memory,
            notes=notes,
            extra=extra,
        )
        return Solution(problem, representation, self, stats)


def _steady(system: CollocationSystem) -> tuple[Array, Array, Array, Array]:
    return solve_steady(system, system.initial_state())


def _transformed(series: TimeSeries, transform: Callable[[Array], Array]) -> TimeSeries:
    """The same series of coefficients instead of values."""
    return TimeSeries(
        series.times, transform(series.states), transform(series.slopes), series.count
    )


def _matrices(system: TensorSystem) -> tuple[Array, ...]:
    return tuple(on_device(axis.coefficients) for axis in system.axes)


@jax.jit
def _transform(matrices: tuple[Array, ...], states: Array) -> Array:
    """Values (frames, slots, *points) to coefficients."""
    for d, matrix in enumerate(matrices):
        states = jnp.moveaxis(jnp.tensordot(matrix, states, (1, d + 2)), 0, d + 2)
    return states


def _unresolved(system: TensorSystem, states: np.ndarray) -> float:
    """The largest of the last coefficients along any direction, relative to its slot's largest."""
    slots = sum(system.layout.sizes.values())
    found = np.abs(np.asarray(_transform(_matrices(system), on_device(states))))[:, :slots].max(
        axis=0
    )
    size = found.reshape(slots, -1).max(axis=1)
    size = np.maximum(size, 1e-12 * size.max() + 1e-300)
    return max(
        float((np.take(found, axis.tail(), d + 1).reshape(slots, -1).max(axis=1) / size).max())
        for d, axis in enumerate(system.axes)
    )


def _check_points(points: Any, periodic: bool = False) -> int:
    whole = isinstance(points, (int, np.integer)) and not isinstance(points, bool)
    if periodic and not (whole and points >= 3 and points % 2):
        raise ValueError(
            "points in a periodic direction is an odd number of at least 3 (an even grid loses the "
            f"derivative of its highest mode), got {points!r}"
        )
    if not (whole and points >= (3 if periodic else 4)):
        raise ValueError(f"points is a whole number of at least 4, got {points!r}")
    return int(points)


__all__ = ["Chebyshev"]
