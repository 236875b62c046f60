"""Running a Fourier discretisation: to the end, in frames, or at rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._result import SolverError
from solvers.spectral.fourier_solution import interpolation_error
from solvers.spectral.fourier_system import FourierSystem
from solvers.time._compiled import timed_call
from solvers.time._scheme import Scheme
from solvers.time._series import TimeSeries

MOST_STEPS = 2**15
_FIRST_STEPS = 16
_CHECKPOINTED = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class Cost:
    """What all passes have cost so far."""

    compiling: float = 0.0
    running: float = 0.0
    memory: int = 0
    steps: int = 0

    def plus(self, compiling: float, running: float, memory: int, steps: int) -> Cost:
        return Cost(
            self.compiling + compiling,
            self.running + running,
            max(self.memory, memory),
            self.steps + steps,
        )


def steps_for(length: float, dt: float) -> int:
    """Steps of at most dt."""
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be positive, got {dt!r}")
    return max(int(np.ceil(length / dt * (1 - 1e-9))), 1)


def steady_state(system: FourierSystem) -> tuple[Array, Array]:
    """All fields, and the mean of the sources that no field can balance, of their size."""
    empty = jnp.zeros((0, *system.plan.grid), jnp.result_type(complex))
    t = jnp.zeros(())
    return system.recover(empty, t), system.unbalanced(t)


def end_state(
    system: FourierSystem, scheme: Scheme, steps: Array, until: Array, start: Any = None
) -> Array:
    """z at `until` after any number of steps, without frames; `start` may have a batch axis."""
    assert system.problem.time is not None
    t0 = system.problem.time[0]
    z = system.initial_state() if start is None else start
    h = (until - t0) / steps.astype(z.real.dtype)
    solver = scheme.stepper(system.linear(), h)

    def march(z: Array) -> Array:
        def one(i: Array, carry: Any) -> Any:
            return solver.proceed(system, t0 + i * h, *carry)

        return jax.lax.fori_loop(0, steps, one, (z, solver.begin(system, t0, z)))[0]

    return march(z) if start is None else jax.vmap(march)(z)


def stable_steps(
    system: FourierSystem,
    scheme: Scheme,
    steps: int,
    limit: float,
    multiples: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256),
) -> int | None:
    """The fewest steps, in multiples of `steps`, whose end is finite and smaller than `limit`."""
    assert system.problem.time is not None
    until = jnp.asarray(system.problem.time[1])
    for more in multiples:
        end = timed_call(end_state, system, scheme, jnp.asarray(steps * more), until)[0]
        with np.errstate(over="ignore", invalid="ignore"):
            size = float(np.linalg.norm(np.asarray(end).ravel()))
        if np.isfinite(size) and size < limit:
            return steps * more
    return None


def choose_steps(
    system: FourierSystem,
    scheme: Scheme,
    tolerance: float,
    max_steps: int,
    start: Any = None,
    until: float | None = None,
    cost: Cost | None = None,
) -> tuple[int, Cost]:
    """Doubles the number of steps until the state at the end (or `until`) no longer changes.

    Raises:
        SolverError: "max_steps".
    """
    assert system.problem.time is not None
    end_time = jnp.asarray(system.problem.time[1] if until is None else until)
    cost, steps, before = cost or Cost(), _FIRST_STEPS, None
    if not system.plan.stages:
        return 64, cost  # exact with any step; interpolation between frames needs some
    history = []
    while steps <= max_steps:
        count = jnp.asarray(steps)
        end, compiling, running, memory = timed_call(
            end_state, system, scheme, count, end_time, start
        )
        cost = cost.plus(compiling, running, memory, steps)
        end: np.ndarray[Any, Any] = np.asarray(end)
        if before is not None and np.isfinite(end).all() and np.isfinite(before).all():
            scale = max(float(np.linalg.norm(end.ravel())), 1e-300)
            history.append(float(np.linalg.norm((end - before).ravel())) / scale)
            if history[-1] <= tolerance:
                return steps, cost
        before, steps = end, 2 * steps
    last = f"still changes by {history[-1]:.1e}" if history else "is not finite"
    raise SolverError(
        "max_steps",
        f"with {max_steps} time steps the state at the end {last} relative; a chaotic "
        "solution has no limit at late times: give dt, or else a larger rtol or max_steps",
        tuple(history),
    )


def frame(system: FourierSystem, z: Array, t: Array) -> tuple[Array, Array]:
    """All fields, and their rates of change."""
    slope = system.rate(z, t)
    return jax.jvp(system.recover, (z, t), (slope, jnp.ones_like(t)))


def evolve(
    system: FourierSystem, scheme: Scheme, steps: int, inner: int
) -> tuple[TimeSeries, Array]:
    """The frames, `inner` steps apart, as a series of all fields; and its interpolation error."""
    assert system.problem.time is not None
    t0, t1 = system.problem.time
    h = (t1 - t0) / steps
    solver = scheme.stepper(system.linear(), h)
    start = system.initial_state()
    dtype = start.real.dtype

    def march(carry: Any, first: Any, count: int) -> Any:
        def one(carry: Any, i: Array):
            return solver.proceed(system, t0 + i.astype(dtype) * h, *carry), None

        return jax.lax.scan(one, carry, first + jnp.arange(count))[0]

    if start.nbytes * steps * 12 > _CHECKPOINTED:
        march = jax.checkpoint(march, static_argnums=2)  # type: ignore[assignment]

    def block(carry: Any, i: Array):
        carry = march(carry, i * inner, inner)
        return carry, frame(system, carry[0], t0 + (i + 1).astype(dtype) * inner * h)

    whole, rest = divmod(steps, inner)
    carry = start, solver.begin(system, t0, start)
    carry, (states, slopes) = jax.lax.scan(block, carry, jnp.arange(whole))
    first = frame(system, start, jnp.asarray(t0, dtype))
    times = t0 + h * inner * np.arange(whole + 1)
    parts = [(first[0][None], first[1][None]), (states, slopes)]
    if rest:
        end = march(carry, whole * inner, rest)[0]
        last = frame(system, end, jnp.asarray(t1, dtype))
        parts.append((last[0][None], last[1][None]))
        times = np.append(times, t1)
    times[-1] = t1
    states = jnp.concatenate([part[0] for part in parts])
    slopes = jnp.concatenate([part[1] for part in parts])
    series = TimeSeries(jnp.asarray(times, dtype), states, slopes)
    return series, interpolation_error(series)
