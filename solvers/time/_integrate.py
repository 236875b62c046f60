"""integrate: a system from start to end by any stepper, with frames, counts and named failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from time import perf_counter
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._result import SolverError
from solvers._system import System
from solvers.time._compiled import adjoint_of, initial_state, is_traced, timed_call
from solvers.time._dirk import esdirk4
from solvers.time._implicit import ImplicitStepper, SystemTerm, rate_of
from solvers.time._series import TimeSeries

_BUDGET = 512 * 2**20
_UNIFORM = 513


@dataclasses.dataclass(frozen=True)
class Evolution:
    """What `integrate` returns.

    Attributes:
        series: the states as a function of time. steps: accepted steps. rejected: others.
        compile_seconds, run_seconds, memory: cost; zero while tracing.
        notes: choices that were made.
    """

    series: TimeSeries
    steps: Any
    rejected: Any
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    memory: int = 0
    notes: tuple[str, ...] = ()


def integrate(
    system: System,
    time: tuple[float, float],
    *,
    stepper: diffrax.AbstractSolver | None = None,
    dt: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    first_step: float | None = None,
    max_steps: int = 4096,
    frames: int | Array | None = None,
    controller: diffrax.AbstractStepSizeController | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    progress: diffrax.AbstractProgressMeter | None = None,
    start: Array | None = None,
    slopes: Callable[[Array, Array], Array] | Literal["rate"] | None = None,
) -> Evolution:
    """d/dt m(z) = R(z, t) from time[0] to time[1].

    Arguments:
        stepper: an implicit one of this package, ESDIRK4(3) by default, or any explicit solver of
            diffrax for systems whose m is the identity.
        dt: fixed steps of at most this length. Without it steps are adaptive, with errors per
            step of rtol |z| + atol in the entries that evolve; algebraic ones follow them.
        first_step: of adaptive steps. max_steps: of adaptive steps, rejected ones included.
        frames: how many states to keep, evenly spaced, or at which times; by default all
            accepted steps where they fit in half a gigabyte.
        controller: instead of fixed or adaptive steps by `dt`, `rtol` and `atol`.
        adjoint: how gradients are taken; by default, where they are, diffrax's
            RecursiveCheckpointAdjoint, whose memory grows with the logarithm of the steps (steps
            are run again from checkpoints).
        start: z at the start, by default the system's own.
        slopes: (z, t) -> ∂z/∂t, for interpolation, or "rate" for R(z, t) where m is the identity;
            by default finite differences of the frames.

    Raises:
        SolverError: "step_too_small", "max_steps", "stage_not_converged", "not_finite", each
            with the time that was reached and a remedy.
        ValueError: a stepper that does not fit.
    """
    stepper = esdirk4() if stepper is None else stepper
    before = perf_counter()
    state = initial_state(system) if start is None else start
    preparing = perf_counter() - before
    stepper, controller, dt0, max_steps = _control(
        system, time, stepper, dt, rtol, atol, first_step, max_steps, controller
    )
    frame_times, note = _frames(frames, time, state, max_steps, controller)
    traced = is_traced(system, state)
    if not traced and not np.isfinite(np.asarray(state)).all():
        raise SolverError(
            "inconsistent_start",
            "no state at the start satisfies the algebraic rows: make the initial data agree with "
            f"the boundary conditions and constraints at t = {time[0]:g}",
        )
    arguments = (
        system,
        state,
        jnp.asarray(time[0], state.dtype),
        jnp.asarray(time[1], state.dtype),
        None if dt0 is None else jnp.asarray(dt0, state.dtype),
        stepper,
        controller,
        frame_times,
        max_steps,
        adjoint or adjoint_of(traced),
        progress or diffrax.NoProgressMeter(),
        slopes,
        traced,
    )
    if traced:
        series, stats, _, _ = _run(*arguments)
        return Evolution(series, stats["num_accepted_steps"], stats["num_rejected_steps"])
    (series, stats, result, reached), compiling, running, memory = timed_call(_run, *arguments)
    _check(result, reached, series, stepper, max_steps)
    return Evolution(
        _trim(series),
        int(stats["num_accepted_steps"]),
        int(stats["num_rejected_steps"]),
        compiling + preparing,
        running,
        memory,
        () if note is None else (note,),
    )


def _control(system, time, stepper, dt, rtol, atol, first_step, max_steps, controller):
    """Stepper, controller, first step and bound on the steps."""
    length = time[1] - time[0]
    if not isinstance(stepper, ImplicitStepper) and system.algebraic() is not None:
        raise ValueError(
            f"{type(stepper).__name__} can't hold algebraic rows: use an implicit stepper such as "
            "solvers.time.esdirk4()"
        )
    if controller is not None:
        dt0 = None if isinstance(controller, diffrax.StepTo) else first_step or dt or 1e-3 * length
        return stepper, controller, dt0, max_steps
    if dt is not None:
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"dt must be positive, got {dt!r}")
        count = max(int(np.ceil(length / dt * (1 - 1e-9))), 1)
        if isinstance(stepper, ImplicitStepper):
            stepper = stepper.without_estimate()
        times = np.linspace(time[0], time[1], count + 1)
        return stepper, diffrax.StepTo(ts=jnp.asarray(times)), None, count
    if isinstance(stepper, ImplicitStepper) and not stepper.adaptive:
        raise ValueError(
            f"{stepper.description} has no error estimate: give dt for fixed steps, or use "
            "solvers.time.bdf2(), sdirk2(), esdirk3() or esdirk4()"
        )
    if not isinstance(stepper, diffrax.AbstractAdaptiveSolver):
        raise ValueError(f"{type(stepper).__name__} has no error estimate: give dt for fixed steps")
    chosen = diffrax.PIDController(
        rtol=rtol,
        atol=atol,
        pcoeff=0.2,
        icoeff=0.8,
        dtmin=1e-11 * length,
        force_dtmin=False,
        factormax=stepper.largest_growth if isinstance(stepper, ImplicitStepper) else 10.0,
    )
    return stepper, chosen, first_step or 1e-4 * length, max_steps


def _frames(frames, time, state, max_steps, controller) -> tuple[Array | None, str | None]:
    """Times of the frames, or None for every accepted step."""
    size = 2 * state.size * state.dtype.itemsize
    if frames is not None and np.ndim(frames) == 1:
        return jnp.asarray(frames, state.dtype), None
    if frames is None:
        if (max_steps + 1) * size <= _BUDGET:
            return None, None
        frames = int(np.clip(_BUDGET // size, 5, _UNIFORM))
    if isinstance(controller, diffrax.StepTo):
        # Frames on steps need no interpolation.
        chosen = np.unique(np.round(np.linspace(0, max_steps, frames)).astype(int))
        return controller.ts[chosen], f"kept {len(chosen)} of {max_steps + 1} states"
    even = jnp.linspace(time[0], time[1], frames, dtype=state.dtype)
    return even, f"kept {frames} states, evenly spaced"


def _run(
    system,
    state,
    t0,
    t1,
    dt0,
    stepper,
    controller,
    frame_times,
    max_steps,
    adjoint,
    progress,
    slopes,
    throw,
):
    if isinstance(stepper, ImplicitStepper):
        term: Any = SystemTerm(system)
    else:
        term = diffrax.ODETerm(lambda t, z, args: rate_of(args, z, t))
    if frame_times is None:
        kept = diffrax.SubSaveAt(t0=True, steps=True)
    else:
        kept = diffrax.SubSaveAt(ts=frame_times)
    found = diffrax.diffeqsolve(
        term,
        stepper,
        t0,
        t1,
        dt0,
        state,
        args=system,
        saveat=diffrax.SaveAt(subs={"frames": kept, "end": diffrax.SubSaveAt(t1=True)}),
        stepsize_controller=controller,
        max_steps=max_steps,
        adjoint=adjoint,
        progress_meter=progress,
        throw=throw,
    )
    assert found.ts is not None and found.ys is not None
    times, states = found.ts["frames"], found.ys["frames"]
    if frame_times is None:
        count = found.stats["num_accepted_steps"] + 1
        # Unused slots are infinite: keep them out of sums, whose gradient would be NaN.
        used = jnp.arange(len(times)) < count
        last = jnp.take(states, count - 1, axis=0)
        states = jnp.where(used.reshape(-1, *(1,) * state.ndim), states, last)
        times = jnp.where(used, times, t1)
    else:
        count = len(times)
    given = None
    if slopes is not None:
        slope = (lambda z, t: rate_of(system, z, t)) if slopes == "rate" else slopes
        given = jax.lax.map(lambda at: slope(*at), (states, times))
    series = TimeSeries(times, states, given, count)
    if throw:
        end = found.ys["end"]
        series = eqx.error_if(
            series, ~jnp.all(jnp.isfinite(end)), "[not_finite] the state is not finite at the end"
        )
    return series, found.stats, found.result, found.ts["end"][-1]


def _trim(series: TimeSeries) -> TimeSeries:
    count = int(series.count)
    return TimeSeries(series.times[:count], series.states[:count], series.slopes[:count], count)


def _check(result, reached, series: TimeSeries, stepper, max_steps: int) -> None:
    """Names what went wrong."""
    codes = diffrax.RESULTS
    times = np.asarray(series.times)[: int(series.count)]
    history = tuple(np.diff(times)[-20:])
    at = f"at t = {float(reached):.6g}"
    finite = np.isfinite(np.asarray(series.states)).reshape(len(series.states), -1).all(axis=1)
    if bool(result == codes.successful):
        if finite.all():
            return
        first = float(np.asarray(series.times)[int(np.argmin(finite))])
        raise SolverError(
            "not_finite",
            f"the state is not finite from t = {first:.6g} on: the step is beyond the stability "
            "limit, or the solution ceases to exist; try a smaller step or an implicit stepper",
            history,
        )
    if bool(result == codes.dt_min_reached):
        raise SolverError(
            "step_too_small",
            f"the time step shrank to nothing {at}: the stages can't be solved or the solution "
            "ceases to exist there; check the data near that time, refine the grid, or loosen rtol",
            history,
        )
    if bool(result == codes.max_steps_reached):
        raise SolverError(
            "max_steps",
            f"{max_steps} time steps were used up {at}; give a larger max_steps, or loosen rtol",
            history,
        )
    if bool(result == codes.nonlinear_divergence) and not isinstance(stepper, ImplicitStepper):
        raise SolverError(
            "not_finite",
            f"the state ceased to be finite {at}: the step is beyond the stability limit, or the "
            "solution ceases to exist; take smaller steps or an implicit stepper",
            history,
        )
    if bool(result == codes.nonlinear_divergence):
        raise SolverError(
            "stage_not_converged",
            f"a stage of {_name(stepper)} was not solved {at}; take a smaller dt, or leave dt out "
            "for adaptive steps",
            history,
        )
    raise SolverError("time_stepping", f"{codes[result]} ({at})", history)


def _name(stepper: Any) -> str:
    if isinstance(stepper, ImplicitStepper):
        return stepper.description
    return type(stepper).__name__
