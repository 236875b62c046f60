"""Separable PINN: a network for each direction, residuals on a tensor grid."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pdes import Box, Problem
from physml.losses import (
    Collocation,
    Separable,
    SeparableTrial,
    axis_inputs,
    build_network,
    data_scales,
    hard_constraints,
    output_shapes,
    stacked,
)
from physml.methods._neural import (
    Setup,
    check_precision,
    default_network,
    sampler_seed,
    train_setup,
)
from physml.methods._pinn import exactness_notes, represent, unsupported_regions
from physml.networks import partition
from solvers import Method, Run, Solution


class SPINN(Method):
    """u = offset + factor · Σ_r Π_d f_d(x_d)[r]: N points an axis give N^D collocation points.

    The features f_d and their derivatives are made on each axis by forward mode and joined on the
    grid, so that a residual costs no evaluation of a network, only a sum of `rank` products.

    Arguments:
        network: a factory `factory(in_size, out_size, key=key)`, called for each direction with
            out_size = rank · outputs.
        rank: number of products. points: on each axis, one number or one a direction, time last.
        The others as for `PINN`.

    Raises:
        NotApplicable: a domain that is no box.

    Source: Cho, Nam, Yang, Yun, Hong and Park (2023).
    """

    network: Any = None
    optimizer: Any = None
    rank: int = eqx.field(static=True, default=12)
    points: int | Sequence[int] | None = eqx.field(static=True, default=None)
    boundary_points: int = eqx.field(static=True, default=200)
    constraints: str = eqx.field(static=True, default="auto")
    resample: int | None = eqx.field(static=True, default=10)
    weights: Mapping[str, float] | None = None
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")

    def __check_init__(self):
        if self.rank < 1:
            raise ValueError(f"rank must be positive, got {self.rank!r}")

    @property
    def name(self) -> str:
        return "SPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        if not isinstance(problem.domain, Box):
            return "its grid is a product of axes and the domain is no box; use pm.PINN"
        return unsupported_regions(problem)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(self, problem: Problem, seed: int) -> Setup:
        """The objective, its parameters and its grid."""
        self.check(problem)
        dtype = check_precision(self.dtype)
        shapes = output_shapes(problem, mixed=True)
        hard = hard_constraints(problem, shapes, self.constraints)
        axes = axis_inputs(problem)
        trial = SeparableTrial(
            axes=axes,
            rank=self.rank,
            shapes=tuple(shapes.items()),
            scales=tuple(data_scales(problem, shapes).values()),
            shaping=hard.shaping,
        )
        size = self.rank * trial.out_size
        factory = self.network or default_network(1, 1, width=16, depth=2)
        keys = jax.random.split(jax.random.key(seed), len(axes))
        networks = tuple(
            build_network(factory, axis.size, size, key, dtype)
            for axis, key in zip(axes, keys, strict=True)
        )
        params, static = partition({"network": networks, "pde": None})
        conditions = Collocation(problem, trial, static, hard, self.weights)
        counts = self._counts(problem)
        return Setup(
            Separable(conditions),
            params,
            self._sampler(conditions, counts),
            lambda p: represent(conditions, p),
            notes=(
                f"rank {self.rank} on a grid of {' × '.join(map(str, counts))}",
                *exactness_notes(hard),
            ),
        )

    def _counts(self, problem: Problem) -> tuple[int, ...]:
        directions = problem.dim + (problem.time is not None)
        given = self.points
        if given is None:
            given = {1: 600, 2: 40, 3: 16}.get(directions, 8)
        counts = (given,) * directions if isinstance(given, int) else tuple(given)
        if len(counts) != directions or any(not isinstance(n, int) or n < 1 for n in counts):
            raise ValueError(
                f"points: expected {directions} positive whole numbers (directions of space, then "
                f"time), got {given!r}"
            )
        return counts

    def _sampler(self, conditions: Collocation, counts: tuple[int, ...]):
        problem = conditions.problem
        low, high = problem.domain.bounds
        ends = list(zip(low.tolist(), high.tolist(), strict=True))
        if problem.time is not None:
            ends.append(problem.time)
        around = {"boundary": self.boundary_points, "initial": 2 * self.boundary_points}

        def sample(key: Any, params: Any, step: int) -> Any:
            seed = sampler_seed(key)
            batch = stacked(conditions.sample(around, seed))
            rng = np.random.default_rng(seed)
            # A point in each of n equal pieces of an axis: no two are close, none is left out.
            batch["axes"] = tuple(
                jnp.asarray(a + (b - a) * (np.arange(n) + rng.random(n)) / n)
                for (a, b), n in zip(ends, counts, strict=True)
            )
            return batch

        return sample

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
