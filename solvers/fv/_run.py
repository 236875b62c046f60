"""Runs a finite volume system in time and names what went wrong."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from solvers._result import SolverError
from solvers._solution import Representation, Solution, Stats
from solvers.fv._solution import VolumeFunctions
from solvers.fv._system import VolumeSystem
from solvers.fv._triangle_solution import triangle_functions
from solvers.fv._triangles import TriangleSystem
from solvers.time import SSPRK3, CFLController, TimeSeries, integrate
from solvers.time._compiled import initial_state, is_traced

_MOST_FRAMES = 257
_BUDGET = 256 * 2**20
# Courant number at which SSPRK3 with upwind differences ceases to be stable.
_STABLE = 1.25


def evolve(method: Any, problem: Problem, system: Any) -> Solution:
    """The solution of `system` by the options of `method`.

    Raises:
        SolverError: "negative", "unstable_step", or what `integrate` raises.
    """
    assert problem.time is not None
    start = initial_state(system)
    traced = is_traced(system, start)
    if not traced:
        _check_start(system, start, problem.time[0])
    frames = method.frames
    if frames is None:
        frames = int(np.clip(_BUDGET // (2 * start.size * start.dtype.itemsize), 5, _MOST_FRAMES))
    times = np.linspace(*problem.time, frames)
    control: dict[str, Any] = {"dt": method.dt}
    if method.dt is None:
        cfl: Any = CFLController()
        if len(times) > 2:
            cfl = diffrax.ClipStepSizeController(cfl, step_ts=on_device(times[1:-1]))
        control = {
            "controller": cfl,
            "max_steps": _most_steps(system, start, problem.time, frames),
        }
    try:
        found = integrate(
            system,
            problem.time,
            stepper=SSPRK3() if method.stepper is None else method.stepper,
            frames=on_device(times) if method.dt is None else frames,
            start=start,
            slopes="rate",
            **control,
        )
    except SolverError as error:
        raise _explained(error, method, system, start, problem.time[0]) from None
    if not is_traced(found.series):
        _check_fields(method, problem, system, found.series)
        _check_quantities(system, found.series)
        _check_step(method, system, found.series)
    return Solution(
        problem,
        functions(problem, system, found.series),
        method,
        Stats(
            unknowns=start.size,
            compile_seconds=found.compile_seconds,
            run_seconds=found.run_seconds,
            iterations=0 if is_traced(found.steps) else found.steps,
            peak_memory=found.memory,
            notes=(*found.notes, f"flux {system.riemann}"),
            extra={} if is_traced(found.rejected) else {"repeated_steps": found.rejected},
        ),
    )


def functions(problem: Problem, system: Any, series: TimeSeries) -> Representation:
    """The averages as functions of x and t."""
    if isinstance(system, TriangleSystem):
        return triangle_functions(system, series)
    assert isinstance(system, VolumeSystem)
    weno = system.reconstruction == "weno5"
    states, slopes, centres = _extended(system, series.states, series.slopes, series.times)
    return VolumeFunctions(
        TimeSeries(series.times, states, slopes, series.count),
        centres,
        weno,
        system.law.offsets,
        tuple(problem.shapes.items()),
    )


@eqx.filter_jit
def _extended(
    system: VolumeSystem, states: Array, slopes: Array, times: Array
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Averages and their slopes with the cells beyond the border, and the centres of all."""
    reach = 2 if system.reconstruction == "weno5" else 1

    def pad(z: Array, t: Array) -> Array:
        return system.extended(z, t, reach).reshape(z.shape[0], -1).T

    def both(frame: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        # Padding is affine in z, and its own change in time is that of the boundary data.
        z, slope, t = frame
        return jax.jvp(pad, (z, t), (slope, jnp.ones_like(t)))

    states, slopes = jax.lax.map(both, (states, slopes, times))
    return (
        states,
        slopes,
        tuple(system.extended_centres(a, reach) for a in range(system.problem.dim)),
    )


@eqx.filter_jit
def _step_of(system: Any, z: Array, t: Array, courant: float | None) -> Array:
    return system.stable_step(z, t, courant)


@eqx.filter_jit
def _least(system: Any, states: Array, times: Array) -> Array:
    return jax.lax.map(lambda at: system.least(*at), (states, times))


@eqx.filter_jit
def _least_at(system: Any, z: Array, t: Array) -> Array:
    return system.least(z, t)


def _most_steps(system: Any, start: Array, time: tuple[float, float], frames: int) -> int:
    """A bound on the number of steps: waves four times as fast as at the start."""
    if is_traced(system, start):
        return 65536
    first = float(_step_of(system, start, jnp.asarray(time[0]), None))
    if not np.isfinite(first):
        raise SolverError("not_finite", "the speed of waves at the start is not finite")
    needed = 4 * (time[1] - time[0]) / first + frames + 1000
    return int(2 ** np.ceil(np.log2(needed)))


def _check_start(system: Any, start: Array, t: float) -> None:
    if "admissible" not in system.law.given:
        return
    least = np.asarray(_least_at(system, start, jnp.asarray(t, start.dtype)))
    for name, value in zip(system.law.quantity_names, least, strict=True):
        if not value > 0:
            raise SolverError(
                "negative",
                f"the {name} of the initial data is {value:.3g} in some cell: it must be positive "
                "everywhere",
            )


def _explained(error: SolverError, method: Any, system: Any, start: Array, t: float) -> SolverError:
    """The same error with a step that would be stable, or what became negative."""
    if error.reason != "not_finite":
        return error
    message = str(error).split("] ", 1)[1]
    if method.dt is not None:
        step = float(_step_of(system, start, jnp.asarray(t, start.dtype), None))
        more = f"; dt = {method.dt:g}, and at the start dt = {step:.3g} is stable, or leave dt out"
        return SolverError("not_finite", message + more, error.history)
    if "admissible" in system.law.given:
        names = " or ".join(system.law.quantity_names)
        return SolverError(
            "negative",
            f"{names} became negative or the state not finite, and shorter steps did not help: "
            f"{message}; use the minmod limiter, riemann='hll' or more cells",
            error.history,
        )
    return error


def _check_fields(method: Any, problem: Problem, system: Any, series: TimeSeries) -> None:
    for name in method.positive:
        if name not in problem.shapes:
            raise ValueError(f"positive: no field {name!r}; there are {list(problem.shapes)}")
        start, size = next((i, k) for n, i, k in system.law.offsets if n == name)
        part = np.asarray(series.states)[:, start : start + size]
        _refuse_negative(name, part.reshape(len(part), -1).min(axis=1), series)


def _check_quantities(system: Any, series: TimeSeries) -> None:
    if "admissible" in system.law.given:
        least = np.asarray(_least(system, series.states, series.times))
        for i, name in enumerate(system.law.quantity_names):
            _refuse_negative(name, least[:, i], series)


def _refuse_negative(name: str, least: np.ndarray, series: TimeSeries) -> None:
    if (least < 0).any():
        when = float(series.times[int(np.argmax(least < 0))])
        raise SolverError(
            "negative",
            f"{name!r} is negative ({least.min():.2e}) from t = {when:g} on: use the "
            "minmod limiter, constant reconstruction or a smaller courant number",
        )


def _check_step(method: Any, system: Any, series: TimeSeries) -> None:
    """A fixed step beyond the stability limit may give a finite, wrong answer."""
    if method.dt is None or method.stepper is not None:
        return
    for z, t in zip(series.states, series.times, strict=True):
        if method.dt > float(_step_of(system, z, t, _STABLE)):
            step = float(_step_of(system, z, t, None))
            raise SolverError(
                "unstable_step",
                f"dt = {method.dt:g} is beyond the stability limit at t = {float(t):g}: "
                f"dt = {step:.3g} is stable there, or leave dt out",
            )
