"""Answers that a small loss hides: a constant, or a condition whose weight starves it."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physml.losses import Collocation, Decomposed, Subdivided, Variational
from physml.losses._residuals import all_fields
from physml.optimizers import Objective
from physml.training._train import evaluated_terms
from solvers import SolverError

# A condition is not met when its misfit is such a part of its data (of the fields where the data
# are zero), and starved when its weight is such a part of the largest one.
_MISSED, _STARVED = 0.1, 1e-2
# The equations are met, for what it is worth, when their residual fell to such a part.
_MET = 0.1
# A field is constant when its deviation is such a part of the data.
_CONSTANT = 0.02


@dataclasses.dataclass(frozen=True)
class _Condition:
    """A condition that is a residual: misfit relative to its data, and its weight."""

    name: str
    field: str
    misfit: float
    weight: float


def check_answer(
    objective: Objective,
    start: Any,
    params: Any,
    batch: Any,
    weights: dict[str, Any] | None = None,
) -> None:
    """Refuse an answer that satisfies the equations but not the conditions.

    Arguments:
        start, params: parameters before and after the training. batch: points.
        weights: that a weighting added, by block.

    Raises:
        SolverError: "trivial_solution", a field that is almost constant while its condition is not
            met; "starved_condition", one whose weight is far below the largest. Both name the
            condition and the remedy.
    """
    conditions = _conditions_of(objective)
    if conditions is None or not _soft(objective, batch):
        return
    given = dict(conditions.weights) | dict(getattr(objective, "weights", ()))

    def squares(at: Any) -> dict[str, float]:
        """Mean squares without the weights."""
        terms = evaluated_terms(objective, at, batch)
        return {n: float(v) / max(_weight(n, given, None), 1e-300) for n, v in terms.items()}

    def equations(means: dict[str, float]) -> float:
        return sum(value for name, value in means.items() if name.startswith("equation"))

    after = squares(params)
    if not equations(after) < _MET**2 * equations(squares(start)):
        return
    nothing = squares(_zero(params))
    level = _levels(conditions, params, batch)
    factor = {name: _weight(name, given, weights) for name in after}
    missed = []
    for name in _soft(objective, batch):
        field, data = name.split()[-1], nothing[name] ** 0.5
        scale = data if data > 1e-10 else max(float(level[field][1]), 1e-300)
        misfit = after[name] ** 0.5 / scale
        if misfit > _MISSED:
            missed.append((_Condition(name, field, misfit, factor[name]), data))
    if not missed:
        return
    # What joins subdomains is heavy by default, which starves nothing.
    joins = ("value", "flux", "residual", "slab")
    heaviest = max(w for name, w in factor.items() if name.split()[0] not in joins)
    for found, data in missed:
        if data > 1e-10 and float(level[found.field][0]) < _CONSTANT * data:
            raise SolverError("trivial_solution", _trivial(found, heaviest))
    for found, _ in missed:
        if found.weight < _STARVED * heaviest:
            raise SolverError("starved_condition", _starved(found, heaviest))


def _trivial(found: _Condition, heaviest: float) -> str:
    return (
        f"the field {found.field!r} is almost constant: it satisfies the equation, but misses the "
        f"condition {found.name!r} by {100 * found.misfit:.0f} % of its data (its weight is "
        f"{found.weight:.2g}, the largest is {heaviest:.2g}). {_REMEDY.format(found.name)}"
    )


def _starved(found: _Condition, heaviest: float) -> str:
    return (
        f"the condition {found.name!r} is starved by its weight {found.weight:.2g} (the largest is "
        f"{heaviest:.2g}): the equations are met, and it is missed by {100 * found.misfit:.0f} %. "
        f"{_REMEDY.format(found.name)}"
    )


_REMEDY = (
    "Use constraints='hard', raise weights={{{0!r}: …}}, or balance them by "
    "weighting=pm.training.GradientNorm()"
)


def _conditions_of(objective: Objective) -> Collocation | None:
    if isinstance(objective, Collocation):
        return objective
    if isinstance(objective, Decomposed | Subdivided):
        return objective.inside
    return objective.conditions if isinstance(objective, Variational) else None


def _soft(objective: Any, batch: Any) -> list[str]:
    """The blocks of boundary and initial conditions that are residuals."""
    return [n for n in objective.blocks(batch) if n.split()[0] in ("boundary", "initial")]


def _weight(name: str, given: dict[str, float], adapted: dict[str, Any] | None) -> float:
    weight = given.get(name, given.get(name.split()[0], 1.0))
    if adapted is not None and name in adapted:
        weight = weight * float(np.mean(np.asarray(adapted[name])))
    return float(weight)


def _zero(params: Any) -> Any:
    """Parameters for which the network is zero: residuals are then minus the data."""
    return {**params, "network": jax.tree.map(jnp.zeros_like, params["network"])}


@eqx.filter_jit
def _levels(conditions: Collocation, params: Any, batch: Any) -> dict[str, tuple[Array, Array]]:
    """Deviation and root mean square of each field over its points."""
    points = batch.get("interior", batch.get("elements"))
    x = points["x"].reshape(-1, points["x"].shape[-1])
    t = points["t"].reshape(-1)
    fields = all_fields(conditions.bound(params)[0], conditions.fields(params))
    values = jax.vmap(fields)(x, t)
    return {
        name: (
            jnp.sqrt(jnp.mean((v - jnp.mean(v, axis=0)) ** 2)),
            jnp.sqrt(jnp.mean(v**2)),
        )
        for name, v in values.items()
    }
