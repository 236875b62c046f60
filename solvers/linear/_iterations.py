"""Krylov iterations on the host, in NumPy: x with A x = b to a relative residual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

Apply = Callable[[NDArray], NDArray]


class Outcome:
    """Attributes: x; iterations; residual: ‖b − A x‖ ≤ goal where it converged; history of ‖r‖."""

    def __init__(self, x: NDArray, iterations: int, residual: float, history: list[float]):
        self.x, self.iterations, self.residual, self.history = x, iterations, residual, history


def conjugate_gradients(
    matrix: Any, precondition: Apply, b: NDArray, x: NDArray | None, goal: float, limit: int
) -> Outcome:
    """For symmetric positive definite A and preconditioner (Hestenes and Stiefel 1952)."""
    x = np.zeros_like(b) if x is None else x
    r = b - matrix @ x if x.any() else b.copy()
    size = float(np.linalg.norm(r))
    history = [size]
    p, rho, k = np.zeros_like(b), 1.0, 0
    while size > goal and k < limit:
        y = precondition(r)
        new = float(r @ y)
        if not new > 0:  # an indefinite operator, or one that is not finite
            break
        p *= new / rho
        p += y
        q = matrix @ p
        curvature = float(p @ q)
        if not curvature > 0:
            break
        step = new / curvature
        x += step * p
        q *= step
        r -= q
        rho, k = new, k + 1
        size = float(np.linalg.norm(r))
        history.append(size)
    return Outcome(x, k, size, history)


def _by_scipy(
    solve: Callable, matrix: Any, b: NDArray, start: NDArray | None, goal: float, limit: int
) -> Outcome:
    """Restarts until the true residual is small: SciPy's solvers stop by estimates."""
    x: Any = np.zeros_like(b) if start is None else start
    history = [float(np.linalg.norm(b - matrix @ x))]
    used = 0
    for _ in range(6):
        if history[-1] <= goal or used >= limit:
            break
        counter: list[int] = []
        correction = solve(b - matrix @ x, goal / history[-1], limit - used, counter)
        used += max(len(counter), 1)
        if not np.isfinite(correction).all():
            break
        size = float(np.linalg.norm(b - matrix @ (x + correction)))
        if size >= 0.9 * history[-1]:
            break
        x = x + correction
        history.append(size)
    return Outcome(x, used, history[-1], history)


def minimal_residuals(
    matrix: Any, precondition: Apply, b: NDArray, x: NDArray | None, goal: float, limit: int
) -> Outcome:
    """MINRES for symmetric A and a positive definite preconditioner (Paige and Saunders 1975)."""
    operator = _operator(precondition, matrix)

    def solve(r, reduction, limit, counter):
        return spla.minres(
            matrix, r, M=operator, rtol=0.1 * reduction, maxiter=limit, callback=counter.append
        )[0]

    return _by_scipy(solve, matrix, b, x, goal, limit)


def generalized_minimal_residuals(
    matrix: Any, precondition: Apply, b: NDArray, x: NDArray | None, goal: float, limit: int
) -> Outcome:
    """GMRES restarted after 50 steps (Saad and Schultz 1986), preconditioned on the right."""
    applied = _operator(lambda y: matrix @ precondition(y), matrix)

    def solve(r, reduction, limit, counter):
        y = spla.gmres(
            applied,
            r,
            rtol=reduction,
            restart=min(50, len(r)),
            maxiter=max(1, limit // 50),
            callback=counter.append,
            callback_type="pr_norm",
        )[0]
        return precondition(y)

    return _by_scipy(solve, matrix, b, x, goal, limit)


def stabilized_biconjugate_gradients(
    matrix: Any, precondition: Apply, b: NDArray, x: NDArray | None, goal: float, limit: int
) -> Outcome:
    """BiCGStab (van der Vorst 1992), preconditioned."""
    operator = _operator(precondition, matrix)

    def solve(r, reduction, limit, counter):
        return spla.bicgstab(
            matrix, r, M=operator, rtol=reduction, maxiter=limit, callback=counter.append
        )[0]

    return _by_scipy(solve, matrix, b, x, goal, limit)


def _operator(apply: Apply, matrix: Any) -> spla.LinearOperator:
    return spla.LinearOperator(matrix.shape, matvec=apply, dtype=float)  # type: ignore[call-arg]


ITERATIONS: dict[str, Callable[..., Outcome]] = {
    "cg": conjugate_gradients,
    "minres": minimal_residuals,
    "gmres": generalized_minimal_residuals,
    "bicgstab": stabilized_biconjugate_gradients,
}
