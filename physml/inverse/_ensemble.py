"""A posterior by an ensemble: the same fit for data with new noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from pdes import Observations
from physml.inverse._posterior import Posterior
from physml.inverse._unknowns import whitened
from solvers import Solution


def known_noise(
    data: Sequence[Observations], solution: Solution, count: int
) -> tuple[Observations, ...]:
    """Observations with a noise: the given one, or that of the misfit.

    Raises:
        ValueError: too few data to estimate it from.
    """
    if all(part.noise is not None for part in data):
        return tuple(data)
    r = np.asarray(whitened(solution, data))
    if len(r) <= count:
        raise ValueError(
            f"{len(r)} observations of {count} numbers leave nothing to estimate the noise from: "
            "give Observations(noise=…), or observe more"
        )
    deviation = float(np.sqrt(r @ r / (len(r) - count)))
    return tuple(
        part
        if part.noise is not None
        else Observations(part.x, part.t, part.values, part.field, max(deviation, 1e-300))
        for part in data
    )


def ensemble(
    refit: Callable[[tuple[Observations, ...], Any], np.ndarray],
    data: tuple[Observations, ...],
    labels: tuple[str, ...],
    draws: int,
    seed: int,
    spread: np.ndarray | None = None,
) -> Posterior:
    """Mean and covariance of `draws` fits, each to data with noise added once more.

    Arguments:
        refit: (data, mean of the prior of z) -> numbers, (P,). spread: deviations of that prior.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        centre = None if spread is None else spread * rng.standard_normal(len(spread))
        found.append(refit(tuple(_perturbed(part, rng) for part in data), centre))
    members = np.stack(found)
    covariance = np.atleast_2d(np.cov(members, rowvar=False))
    text = f"{draws} fits to data with new noise"
    return Posterior(members.mean(axis=0), covariance, labels, "ensemble", text, False, members)


def _perturbed(part: Observations, rng: np.random.Generator) -> Observations:
    values = np.asarray(part.values)
    noise = np.broadcast_to(np.asarray(part.noise), values.shape[:1])
    spread = noise.reshape(-1, *(1,) * (values.ndim - 1))
    moved = values + spread * rng.standard_normal(values.shape)
    return Observations(part.x, part.t, jnp.asarray(moved), part.field, part.noise)
