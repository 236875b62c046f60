"""The best z: Gauss–Newton by SciPy's trust region, or L-BFGS with the adjoint's gradients."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from physml.inverse._unknowns import Predictions, value_and_gradient
from solvers import SolverError


@dataclasses.dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Attributes:
        z: the best point, (P,). history: the misfit at each evaluation. converged: not stopped
        by the number of evaluations.
    """

    z: np.ndarray
    history: tuple[float, ...]
    converged: bool


def least_squares(
    predictions: Predictions,
    start: np.ndarray,
    centre: np.ndarray | None,
    spread: np.ndarray | None,
    tolerance: float,
    most: int,
) -> Minimum:
    """Gauss–Newton in a trust region.

    Arguments:
        centre, spread: mean (by default 0) and deviations of the prior of z; None for no prior.

    Raises:
        SolverError: the predictions can't be made at the start.
    """
    history: list[float] = []
    count = predictions.unknowns.size

    def function(z: np.ndarray) -> np.ndarray:
        try:
            r = predictions.residual(z)
        except SolverError as error:
            if not history:
                raise _at_start(error) from error
            # Larger than anything so far, so that the trust region shrinks.
            r = np.full(sum(p.values.size for p in predictions.data), 10 * max(history) ** 0.5 + 1)
        history.append(0.5 * float(r @ r))
        return _with_prior(r, z, centre, spread)

    def jacobian(z: np.ndarray) -> np.ndarray:
        found = predictions.jacobian(z)[0]
        return found if spread is None else np.concatenate([found, np.diag(1.0 / spread)])

    found = optimize.least_squares(
        function,
        start,
        jac=jacobian,  # pyright: ignore[reportArgumentType]
        method="trf" if count > 1 else "dogbox",
        x_scale="jac",
        ftol=max(tolerance, 1e-15),
        xtol=1e-12,
        gtol=1e-15,
        max_nfev=most,
    )
    return Minimum(found.x, tuple(history), found.status != 0)


def _with_prior(r: np.ndarray, z, centre, spread) -> np.ndarray:
    if spread is None:
        return r
    return np.concatenate([r, (z - (0.0 if centre is None else centre)) / spread])


def _at_start(error: Exception) -> SolverError:
    return SolverError(
        "fit_start",
        "the problem can't be solved at the first value of what is identified: "
        f"{str(error).strip().splitlines()[0]}; start from another value",
    )


def quasi_newton(
    predictions: Predictions,
    start: np.ndarray,
    centre: np.ndarray | None,
    spread: np.ndarray | None,
    tolerance: float,
    most: int,
) -> Minimum:
    """L-BFGS; arguments and errors as for `least_squares`."""
    history: list[float] = []
    best: list = [np.inf, np.asarray(start, float)]

    def function(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _evaluate(predictions, z, best, not history)
        history.append(value)
        if spread is not None:
            gap = (z - (0.0 if centre is None else centre)) / spread
            value, gradient = value + 0.5 * float(gap @ gap), gradient + gap / spread
        if value < best[0]:
            best[:] = value, z.copy()
        return value, gradient

    found = optimize.minimize(
        function,
        np.asarray(start, float),
        jac=True,
        method="L-BFGS-B",
        options={"maxfun": most, "maxiter": most, "ftol": tolerance, "gtol": 1e-14},
    )
    return Minimum(best[1], tuple(history), found.status != 1)


def _evaluate(predictions: Predictions, z, best, first: bool) -> tuple[float, np.ndarray]:
    """Value and gradient; where the solver fails, a slope that leads back to the best place."""
    u = predictions.unknowns
    try:
        value, gradient = value_and_gradient(
            u.problem, predictions.method, predictions.data, u.where, u.positive, jnp.asarray(z)
        )
        value, gradient = float(value), np.asarray(gradient, float)
        if np.isfinite(value) and np.isfinite(gradient).all():
            return value, gradient
        error: Exception = ValueError("the misfit or its gradient is not finite")
    except (SolverError, eqx.EquinoxRuntimeError) as caught:
        error = caught
    if first:
        raise _at_start(error)
    away = z - best[1]
    length = max(float(np.linalg.norm(away)), 1e-12)
    return 10.0 * best[0] + 1.0, 10.0 * (best[0] + 1.0) * away / length**2
