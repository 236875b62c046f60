"""Conservative PINN: a network in each subdomain, joined by values and normal fluxes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx

from pdes import Observations, Problem
from physml.methods._neural import Setup, train_setup
from physml.methods._stacked import alike, stacked_setup
from physml.methods._subdivision import joined_setup, no_partition
from physml.training import Weighting
from solvers import Method, Run, Solution


class CPINN(Method):
    """A PINN in each part of a partition, with (F⁺ − F⁻)·n = 0 and u⁺ = u⁻ across interfaces.

    The loss adds to that of `PINN` the mean squares of the jumps of value and of normal flux on
    each interface, so that what leaves one subdomain enters the next.

    Arguments:
        partition: cuts of a box by direction, {"x": (−0.6, 0.2, 0.5)}, "t" for slabs of time; or
            numbers of equal parts in each direction of space, (2, 2); or a sequence of domains
            that cover the problem's, such as polygons. By default the materials of a mesh, three
            parts of an interval and two in each direction of other boxes.
        network: a factory `factory(in_size, out_size, key=key)`, or one for each subdomain (a
            sequence, or a mapping by material); each sees its subdomain as [−1, 1]. By default a
            tanh perceptron with adaptive activations.
        points: collocation points in all subdomains, or in each. boundary_points,
            interface_points: on each part of the boundary, on all interfaces.
        The others as for `PINN`; weights also by "value" (1e3), "flux" (10), "slab" (1).

    The solution's `stats.extra["flux_jump"]` is ‖ΔF·n‖/‖F‖ on the interfaces, by field.

    Source: Jagtap, Kharazmi and Karniadakis (2020).
    """

    partition: Any = None
    network: Any = None
    optimizer: Any = None
    points: Any = None
    boundary_points: int | None = eqx.field(static=True, default=None)
    interface_points: int | None = eqx.field(static=True, default=None)
    constraints: str = eqx.field(static=True, default="auto")
    resample: int | None = eqx.field(static=True, default=10)
    power: float = eqx.field(static=True, default=2.0)
    offset: float = eqx.field(static=True, default=1.0)
    weights: Mapping[str, float] | None = None
    weighting: Weighting | None = None
    mixed: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")

    @property
    def name(self) -> str:
        return "CPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return no_partition(problem, self.partition, problem.domain.regions)

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
        make = stacked_setup if alike(self, problem) else joined_setup
        return make(self, problem, seed, ("value", "flux"), tuple(observations), where)

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
