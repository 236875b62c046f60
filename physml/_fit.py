"""fit: coefficients of a PDE from observations, by the adjoint or together with a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.optimize import minimize

from pdes import Observations, Problem
from physml._folder import writable_folder
from physml._solve import check_limits, check_method, check_problem
from solvers import Method, Run, Solution, SolverError


@dataclasses.dataclass(frozen=True)
class Fit:
    """What was identified.

    Attributes:
        problem: the problem with the identified coefficients. solution: its solution.
        value: `where(problem.pde)`, for example a coefficient; `float(fit.number)` if it is one.
        misfit: ½ Σ ((u − data)/noise)² at the end; half the number of data where the noise is
            known and the model right.
        evaluations: solves with their adjoints, or optimizer steps of a network.
        history: misfit (or loss) after each.
    """

    problem: Problem
    solution: Solution
    value: Any
    misfit: float
    evaluations: int
    history: tuple[float, ...]

    @property
    def number(self) -> float:
        """The identified coefficient, where it is one number.

        Raises:
            ValueError: it is not.
        """
        flat, _ = ravel_pytree(eqx.filter(self.value, eqx.is_inexact_array))
        if flat.size != 1:
            raise ValueError(f"{flat.size} numbers were identified: read them from fit.value")
        return float(flat[0])


def fit(
    problem: Problem,
    observations: Observations | Sequence[Observations],
    method: Method,
    where: Callable[[Any], Any],
    *,
    positive: bool = False,
    tolerance: float = 1e-10,
    max_evaluations: int = 200,
    seed: int = 0,
    budget: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Fit:
    """The coefficients `where(pde)` for which the solution agrees best with the observations.

    Numerical methods minimise ½ Σ ((u(xᵢ, tᵢ) − dᵢ)/σᵢ)² by L-BFGS with the gradient of the
    discrete solution (its adjoint); neural ones train the network and the coefficients together.
    What is identified may be a number, an array or all the weights of a network coefficient; it
    starts at its value in `problem`.

    Arguments:
        where: pde -> what is identified, such as `lambda pde: pde.nu`.
        positive: keep every number of it above zero (its logarithm is what is varied);
            numerical methods only.
        tolerance: relative decrease of the misfit at which a numerical fit ends.
        max_evaluations: solves with gradient. seed, budget, steps, out, resume, progress: of
            neural methods, as in `pm.solve`.

    Raises:
        TypeError: an argument of another kind. ValueError: nothing to identify, a field that is
            not there, observations outside the domain or the time.
        SolverError: the solver failed at the first value.

    Source: for the adjoint, Plessix (2006); for the network, Raissi et al. (2019).
    """
    check_problem(problem)
    check_method(method)
    check_limits(budget, steps)
    data = (observations,) if isinstance(observations, Observations) else tuple(observations)
    _check_data(problem, data)
    chosen = _chosen(problem, where)
    method.check(problem)
    if method.neural:
        run = Run(
            seed, budget, steps, None if out is None else writable_folder(out), resume, progress
        )
        return _fit_network(problem, data, method, where, run)
    return _fit_adjoint(problem, data, method, where, chosen, positive, tolerance, max_evaluations)


def misfit(solution: Solution, data: Sequence[Observations]) -> Array:
    """½ Σ ((u(xᵢ, tᵢ) − dᵢ)/σᵢ)² of a solution."""
    total = jnp.zeros(())
    for part in data:
        gap = solution[part.field](part.x, part.t) - part.values
        noise = jnp.ones(()) if part.noise is None else part.noise
        spread = jnp.broadcast_to(noise, gap.shape[:1]).reshape(-1, *(1,) * (gap.ndim - 1))
        total = total + 0.5 * jnp.sum((gap / spread) ** 2)
    return total


def _fit_network(problem, data, method: Any, where, run: Run) -> Fit:
    if not hasattr(method, "fit"):
        raise ValueError(
            f"{method.name} can't identify coefficients: use pm.PINN, or a numerical method"
        )
    solution = method.fit(problem, data, where, run)
    found = solution.problem
    history = tuple(loss for _, _, loss in solution.stats.history)
    return Fit(
        found,
        solution,
        where(found.pde),
        float(misfit(solution, data)),
        solution.stats.iterations,
        history,
    )


def _fit_adjoint(problem, data, method, where, chosen, positive, tolerance, most) -> Fit:
    arrays, rest = eqx.partition(chosen, eqx.is_inexact_array)
    start, unravel = ravel_pytree(arrays)
    if positive and not bool(jnp.all(start > 0)):
        raise ValueError(f"positive=True needs a start above zero, got {np.asarray(start)}")
    scale = jnp.ones_like(start) if positive else jnp.where(start == 0, 1.0, jnp.abs(start))

    def physical(z: Array) -> Array:
        return start * jnp.exp(z) if positive else start + scale * z

    def moved(z: Array) -> Problem:
        value = eqx.combine(unravel(physical(z)), rest)
        return eqx.tree_at(lambda p: where(p.pde), problem, value)

    @eqx.filter_jit
    def value_and_gradient(z: Array) -> tuple[Array, Array]:
        return jax.value_and_grad(lambda y: misfit(method.solve(moved(y)), data))(z)

    history: list[float] = []
    best: list[Any] = [np.inf, np.zeros(start.size)]

    def function(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _evaluate(value_and_gradient, z, best, not history)
        history.append(value)
        if value < best[0]:
            best[:] = value, z.copy()
        return value, gradient

    found = minimize(
        function,
        np.zeros(start.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxfun": most, "maxiter": most, "ftol": tolerance, "gtol": 1e-14},
    )
    fitted = moved(jnp.asarray(best[1]))
    solution = method.solve(fitted)
    if found.status == 1:
        note = f"the fit used up its {most} evaluations before it converged"
        stats = dataclasses.replace(solution.stats, notes=(*solution.stats.notes, note))
        solution = Solution(
            solution.problem, solution.representation, solution.method, stats, solution.parameters
        )
    return Fit(fitted, solution, where(fitted.pde), best[0], len(history), tuple(history))


def _evaluate(function, z, best, first: bool) -> tuple[float, np.ndarray]:
    """Value and gradient; where the solver fails, a slope that leads back to the best place."""
    try:
        value, gradient = function(jnp.asarray(z))
        value, gradient = float(value), np.asarray(gradient, float)
        if np.isfinite(value) and np.isfinite(gradient).all():
            return value, gradient
        reason = "the misfit or its gradient is not finite"
    except (SolverError, eqx.EquinoxRuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
    if first:
        raise SolverError(
            "fit_start",
            f"the problem can't be solved at the first value of what is identified: {reason}; "
            "start from another value",
        )
    away = z - best[1]
    length = max(float(np.linalg.norm(away)), 1e-12)
    return 10.0 * best[0] + 1.0, 10.0 * (best[0] + 1.0) * away / length**2


def _check_data(problem: Problem, data: Sequence[Any]) -> None:
    if not data:
        raise ValueError("fit needs observations: pm.Observations(x, t, values)")
    for part in data:
        if not isinstance(part, Observations):
            raise TypeError(f"fit takes pm.Observations(x, t, values), got {part!r}")
        if part.field not in problem.shapes:
            raise ValueError(
                f"observations of {part.field!r}: no such field; there are {sorted(problem.shapes)}"
            )
        shape = problem.shapes[part.field]
        if part.values.shape[1:] != shape or part.x.shape[1] != problem.dim:
            raise ValueError(
                f"observations of {part.field!r}: positions {part.x.shape} and values "
                f"{part.values.shape}, expected (n, {problem.dim}) and (n, {shape})"
            )
        outside = ~problem.domain.contains(np.asarray(part.x), 1e-9)
        if outside.any():
            i = int(np.argmax(outside))
            raise ValueError(f"observation {i} at {np.asarray(part.x[i])} is outside the domain")
        if problem.time is not None:
            t = np.asarray(part.t)
            late = (t < problem.time[0] - 1e-12) | (t > problem.time[1] + 1e-12)
            if late.any():
                i = int(np.argmax(late))
                raise ValueError(
                    f"observation {i} at t = {t[i]:g} is outside the time {problem.time}"
                )


def _chosen(problem: Problem, where: Callable) -> Any:
    if not callable(where):
        raise TypeError(f"where is a function such as lambda pde: pde.nu, got {where!r}")
    chosen = where(problem.pde)
    if not jax.tree.leaves(eqx.filter(chosen, eqx.is_inexact_array)):
        raise ValueError(
            f"where(pde) has no numbers to identify: it is {chosen!r}; choose a coefficient that "
            "is a number, an array or a network"
        )
    return chosen
