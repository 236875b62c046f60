"""Fourier: pseudo-spectral solution of periodic problems, with exponential time differencing.

    ∂û/∂t = L(k) û + N̂(u),  L found by itself from the linear terms with constant coefficients

For many initial states at once, as data for a surrogate, use

    trajectory(problem, method, initial_states, times)

with `initial_states` (batch, *points, *shape) of the one evolving field, or a dictionary of them,
and times (m,) from the problem's start on; it returns (batch, m, *points, *shape) likewise, is
compiled once, and differentiable. To vary a coefficient as well, `jax.vmap` a function that
makes the problem and calls `trajectory`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from pdes import Problem
from solvers._method import Method, Run
from solvers._result import NotApplicable, SolverError
from solvers._solution import Solution, Stats
from solvers._traced import with_programs
from solvers.spectral._dealias import ExponentialFilter
from solvers.spectral.fourier_adaptive import adapt, check_adaptive
from solvers.spectral.fourier_plan import Plan, make_plan, obstacle
from solvers.spectral.fourier_run import (
    MOST_STEPS,
    Cost,
    choose_steps,
    evolve,
    stable_steps,
    steady_state,
    steps_for,
)
from solvers.spectral.fourier_solution import FourierFunctions
from solvers.spectral.fourier_system import FourierSystem, build
from solvers.time._compiled import is_traced, timed_call
from solvers.time._scheme import Scheme
from solvers.time._series import TimeSeries, at_rest

_POINTS = {1: 256, 2: 128, 3: 32}
_STORED = 64 * 2**20


class Fourier(Method):
    """Fourier pseudo-spectral method on a box that is periodic in every direction, 1-D to 3-D.

    Terms that are linear with constant coefficients become a small matrix for each wavenumber
    and are integrated exactly; definitions are eliminated, constraints projected. All other
    terms are evaluated at the grid points, de-aliased, and integrated by ETDRK.

    Arguments:
        points: an even number of grid points, one for all directions or one for each; by
            default 256 in 1-D, 128 in 2-D, 32 in 3-D.
        dt: fixed time step; it is shortened to divide the interval. By default the number of
            steps is doubled until the state at the end changes by less than `rtol`, which is
            then about 2^order times its error, and until interpolation between frames is as good.
        scheme: "etdrk", exponential; "imex", implicit–explicit Runge–Kutta; "sbdf", semi-implicit
            backward differentiation, one evaluation a step. SBDF4 is unstable where L is
            imaginary (dispersion, waves), SBDF3 nearly so.
        order: of the scheme, 1 to 4.
        adaptive: steps by an embedded error, of `rtol` in the norm of the state in each step,
            from `dt` where given down: ETDRK of order 2 to 4, or "imex" of order 4. Also under
            `jax.jit` and `jax.grad`.
        dealias: fraction of the modes that pointwise terms may use; "auto" takes 2/3 for
            quadratic terms, 1/2 for cubic ones and for what is no polynomial. Or a smooth
            `ExponentialFilter`.
        rtol: see `dt`; 1e-7 in double and 1e-4 in single precision.
        max_steps: beyond which no dt is tried.
        frames: how many states to keep, evenly spaced; by default all steps where they fit in
            64 MiB and are at most 513, else every second, third …
        scale: multiplies the points and the steps; see `refined`.

    Under `jax.jit` and `jax.grad` nothing can be tried: give `dt`, or `adaptive=True`. For events,
    other adjoints or a progress bar, pass `SplitTerm(method.discretize(problem))` and a stepper
    of `solvers.time` to `diffrax.diffeqsolve`.

    Sources: Cox & Matthews (2002); Kassam & Trefethen (2005); Ascher, Ruuth & Wetton (1995);
    Ascher, Ruuth & Spiteri (1997); Orszag (1971).

    Raises:
        NotApplicable: see `inapplicable`. ValueError: odd or tiny grids, an order out of range.
        SolverError: "not_finite" and "unstable" with a step that is stable, "max_steps",
            "step_too_small", "singular_matrix", "incompatible_data".
    """

    points: int | tuple[int, ...] | None = eqx.field(static=True, default=None)
    dt: float | None = eqx.field(static=True, default=None)
    scheme: str = eqx.field(static=True, default="etdrk")
    order: int = eqx.field(static=True, default=4)
    adaptive: bool = eqx.field(static=True, default=False)
    dealias: float | str | ExponentialFilter = eqx.field(static=True, default="auto")
    rtol: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=MOST_STEPS)
    frames: int | None = eqx.field(static=True, default=None)
    scale: float = eqx.field(static=True, default=1.0)

    @property
    def name(self) -> str:
        return "Fourier"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        reason = obstacle(problem)
        if reason is not None:
            return reason
        try:
            self._plan(problem)
        except NotApplicable as error:
            return str(error)
        return None

    def discretize(self, problem: Problem) -> FourierSystem:
        """L, N and the fields' maps as a `SplitSystem`; its state is complex."""
        reason = obstacle(problem)
        if reason is not None:
            raise NotApplicable(f"{self.name} can't solve {problem.name!r}: {reason}")
        if is_traced(problem):
            return build(problem, self._plan(problem))
        return timed_call(build, problem, self._plan(problem))[0]

    def refined(self, factor: float) -> Fourier:
        rtol = None if self.rtol is None else self.rtol * factor**-self.order
        return dataclasses.replace(self, scale=self.scale * factor, rtol=rtol)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        self.check(problem)
        plan = self._plan(problem)
        given = with_programs(problem)
        if is_traced(given):
            system = build(given, plan)
            cost = Cost()
        else:
            system, compiling, running, memory = timed_call(build, given, plan)
            cost = Cost(compiling, running, memory, 0)
        if problem.steady:
            return self._solve_steady(problem, system, cost)
        if self.adaptive:
            return self._solve_adaptive(problem, system, cost)
        if is_traced(given):
            steps = self._given_steps(problem.time, traced=True)
            _, inner = self._kept(steps, plan)
            series, _ = evolve(system, self.stepping, steps, inner)
            return self._answer(problem, plan, series, Stats(unknowns=_unknowns(plan)))
        if self.dt is None:
            steps, cost = choose_steps(
                system, self.stepping, self._tolerance(), self.max_steps, cost=cost
            )
        else:
            steps = self._given_steps(problem.time)
        while True:
            _, inner = self._kept(steps, plan)
            (series, missed), compiling, running, memory = timed_call(
                evolve, system, self.stepping, steps, inner
            )
            cost = cost.plus(compiling, running, memory, steps)
            self._check_stable(series, system, steps)
            wanted = self._tolerance()
            if self.dt is not None or not float(missed) > 10 * wanted or self.frames is not None:
                break
            factor = 2 ** int(np.ceil(np.log2(float(missed) / wanted) / 4))
            more = min(steps * factor, self.max_steps)
            if more == steps or inner > 1:
                break
            steps = more
        stats = self._stats(problem, plan, steps, inner, cost, float(missed))
        return self._answer(problem, plan, series, stats)

    @property
    def stepping(self) -> Scheme:
        """The scheme and its order, checked."""
        return Scheme(self.scheme, self.order)

    def _points(self, dim: int) -> tuple[int, ...]:
        given: Any = _POINTS.get(dim, 32) if self.points is None else self.points
        points = tuple(given) if isinstance(given, Sequence) else (given,) * dim
        if len(points) != dim:
            raise ValueError(f"points is one number or one for each of {dim} directions: {given!r}")
        if any(isinstance(n, bool) or int(n) != n or n % 2 or n < 8 for n in points):
            raise ValueError(f"points must be even and at least 8 in each direction, got {given!r}")
        return tuple(max(2 * round(int(n) * self.scale / 2), 8) for n in points)

    def _plan(self, problem: Problem) -> Plan:
        check_adaptive(self.stepping, self.adaptive)
        if isinstance(self.dealias, ExponentialFilter):
            return make_plan(problem, self._points(problem.dim), 1.0, self.dealias)
        fraction = None
        if self.dealias != "auto":
            fraction = float(self.dealias)
            if not 0 < fraction <= 1:
                raise ValueError(
                    'dealias is "auto", a fraction in (0, 1] or an ExponentialFilter, got '
                    f"{self.dealias!r}"
                )
        return make_plan(problem, self._points(problem.dim), fraction)

    def _tolerance(self) -> float:
        if self.rtol is not None:
            return self.rtol
        base = 1e-7 if jnp.result_type(float) == jnp.float64 else 1e-4
        return base * self.scale**-self.order

    def _given_steps(self, time: Any, traced: bool = False) -> int:
        if self.dt is None:
            assert traced
            raise ValueError(
                "under jax.jit, jax.grad and jax.vmap no time step can be tried: give dt=…, for "
                'example the one that a plain solve has chosen, solution.stats.extra["dt"], or '
                "adaptive=True"
            )
        return steps_for(time[1] - time[0], self.dt / self.scale)

    def _kept(self, steps: int, plan: Plan) -> tuple[int, int]:
        """How many frames, and steps between two."""
        itemsize = jnp.result_type(complex).itemsize
        size = 2 * itemsize * plan.layout.total * int(np.prod(plan.grid))
        frames = self.frames
        if frames is None:
            frames = int(np.clip(_STORED // size, 9, 513))
        elif frames < 2:
            raise ValueError(f"frames must be at least 2, got {frames}")
        inner = max(-(-steps // (frames - 1)), 1)
        return frames, inner

    def _check_stable(self, series: TimeSeries, system: FourierSystem, steps: int) -> None:
        """Refuses states that are not finite, or that grow where smaller steps do not."""
        states = np.asarray(series.states)
        finite = np.isfinite(states).reshape(len(states), -1).all(axis=1)
        assert system.problem.time is not None
        start, stop = system.problem.time
        length = stop - start
        sizes = np.linalg.norm(states.reshape(len(states), -1), axis=1)
        if finite.all() and not sizes[-1] > 1e3 * sizes[0] > 0:
            return
        evolving = np.asarray(system.plan.layout.evolving)
        limit = 0.1 * float(np.linalg.norm(states[-1, evolving])) if finite.all() else np.inf
        if finite.all() and stable_steps(system, Scheme(), steps, limit, (2,)) is None:
            return  # it grows with smaller steps as well
        more = stable_steps(system, self.stepping, steps, limit)
        when = float(np.asarray(series.times)[int(np.argmin(finite))])
        what = f"is not finite from t = {when:.6g} on"
        if finite.all():
            what = f"has grown {sizes[-1] / max(sizes[0], 1e-300):.2g} times by t = {stop:.6g}"
        remedy = "no smaller step down to 1/256 of it is stable: the solution may cease to exist"
        if self.scheme == "sbdf" and self.order > 2:
            remedy += ", or L is imaginary, for which this scheme is unstable: use scheme='etdrk'"
        if more is not None:
            remedy = f"dt = {length / more:.3g} is stable; leave dt out to choose it"
        raise SolverError(
            "not_finite" if not finite.all() else "unstable",
            f"the state {what} with dt = {length / steps:.3g} and {self.stepping.label}; {remedy}",
        )

    def _stats(self, problem, plan: Plan, steps: int, inner: int, cost: Cost, missed: float):
        assert problem.time is not None
        dt = (problem.time[1] - problem.time[0]) / steps
        transforms = sum(stage.transforms for stage in plan.stages)
        kind = "diagonal" if plan.diagonal else "matrix"
        kept = f"{plan.fraction:.3g} of the modes in pointwise terms"
        if plan.filter is not None:
            kept = f"an exponential filter of order {plan.filter.order:g} in pointwise terms"
        chosen = "given" if self.dt is not None else f"chosen for rtol {self._tolerance():.0e}"
        if self.adaptive:
            chosen = f"on average, by rtol {self._tolerance():.0e} in each step"
        return Stats(
            unknowns=_unknowns(plan),
            compile_seconds=cost.compiling,
            run_seconds=cost.running,
            iterations=cost.steps,
            peak_memory=cost.memory,
            notes=(
                f"{self.stepping.label}, dt = {dt:.4g} ({chosen}), {kind} symbol, {transforms} "
                f"transforms an evaluation, {kept}",
            ),
            extra={
                "dt": dt,
                "steps": steps,
                "transforms": transforms,
                "interpolation_error": missed,
                "dealias": plan.fraction,
            },
        )

    def _solve_adaptive(self, problem: Problem, system: FourierSystem, cost: Cost) -> Solution:
        plan = system.plan
        assert problem.time is not None
        frames = self._kept(1, plan)[0]
        longest = None if self.dt is None else self.dt / self.scale
        found = adapt(
            system, self.stepping, self._tolerance(), longest, self.max_steps, frames, cost
        )
        if is_traced(system):
            return self._answer(problem, plan, found.series, Stats(unknowns=_unknowns(plan)))
        stats = self._stats(problem, plan, found.steps, 1, found.cost, found.missed)
        return self._answer(problem, plan, found.series, stats)

    def _answer(self, problem, plan: Plan, series: TimeSeries, stats: Stats) -> Solution:
        functions = FourierFunctions(series, plan, problem.steady)
        return Solution(problem, functions, self, stats)

    def _solve_steady(self, problem: Problem, system: FourierSystem, cost: Cost) -> Solution:
        plan = system.plan
        if is_traced(system):
            states, _ = steady_state(system)
            return self._answer(problem, plan, at_rest(states), Stats(unknowns=_unknowns(plan)))
        (states, excess), compiling, running, memory = timed_call(steady_state, system)
        cost = cost.plus(compiling, running, memory, 1)
        if not np.isfinite(np.asarray(states)).all():
            raise SolverError(
                "singular_matrix",
                "a wavenumber of the box solves the homogeneous equation, so that the solution is "
                "not unique: change the coefficients or the size of the box",
            )
        if float(excess) > 1e3 * jnp.finfo(states.real.dtype).eps:
            raise SolverError(
                "incompatible_data",
                f"the mean of a source must vanish where only a gauge fixes the mean of the field; "
                f"it is {float(excess):.2g} of the source's size",
            )
        stats = Stats(
            unknowns=_unknowns(plan),
            compile_seconds=cost.compiling,
            run_seconds=cost.running,
            iterations=1,
            peak_memory=cost.memory,
            notes=("direct division by the symbol",),
        )
        return self._answer(problem, plan, at_rest(states), stats)


def _unknowns(plan: Plan) -> int:
    return int(np.prod(plan.points)) * (plan.layout.state_size or plan.layout.total)
