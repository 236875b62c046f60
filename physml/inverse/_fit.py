"""fit: coefficients of a PDE from observations, by a numerical method or with a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pdes import Observations, Problem
from physml._folder import writable_folder
from physml._solve import check_limits, check_method, check_problem
from physml.inverse._ensemble import ensemble, known_noise
from physml.inverse._minimise import least_squares, quasi_newton
from physml.inverse._network import emphasised, network_laplace
from physml.inverse._on_equations import exact_laplace, on_the_equations
from physml.inverse._posterior import Posterior, gaussian_covariance
from physml.inverse._unknowns import Predictions, Unknowns, misfit, numbers_of, unknowns_of
from physml.methods._stages import stage_folder
from solvers import Method, Run, Solution

OPTIMIZERS = ("auto", "gauss-newton", "l-bfgs")
# Most unknowns for which a Jacobian is cheaper than a quasi-Newton method's many gradients.
_FEW, _FEW_IN_TIME = 64, 8


@dataclasses.dataclass(frozen=True)
class Fit:
    """What was identified.

    Attributes:
        problem: the problem with the identified coefficients. solution: its solution.
        value: `where(problem.pde)`, for example a coefficient; `float(fit.number)` if it is one.
        misfit: ½ Σ ((u − data)/noise)² at the end; half the number of data where the noise is
            known and the model right.
        evaluations: solves with their derivatives, or optimizer steps of a network.
        history: misfit (or loss) after each.
    """

    problem: Problem
    solution: Solution
    value: Any
    misfit: float
    evaluations: int
    history: tuple[float, ...]
    _laplace: Callable[[], Posterior] | None = dataclasses.field(default=None, repr=False)
    _ensemble: Callable[[int, int], Posterior] | None = dataclasses.field(default=None, repr=False)

    @property
    def number(self) -> float:
        """The identified coefficient, where it is one number.

        Raises:
            ValueError: it is not.
        """
        flat = self.numbers
        if flat.size != 1:
            raise ValueError(f"{flat.size} numbers were identified: read them from fit.value")
        return float(flat[0])

    @property
    def numbers(self) -> np.ndarray:
        """All identified numbers, (P,), in the order of the posterior's."""
        return numbers_of(self.value)

    def posterior(self, kind: str = "laplace", *, draws: int = 32, seed: int = 0) -> Posterior:
        """How well the data determine what was identified.

        "laplace": a Gaussian whose precision is the Gauss–Newton matrix JᵀJ of the data and the
        prior; of a network's fit, that of the data on solutions of the equations (see `pm.fit`),
        or, where weights or noise were not left to the fit, of weights and coefficients together
        with the equation's residuals, and the weights eliminated (Schur complement).
        "ensemble": the fit again for `draws` sets of data with new noise added (randomise, then
        optimise).

        Raises:
            ValueError: the data do not determine all numbers (the message names which), the
                noise is neither given nor can be estimated, or options out of range.

        Source: for ensembles, Bardsley, Solonen, Haario and Laine (2014).
        """
        if kind not in ("laplace", "ensemble"):
            raise ValueError(f"a posterior is by 'laplace' or 'ensemble', got {kind!r}")
        if not isinstance(draws, int) or draws < 2:
            raise ValueError(f"an ensemble has at least 2 draws, got {draws!r}")
        if self._laplace is None or self._ensemble is None:
            raise ValueError("this Fit was not made by pm.fit: its posterior is not known")
        return self._laplace() if kind == "laplace" else self._ensemble(draws, seed)


