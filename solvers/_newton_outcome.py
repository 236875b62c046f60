"""What a run of Newton's method came to: its history, or the error that says what helps."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers._newton import NOT_DECREASING, NOT_FINITE, NewtonResult
from solvers._result import SolverError


def check_newton(result: NewtonResult, what: str, failure: Any = None) -> None:
    """Refuses a result that is not a solution.

    Arguments:
        failure: what the linear solver says of its own last failure (`reason`, `text`,
            `history`), if anything.

    Raises:
        SolverError: "singular_matrix", "linear_not_converged" as the linear solver says,
            "not_finite", "newton_diverged" or "load_not_reached", with the history of the norm.
    """
    if bool(result.converged):
        return
    history = residual_history(result)
    count = len(history)
    shown = ", ".join(f"{v:.2e}" for v in history[-6:])
    status = int(result.status)
    linear = status == NOT_FINITE and np.isfinite(history[-1:]).all()
    if linear and failure is not None and float(result.load) in (0.0, 1.0):
        raise SolverError(failure.reason, f"{what}: {failure.text}", failure.history)
    if float(result.load) < 1.0:
        raise SolverError(
            "load_not_reached",
            f"{what}: {float(result.load):.4g} of the load was reached in {int(result.increments)} "
            f"steps; beyond it Newton's method fails however short the step (residual norms …, "
            f"{shown}). There may be a limit point (buckling, a loss of stability): follow it in "
            "time, prescribe displacements instead of forces, or refine the mesh",
            history,
        )
    if linear:
        raise SolverError(
            "singular_matrix",
            f"{what}: the linear system is singular or its solver did not converge. Is every field "
            "fixed by a condition or a gauge, and every part of a solid held? Else choose another "
            "`linear` solver",
            history,
        )
    if status == NOT_FINITE:
        raise SolverError(
            "not_finite",
            f"{what}: the residual is not finite (norms {shown}); check coefficients and data "
            "where the fields are zero",
            history,
        )
    remedy = "raise the load in steps (load_steps=8), refine the mesh, or solve in time"
    if status == NOT_DECREASING:
        raise SolverError(
            "newton_diverged",
            f"{what}: no step along Newton's direction decreases the residual after {count} "
            f"iterations (norms …, {shown}): {remedy}",
            history,
        )
    raise SolverError(
        "newton_diverged",
        f"{what}: Newton's method did not converge in {count} iterations (residual norms …, "
        f"{shown}): {remedy}, or allow more iterations",
        history,
    )


def residual_history(result: NewtonResult) -> tuple[float, ...]:
    """Norms of the residual in the last load step, as numbers."""
    return tuple(float(v) for v in np.asarray(result.history) if not v < 0.0)
