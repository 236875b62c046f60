"""Finite-basis PINN: overlapping windows with a network each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax

from pdes import Problem
from physml.losses import (
    Collocation,
    WindowTrial,
    build_networks,
    data_scales,
    distance_constraints,
    make_windows,
    output_shapes,
)
from physml.methods._neural import Setup, check_precision, default_network, train_setup
from physml.methods._pinn import PINN, exactness_notes, represent, unsupported_regions
from physml.networks import partition
from solvers import Method, Run, Solution


class FBPINN(Method):
    """A PINN whose trial function is u = offset + factor · Σ_k ω_k(x, t) N_k(x, t).

    The windows ω_k overlap and add up to 1, so that no interface has to be joined; each network
    sees its window as [−1, 1], whatever its size: a finite basis of networks.

    Arguments:
        windows: numbers in each direction, time last, (4, 2); one for all of space; or by name,
            {"x": 4, "t": 2}. By default four on an interval, two in each direction otherwise.
        overlap: width of a window over the distance of their middles, in (1, 2].
        network: a factory `factory(in_size, out_size, key=key)`, called for each window.
        The others as for `PINN`; values hold exactly on all domains with a distance function.

    Source: Moseley, Markham and Nissen-Meyer (2023).
    """

    windows: Any = None
    overlap: float = eqx.field(static=True, default=1.9)
    network: Any = None
    optimizer: Any = None
    points: int | None = eqx.field(static=True, default=None)
    boundary_points: int | None = eqx.field(static=True, default=None)
    constraints: str = eqx.field(static=True, default="auto")
    sampling: str = eqx.field(static=True, default="rad")
    resample: int | None = eqx.field(static=True, default=10)
    weights: Mapping[str, float] | None = None
    mixed: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")

    @property
    def name(self) -> str:
        return "FBPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return unsupported_regions(problem)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(self, problem: Problem, seed: int) -> Setup:
        """The objective, its parameters and its points."""
        self.check(problem)
        dtype = check_precision(self.dtype)
        windows = make_windows(problem, self.windows, self.overlap)
        shapes = output_shapes(problem, self.mixed)
        hard = distance_constraints(problem, shapes, self.constraints)
        trial = WindowTrial(
            windows=windows,
            shapes=tuple(shapes.items()),
            scales=tuple(data_scales(problem, shapes).values()),
            shaping=hard.shaping,
        )
        params, static = partition({"network": self._networks(trial, seed, dtype), "pde": None})
        objective = Collocation(problem, trial, static, hard, self.weights)
        collocation = PINN(
            points=self.points, boundary_points=self.boundary_points, sampling=self.sampling
        )
        return Setup(
            objective,
            params,
            collocation.sampler(objective),
            lambda p: represent(objective, p),
            notes=(f"{windows.size} windows", *exactness_notes(hard)),
        )

    def _networks(self, trial: WindowTrial, seed: int, dtype: Any) -> Any:
        """One module whose arrays have a leading axis of windows."""
        count, inputs = trial.windows.size, trial.windows.in_size
        width = max(int((900 / count) ** 0.5), 6)
        factory = self.network or default_network(trial.out_size, inputs, width=width, depth=2)
        if isinstance(factory, eqx.Module):
            raise TypeError(
                "FBPINN makes a network for each window: give a factory called as "
                "factory(in_size, out_size, key=key), not a module"
            )

        keys = jax.random.split(jax.random.key(seed), count)
        return build_networks(factory, inputs, trial.out_size, keys, dtype)

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
