"""Extended PINN: a network in each subdomain, joined by averages and residuals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from pdes import Problem
from physml.methods._neural import Setup, train_setup
from physml.methods._stacked import alike, stacked_setup
from physml.methods._subdivision import joined_setup, no_partition
from solvers import Method, Run, Solution


class XPINN(Method):
    """A PINN in each part of a partition, joined by averages and by the equations' residuals.

    On each interface the loss has (u⁺ − ⟨u⟩)² + (u⁻ − ⟨u⟩)² with ⟨u⟩ = ½(u⁺ + u⁻), and the jump of
    the strong residual, r⁺ − r⁻. These leave a kink free where the flux uses gradients (any u with
    equal values and residuals joins), so that the flux is joined there as well, as their authors
    do where an equation needs more; `fluxes` sets it.

    Arguments:
        fluxes: whether (F⁺ − F⁻)·n is joined; by default where a flux uses gradients.
        The others as for `CPINN`; weights by "value" (1e3), "flux" (10), "residual" and
            "slab" (1).

    Source: Jagtap and Karniadakis (2020), Extended PINNs, equations 5 and 6.
    """

    fluxes: bool | None = eqx.field(static=True, default=None)
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
    mixed: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")

    @property
    def name(self) -> str:
        return "XPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return no_partition(problem, self.partition, problem.domain.regions)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(self, problem: Problem, seed: int) -> Setup:
        """The objective, its parameters and its points."""
        fluxes = self.fluxes
        if fluxes is None:
            fluxes = any(
                form.dependence(term).gradients
                for form in problem.forms().values()
                for term in form.equation.flux
            )
        joins = ("value", "residual", *(("flux",) if fluxes else ()))
        make = stacked_setup if alike(self, problem) else joined_setup
        return make(self, problem, seed, joins)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        since = time.perf_counter()
        return train_setup(
            self,
            problem,
            self.setup(problem, run.seed),
            run,
            optimizer=self.optimizer,
            seconds=self.seconds,
            resample=self.resample,
            tolerance=self.tolerance,
            since=since,
        )