def fit(
    problem: Problem,
    observations: Observations | Sequence[Observations],
    method: Method,
    where: Callable[[Any], Any],
    *,
    positive: bool = False,
    prior: Any = None,
    optimizer: str = "auto",
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

    Numerical methods minimise ½ Σ ((u(xᵢ, tᵢ) − dᵢ)/σᵢ)² + ½ Σ ((c − c₀)/s)², by Gauss–Newton
    with the derivatives of the discrete solution, or by L-BFGS with its adjoint; neural ones train
    the network and the coefficients together. What is identified may be a number, an array, the
    values of `ByRegion`, `CellData` or a `KarhunenLoeve` field, or all weights of a network
    coefficient; it starts at its value in `problem`.

    Data with a known noise σ have the weight σ²/100 in a network's loss, unless its own weights of
    "equation" or "observations" say otherwise: the equations are exact and the data are not. Since
    the network still fits some of the noise, the coefficients are then moved, twice, to where the
    data put them if the equations hold, and the network is trained on the equations alone (a
    quarter of the budget). So they agree with a numerical method's, and their posterior's
    deviation is at best the Cramér–Rao bound. Not done where that is not possible: subdomains with
    networks of their own, `Free` conditions, fewer residuals than weights, or more coefficients
    than the data determine.

    Arguments:
        where: pde -> what is identified, such as `lambda pde: pde.nu`.
        positive: keep every number of it above zero (its logarithm is what is varied);
            numerical methods only.
        prior: deviations s of a Gaussian prior about the starting values c₀, one number or one
            for each (of their logarithms where `positive`); numerical methods only.
        optimizer: "gauss-newton", "l-bfgs" (for thousands of unknowns), or "auto"; of numerical
            methods.
        tolerance: relative decrease of the misfit at which a numerical fit ends.
        max_evaluations: solves with derivatives. seed, budget, steps, out, resume, progress: of
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
    data = check_data(problem, observations)
    unknowns = unknowns_of(problem, where, positive and not method.neural)
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer is one of {OPTIMIZERS}, got {optimizer!r}")
    method.check(problem)
    if method.neural:
        if prior is not None:
            raise ValueError("prior=… is of numerical methods; a network's fit takes none")
        folder = None if out is None else writable_folder(out)
        run = Run(seed, budget, steps, folder, resume, progress)
        return _fit_network(unknowns, data, method, run)
    spread = _prior(unknowns, prior)
    if optimizer == "auto":
        few = _FEW if problem.steady else _FEW_IN_TIME
        optimizer = "gauss-newton" if unknowns.size <= few else "l-bfgs"
    return _fit_numerical(unknowns, data, method, spread, optimizer, tolerance, max_evaluations)


def laplace(
    problem: Problem,
    observations: Observations | Sequence[Observations],
    method: Method,
    where: Callable[[Any], Any],
    *,
    positive: bool = False,
    prior: Any = None,
) -> Posterior:
    """Laplace's posterior about the coefficients that `problem` has, without a fit.

    At the true coefficients and without a prior its covariance is the Cramér–Rao bound: no
    unbiased estimate of them from such data has a smaller one. The observations' values matter
    only where their noise is not given.

    Raises:
        ValueError: as `fit` and `Fit.posterior`; a neural method.
    """
    check_problem(problem)
    check_method(method)
    data = check_data(problem, observations)
    if method.neural:
        raise ValueError(
            f"{method.name} has no derivatives of its own: use a numerical method here, or "
            "pm.fit(…).posterior()"
        )
    unknowns = unknowns_of(problem, where, positive)
    method.check(problem)
    predictions = Predictions(unknowns, method, data)
    return _laplace(predictions, np.zeros(unknowns.size), _prior(unknowns, prior))


def _prior(unknowns: Unknowns, prior: Any) -> np.ndarray | None:
    """Deviations of z, (P,)."""
    if prior is None:
        return None
    given = np.asarray(prior, float)
    if given.shape not in ((), (unknowns.size,)) or not (given > 0).all():
        raise ValueError(
            f"prior is a positive deviation, or one for each of {unknowns.size} numbers, "
            f"got {prior!r}"
        )
    return np.broadcast_to(given, (unknowns.size,)) / unknowns.scale


def _fit_numerical(
    unknowns: Unknowns, data, method, spread, optimizer: str, tolerance: float, most: int
) -> Fit:
    predictions = Predictions(unknowns, method, data)
    minimise = least_squares if optimizer == "gauss-newton" else quasi_newton
    found = minimise(predictions, np.zeros(unknowns.size), None, spread, tolerance, most)
    fitted = unknowns.placed(found.z)
    solution = method.solve(fitted)
    if not found.converged:
        note = f"the fit used up its {most} evaluations before it converged"
        stats = dataclasses.replace(solution.stats, notes=(*solution.stats.notes, note))
        solution = Solution(
            solution.problem, solution.representation, solution.method, stats, solution.parameters
        )

    def again(values: tuple[Observations, ...], centre: np.ndarray | None) -> np.ndarray:
        other = Predictions(unknowns, method, values)
        refit = minimise(other, found.z, centre, spread, tolerance, most)
        return unknowns.physical(refit.z)

    def draws(count: int, seed: int) -> Posterior:
        noisy = known_noise(data, solution, unknowns.size)
        return ensemble(again, noisy, unknowns.labels, count, seed, spread)

    value = unknowns.where(fitted.pde)
    history = found.history
    return Fit(
        fitted, solution, value, float(misfit(solution, data)), len(history), history,
        lambda: _laplace(predictions, found.z, spread), draws,
    )  # fmt: skip


def _laplace(predictions: Predictions, z: np.ndarray, spread: np.ndarray | None) -> Posterior:
    unknowns = predictions.unknowns
    jacobian, how = predictions.jacobian(z)
    deviation, note = 1.0, "noise as given"
    if any(part.noise is None for part in predictions.data):
        residual = predictions.residual(z)
        free = len(residual) - unknowns.size
        if free < 1:
            raise ValueError(
                f"{len(residual)} observations of {unknowns.size} numbers leave nothing to "
                "estimate the noise from: give Observations(noise=…), or observe more"
            )
        deviation = float(np.sqrt(residual @ residual / free))
        note = f"noise {deviation:.3g} from the misfit"
        if deviation == 0:
            raise ValueError("the misfit is zero: give Observations(noise=…)")
    covariance = gaussian_covariance(jacobian / deviation, unknowns.labels, spread, how)
    mean = unknowns.physical(z)
    scale = mean if unknowns.positive else unknowns.scale
    prior = "" if spread is None else " and the prior"
    return Posterior(
        mean, covariance * scale[:, None] * scale, unknowns.labels, "laplace",
        f"the Gauss–Newton matrix of {len(jacobian)} data{prior}, by {how}; {note}",
        unknowns.positive,
    )  # fmt: skip


def _fit_network(unknowns: Unknowns, data, method: Any, run: Run) -> Fit:
    problem, where = unknowns.problem, unknowns.where
    if not hasattr(method, "fit"):
        raise ValueError(
            f"{method.name} can't identify coefficients: use pm.PINN, pm.CPINN, pm.VPINN, or a "
            "numerical method"
        )
    weighted = emphasised(method, data)

    def estimate(values: tuple[Observations, ...], run: Run) -> tuple[Solution, bool]:
        """The solution with its coefficients, and whether the equations hold for them."""
        first, rest = (run, ()) if weighted is method else _parted(run, method)
        found, exact = weighted.fit(problem, values, where, first), False
        for part in rest:
            found, moved = on_the_equations(weighted, unknowns, values, found, part)
            exact = exact or moved
            if not moved:
                break
        return found, exact

    solution, exact = estimate(data, run)
    found = solution.problem
    history = tuple(loss for _, _, loss in solution.stats.history)

    def posterior() -> Posterior:
        known = exact_laplace(weighted, unknowns, data, solution, run.seed) if exact else None
        return known or network_laplace(weighted, unknowns, data, solution, run.seed)

    def again(values: tuple[Observations, ...], member: int) -> np.ndarray:
        # In no folder: the fit's own files are kept.
        own = dataclasses.replace(run, seed=member, directory=None, resume=False)
        other, _ = estimate(values, own)
        return numbers_of(where(other.problem.pde))

    def draws(count: int, seed: int) -> Posterior:
        noisy = known_noise(data, solution, unknowns.size)
        members = iter(range(seed + 1, seed + 1 + count))
        return ensemble(lambda v, _: again(v, next(members)), noisy, unknowns.labels, count, seed)

    return Fit(
        found, solution, where(found.pde), float(misfit(solution, data)),
        solution.stats.iterations, history,
        posterior, draws,
    )  # fmt: skip


# Times that the coefficients are moved: the second step is a Newton step's remainder.
_MOVES = 2


def _parted(run: Run, method: Any) -> tuple[Run, tuple[Run, ...]]:
    """Of the budget, three quarters for the data, and the rest for the equations alone."""
    budget, steps = run.budget, run.steps
    if budget is None and steps is None:
        budget = getattr(method, "seconds", None)
    each = None if steps is None else steps // (4 * _MOVES)
    if each == 0:
        return run, ()
    first = dataclasses.replace(
        run,
        budget=None if budget is None else 0.75 * budget,
        steps=None if steps is None or each is None else steps - _MOVES * each,
    )
    rest = tuple(
        dataclasses.replace(
            run,
            budget=None if budget is None else 0.25 / _MOVES * budget,
            steps=each,
            directory=stage_folder(run, f"equations-{k}"),
        )
        for k in range(_MOVES)
    )
    return first, rest


def check_data(problem: Problem, observations: Any) -> tuple[Observations, ...]:
    """Observations as a tuple; raises TypeError, ValueError where they don't fit the problem."""
    data = (observations,) if isinstance(observations, Observations) else tuple(observations)
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
    return data
