"""What the residual of a spectral PINN says of its error."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physml.losses import Spectral
from solvers import Solution


@eqx.filter_jit
def dual_norms(objective: Spectral, params: Any, data: Any) -> dict[str, dict[str, Array]]:
    """By field and time, each times the weight of the time.

    "dual_norm": Σ (r̂ₖ/sₖ)² of waves with a test. "untested": of others, which take the largest sₖ
    of those. "lasting": as the first, times min s/sₖ, the part of the slab that an error at one
    moment lasts. "size": the mean square of the field.
    """
    found: dict[str, dict[str, Array]] = {n: {} for n in (*_NORMS, "lasting")}
    fields = objective.conditions.fields(params)
    mass = data["times"] ** 2
    for name in objective.conditions.trial.names:
        block, sizes = objective.block(name, data), data["sizes"][name]
        squares = block.residual(params).reshape(len(mass), -1) ** 2
        found["dual_norm"][name] = jnp.sum(squares, axis=1)
        found["lasting"][name] = squares @ (jnp.min(sizes) / sizes)
        at = block.values(params)
        plain = jnp.einsum("tqk,eqk->et", block.tests, at)
        # Parseval: what the coefficients leave of the mean square.
        left = jnp.mean(jnp.sum(at**2, axis=2), axis=1) - jnp.sum(plain**2, axis=1)
        found["untested"][name] = mass * jnp.maximum(left, 0.0) / jnp.max(sizes) ** 2
        values = jax.vmap(jax.vmap(lambda x, t, n=name: fields(x, t)[n].reshape(-1)))(
            data["x"], data["t"]
        )
        found["size"][name] = mass * jnp.mean(jnp.sum(values**2, axis=2), axis=1)
    return found


_NORMS = ("dual_norm", "untested", "size")


def summed(found: Any, ends: int) -> dict[str, dict[str, float]]:
    """`stats.extra` by `dual_norms` at Gauss points, and then at so many ends of the time."""
    found = jax.device_get(found)
    extra = {
        label: {
            name: float(np.sqrt(np.sum(squares[: len(squares) - ends])))
            for name, squares in found[label].items()
        }
        for label in _NORMS
    }
    if ends:
        last = {n: np.sqrt(np.max(squares[-ends:])) for n, squares in found["lasting"].items()}
        extra["at_the_ends"] = {name: float(value) for name, value in last.items()}
    return extra


# Of the size of a field: what the residual says is then no small error.
_LARGE = 1e-2


def told_apart(solution: Solution, weights: Mapping[str, float]) -> Solution:
    """With "dual_norm" as it was trained, and with "untested" what the finer grid finds besides.

    On the points of the training a wave that they can't tell from a shorter one is part of that.
    """
    extra = dict(solution.stats.extra)
    trained, unseen = {}, {}
    for name, whole in extra["dual_norm"].items():
        weight = weights.get(f"equation {name}", weights.get("equation", 1.0))
        square = float(extra["terms"][f"equation {name}"]) / weight if weight else whole**2
        trained[name] = float(np.sqrt(square))
        unseen[name] = float(np.hypot(extra["untested"][name], max(whole**2 - square, 0.0) ** 0.5))
    extra |= {"dual_norm": trained, "untested": unseen}
    return dataclasses.replace(solution, stats=dataclasses.replace(solution.stats, extra=extra))


def warned(solution: Solution) -> Solution:
    """With a note where the residual says that the solution is wrong."""
    extra = solution.stats.extra
    notes = []
    for name, size in extra["size"].items():
        missed, unseen = extra["dual_norm"][name], extra["untested"][name]
        if missed > _LARGE * size:
            notes.append(
                f"NOT CONVERGED: the residual of {name} says that its error is about {missed:.1e}, "
                f"while {name} is of the size {size:.1e}; train longer, on shorter slabs of time "
                "(pm.TimeSlabs), or with a larger network"
            )
        if unseen > _LARGE * size:
            notes.append(
                f"NOT RESOLVED: waves of the residual of {name} that no test has make an error of "
                f"about {unseen:.1e}, while {name} is of the size {size:.1e}; raise harmonics, or "
                "take a network without such waves"
            )
    stats = dataclasses.replace(solution.stats, notes=(*solution.stats.notes, *notes))
    return dataclasses.replace(solution, stats=stats) if notes else solution
