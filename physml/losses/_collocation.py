"""Strong residuals at collocation points as a least-squares objective (PINN)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Observations, Problem
from pdes._arrays import on_device
from physml.losses._hard import Hard
from physml.losses._points import boundary_points, initial_points, interior_points, stacked
from physml.losses._residuals import (
    all_fields,
    condition_residual,
    equation_residual,
    has_rows,
    initial_residual,
    rate_residual,
)
from physml.losses._trial import TrialFunction
from physml.networks import combine
from physml.optimizers import Block, LeastSquares, PointBlock, VectorBlock


class Collocation(LeastSquares):
    """loss = Σ w · mean r², one block for each equation and each condition that is not exact.

    Blocks are called "equation u", "boundary left u", "initial u", "rate u", "mean p", "pin p"
    and "observations u".

    Arguments:
        problem: what is solved. trial: how a network becomes fields. static: the network's
            part that is not trained. hard: conditions that hold exactly.
        weights: w by the name of a block, or by its first word; 1 elsewhere.
        where: pde -> its parts that are identified with the network; params["pde"].
        observations: measured values that the fields must match.

    Parameters are {"network": …, "pde": …}.
    """

    problem: Problem
    trial: TrialFunction
    static: Any
    exact_boundary: frozenset[tuple[str, str]] = eqx.field(static=True)
    exact_initial: frozenset[str] = eqx.field(static=True)
    exact_equations: frozenset[str] = eqx.field(static=True)
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)
    where: Callable | None = eqx.field(static=True)
    observations: tuple[Observations, ...]

    def __init__(
        self,
        problem: Problem,
        trial: TrialFunction,
        static: Any,
        hard: Hard,
        weights: Mapping[str, float] | None = None,
        where: Callable | None = None,
        observations: tuple[Observations, ...] = (),
    ):
        self.problem = problem
        self.trial = trial
        self.static = static
        self.exact_boundary = hard.boundary
        self.exact_initial = hard.initial
        self.exact_equations = hard.equations
        self.weights = tuple(sorted((weights or {}).items()))
        self.where = where
        self.observations = tuple(observations)
        known = set(self.names())
        for name in dict(self.weights):
            if name not in known and name not in {block.split()[0] for block in known}:
                raise ValueError(f"weights: no block {name!r}; there are {sorted(known)}")

    def names(self) -> list[str]:
        """Names of the blocks."""
        count = {"interior": 4, "boundary": 2, "initial": 2, "mean": 2}
        return list(self.blocks(stacked(self.sample(count, 0))))

    def bound(self, params: Any) -> tuple[Problem, Any]:
        """The problem with identified coefficients, and the network."""
        model = combine(params, self.static)
        problem = self.problem
        if self.where is not None:
            where = self.where
            problem = eqx.tree_at(lambda q: where(q.pde), problem, model["pde"])
        return problem, model["network"]

    def fields(self, params: Any) -> Callable[[Array, Array], dict[str, Array]]:
        """fields(x, t), definitions that are substituted left out."""
        network = combine(params, self.static)["network"]
        return lambda x, t: self.trial(network, x, t)

    def sample(self, counts: Mapping[str, int], seed: int, scheme: str = "sobol") -> dict[str, Any]:
        """Points for each block: counts by "interior", "boundary" (each part), "initial"."""
        batch: dict[str, Any] = {}
        if "interior" in counts:
            batch["interior"] = interior_points(self.problem, counts["interior"], seed, scheme)
        for part in self.soft_parts():
            batch[f"boundary {part}"] = boundary_points(
                self.problem, part, counts["boundary"], seed + 1, scheme
            )
        if self._soft_initial():
            batch["initial"] = initial_points(self.problem, counts["initial"], seed + 2, scheme)
        return batch

    def soft_parts(self) -> list[str]:
        """Parts of the boundary with a condition that is not exact."""
        # Sorted, since a dict that has passed through jit comes back with its keys sorted.
        return [part for part in sorted(self.problem.conditions) if self._soft_fields(part)]

    def _soft_fields(self, part: str) -> list[str]:
        forms = self.problem.forms()
        return [
            name
            for name, condition in sorted(self.problem.conditions[part].items())
            if has_rows(forms[name], condition, (part, name) not in self.exact_boundary)
        ]

    def _soft_initial(self) -> list[str]:
        return [n for n in self.problem.evolving if n not in self.exact_initial]

    def _scale(self, name: str, count: int) -> float:
        weights = dict(self.weights)
        weight = weights.get(name, weights.get(name.split()[0], 1.0))
        return float(np.sqrt(weight / count))

    def blocks(self, batch: Any) -> dict[str, Block]:
        return self._equations(batch["interior"]) | self.condition_blocks(batch)

    def condition_blocks(self, batch: Any) -> dict[str, Block]:
        """All blocks but those of the equations."""
        return {
            **self._boundary(batch),
            **self._initial(batch),
            **self._gauges(),
            **self._observed(),
        }

    def _block(self, name: str, fn: Callable[..., Array], points: Any) -> dict[str, Block]:
        count = len(jax.tree.leaves(points)[0])
        return {name: PointBlock(fn, points, scale=self._scale(name, count))}

    @property
    def equations(self) -> tuple[str, ...]:
        """Fields whose equation is a residual."""
        return tuple(name for name in self.trial.names if name not in self.exact_equations)

    def _equations(self, points: Any) -> dict[str, Block]:
        found = {}
        for name in self.equations:

            def fn(params, point, name=name):
                problem, _ = self.bound(params)
                return equation_residual(problem, name, self.fields(params), point["x"], point["t"])

            found |= self._block(f"equation {name}", fn, points)
        return found

    def _boundary(self, batch: Any) -> dict[str, Block]:
        found = {}
        for part in self.soft_parts():
            for name in self._soft_fields(part):

                def fn(params, point, part=part, name=name):
                    problem, _ = self.bound(params)
                    return condition_residual(
                        problem.forms()[name],
                        problem.conditions[part][name],
                        all_fields(problem, self.fields(params)),
                        point["x"],
                        point["t"],
                        point["n"],
                        essential=(part, name) not in self.exact_boundary,
                    )

                found |= self._block(f"boundary {part} {name}", fn, batch[f"boundary {part}"])
        return found

    def _initial(self, batch: Any) -> dict[str, Block]:
        found = {}
        for name in self._soft_initial():
            for label, residual in (("initial", initial_residual), ("rate", rate_residual)):
                if label == "rate" and name not in self.problem.initial_rate:
                    continue

                def fn(params, point, name=name, residual=residual):
                    problem, _ = self.bound(params)
                    return residual(problem, name, self.fields(params), point["x"])

                found |= self._block(f"{label} {name}", fn, batch["initial"])
        return found

    def _gauges(self) -> dict[str, Block]:
        found: dict[str, Block] = {}
        times = self._gauge_times()
        for name, total in self.problem.zero_mean.items():
            x = jnp.asarray(self.problem.domain.sample_interior(512, seed=0))

            def mean(params, times, name=name, total=total, x=x):
                fields = all_fields(self.bound(params)[0], self.fields(params))

                def at(t):
                    return jax.vmap(lambda y: fields(y, t)[name])(x).mean(axis=0).reshape(-1)

                return (jax.vmap(at)(times) - total / self.problem.domain.volume).reshape(-1)

            scale = self._scale(f"mean {name}", len(times))
            found[f"mean {name}"] = VectorBlock(mean, times, scale=scale)
        for name, place, datum in self.problem.pins:
            x = jnp.asarray(place)

            def pin(params, point, name=name, datum=datum, x=x):
                fields = all_fields(self.bound(params)[0], self.fields(params))
                return (fields(x, point["t"])[name] - datum(x, point["t"])).reshape(-1)

            found |= self._block(f"pin {name}", pin, {"t": times})
        return found

    def _gauge_times(self) -> Array:
        if self.problem.time is None:
            return on_device(np.zeros(1))
        return on_device(np.linspace(*self.problem.time, 9))

    def _observed(self) -> dict[str, Block]:
        found: dict[str, Block] = {}
        for i, data in enumerate(self.observations):
            noise = jnp.ones(()) if data.noise is None else data.noise
            spread = jnp.broadcast_to(noise, data.values.shape[:1])

            def fn(params, point, field=data.field):
                fields = all_fields(self.bound(params)[0], self.fields(params))
                gap = fields(point["x"], point["t"])[field] - point["values"]
                return (gap / point["noise"]).reshape(-1)

            points = {"x": data.x, "t": data.t, "values": data.values, "noise": spread}
            name = f"observations {data.field}" + (f" {i}" if len(self.observations) > 1 else "")
            found |= self._block(name, fn, points)
        return found


@eqx.filter_jit
def point_residuals(objective: Collocation, params: Any, points: Any) -> Array:
    """√Σ r² of all equations at each interior point, (n,): what adapted sampling follows."""

    def at(point: Any) -> Array:
        problem, _ = objective.bound(params)
        total = jnp.zeros(())
        for name in objective.equations:
            r = equation_residual(problem, name, objective.fields(params), point["x"], point["t"])
            total = total + objective._scale(f"equation {name}", 1) ** 2 * jnp.sum(r**2)
        return jnp.sqrt(total)

    return jax.vmap(at)(points)


@eqx.filter_jit
def point_slopes(objective: Collocation, params: Any, points: Any) -> Array:
    """|∂(fields)| in space and time at each point, each direction in lengths of the domain, (n,).

    What graded elements follow: unlike the residual it hardly changes from step to step.
    """
    low, high = objective.problem.domain.bounds
    time = objective.problem.time
    fields = objective.fields(params)

    def at(point: Any) -> Array:
        total = jnp.zeros(())
        for i in range(len(low)):
            step = jnp.zeros_like(point["x"]).at[i].set(high[i] - low[i])
            slope = jax.jvp(lambda y: fields(y, point["t"]), (point["x"],), (step,))[1]
            total = total + sum(jnp.sum(v**2) for v in slope.values())
        if time is not None:
            span = jnp.full_like(point["t"], time[1] - time[0])
            slope = jax.jvp(lambda s: fields(point["x"], s), (point["t"],), (span,))[1]
            total = total + sum(jnp.sum(v**2) for v in slope.values())
        return jnp.sqrt(total)

    return jax.vmap(at)(points)
