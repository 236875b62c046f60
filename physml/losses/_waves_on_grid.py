"""Fourier series of functions of time on a grid of space and time, one sum for all derivatives.

At a point the residual depends on a network through its value and derivatives there. Those of a
series Σₖ cₖ(t) wₖ(x) are products of the waves' with the coefficients': one matrix product for the
whole grid, where point by point each would sum the series anew and take its waves anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._derivatives import definition_levels
from physml.losses._collocation import Collocation
from physml.losses._residuals import equation_residual
from physml.losses._trial import Trial, shaped_fields
from physml.networks import FourierSeries
from physml.optimizers import QuadratureBlock


class WaveBlock(QuadratureBlock):
    """As `QuadratureBlock`, of points that are a grid of times and places, of a `FourierSeries`.

    The residual is by the series' derivatives on the grid; the Jacobian as there.
    """

    name: str = eqx.field(static=True, default="")
    conditions: Any = None

    def residual(self, params: Any) -> Array:
        return self._gather(jnp.einsum("tqk,eqk->et", self.tests, self.values(params)))

    def values(self, params: Any) -> Array:
        problem, network = self.conditions.bound(params)
        trial = self.conditions.trial
        assert isinstance(trial, Trial) and isinstance(network, FourierSeries)
        x, t = self.points["x"][0], self.points["t"][:, 0]
        in_space, in_time = orders(problem, trial.names)
        waves = jax.vmap(lambda y: _in_space(network, trial, y, in_space))(x)
        moving = jax.vmap(lambda s: _in_time(network, trial, s, in_time))(t)
        # A loop over the few derivatives: each is a matrix product of times by places.
        jets = jnp.stack(
            [
                jnp.stack(
                    [
                        jnp.einsum("eok,qk->eqo", moving[:, b], waves[:, a])
                        for b in range(in_time + 1)
                    ]
                )
                for a in range(in_space + 1)
            ]
        )

        def at(y: Array, s: Array, jet: Array) -> Array:
            return equation_residual(problem, self.name, near(trial, jet, y, s), y, s)

        # What depends on the place alone, such as initial data, is evaluated once for all times.
        over_places = jax.vmap(at, (0, None, 2))
        return jax.vmap(over_places, (None, 0, 2))(x, t, jets)


def on_grid(conditions: Collocation) -> bool:
    """Whether the residual depends on the network by such a series."""
    trial = conditions.trial
    return (
        type(conditions.static["network"]) is FourierSeries
        and type(trial) is Trial
        and not trial.factors
        and conditions.problem.dim == 1
        and conditions.problem.time is not None
        and trial.in_size == 3
    )


def orders(problem: Problem, given: tuple[str, ...]) -> tuple[int, int]:
    """The highest derivatives in space and time that equations may have."""
    forms = problem.forms()
    levels = len(definition_levels(forms, given))
    return 2 + 2 * levels, 2 if any(form.has_inertia for form in forms.values()) else 1


def near(
    trial: Trial, jets: Array, at: Array, when: Array
) -> Callable[[Array, Array], dict[str, Array]]:
    """fields(x, t) around a point, with the right derivatives there: jets (a, b, out)."""

    def fields(x: Array, t: Array) -> dict[str, Array]:
        along, later = x[0] - at[0], t - when

        def sum_of(terms: Array, step: Array) -> Array:
            """Σ termsₖ stepᵏ/k!, by Horner's rule."""
            total = terms[-1]
            for k in range(len(terms) - 1, 0, -1):
                total = terms[k - 1] + total * (step / k)
            return total

        output = sum_of(jnp.stack([sum_of(each, later) for each in jets]), along)
        return shaped_fields(output, trial, x, t)

    return fields


def _in_space(network: FourierSeries, trial: Trial, x: Array, order: int) -> Array:
    """The waves and their derivatives in x, (order + 1, functions)."""
    rate = 2 * np.pi / (trial.inputs.upper[0] - trial.inputs.lower[0])
    theta = rate * (x[0] - trial.inputs.lower[0])
    powers = jnp.asarray(rate ** np.arange(order + 1), x.dtype)
    return powers[:, None] * network.waves(theta, order)


def _in_time(network: FourierSeries, trial: Trial, t: Array, order: int) -> Array:
    """The coefficients and their derivatives in t, (order + 1, out, functions)."""

    def taken(times: int) -> Callable[[Array], Array]:
        if times == 0:
            return lambda s: network.amplitudes(trial.inputs.moment(s)[None])
        below = taken(times - 1)
        return lambda s: jax.jvp(below, (s,), (jnp.ones_like(s),))[1]

    return jnp.stack([taken(times)(t) for times in range(order + 1)])
