"""Losses of surrogates: distance to solved samples, and the residual of the equation itself."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physml.losses._points import boundary_points, initial_points, interior_points
from physml.losses._residuals import (
    all_fields,
    condition_residual,
    has_rows,
    initial_residual,
    rate_residual,
)
from physml.optimizers import Objective
from physml.surrogates._family import Family
from physml.surrogates._operator import Operator, PointOperator, batch_on_grid

# A field far below its usual size counts with this share of that size instead of its own norm.
_FLOOR = 1e-3


def split(values: Array, sizes: tuple[int, ...]) -> list[Array]:
    """Components by field."""
    cuts = np.cumsum(sizes)[:-1]
    return jnp.split(values, cuts, axis=-1)


def relative_errors(predicted: Array, true: Array, sizes: tuple[int, ...], floor: Any = 0.0):
    """‖u − û‖/‖u‖ over grid and frames for each sample, the mean over the fields, (n,)."""
    found: list[Array] = []
    for a, b in zip(split(predicted, sizes), split(true, sizes), strict=True):
        axes = tuple(range(1, a.ndim))
        squared = jnp.sum(b**2, axis=axes) + floor**2 * jnp.sum(jnp.ones_like(b[0]))
        gap = jnp.sum((a - b) ** 2, axis=axes)
        # The root has no derivative where the gap vanishes.
        safe = jnp.where(gap > 0, gap, 1.0)
        found.append(jnp.where(gap > 0, jnp.sqrt(safe), 0.0) / jnp.sqrt(squared))
    return jnp.stack(found).mean(axis=0)


class DataLoss(eqx.Module):
    """Mean relative L2 distance of a batch {"inputs", "outputs"}."""

    floor: float = eqx.field(static=True)

    def __call__(self, operator: Operator, batch: Any) -> dict[str, Array]:
        predicted = batch_on_grid(operator, batch["inputs"])
        errors = relative_errors(
            predicted, batch["outputs"], operator.layout.sizes, _FLOOR * self.floor
        )
        return {"data": jnp.mean(errors)}


class ResidualLoss(eqx.Module):
    """Mean squares of the residuals of equation, boundary and initial conditions, no data.

    For each function of the batch the family's problem is built anew from its latent numbers,
    and its strong residual taken of the operator's answer as a function of x and t.
    """

    family: Family = eqx.field(static=True)
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)

    def __call__(self, operator: PointOperator, batch: Any) -> dict[str, Array]:
        each = jax.vmap(lambda v, latent: self._one(operator, v, latent, batch["points"]))
        terms = each(batch["inputs"], batch["latents"])
        weights = dict(self.weights)
        return {
            name: weights.get(name, weights.get(name.split()[0], 1.0)) * jnp.mean(value)
            for name, value in terms.items()
        }

    def _one(self, operator: PointOperator, v: Array, latent: Any, points: Any) -> dict[str, Array]:
        problem = self.family.build(latent)
        coefficients = operator.coefficients(v)
        shapes = problem.shapes

        def fields(x: Array, t: Array) -> dict[str, Array]:
            parts = split(operator.at(coefficients, x, t), operator.layout.sizes)
            return {
                name: part.reshape(shapes[name]).astype(x.dtype)
                for name, part in zip(operator.layout.outputs, parts, strict=True)
            }

        def squares(residual: Any, where: Any) -> Array:
            return jnp.mean(jax.vmap(lambda p: jnp.sum(residual(p) ** 2))(where))

        terms = {}
        for name in operator.layout.outputs:
            terms[f"equation {name}"] = squares(
                lambda p, name=name: problem.residual(fields, p["x"], p["t"])[name].reshape(-1),
                points["interior"],
            )
        forms, full = problem.forms(), all_fields(problem, fields)
        for part, by_field in problem.conditions.items():
            for name, condition in by_field.items():
                if has_rows(forms[name], condition, True):
                    terms[f"boundary {part} {name}"] = squares(
                        lambda p, f=forms[name], c=condition: condition_residual(
                            f, c, full, p["x"], p["t"], p["n"]
                        ),
                        points[f"boundary {part}"],
                    )
        for name in problem.evolving:
            terms[f"initial {name}"] = squares(
                lambda p, name=name: initial_residual(problem, name, fields, p["x"]),
                points["initial"],
            )
            if name in problem.initial_rate:
                terms[f"rate {name}"] = squares(
                    lambda p, name=name: rate_residual(problem, name, fields, p["x"]),
                    points["initial"],
                )
        return terms


def residual_points(family: Family, count: int, seed: int) -> dict[str, Any]:
    """Points for the residual: `count` inside, half as many on each part and at the start."""
    problem = family.template
    half = max(count // 2, 1)
    points = {"interior": interior_points(problem, count, seed)}
    for part in problem.conditions:
        points[f"boundary {part}"] = boundary_points(problem, part, half, seed + 1)
    if problem.evolving:
        points["initial"] = initial_points(problem, half, seed + 2)
    return jax.tree.map(jnp.asarray, points)


class SurrogateObjective(Objective):
    """The sum of the chosen losses."""

    static: Any
    data: DataLoss | None
    residual: ResidualLoss | None

    def terms(self, params: Any, batch: Any) -> dict[str, Array]:
        operator = eqx.combine(params, self.static)
        found: dict[str, Array] = {}
        if self.data is not None:
            found |= self.data(operator, batch)
        if self.residual is not None:
            found |= self.residual(operator, batch)
        return found
