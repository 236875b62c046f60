"""Whether a periodic problem and its network are even, or odd."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physml.losses import Collocation, equation_residual

# Of the largest value: by how much a field and its mirror image may differ.
_ROUND_OFF = {"float64": 1e-6, "float32": 1e-2}


def check_mirror_images(conditions: Collocation, params: Any, parity: str) -> None:
    """That the data, the fields at the start of training, and the equations there have the parity.

    Raises:
        ValueError: one direction is not all, or one of them has it not.
    """
    problem = conditions.problem
    if problem.dim != 1:
        raise ValueError(
            f"parity is for one periodic direction, and the domain has {problem.dim}: leave it out"
        )
    (low,), (high,) = problem.domain.bounds
    # Points at no particular place.
    x = low + (high - low) * np.modf(0.5 * np.arange(1, 33) * (5**0.5 - 1))[0][:, None]
    start, end = problem.time or (0.0, 0.0)
    times = jnp.full(len(x), start + 0.3 * (end - start))
    here = _values_at(conditions, params, parity, jnp.asarray(x), times)
    there = _values_at(conditions, params, parity, jnp.asarray(low + high - x), times)
    sign = 1.0 if parity == "even" else -1.0
    for kind, remedy in _REMEDIES.items():
        for name, value in here[kind].items():
            mirrored = there[kind][name]
            gap = np.abs(np.asarray(value) - sign * np.asarray(mirrored)).max(axis=1)
            worst = int(np.argmax(gap))
            size = max(float(jnp.abs(value).max()), float(jnp.abs(mirrored).max()))
            if gap[worst] > _ROUND_OFF[str(value.dtype)] * size:
                a, b = (np.asarray(v)[worst].tolist() for v in (value, mirrored))
                raise ValueError(
                    f'parity="{parity}", but {kind} of {name} is not {parity}: {a} at '
                    f"x = {x[worst, 0]:.4g} and {b} at its mirror image; {remedy.format(parity)}"
                )


_REMEDIES = {
    "the value at the start": "leave parity out",
    "the network": 'take one that is, such as FourierSeries(parity="{}"), or leave parity out',
    "the equation": "it would not stay so; leave parity out",
}


@eqx.filter_jit
def _values_at(
    conditions: Collocation, params: Any, parity: str, x: Array, t: Array
) -> dict[str, dict[str, Array]]:
    """Initial data, fields and strong residuals by name, (points, components)."""
    problem, _ = conditions.bound(params)
    fields = conditions.fields(params)
    names, scales = conditions.trial.names, conditions.trial.scales
    low, high = problem.domain.bounds
    wave = jnp.cos if parity == "even" else jnp.sin

    def rippled(y: Array, s: Array) -> dict[str, Array]:
        """With a wave of the parity: what is at rest has a residual of round-off alone."""
        ripple = wave(4 * np.pi * (y[0] - low[0]) / (high[0] - low[0]))
        values = fields(y, s)
        return values | {n: values[n] + c * ripple for n, c in zip(names, scales, strict=True)}

    def at(y: Array, s: Array) -> dict[str, dict[str, Array]]:
        known = [n for n in names if n in problem.initial]
        values = fields(y, s)
        return {
            "the value at the start": {n: problem.initial_value(n, y).reshape(-1) for n in known},
            "the network": {n: values[n].reshape(-1) for n in names},
            "the equation": {n: equation_residual(problem, n, rippled, y, s) for n in names},
        }

    return jax.vmap(at)(x, t)
