"""Chebyshev: collocation on an interval or a rectangle, with boundary rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Problem
from solvers._method import Method, Run
from solvers._result import SolverError
from solvers._solution import Solution, Stats
from solvers.spectral._chebyshev_grid import tail, to_coefficients
from solvers.spectral._chebyshev_line import LineSystem
from solvers.spectral._chebyshev_newton import CollocationSystem, solve_steady
from solvers.spectral._chebyshev_panels import moved_edges, unresolved
from solvers.spectral._chebyshev_solution import LineFunctions, SquareFunctions
from solvers.spectral._chebyshev_square import SquareSystem
from solvers.time import TimeSeries, esdirk4, integrate
from solvers.time._compiled import is_traced, timed_call

_PANELS = 16
_POINTS = 20
_SINGLE = 96
_SQUARE = (24, 36, 48)


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
    """Chebyshev collocation in strong form, on panels in 1-D and a tensor grid in 2-D.

    Fluxes are evaluated at Chebyshev–Lobatto points and differentiated by the collocation
    matrix; a boundary condition replaces the equation at its points, `Free` leaves it. Panels
    join by value and by F·n. Systems in time are DAEs, stepped by ESDIRK4(3). Double precision
    only, since the second derivative costs N⁴ ε.

    Arguments:
        points: collocation points in each panel and direction, one number or one for each
            direction. By default 20 in each of 16 panels (96 in one for odd order); in 2-D the
            first of 24, 36, 48 that resolves the solution.
        panels: in 1-D a number of equal panels or their edges, (panels + 1,). By default they
            are moved to where the solution needs them, by solving again, at most `passes` times.
        tolerance: relative size of the last coefficients below which a solution is resolved.
        dt: fixed time steps; by default adaptive, with errors per step of rtol |z| + atol.
        stepper: any `solvers.time.DIRK`.
        frames: how many states to keep in time; by default all steps.

    Under `jax.grad` nothing can be adapted: give `points` and `panels`, for example those that
    a plain solve has chosen, `solution.stats.extra["panels"]`.

    Source: Boyd, Chebyshev and Fourier Spectral Methods (2001); patching: Orszag (1980).

    Raises:
        NotApplicable: see `inapplicable`. ValueError: 32-bit mode, too few points.
        SolverError: "newton_diverged", or those of `solvers.time.integrate`.
    """

    points: int | tuple[int, int] | None = eqx.field(static=True, default=None)
    panels: Any = None
    tolerance: float = eqx.field(static=True, default=1e-7)
    passes: int = eqx.field(static=True, default=4)
    dt: float | None = eqx.field(static=True, default=None)
    rtol: float = eqx.field(static=True, default=1e-7)
    atol: float = eqx.field(static=True, default=1e-9)
    max_steps: int = eqx.field(static=True, default=4096)
    stepper: diffrax.AbstractSolver | None = None
    frames: int | None = eqx.field(static=True, default=None)

    @property
    def name(self) -> str:
        return "Chebyshev"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        domain = problem.domain
        if not isinstance(domain, Box):
            return (
                f"the domain {type(domain).__name__} is no interval or rectangle; "
                "pm.FiniteElement takes any domain"
            )
        if domain.dim > 2:
            return f"the domain has {domain.dim} dimensions, of at most 2; use pm.FiniteElement"
        if any(domain.periodic):
            return "the domain is periodic; pm.Fourier is made for it, pm.FiniteElement takes it"
        for name, form in problem.forms().items():
            if form.kind == "Constraint" and form.equation.flux:
                return (
                    f"the constraint of {name!r} has spurious modes on one collocation grid for "
                    "all fields; pm.FiniteElement has a stable pair of spaces (Taylor–Hood)"
                )
        if problem.zero_mean or problem.pins:
            return "a field is fixed by a gauge, which has no collocation row; use pm.FiniteElement"
        if problem.dim == 1 and self.panels not in (None, 1) and _odd_order(problem):
            return (
                "a third derivative has no stable joint between panels: use Chebyshev(panels=1), "
                "or pm.Fourier on a periodic domain"
            )
        return _inertia_trouble(problem, self.panels)

    def discretize(self, problem: Problem) -> CollocationSystem:
        self.check(problem)
        _need_double()
        if problem.dim == 1:
            single = self.panels is None and _odd_order(problem)
            points = _SINGLE if single and self.points is None else self._line_points()
            edges = Chebyshev(panels=1)._edges(problem) if single else self._edges(problem)
            return LineSystem(problem, edges, points)
        return SquareSystem(problem, self._square_points(_SQUARE[0]))

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        system = self.discretize(problem)
        if isinstance(system, LineSystem):
            return self._solve_line(problem, system, run)
        assert isinstance(system, SquareSystem)
        return self._solve_square(problem, system, run)

    def _line_points(self) -> int:
        if self.points is None:
            return _POINTS
        return _check_points(self.points)

    def _square_points(self, default: int) -> tuple[int, int]:
        if self.points is None:
            return default, default
        given = self.points if isinstance(self.points, Sequence) else (self.points, self.points)
        if len(given) != 2:
            raise ValueError(f"points is one number or one for each of 2 directions, got {given!r}")
        return _check_points(given[0]), _check_points(given[1])

    def _edges(self, problem: Problem) -> Array:
        low, high = problem.domain.bounds
        if self.panels is None or isinstance(self.panels, int):
            count = _PANELS if self.panels is None else self.panels
            if count < 1:
                raise ValueError(f"panels must be at least 1, got {count}")
            return jnp.asarray(np.linspace(low[0], high[0], count + 1))
        edges = np.asarray(self.panels, float)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ValueError(f"panels is a number or increasing edges, got {self.panels!r}")
        if not np.allclose(edges[[0, -1]], [low[0], high[0]], rtol=0, atol=1e-9 * (high - low)[0]):
            raise ValueError(
                f"the edges of the panels go from {edges[0]:g} to {edges[-1]:g}, the domain from "
                f"{low[0]:g} to {high[0]:g}"
            )
        return jnp.asarray(edges)

    def _states(self, system, problem: Problem, cost: _Cost) -> tuple[TimeSeries, _Cost]:
        """One solve on one grid."""
        if not problem.steady:
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
            return found.series, cost.plus(
                found.compile_seconds, found.run_seconds, found.memory, found.steps, found.rejected
            )
        if is_traced(system):
            z, size, _, _ = _steady(system)
            z = eqx.error_if(
                z, ~(size < 1e-8), "[newton_diverged] Newton's method did not converge"
            )
            return TimeSeries(jnp.zeros(1), z[None], jnp.zeros_like(z)[None]), cost
        (z, size, count, sizes), compiling, running, memory = timed_call(_steady, system)
        if not float(size) < 1e-8:
            raise SolverError(
                "newton_diverged",
                f"Newton's method did not converge: last update {float(size):.1e} after "
                f"{int(count)} iterations; start nearer to the solution (a continuation in the "
                "coefficient), or give more points",
                tuple(np.asarray(sizes)[: int(count)]),
            )
        series = TimeSeries(jnp.zeros(1), z[None], jnp.zeros_like(z)[None])
        return series, cost.plus(compiling, running, memory, int(count) + 1)

    def _solve_line(self, problem: Problem, system: LineSystem, run: Run) -> Solution:
        series, cost = self._states(system, problem, _Cost())
        slots = sum(system.layout.sizes.values())
        left = 0.0
        if not is_traced(system, series):
            best = unresolved(np.asarray(series.states), slots), system, series
            for attempt in range(self.passes - 1):
                if self.panels is not None or best[0] <= self.tolerance or _odd_order(problem):
                    break
                # Twice the panels only when moving those that there are was not enough.
                count = system.panels * (2 if attempt > 1 else 1)
                edges = moved_edges(
                    np.asarray(series.states), np.asarray(system.edges), slots, count
                )
                system = LineSystem(problem, edges, system.points)
                series, cost = self._states(system, problem, cost)
                found = unresolved(np.asarray(series.states), slots), system, series
                best = min(best, found, key=lambda item: item[0])
            left, system, series = best
        matrix = jnp.asarray(to_coefficients(system.points))
        representation = LineFunctions(
            _transformed(series, lambda states: states @ matrix.T),
            system.edges,
            system.layout,
            tuple(problem.shapes.items()),
            problem.steady,
        )
        unknowns = system.panels * system.layout.count * system.points
        extra = {"points": system.points, "unresolved": left}
        if not is_traced(system.edges):
            extra["panels"] = tuple(float(e) for e in np.asarray(system.edges))
        return self._solution(problem, representation, cost, unknowns, extra)

    def _solve_square(self, problem: Problem, system: SquareSystem, run: Run) -> Solution:
        series, cost = self._states(system, problem, _Cost())
        slots = sum(system.layout.sizes.values())
        left = 0.0
        if not is_traced(system, series):
            left = _unresolved_square(np.asarray(series.states)[:, :slots])
            for count in _SQUARE[1:]:
                if self.points is not None or left <= self.tolerance:
                    break
                system = SquareSystem(problem, (count, count))
                series, cost = self._states(system, problem, cost)
                left = _unresolved_square(np.asarray(series.states)[:, :slots])
        first, second = (jnp.asarray(to_coefficients(n)) for n in system.points)

        def transform(z: Array) -> Array:
            return jnp.einsum("ij,fsjk,lk->fsil", first, z, second)

        low, high = problem.domain.bounds
        representation = SquareFunctions(
            _transformed(series, transform),
            (float(low[0]), float(low[1])),
            (float(high[0]), float(high[1])),
            system.layout,
            tuple(problem.shapes.items()),
            problem.steady,
        )
        unknowns = system.layout.count * system.points[0] * system.points[1]
        extra = {"points": system.points, "unresolved": left}
        return self._solution(problem, representation, cost, unknowns, extra)

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


def _unresolved_square(states: np.ndarray) -> float:
    """As `unresolved`, along each direction of a tensor grid; states (frames, slots, x, y)."""
    first, second = (to_coefficients(n) for n in states.shape[2:])
    c = np.abs(np.einsum("ij,fsjk,lk->fsil", first, states, second)).max(axis=0)
    return float(max(tail(c.max(axis=2)).max(), tail(c.max(axis=1)).max()))


def _check_points(points: Any) -> int:
    if not isinstance(points, (int, np.integer)) or points < 4:
        raise ValueError(f"points is a whole number of at least 4, got {points!r}")
    return int(points)


def _need_double() -> None:
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            "Chebyshev collocation needs double precision: call "
            'jax.config.update("jax_enable_x64", True) first'
        )


def _odd_order(problem: Problem) -> bool:
    """Whether a flux without gradients carries a second derivative, as in Korteweg–de Vries."""
    forms = problem.forms()

    def uses_gradients(name: str) -> bool:
        form = forms[name]
        return any(form.dependence(term).gradients for term in form.equation.flux)

    second = {name for name in forms if forms[name].kind == "Definition" and uses_gradients(name)}
    return any(
        forms[name].kind == "Balance"
        and not uses_gradients(name)
        and any(forms[name].dependence(term).values & second for term in forms[name].equation.flux)
        for name in forms
    )


def _inertia_trouble(problem: Problem, panels: Any) -> str | None:
    """A flux row of ∂ₜu is the time derivative of that of u, which must be known."""
    if problem.steady:
        return None
    forms = problem.forms()
    inertial = {name for name, form in forms.items() if form.has_inertia}
    one_panel = problem.dim == 2 or panels == 1
    for name in inertial:
        used = set().union(
            *(forms[name].dependence(term).fields for term in forms[name].equation.flux), set()
        )
        essential = all(c[name].all_essential for c in problem.conditions.values() if name in c)
        if used <= inertial or (essential and one_panel):
            continue
        return (
            f"{name!r} has inertia and its flux uses {sorted(used - inertial)}, which have none; "
            "in 1-D Chebyshev(panels=1) takes this with Dirichlet conditions, else use "
            "pm.FiniteElement"
        )
    return None


__all__ = ["Chebyshev"]
