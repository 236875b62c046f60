"""Fits by networks: weights that suit the noise, and the posterior with the weights eliminated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree

from pdes import Observations
from physml.inverse._posterior import Posterior, gaussian_covariance
from physml.inverse._unknowns import Unknowns, numbers_of, whitened
from solvers import Solution

# Weight of equations and conditions by that of the data, in units of 1/σ²: a residual of σ in all
# of the domain costs so many times the misfit of one datum.
_EMPHASIS = 100.0
# Columns of the network's Jacobian that are nothing but round-off of the others.
_RANK = 1e-11


def emphasised(method: Any, data: Sequence[Observations]) -> Any:
    """The method with noisy data weighted below the equations, unless its weights do it already.

    The weight is that of the data, so that it is relative to conditions and interfaces as well.
    """
    given = dict(method.weights or {})
    decided = {name.split()[0] for name in given} & {"equation", "observations"}
    if decided or any(part.noise is None for part in data):
        return method
    noise = min(float(np.min(np.asarray(part.noise))) for part in data)
    return dataclasses.replace(method, weights={**given, "observations": noise**2 / _EMPHASIS})


@eqx.filter_jit
def jacobians(objective: Any, params: Any, batch: Any) -> dict[str, tuple]:
    return {name: block.jacobian(params) for name, block in objective.blocks(batch).items()}


def network_laplace(
    method: Any,
    unknowns: Unknowns,
    data: tuple[Observations, ...],
    solution: Solution,
    seed: int,
) -> Posterior:
    """Laplace's posterior of coefficients and weights together, the weights eliminated.

    The residuals of equations and conditions count as data that are zero, with the deviations
    that their weights stand for. With J = (J_θ, J_c) the precision of c is the Schur complement
    J_cᵀ(I − Q Qᵀ)J_c, Q an orthonormal basis of the columns of J_θ.

    Raises:
        ValueError: the data do not determine the coefficients.
    """
    setup = method.setup(unknowns.problem, seed, data, unknowns.where)
    params = solution.parameters
    batch = setup.sampler(jax.random.key(seed), params, 0)
    found = {
        name: np.asarray(j) for name, (_, j) in jacobians(setup.objective, params, batch).items()
    }
    observed = {name for name in found if name.split()[0] == "observations"}
    factors = row_factors(method, data)
    # The loss has mean squares: those of the data times their number are the χ² of statistics.
    typical = float(np.sqrt(np.mean([f**2 for f in factors])))
    deviation, note = _noise(data, solution, unknowns.size)
    rows, index = [], 0
    for name, matrix in found.items():
        factor = typical
        if name in observed:
            factor, index = factors[index], index + 1
        rows.append(matrix * (factor / deviation))
    jacobian = np.concatenate(rows)
    theirs = np.flatnonzero(is_coefficient(params))
    weights = np.setdiff1d(np.arange(jacobian.shape[1]), theirs)
    left = _eliminated(jacobian[:, weights], jacobian[:, theirs])
    mean = numbers_of(unknowns.where(solution.problem.pde))
    covariance = gaussian_covariance(left, unknowns.labels, None)
    text = (
        f"the Gauss–Newton matrix of {len(jacobian)} residuals, {len(weights)} weights of the "
        f"network eliminated; {note}"
    )
    return Posterior(mean, covariance, unknowns.labels, "laplace", text)


def row_factors(method: Any, data: Sequence[Observations]) -> list[float]:
    """√(n/w) of each set: from rows of the loss to rows in units of σ."""
    weights = dict(method.weights or {})
    found = []
    for i, part in enumerate(data):
        name = f"observations {part.field}" + (f" {i}" if len(data) > 1 else "")
        weight = weights.get(name, weights.get("observations", 1.0))
        found.append(float(np.sqrt(len(part.x) / weight)))
    return found


def _noise(data, solution: Solution, count: int) -> tuple[float, str]:
    if all(part.noise is not None for part in data):
        return 1.0, "noise as given"
    r = np.asarray(whitened(solution, data))
    if len(r) <= count:
        raise ValueError(
            f"{len(r)} observations of {count} numbers leave nothing to estimate the noise from: "
            "give Observations(noise=…), or observe more"
        )
    deviation = max(float(np.sqrt(r @ r / (len(r) - count))), 1e-300)
    return deviation, f"noise {deviation:.3g} from the misfit"


def is_coefficient(params: Any) -> np.ndarray:
    """Which entries of the flattened parameters belong to what is identified."""
    marks = {
        key: jax.tree.map(lambda leaf, key=key: np.full(leaf.shape, float(key == "pde")), tree)
        for key, tree in params.items()
    }
    return np.asarray(ravel_pytree(marks)[0]) > 0.5


def _eliminated(weights: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The coefficients' columns without what the weights' columns span."""
    size = np.linalg.norm(weights, axis=0)
    q, r, _ = scipy.linalg.qr(  # pyright: ignore[reportAssignmentType]
        weights / np.where(size > 0, size, 1.0), mode="economic", pivoting=True
    )
    diagonal = np.abs(np.diag(r))
    basis = np.asarray(q)[:, : int((diagonal > _RANK * diagonal[0]).sum())]
    left = coefficients - basis @ (basis.T @ coefficients)
    # A second time, since the first leaves round-off of the size of what it took away.
    return left - basis @ (basis.T @ left)
