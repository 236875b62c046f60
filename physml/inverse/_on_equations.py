"""The coefficients for which the equations hold, in a fit by a network of noisy data.

A network that is trained on noisy data and on the equation at once fits some of the noise: what its
residual hardly sees costs nothing. The coefficients then scatter by two to six times what the data
allow (Burgers from 100 points). So after the training they are moved to where they would be if the
equations held: with rows r(θ, c) of the equations and d(θ, c) of the data, δθ = −J_θ⁺(r + J_c δc),
and δc minimises ‖d + D_θ δθ + D_c δc‖, one step of Gauss–Newton for least squares with constraints
(Björck, 1996, section 5.1). It makes any consistent estimate an efficient one (Le Cam, 1956).
The network is then trained on the equations with these coefficients.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree

from pdes import Observations
from physml.inverse._network import is_coefficient, jacobians, row_factors
from physml.inverse._posterior import Posterior, gaussian_covariance
from physml.inverse._unknowns import Unknowns, misfit, numbers_of
from physml.methods._stages import joined_stats, solve_stage, warm_started
from solvers import Run, Solution, SolverError


@dataclasses.dataclass(frozen=True)
class Tangent:
    """The data as functions of the coefficients, on solutions of the equations, to first order.

    Attributes:
        misfit: (u − d)/σ where the equations hold with the coefficients as they are, (n,).
        slope: its derivatives by the coefficients, (n, P).
        missed: what the network can't follow of the derivative of the residual, relative.
        rows: residuals of equations and conditions.
    """

    misfit: np.ndarray
    slope: np.ndarray
    missed: float
    rows: int

    def step(self) -> np.ndarray:
        """The change of the coefficients to the best fit, (P,)."""
        size = np.linalg.norm(self.slope, axis=0)
        size = np.where(size > 0, size, 1.0)
        return -np.linalg.lstsq(self.slope / size, self.misfit, rcond=None)[0] / size


def tangent(
    method: Any, unknowns: Unknowns, data: tuple[Observations, ...], solution: Solution, seed: int
) -> Tangent | None:
    """The tangent of a trained network; None where equations and conditions leave weights open."""
    problem = unknowns.problem
    conditions = [c for by_field in problem.conditions.values() for c in by_field.values()]
    if any("Free" in condition.kinds for condition in conditions):
        return None
    setup = method.setup(problem, seed, data, unknowns.where)
    params = solution.parameters
    theirs = np.flatnonzero(is_coefficient(params))
    weights = np.setdiff1d(np.arange(sum(leaf.size for leaf in jax.tree.leaves(params))), theirs)
    equations, found = [], {}
    # At many points, most of them where the residual is: between those of one draw the tangent is
    # free, and in a thin layer the coefficients follow from few points.
    for draw in range(_DRAWS):
        key = jax.random.fold_in(jax.random.key(seed), draw)
        blocks = jacobians(setup.objective, params, setup.sampler(key, params, min(draw, 1)))
        found = {n: (np.asarray(r), np.asarray(j)) for n, (r, j) in blocks.items()}
        equations += [rows for n, rows in found.items() if n.split()[0] != "observations"]
    observed = [name for name in found if name.split()[0] == "observations"]
    residual = np.concatenate([r for r, _ in equations])
    jacobian = np.concatenate([j for _, j in equations])
    if len(residual) < len(weights):
        return None
    size = np.linalg.norm(jacobian[:, weights], axis=0)
    size = np.where(size > 0, size, 1.0)
    right = np.concatenate([jacobian[:, theirs], residual[:, None]], axis=1)
    solved = scipy.linalg.lstsq(
        jacobian[:, weights] / size, right, cond=_SEEN, lapack_driver="gelsy"
    )
    assert solved is not None
    moved = -np.asarray(solved[0])
    left = jacobian[:, weights] @ (moved[:, :-1] / size[:, None]) + jacobian[:, theirs]
    pairs = list(zip([found[name] for name in observed], row_factors(method, data), strict=True))
    values = np.concatenate([r * f for (r, _), f in pairs])
    slopes = np.concatenate([j * f for (_, j), f in pairs])
    moved = slopes[:, weights] @ (moved / size[:, None])
    missed = np.linalg.norm(left) / max(float(np.linalg.norm(jacobian[:, theirs])), 1e-300)
    return Tangent(
        values + moved[:, -1], moved[:, :-1] + slopes[:, theirs], float(missed), len(residual)
    )


def on_the_equations(
    method: Any, unknowns: Unknowns, data: tuple[Observations, ...], solution: Solution, run: Run
) -> tuple[Solution, bool]:
    """The coefficients moved to where the data put them if the equations hold, and the network
    trained on the equations with them. Where that is not possible or no better the solution as it
    was, with a note that says why, and False.

    Arguments:
        run: budget of the training, from the weights that the network has.
    """
    again = warm_started(method, solution)
    if again is method:
        return _kept(solution, "several networks can't start from trained ones")
    own = {n: w for n, w in (again.weights or {}).items() if n.split()[0] != "observations"}
    again = dataclasses.replace(again, weights=own or None)
    found = tangent(method, unknowns, data, solution, run.seed)
    reason = unfollowed(found, unknowns)
    if found is None or reason:
        return _kept(solution, reason)
    chosen = unknowns.where(solution.problem.pde)
    arrays, rest = eqx.partition(chosen, eqx.is_inexact_array)
    start, unravel = ravel_pytree(arrays)
    step = found.step()
    value = eqx.combine(unravel(start + jnp.asarray(step, start.dtype)), rest)
    problem = eqx.tree_at(lambda p: unknowns.where(p.pde), unknowns.problem, value)
    try:
        solved = solve_stage(again, problem, run)
    except SolverError as error:
        return _kept(solution, f"the training there failed: {error}")
    before, after = float(misfit(solution, data)), float(misfit(solved, data))
    # Noise that the network had fitted comes back; anything more says that the step was too long.
    if not after <= before + max(10.0, 0.1 * len(found.misfit)):
        return _kept(
            solution,
            f"the misfit would be {after:.3g} in place of {before:.3g} after "
            f"{solved.stats.iterations} steps on the equations",
        )
    moved = float(np.max(np.abs(step) * np.linalg.norm(found.slope, axis=0)))
    setup = method.setup(problem, run.seed, data, unknowns.where)
    stats = joined_stats([solution.stats, solved.stats], "stages", solved.stats.unknowns)
    note = (
        f"then the coefficients moved by at most {moved:.1g} deviations of the data to where the "
        "equations hold, and the network was trained on the equations alone"
    )
    stats = dataclasses.replace(stats, notes=(*stats.notes, note))
    params = {**setup.params, "network": solved.parameters["network"]}
    return Solution(problem, solved.representation, method, stats, params), True


def _kept(solution: Solution, reason: str) -> tuple[Solution, bool]:
    note = f"the coefficients were not moved to where the equations hold: {reason}"
    stats = dataclasses.replace(solution.stats, notes=(*solution.stats.notes, note))
    return dataclasses.replace(solution, stats=stats), False


# Draws of points; the first without regard to the residual.
_DRAWS = 4
# Of the residual's largest derivative: what is smaller is not told from round-off.
_SEEN = 1e-8
# The network follows the equations when it misses no more of a derivative.
_FOLLOWED = 1e-2


def unfollowed(found: Tangent | None, unknowns: Unknowns) -> str:
    """Why the data do not tell the coefficients on solutions of the equations; empty if they do."""
    if found is None:
        return "the equations and conditions leave weights of the network open"
    if not found.missed < _FOLLOWED:
        return f"the network misses {found.missed:.0e} of the residual's derivative"
    if unknowns.size > len(found.misfit):
        return f"{len(found.misfit)} data are fewer than {unknowns.size} coefficients"
    if not np.isfinite(found.misfit).all():
        return "its tangent is not finite"
    try:
        gaussian_covariance(found.slope, unknowns.labels, None)
    except ValueError as error:
        return str(error)
    return ""


def exact_laplace(
    method: Any, unknowns: Unknowns, data: tuple[Observations, ...], solution: Solution, seed: int
) -> Posterior | None:
    """Laplace's posterior of the coefficients if the equations hold; None where `tangent` is."""
    found = tangent(method, unknowns, data, solution, seed)
    if found is None or unfollowed(found, unknowns):
        return None
    mean = numbers_of(unknowns.where(solution.problem.pde))
    text = (
        f"the Gauss–Newton matrix of {len(found.misfit)} data on solutions of the equations, by "
        f"the tangent of the network ({found.rows} residuals, of whose derivative it misses "
        f"{found.missed:.0e}); noise as given"
    )
    covariance = gaussian_covariance(found.slope, unknowns.labels, None)
    return Posterior(mean, covariance, unknowns.labels, "laplace", text)
