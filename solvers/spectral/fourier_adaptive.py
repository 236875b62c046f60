"""Adaptive steps of a Fourier discretisation, inside diffrax."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from solvers._result import SolverError
from solvers.spectral.fourier_run import Cost, frame
from solvers.spectral.fourier_solution import interpolation_error
from solvers.spectral.fourier_system import FourierSystem
from solvers.time._compiled import adjoint_of, is_traced, timed_call
from solvers.time._imex import IMEX
from solvers.time._ladder import FINEST, RUNGS, AdaptiveETDRK, Ladder
from solvers.time._scheme import Scheme
from solvers.time._series import TimeSeries
from solvers.time._split import SplitTerm

_TABLE = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class Adapted:
    """What `adapt` returns; counts and costs only where nothing is traced."""

    series: TimeSeries
    steps: int = 0
    cost: Cost = dataclasses.field(default_factory=Cost)
    missed: float = 0.0


def check_adaptive(scheme: Scheme, adaptive: bool) -> None:
    """Raises ValueError where the scheme has no embedded error."""
    if not adaptive:
        return
    if scheme.family == "etdrk" and scheme.order >= 2:
        return
    if scheme.family == "imex" and scheme.order == 4:
        return
    raise ValueError(
        f"{scheme.label} has no embedded error: adaptive steps need scheme='etdrk' of order 2, 3 "
        "or 4, or scheme='imex' of order 4; or give dt for fixed steps"
    )


def adapt(
    system: FourierSystem,
    scheme: Scheme,
    rtol: float,
    longest: float | None,
    max_steps: int,
    frames: int,
    cost: Cost,
) -> Adapted:
    """From start to end by steps T 2⁻ʲ, at most `longest`, with evenly spaced frames.

    Raises:
        SolverError: "max_steps", "step_too_small", each with the time that was reached.
    """
    assert system.problem.time is not None
    t0, t1 = system.problem.time
    first = 0 if longest is None else max(int(np.ceil(np.log2((t1 - t0) / longest) - 1e-9)), 0)
    traced = is_traced(system)
    rungs = min(_rungs(system, scheme), FINEST + 1 - first)
    if rungs < 4:
        raise ValueError(
            f"dt = {longest:.3g}, the longest adaptive step, is less than 2⁻{FINEST - 3} of the "
            "interval; leave it out, or give it without adaptive=True"
        )
    arguments = (system, scheme, rtol, first, rungs, max_steps, frames, traced)
    if traced:
        return Adapted(_adapt(*arguments)[0])
    (series, missed, stats, result, reached), compiling, running, memory = timed_call(
        _adapt, *arguments
    )
    steps = int(stats["num_accepted_steps"])
    cost = cost.plus(compiling, running, memory, int(stats["num_steps"]))
    at = f"at t = {float(reached):.6g}"
    if bool(result == diffrax.RESULTS.max_steps_reached):
        raise SolverError(
            "max_steps",
            f"{max_steps} adaptive steps were used up {at}; give a larger rtol or max_steps",
        )
    if bool(result != diffrax.RESULTS.successful) or not np.isfinite(series.states).all():
        raise SolverError(
            "step_too_small",
            f"no step down to {(t1 - t0) * 0.5 ** (first + rungs - 1):.2g} meets rtol = "
            f"{rtol:.1e} {at}: the solution may cease to exist there; give a larger rtol, or a "
            "smaller dt, the longest step, from which the steps are halved",
        )
    return Adapted(series, steps, cost, float(missed))


def _rungs(system: FourierSystem, scheme: Scheme) -> int:
    """How many step sizes: all where the table of their coefficients fits in its budget."""
    if scheme.family != "etdrk":
        return RUNGS
    rung = 7 * sum(leaf.nbytes for leaf in jax.tree.leaves(system.linear()))
    return int(np.clip(_TABLE // max(rung, 1), 8, RUNGS))


def _adapt(
    system: FourierSystem,
    scheme: Scheme,
    rtol: float,
    first: int,
    rungs: int,
    max_steps: int,
    frames: int,
    throw: bool,
) -> Any:
    assert system.problem.time is not None
    start = system.initial_state()
    dtype = start.real.dtype
    t0, t1 = (jnp.asarray(t, dtype) for t in system.problem.time)
    length = t1 - t0
    if scheme.family == "imex":
        solver: Any = IMEX(system.linear(), None, scheme.order)
    else:
        solver = AdaptiveETDRK(system.linear(), length, scheme.order, first, rungs)
    error_order = 3 if scheme.order == 2 else 4
    # An absolute error as well, for a state that vanishes.
    size = jnp.sqrt(jnp.mean(jnp.abs(start) ** 2))
    ladder = Ladder(
        length=length,
        rtol=rtol,
        atol=1e-3 * rtol * jax.lax.stop_gradient(size),
        order=error_order,
        first=first,
        rungs=rungs,
    )
    times = jnp.linspace(t0, t1, frames)
    with warnings.catch_warnings():
        # All that is used of diffrax here holds for complex states, and is tested.
        warnings.filterwarnings("ignore", "Complex dtype")
        found = diffrax.diffeqsolve(
            SplitTerm(system),
            solver,
            t0,
            t1,
            None,
            start,
            saveat=diffrax.SaveAt(
                subs={"frames": diffrax.SubSaveAt(ts=times), "end": diffrax.SubSaveAt(t1=True)}
            ),
            stepsize_controller=ladder,
            max_steps=max_steps,
            adjoint=adjoint_of(throw),
            throw=throw,
        )
    assert found.ts is not None and found.ys is not None
    states, slopes = jax.lax.map(lambda at: frame(system, *at), (found.ys["frames"], times))
    series = TimeSeries(times, states, slopes)
    return series, interpolation_error(series), found.stats, found.result, found.ts["end"][-1]
