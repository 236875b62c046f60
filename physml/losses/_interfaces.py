"""Subdomains joined by jumps of value and of normal flux (CPINN)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem, point_of
from physml.losses._collocation import Collocation
from physml.losses._partition import Partition, PartitionTrial
from physml.losses._points import stacked
from physml.losses._residuals import all_fields, equation_residual
from physml.networks import combine
from physml.optimizers import Block, LeastSquares, PointBlock


class Decomposed(LeastSquares):
    """Collocation in each subdomain, with the jumps across their interfaces.

    To the blocks of `Collocation` it adds those of `joins` on interfaces in space: "value u",
    u⁺ − u⁻, "flux u", (F⁺ − F⁻)·n, and "residual u", r⁺ − r⁻ of the equation; and "slab u" (and
    "slab rate u" beside an inertia), the jumps between slabs of time.

    Source: Jagtap, Kharazmi and Karniadakis (2020), conservative PINN, eq. 7–9; Jagtap and
    Karniadakis (2020), extended PINN, eq. 5.

    Arguments:
        inside: the collocation, with a `PartitionTrial`. weights: w by block or first word.
        joins: which of "value", "flux" and "residual" join the subdomains.
    """

    inside: Collocation
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)
    joins: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        inside: Collocation,
        weights: Mapping[str, float] | None = None,
        joins: tuple[str, ...] = ("value", "flux"),
    ):
        if not isinstance(inside.trial, PartitionTrial):
            raise TypeError(f"Decomposed needs a PartitionTrial, got {type(inside.trial).__name__}")
        self.inside = inside
        self.weights = tuple(sorted((weights or {}).items()))
        self.joins = joins

    @property
    def partition(self) -> Partition:
        assert isinstance(self.inside.trial, PartitionTrial)
        return self.inside.trial.partition

    def sample(self, counts: Mapping[str, int], seed: int, scheme: str = "sobol") -> dict[str, Any]:
        """As `Collocation.sample`, with counts["interface"] points on all interfaces."""
        batch = self.inside.sample(counts, seed, scheme)
        for label, timelike in (("interface", False), ("slab", True)):
            points = self.partition.sample(counts["interface"], seed + 3, timelike)
            if points is not None:
                batch[label] = points
        return batch

    def blocks(self, batch: Any) -> dict[str, Block]:
        found = dict(self.inside.blocks(batch))
        forms = self.inside.problem.forms()
        if "interface" in batch:
            points = batch["interface"]
            for name, form in forms.items():
                if "value" in self.joins:
                    found |= self._block(f"value {name}", self._jump(name, _value), points)
                if "flux" in self.joins and form.equation.flux:
                    found |= self._block(f"flux {name}", self._jump(name, _flux), points)
                if "residual" in self.joins and name in self.inside.equations:
                    found |= self._block(f"residual {name}", self._jump(name, None), points)
        if "slab" in batch:
            for name in self.inside.problem.evolving:
                found |= self._block(f"slab {name}", self._jump(name, _value), batch["slab"])
                if name in self.inside.problem.initial_rate:
                    jump = self._jump(name, _rate)
                    found |= self._block(f"slab rate {name}", jump, batch["slab"])
        return found

    def _block(self, name: str, fn: Callable[..., Array], points: Any) -> dict[str, Block]:
        weights = dict(self.weights)
        weight = weights.get(name, weights.get(name.split()[0], 1.0))
        scale = float(np.sqrt(weight / len(points["n"])))
        return {name: PointBlock(fn, points, scale=scale)}

    def _jump(self, name: str, trace: Callable | None) -> Callable[..., Array]:
        def fn(params: Any, point: Any) -> Array:
            below, above = self.traces(params, point, name, trace)
            return above - below

        return fn

    def traces(
        self, params: Any, point: Any, name: str, trace: Callable | None
    ) -> tuple[Array, Array]:
        """`trace` of a field (None: the residual of its equation) from both sides, flattened."""
        problem, _ = self.inside.bound(params)
        found = []
        lower, upper = self.partition.boxes()
        nudge = NUDGE * float(np.max(upper - lower))
        for side, place, sign in (("minus", "below", -nudge), ("plus", "above", nudge)):
            fields, where = self.side_fields(params, point[side]), point[place]
            # A coefficient of the place alone jumps at the interface: each side sees its own.
            x = where[: problem.dim] + (0.0 if trace in (_value, _rate) else sign) * point["n"]
            t = where[-1] if problem.time is not None else jnp.zeros((), x.dtype)
            if trace is None:
                found.append(equation_residual(problem, name, fields, x, t))
                continue
            fields = all_fields(problem, fields)
            found.append(trace(problem, name, fields, x, t, point["n"]).reshape(-1))
        return found[0], found[1]

    def side_fields(self, params: Any, k: Array) -> Callable[[Array, Array], dict[str, Array]]:
        """fields(x, t) of one subdomain's network."""
        trial = self.inside.trial
        assert isinstance(trial, PartitionTrial)
        network = combine(params, self.inside.static)["network"]
        return lambda x, t: trial.inside(network, k, x, t)


# Of the largest subdomain: how far a trace is taken inside.
NUDGE = 1e-10


def _value(problem: Problem, name: str, fields, x: Array, t: Array, n: Array) -> Array:
    return fields(x, t)[name]


def _flux(
    problem: Problem, name: str, fields, x: Array, t: Array, n: Array, region: Any = None
) -> Array:
    return problem.forms()[name].flux(point_of(fields, x, t, n=n, region=region)) @ n


def _rate(problem: Problem, name: str, fields, x: Array, t: Array, n: Array) -> Array:
    return jax.jvp(lambda s: fields(x, s)[name], (t,), (jnp.ones_like(t),))[1]


def _full_flux(
    problem: Problem, name: str, fields, x: Array, t: Array, n: Array, region: Any = None
) -> Array:
    return problem.forms()[name].flux(point_of(fields, x, t, n=n, region=region))


def flux_jump(objective: Decomposed, params: Any, count: int = 1000) -> dict[str, float]:
    """‖(F⁺ − F⁻)·n‖ / ‖F‖ over the interfaces in space, by field.

    The whole flux is the measure, since its normal part may vanish by symmetry.
    """
    points = objective.partition.sample(count, 12345, timelike=False)
    if points is None:
        return {}
    batch = stacked(points)
    return {
        name: float(_relative_jump(objective, params, batch, name))
        for name, form in objective.inside.problem.forms().items()
        if form.equation.flux
    }


@eqx.filter_jit
def _relative_jump(objective: Decomposed, params: Any, batch: Any, name: str) -> Array:
    def at(point: Any) -> tuple[Array, Array]:
        below, above = objective.traces(params, point, name, _flux)
        whole, _ = objective.traces(params, point, name, _full_flux)
        return above - below, whole

    jump, size = (jnp.linalg.norm(v) for v in jax.vmap(at)(batch))
    return jump / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
