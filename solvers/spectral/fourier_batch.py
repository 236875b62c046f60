"""Many initial states at once, as data for surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from solvers._result import SolverError
from solvers.spectral.fourier_plan import Plan
from solvers.spectral.fourier_pointwise import backward
from solvers.spectral.fourier_run import choose_steps, steps_for
from solvers.spectral.fourier_system import FourierSystem, build
from solvers.time._compiled import is_traced, timed_call
from solvers.time._scheme import Scheme


def trajectory(
    problem: Problem,
    method: Any,
    initial_states: Any,
    times: Any,
    initial_rates: Mapping[str, Any] | None = None,
) -> Any:
    """Many initial states at once, at given times; by fixed steps, also of an adaptive method.

    Arguments:
        initial_states: (batch, *points, *shape) of the one field that evolves, or a dictionary
            with each field that does.
        times: (m,), increasing, from the start of the problem's time on; may go past its end.
        initial_rates: likewise for ∂ₜu of fields with inertia; by default the problem's.

    Returns:
        (batch, m, *points, *shape), or a dictionary of them.

    Raises:
        ValueError: a grid that is not the method's, times out of order.
        SolverError: "not_finite", "max_steps".
    """
    method.check(problem)
    plan = method._plan(problem)
    states, single = _named_states(problem, plan, initial_states)
    rates = None if initial_rates is None else {k: jnp.asarray(v) for k, v in initial_rates.items()}
    when = np.asarray(times, float)
    assert problem.time is not None
    if when.ndim != 1 or not len(when) or (np.diff(when, prepend=problem.time[0]) < 0).any():
        raise ValueError(f"times must increase from {problem.time[0]:g} on, got {times!r}")
    traced = is_traced(problem, states, rates)
    if method.dt is not None:
        dt = method.dt / method.scale
    elif traced:
        dt = method._given_steps(problem.time, traced=True)
    else:
        dt = _common_step(method, problem, plan, states, rates, when)
    schedule = _schedule(problem.time[0], when, dt)
    found = _trajectory(problem, plan, method.stepping, schedule, states, rates)
    if not traced and not all(np.isfinite(np.asarray(v)).all() for v in found.values()):
        raise SolverError(
            "not_finite",
            f"a trajectory is not finite with dt = {dt:.3g}; give a smaller dt, or leave it out",
        )
    return next(iter(found.values())) if single else found


def _named_states(problem: Problem, plan: Plan, given: Any) -> tuple[dict[str, Array], bool]:
    fields = problem.evolving
    single = not isinstance(given, Mapping)
    if single:
        if len(fields) != 1:
            raise ValueError(f"initial_states must be a dictionary with {list(fields)}")
        given = {fields[0]: given}
    if set(given) != set(fields):
        raise ValueError(f"initial_states has {sorted(given)}, expected {sorted(fields)}")
    states = {name: jnp.asarray(value) for name, value in given.items()}
    for name, value in states.items():
        expected = (*plan.points, *problem.shapes[name])
        if value.shape[1:] != expected:
            raise ValueError(
                f"initial_states[{name!r}] has shape {value.shape}, expected (batch, "
                f"{', '.join(map(str, expected))}); give Fourier(points={plan.points}) to match"
            )
    return states, single


def _start_states(system: FourierSystem, states: dict[str, Array], rates: Any) -> Array:
    """(batch, s, *grid) from samples on the grid."""
    count = int(np.prod(system.plan.points))
    shapes = system.problem.shapes

    def flat(values: dict[str, Array]) -> dict[str, Array]:
        return {name: v.reshape(v.shape[0], count, *shapes[name]) for name, v in values.items()}

    if rates is None:
        points = system.points.T
        fixed = {n: jax.vmap(f)(points) for n, f in system.problem.initial_rate.items()}
        return jax.vmap(lambda u: system.state_of(u, fixed))(flat(states))
    return jax.vmap(system.state_of)(flat(states), flat(rates))


def _common_step(method, problem, plan, states, rates, when) -> float:
    """A step that is small enough for (at most eight of) the states."""
    length = float(when[-1]) - problem.time[0]
    if length <= 0:
        return 1.0
    some = jax.tree.map(lambda v: v[:8], (states, rates))
    system, *_ = timed_call(build, problem, plan)
    start, *_ = timed_call(_start_states, system, *some)
    steps = choose_steps(
        system,
        method.stepping,
        method._tolerance(),
        method.max_steps,
        start,
        until=float(when[-1]),
    )[0]
    return length / steps


def _schedule(start: float, when: np.ndarray, dt: float) -> tuple[tuple[float, int, int], ...]:
    """Runs of (step, steps, repetitions) from each time to the next; equal gaps share one."""
    runs: list[tuple[float, int, int]] = []
    gaps = np.diff(when, prepend=start)
    for gap in gaps:
        steps = steps_for(gap, dt) if gap > 0 else 0
        h = float(gap) / steps if steps else 0.0
        if runs and runs[-1][1] == steps and abs(runs[-1][0] - h) <= 1e-9 * h:
            runs[-1] = (runs[-1][0], steps, runs[-1][2] + 1)
        else:
            runs.append((h, steps, 1))
    return tuple(runs)


@eqx.filter_jit
def _trajectory(problem, plan: Plan, scheme: Scheme, schedule, states, rates) -> dict[str, Array]:
    system = build(problem, plan)
    assert problem.time is not None
    solvers = {h: scheme.stepper(system.linear(), h) for h, steps, _ in schedule if steps}

    def one(z: Array) -> Array:
        t, kept = jnp.asarray(problem.time[0], z.real.dtype), []
        for h, steps, repeats in schedule:
            if not steps:
                kept += [z[None]] * repeats
                continue

            def gap(carry, _, h=h, steps=steps):
                def step(carry, _):
                    z, memory, t = carry
                    return (*solvers[h].proceed(system, t, z, memory), t + h), None

                carry = jax.lax.scan(step, carry, None, length=steps)[0]
                return carry, carry[0]

            start = z, solvers[h].begin(system, t, z), t
            (z, _, t), found = jax.lax.scan(gap, start, None, length=repeats)
            kept.append(found)
        return jnp.concatenate(kept)

    found = jax.vmap(one)(_start_states(system, states, rates))
    values = jax.vmap(jax.vmap(lambda z: backward(z, plan.points)))(found)
    out, layout = {}, plan.layout
    for name in states:
        rows = [layout.evolving.index(i) for i in layout.components(name)]
        block = jnp.moveaxis(values[:, :, np.array(rows)], 2, -1)
        out[name] = block.reshape(*block.shape[:-1], *problem.shapes[name])
    return out
