"""Systems of finite elements solved: steady, and in time, with what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pdes import Problem
from solvers._newton_outcome import check_newton, residual_history
from solvers._result import SolverError
from solvers.fem._system import FEMSystem
from solvers.time import (
    bdf2,
    esdirk3,
    esdirk4,
    esdirk5,
    generalized_alpha,
    implicit_euler,
    integrate,
    sdirk2,
    trapezoidal,
)
from solvers.time._compiled import is_traced, timed_call

if TYPE_CHECKING:
    from solvers.fem._method import FiniteElement

STEPPERS = {
    "implicit_euler": implicit_euler,
    "trapezoidal": trapezoidal,
    "bdf2": bdf2,
    "generalized_alpha": generalized_alpha,
    "sdirk2": sdirk2,
    "esdirk3": esdirk3,
    "esdirk4": esdirk4,
    "esdirk5": esdirk5,
}

_initial_state = eqx.filter_jit(FEMSystem.initial_state)


def run_steady(system: FEMSystem) -> Any:
    """Newton's result from zero."""
    guess = jnp.zeros(system.length, system.points.dtype)
    return system.solve_steady(guess, system.start_time)


def solve_steady(system: FEMSystem, problem: Problem) -> tuple[Array, dict]:
    """The state, and statistics."""
    if is_traced(system):
        result = run_steady(system)
        z = eqx.error_if(
            result.z,
            ~result.converged,
            "[newton_diverged] a steady finite element solve under jit or grad did not converge; "
            "solve once without them to see the history",
        )
        return z, {}
    result, compiling, running, memory = timed_call(run_steady, system)
    check_newton(result, problem.name, system.pattern.journal.failure)
    return result.z, {
        "compile_seconds": compiling,
        "run_seconds": running,
        "iterations": int(result.iterations),
        "peak_memory": memory,
        "extra": {
            "residuals": residual_history(result),
            "load_increments": int(result.increments),
        },
    }


def evolve(method: FiniteElement, system: FEMSystem, problem: Problem) -> tuple[Any, dict]:
    """The series of states, and statistics."""
    assert problem.time is not None
    stepper = STEPPERS[method.scheme]() if isinstance(method.scheme, str) else method.scheme
    traced = is_traced(system)
    start = system.initial_state() if traced else _initial_state(system)
    try:
        evolution = integrate(
            system,
            problem.time,
            stepper=stepper,
            dt=method.dt,
            rtol=method.rtol,
            atol=method.atol,
            max_steps=method.max_steps,
            frames=method.frames,
            start=start,
        )
    except SolverError as error:
        failure = system.pattern.journal.failure
        if failure is None:
            raise
        text = f"{problem.name}: in time, {failure.text}"
        raise SolverError(failure.reason, text, failure.history) from error
    return evolution.series, {
        "compile_seconds": evolution.compile_seconds,
        "run_seconds": evolution.run_seconds,
        "iterations": 0 if traced else evolution.steps,
        "peak_memory": evolution.memory,
        "notes": evolution.notes,
        "extra": {} if traced else {"rejected_steps": evolution.rejected},
    }
