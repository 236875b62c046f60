"""Conservative PINN: a network in each subdomain, joined by values and normal fluxes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax

from pdes import Box, Observations, Problem
from physml.losses import (
    Collocation,
    Decomposed,
    Hard,
    PartitionTrial,
    build_network,
    data_scales,
    flux_jump,
    hard_constraints,
    interior_points,
    make_partition,
    output_shapes,
    point_residuals,
    stacked,
)
from physml.methods._neural import (
    Setup,
    check_precision,
    default_network,
    sampler_seed,
    train_setup,
)
from physml.methods._pinn import default_points, exactness_notes, represent, unsupported_regions
from physml.networks import partition as split
from physml.training import Weighting, residual_adaptive
from solvers import Method, Run, Solution


class CPINN(Method):
    """A PINN in each part of a partition, with (F⁺ − F⁻)·n = 0 and u⁺ = u⁻ across interfaces.

    The loss adds to that of `PINN` the mean squares of the jumps of value and of normal flux on
    each interface, so that what leaves one subdomain enters the next.

    Arguments:
        partition: cuts by direction, {"x": (−0.6, 0.2, 0.5)}, "t" for slabs of time; or numbers of
            equal parts in each direction of space, (2, 2). By default three parts of an interval
            and two in each direction of other boxes.
        network: a factory `factory(in_size, out_size, key=key)`, called for each subdomain; each
            sees its subdomain as [−1, 1]. By default a tanh perceptron with adaptive activations.
        points, boundary_points, interface_points: collocation points in all subdomains, on each
            part of the boundary, on all interfaces.
        The others as for `PINN`; weights also by "value", "flux", "slab".

    The solution's `stats.extra["flux_jump"]` is ‖ΔF·n‖/‖F·n‖ on the interfaces, by field.

    Source: Jagtap, Kharazmi and Karniadakis (2020).
    """

    partition: Any = None
    network: Any = None
    optimizer: Any = None
    points: int | None = eqx.field(static=True, default=None)
    boundary_points: int | None = eqx.field(static=True, default=None)
    interface_points: int | None = eqx.field(static=True, default=None)
    constraints: str = eqx.field(static=True, default="auto")
    resample: int | None = eqx.field(static=True, default=10)
    power: float = eqx.field(static=True, default=2.0)
    offset: float = eqx.field(static=True, default=1.0)
    weights: Mapping[str, float] | None = None
    mixed: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")
    weighting: Weighting | None = None

    @property
    def name(self) -> str:
        return "CPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        if not isinstance(problem.domain, Box):
            return "its subdomains are boxes and the domain is not; use pm.PINN"
        return unsupported_regions(problem)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(
        self,
        problem: Problem,
        seed: int,
        observations: tuple[Observations, ...] = (),
        where: Callable | None = None,
    ) -> Setup:
        """The objective, its parameters and its points.

        Arguments:
            observations: measured values to match. where: pde -> coefficients to identify.
        """
        self.check(problem)
        dtype = check_precision(self.dtype)
        parts = make_partition(problem, self.partition)
        shapes = output_shapes(problem, self.mixed)
        hard = hard_constraints(problem, shapes, self.constraints)
        trial = PartitionTrial(
            partition=parts,
            shapes=tuple(shapes.items()),
            scales=tuple(data_scales(problem, shapes).values()),
            shaping=hard.shaping,
        )
        network = self._networks(trial, seed, dtype)
        identified = None if where is None else where(problem.pde)
        params, static = split({"network": network, "pde": identified})
        objective = self._objective(problem, trial, static, hard, where, tuple(observations))
        return Setup(
            objective,
            params,
            self._sampler(objective),
            lambda p: represent(objective.inside, p),
            notes=(f"{parts.size} subdomains", *exactness_notes(hard)),
            report=lambda p: {"flux_jump": flux_jump(objective, p)},
        )

    def _networks(self, trial: PartitionTrial, seed: int, dtype: Any) -> Any:
        """One module whose arrays have a leading axis of subdomains."""
        count = trial.partition.size
        factory = self.network or default_network(
            trial.out_size, trial.in_size, width=_width(count), depth=2, adaptive=1.0
        )
        if isinstance(factory, eqx.Module):
            raise TypeError(
                "CPINN makes a network for each subdomain: give a factory called as "
                "factory(in_size, out_size, key=key), not a module"
            )

        def make(key: Any) -> Any:
            return build_network(factory, trial.in_size, trial.out_size, key, dtype)

        keys = jax.random.split(jax.random.key(seed), count)
        return eqx.filter_jit(eqx.filter_vmap(make))(keys)

    def _objective(
        self, problem: Problem, trial, static, hard: Hard, where, observations
    ) -> Decomposed:
        jumps = ("value", "flux", "slab")
        weights = dict(self.weights or {})
        own = {name: w for name, w in weights.items() if name.split()[0] in jumps}
        others = {name: w for name, w in weights.items() if name not in own}
        inside = Collocation(problem, trial, static, hard, others, where, observations)
        return Decomposed(inside, own)

    def _sampler(self, objective: Decomposed) -> Callable[[Any, Any, int], Any]:
        problem = objective.inside.problem
        inside = self.points or default_points(problem)
        around = self.boundary_points or max(inside // 10, 64)
        counts = {
            "interior": inside,
            "boundary": around,
            "initial": 2 * around,
            "interface": self.interface_points or max(inside // 5, 200),
        }

        def sample(key: Any, params: Any, step: int) -> Any:
            batch = stacked(objective.sample(counts, sampler_seed(key)))
            if step > 0:
                pool = stacked(interior_points(problem, 10 * inside, sampler_seed(key)))
                size = point_residuals(objective.inside, params, pool)
                batch["interior"] = residual_adaptive(
                    key, pool, size, inside, power=self.power, offset=self.offset
                )
            return batch

        return sample

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        return self.fit(problem, (), None, run)

    def fit(
        self,
        problem: Problem,
        observations: tuple[Observations, ...],
        where: Callable | None,
        run: Run = Run(),  # noqa: B008  (immutable)
    ) -> Solution:
        """Solves and, with observations, identifies the coefficients `where(pde)`."""
        since = time.perf_counter()
        return train_setup(
            self,
            problem,
            self.setup(problem, run.seed, observations, where),
            run,
            optimizer=self.optimizer,
            seconds=self.seconds,
            resample=self.resample,
            tolerance=self.tolerance,
            since=since,
            weighting=self.weighting,
        )


def _width(subdomains: int) -> int:
    """So that all networks together have about a thousand parameters."""
    return {1: 20, 2: 18, 3: 15, 4: 12}.get(subdomains, 10)
