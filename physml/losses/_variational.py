"""Weak residuals on elements as a least-squares objective (VPINN, hp-VPINN)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Form, Point, Problem, point_of
from pdes._strong import time_terms
from physml.losses._collocation import Collocation
from physml.losses._tests import ReferenceTests, box_elements
from physml.optimizers import Block, LeastSquares, QuadratureBlock
from solvers._weak import weak_density


class Variational(LeastSquares):
    """loss = Σ w · mean over elements of Σ_v R(v)², and the conditions that are not exact.

    R(v) = mean over the element of c₀·v + c₁:∇v, with the weak density (c₀, c₁) that finite
    elements use, and tests v that vanish on the element's sides across space and are orthonormal
    in the mean: Σ_v R(v)² is the mean square of the residual's projection on them. Time
    derivatives are taken at the quadrature points, elements are of space and time.

    A batch has "elements": x (E, Q, dim), t (E, Q), tests (E, T, Q, 1 + dim).

    Source: Kharazmi, Zhang and Karniadakis (2019, 2021).

    Arguments:
        conditions: the blocks of boundary, start, gauges and observations; its trial function
            gives all fields, definitions too.
        weights: w of "equation u", or of "equation" for all.
    """

    conditions: Collocation
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)

    def __init__(
        self,
        conditions: Collocation,
        weights: Mapping[str, float] | None = None,
        chunk: int | None = None,
    ):
        missing = set(conditions.problem.shapes) - set(conditions.trial.names)
        if missing:
            raise ValueError(
                f"weak residuals need every field as an output; missing {sorted(missing)}"
            )
        self.conditions = conditions
        self.weights = tuple(sorted((weights or {}).items()))
        self.chunk = chunk

    def blocks(self, batch: Any) -> dict[str, Block]:
        found: dict[str, Block] = {}
        elements = batch["elements"]
        points = {"x": elements["x"], "t": elements["t"]}
        weights = dict(self.weights)
        for name, shape in self.conditions.trial.shapes:
            weight = weights.get(f"equation {name}", weights.get("equation", 1.0))
            found[f"equation {name}"] = QuadratureBlock(
                self._density(name),
                points,
                _by_component(elements["tests"], int(np.prod(shape, dtype=int))),
                scale=float(np.sqrt(weight / len(elements["t"]))),
                chunk=self.chunk,
            )
        return found | self.conditions.condition_blocks(batch)

    def _density(self, name: str) -> Callable[[Any, Any], Array]:
        def fn(params: Any, point: Any) -> Array:
            problem, _ = self.conditions.bound(params)
            fields = self.conditions.fields(params)
            return pointwise_density(problem, name, fields, point["x"], point["t"])

        return fn


def pointwise_density(
    problem: Problem,
    name: str,
    fields: Any,
    x: Array,
    t: Array,
    region: Any = None,
    cell: Any = None,
) -> Array:
    """(c₀, c₁) of one equation at one point, flattened to (components · (1 + dim),)."""
    form = problem.forms()[name]
    p = point_of(fields, x, t, region=region, cell=cell)
    value, slope = weak_density(form, p, _rate(problem, form, fields, p))
    rows = [value.reshape(-1, 1), slope.reshape(-1, form.dim)]
    return jnp.concatenate(rows, axis=1).reshape(-1)


def twice_density(
    problem: Problem,
    name: str,
    fields: Any,
    x: Array,
    t: Array,
    region: Any = None,
    cell: Any = None,
) -> Array:
    """(c₀, c₁, c₂) such that c₀·v + c₁:∇v + c₂⋮∇∇v is what is left after parting twice.

    The part A(x)∇u of c₁ that is linear in the gradients loses them: for tests that vanish with
    their gradients on the element's sides, ∫ A∂ⱼu ∂ᵢv = −∫ u (∂ⱼA ∂ᵢv + A ∂ᵢ∂ⱼv). Flattened to
    (components · (1 + dim + dim²),).
    """
    form = problem.forms()[name]
    p = point_of(fields, x, t, region=region, cell=cell)
    assert p.gradients is not None
    still = jax.tree.map(jnp.zeros_like, p.gradients)

    def flux(y: Array, slopes: dict[str, Array]) -> Array:
        """c₁ at the place y with the gradients `slopes`, the values as they are."""
        moved = eqx.tree_at(lambda q: (q.x, q.gradients), p, (y, slopes))
        return weak_density(form, moved)[1]

    value = weak_density(form, p, _rate(problem, form, fields, p))[0]
    slope = flux(x, still)
    columns = []
    for direction in jnp.eye(form.dim, dtype=x.dtype):
        along = {n: v[..., None] * direction for n, v in p.values.items()}

        def linear(y: Array, along: dict[str, Array] = along) -> Array:
            return flux(y, along) - flux(y, still)

        column, change = jax.jvp(linear, (x,), (direction,))
        columns.append(-column)
        slope = slope - change
    second = jnp.stack(columns, axis=-1)
    rows = [
        value.reshape(-1, 1),
        slope.reshape(-1, form.dim),
        second.reshape(-1, form.dim**2),
    ]
    return jnp.concatenate(rows, axis=1).reshape(-1)


def _rate(problem: Problem, form: Form, fields: Any, p: Point) -> Array | None:
    if form.kind != "Balance" or problem.steady:
        return None
    return time_terms(form, fields, p.x, p.t, p.region, p.cell)


def _by_component(tests: Array, components: int) -> Array:
    """Tests of a scalar, (E, T, Q, K), for each component of a field, (E, T·m, Q, K·m)."""
    if components == 1:
        return tests
    elements, count, points, size = tests.shape
    each = jnp.einsum("etqk,ij->etiqjk", tests, jnp.eye(components, dtype=tests.dtype))
    return each.reshape(elements, count * components, points, components * size)


def element_batch(reference: ReferenceTests, edges: list[np.ndarray], dim: int) -> dict[str, Any]:
    """Quadrature points and tests of a tensor grid of elements, time last among the edges."""
    low, high = box_elements(edges)
    half = 0.5 * (high - low)
    points = low[:, None, :] + half[:, None, :] * (1 + reference.points)
    values = np.broadcast_to(reference.values, (len(low), *reference.values.shape))
    slopes = reference.slopes[None] / half[:, None, None, :dim]
    timed = points.shape[-1] > dim
    return {
        "x": points[..., :dim],
        "t": points[..., dim] if timed else np.zeros(points.shape[:2]),
        "tests": np.concatenate([values[..., None], slopes], axis=-1),
    }
