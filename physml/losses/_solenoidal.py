"""Velocities without divergence by construction: the curl of a stream function or a potential.

In two dimensions u = (∂ψ/∂y, −∂ψ/∂x), in three u = ∇×A, so that ∇·u = 0 holds for every network.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem, strong_residual
from physml.losses._hard import SOFT, Hard
from physml.losses._trial import Inputs, TrialFunction, shaped_fields


class SolenoidalTrial(TrialFunction):
    """Fields of which one is the curl of a network's outputs; those come before the others.

    Arguments:
        velocity: the field that is a curl. length: the size of the domain, which makes the
            potential's scale from the velocity's.
    """

    inputs: Inputs
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    scales: tuple[float, ...] = eqx.field(static=True)
    shaping: dict[str, Any]
    velocity: str = eqx.field(static=True)
    length: float = eqx.field(static=True)

    @property
    def potentials(self) -> int:
        """Outputs of the network whose curl is the velocity."""
        return 1 if len(self.inputs.lower) == 2 else 3

    @property
    def outputs(self) -> int:
        """All outputs of the network."""
        return self.potentials + sum(
            int(np.prod(shape, dtype=int)) for name, shape in self.shapes if name != self.velocity
        )

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        columns, output = [], None
        for direction in jnp.eye(x.shape[0], dtype=x.dtype):
            output, slope = jax.jvp(lambda y: network(self.inputs(y, t)), (x,), (direction,))
            columns.append(self.length * slope[: self.potentials])
        assert output is not None
        slopes = jnp.stack(columns, axis=-1)
        curl = _curl(slopes)
        rest = output[self.potentials :]
        parts, start = [], 0
        for name, shape in self.shapes:
            size = int(np.prod(shape, dtype=int))
            if name == self.velocity:
                parts.append(curl)
            else:
                parts.append(rest[start : start + size])
                start += size
        return shaped_fields(jnp.concatenate(parts), self, x, t)


def _curl(slopes: Array) -> Array:
    """From ∂ⱼAᵢ as [component, direction]."""
    if slopes.shape[1] == 2:
        return jnp.stack([slopes[0, 1], -slopes[0, 0]])
    return jnp.stack(
        [
            slopes[2, 1] - slopes[1, 2],
            slopes[0, 2] - slopes[2, 0],
            slopes[1, 0] - slopes[0, 1],
        ]
    )


def solenoidal_constraint(problem: Problem) -> tuple[str, str]:
    """The constraint ∇·u = 0 of a problem: its field (the multiplier) and u.

    Raises:
        ValueError: there is none, or the potential can't represent u's mean flow.
    """
    if problem.dim not in (2, 3):
        raise ValueError(f"divergence_free needs two or three dimensions, got {problem.dim}")
    vectors = [name for name, shape in problem.shapes.items() if shape == (problem.dim,)]
    for name, form in problem.forms().items():
        if form.kind != "Constraint":
            continue
        terms = [form.dependence(term) for term in form.all_terms()]
        if not all(used.constant for used in terms if used.fields):
            continue
        for velocity in vectors:
            if _is_divergence(problem, name, velocity):
                _check_mean_flow(problem, velocity)
                return name, velocity
    raise ValueError(
        f"divergence_free: {problem.name!r} has no constraint ∇·u = 0, one with the flux u of a "
        f"vector field; its equations are "
        f"{ {n: f.kind for n, f in problem.forms().items()} }. Leave the option out"
    )


def _is_divergence(problem: Problem, name: str, velocity: str) -> bool:
    """Whether the residual of a constant-coefficient constraint is c ∇·u, c ≠ 0.

    It is then a linear form of values and gradients, which fields in general position tell.
    """
    rng = np.random.default_rng(0)
    form, dim = problem.forms()[name], problem.dim

    @jax.jit
    def residual(x: Array, t: Array, slopes: Any, values: Any) -> Array:
        def fields(y: Array, s: Array) -> dict[str, Array]:
            return {n: values[n] + slopes[n] @ (y - x) for n in slopes}

        return strong_residual({name: form}, fields, x, t, steady=True)[name]

    low, high = problem.domain.bounds
    start, end = problem.time or (0.0, 0.0)
    ratios = []
    for draw in range(8):
        size = 0.0 if draw == 0 else 1.0
        slopes = {n: size * rng.normal(size=(*s, dim)) for n, s in problem.shapes.items()}
        values = {n: size * rng.normal(size=s) for n, s in problem.shapes.items()}
        x = jnp.asarray(low + rng.random(dim) * (high - low))
        t = jnp.asarray(start + rng.random() * (end - start))
        found = float(residual(x, t, slopes, values))
        if draw == 0:
            if abs(found) > _TOLERANCE:
                return False
            continue
        ratios.append(found / np.trace(slopes[velocity]))
    return abs(ratios[0]) > _TOLERANCE and bool(np.allclose(ratios, ratios[0], rtol=_TOLERANCE))


_TOLERANCE = 1e-6


def _check_mean_flow(problem: Problem, velocity: str) -> None:
    """The curl of a periodic potential carries nothing through a periodic cross-section."""
    if velocity not in problem.initial:
        return
    x = jnp.asarray(problem.domain.sample_interior(4096, 0, "grid"))
    u = np.asarray(jax.vmap(problem.initial[velocity])(x))
    for axis in range(problem.dim):
        across = [p for i, p in enumerate(problem.domain.periodic) if i != axis]
        if all(across) and abs(u[:, axis].mean()) > 1e-3 * np.abs(u).max():
            raise ValueError(
                f"divergence_free: the mean of component {axis} of {velocity!r} is "
                f"{u[:, axis].mean():.3g} at the start, and a periodic potential has none across "
                "periodic directions; use the frame that moves with the mean flow"
            )


def solenoidal_hard(constraints: str, exact: str, velocity: str) -> Hard:
    """What holds exactly beside ∇·u = 0: nothing, since a factor would spoil the curl."""
    if constraints == "hard":
        raise ValueError(
            "constraints='hard' can't be had with divergence_free=True: values of the velocity are "
            "residuals there; use 'auto' or 'soft'"
        )
    note = f"{velocity}: a curl, whose values are not prescribed by construction"
    return Hard(SOFT.shaping, SOFT.boundary, SOFT.initial, (note,), equations=frozenset({exact}))
