"""Variational PINN (hp-VPINN): weak residuals on elements, trained by Gauss–Newton."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from pdes import Box, Observations, Problem
from physml.losses import (
    Collocation,
    ReferenceTests,
    Variational,
    element_batch,
    graded_edges,
    hard_constraints,
    interior_points,
    output_shapes,
    point_slopes,
    stacked,
)
from physml.methods._neural import (
    Setup,
    check_precision,
    count_parameters,
    one_network,
    sampler_seed,
    train_setup,
)
from physml.methods._pinn import exactness_notes, represent, unsupported_regions
from physml.networks import partition
from physml.training import Weighting
from solvers import Method, Run, Solution


class VPINN(Method):
    """Minimises the squares of weak residuals ∫ c₀ v + c₁:∇v against local test functions.

    The weak density is the one of finite elements, so derivatives of the flux are never taken.
    Elements are boxes of space (and time); tests are (1 − ξ²) times polynomials across space and
    polynomials in time. Their edges equidistribute the fields' slopes, so that layers get small
    ones.

    Arguments:
        elements: number in each direction, time last, or one number for all. tests, quadrature:
            tests and quadrature points of an element in each direction likewise.
        rule: "legendre" (Gauss) or "lobatto".
        adapt: grade the elements by the slopes of the fields at each resampling.
        resample: steps between new elements; None keeps uniform ones.
        The others as for `PINN`.

    Source: Kharazmi, Zhang and Karniadakis (2021); one contraction for all elements:
    Anandh, Ghose, Jain and Ganesan (2024).
    """

    network: Any = None
    optimizer: Any = None
    elements: int | Sequence[int] | None = eqx.field(static=True, default=None)
    tests: int | Sequence[int] | None = eqx.field(static=True, default=None)
    quadrature: int | Sequence[int] | None = eqx.field(static=True, default=None)
    rule: str = eqx.field(static=True, default="legendre")
    boundary_points: int = eqx.field(static=True, default=200)
    constraints: str = eqx.field(static=True, default="auto")
    adapt: bool = eqx.field(static=True, default=True)
    resample: int | None = eqx.field(static=True, default=10)
    weights: Mapping[str, float] | None = None
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")
    weighting: Weighting | None = None

    @property
    def name(self) -> str:
        return "VPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        if not isinstance(problem.domain, Box):
            return "its elements are boxes and the domain is not; use pm.PINN or pm.FiniteElement"
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
        """The objective, its parameters and its elements.

        Arguments:
            observations: measured values to match. where: pde -> coefficients to identify.
        """
        self.check(problem)
        dtype = check_precision(self.dtype)
        shapes = output_shapes(problem, mixed=True)
        hard = hard_constraints(problem, shapes, self.constraints)
        trial, network = one_network(problem, shapes, hard, self.network, seed, dtype)
        identified = None if where is None else where(problem.pde)
        params, static = partition({"network": network, "pde": identified})
        weights = dict(self.weights or {})
        own = {name: w for name, w in weights.items() if name.split()[0] == "equation"}
        others = {name: w for name, w in weights.items() if name not in own}
        conditions = Collocation(problem, trial, static, hard, others, where, tuple(observations))
        sampler, note = self._sampler(conditions)
        return Setup(
            Variational(conditions, own, self._chunk(problem, params)),
            params,
            sampler,
            lambda p: represent(conditions, p),
            notes=(note, *exactness_notes(hard)),
        )

    def _sizes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        space, timed = problem.dim, problem.time is not None
        if timed:
            counts = {1: (20, 8), 2: (5, 5, 4)}.get(space, (3,) * (space + 1))
            tests = {1: (4, 3), 2: (3, 3, 2)}.get(space, (3,) * space + (2,))
        else:
            counts = {1: (24,), 2: (7, 7)}.get(space, (4,) * space)
            tests = {1: (5,), 2: (5, 5)}.get(space, (3,) * space)
        tests = _each(self.tests, tests, "tests")
        points = tuple(n + 3 if i < space else n + 2 for i, n in enumerate(tests))
        return (
            _each(self.elements, counts, "elements"),
            tests,
            _each(self.quadrature, points, "quadrature"),
        )

    def _chunk(self, problem: Problem, params: Any) -> int | None:
        """Elements whose derivatives fit in memory at once; None for all."""
        counts, _, quadrature = self._sizes(problem)
        rows = int(np.prod(quadrature)) * (1 + problem.dim)
        each = 8 * rows * count_parameters(params)
        elements = int(np.prod(counts))
        return None if each * elements <= _MEMORY else max(int(_MEMORY // (4 * each)), 1)

    def _sampler(self, conditions: Collocation) -> tuple[Callable[[Any, Any, int], Any], str]:
        problem = conditions.problem
        counts, tests, quadrature = self._sizes(problem)
        reference = ReferenceTests(tests, quadrature, problem.dim, self.rule)
        low, high = problem.domain.bounds
        ends = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
        if problem.time is not None:
            ends.append(problem.time)
        around = {"boundary": self.boundary_points, "initial": 2 * self.boundary_points}

        def edges(params: Any, seed: int, step: int) -> list[np.ndarray]:
            # What a network that is not trained shows has no meaning.
            untrained = step == 0 and not isinstance(self.network, eqx.Module)
            if not self.adapt or untrained:
                return [np.linspace(a, b, n + 1) for (a, b), n in zip(ends, counts, strict=True)]
            pool = stacked(interior_points(problem, 8192, seed))
            size = np.asarray(point_slopes(conditions, params, pool))
            places = np.concatenate([np.asarray(pool["x"]), np.asarray(pool["t"])[:, None]], axis=1)
            return [
                graded_edges(a, b, n, places[:, i], size)
                for i, ((a, b), n) in enumerate(zip(ends, counts, strict=True))
            ]

        def sample(key: Any, params: Any, step: int) -> Any:
            seed = sampler_seed(key)
            batch = conditions.sample(around, seed)
            batch["elements"] = element_batch(reference, edges(params, seed, step), problem.dim)
            return stacked(batch)

        note = (
            f"{' × '.join(map(str, counts))} elements, {' × '.join(map(str, tests))} tests and "
            f"{' × '.join(map(str, quadrature))} quadrature points in each"
        )
        return sample, note

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


# Bytes of the integrand's derivatives on all elements beyond which they are taken in parts.
_MEMORY = 4e8


def _each(given: Any, default: tuple[int, ...], label: str) -> tuple[int, ...]:
    """One whole number for each direction.

    Raises:
        ValueError: another number of them, or one that is not positive.
    """
    if given is None:
        return default
    numbers = (given,) * len(default) if isinstance(given, int) else tuple(given)
    if len(numbers) != len(default) or any(not isinstance(n, int) or n < 1 for n in numbers):
        raise ValueError(
            f"{label}: expected {len(default)} positive whole numbers (directions of space, then "
            f"of time where it has one), got {given!r}"
        )
    return numbers
