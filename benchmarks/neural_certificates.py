"""Certificates: the estimated by the true error of networks, trained and half-trained."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row
from pdes import Problem
from solvers import Method, Solution

SEEDS = (0, 1, 2)
# Seconds of training; half-trained networks have a tenth of the steps that the others took.
BUDGET = 60.0
WITHIN = (0.5, 5.0)


def _certified(
    label: str, problem: Problem, method: Method, seeds: Sequence[int], budget: float
) -> Iterable[Row]:
    for seed in seeds:
        start = time.perf_counter()
        trained = pm.solve(problem, method, seed=seed, budget=budget)
        seconds = time.perf_counter() - start
        few = max(trained.stats.iterations // 10, 5)
        half = pm.solve(problem, method, seed=seed, steps=few)
        for stage, solution in (("trained", trained), ("half-trained", half)):
            yield from _rows(f"{label}, {stage}, seed {seed}", solution, seconds)


def _rows(label: str, solution: Solution, training: float) -> Iterable[Row]:
    first = solution.certify().seconds
    # What is asked for is the cost, compile time apart, as everywhere in the benchmarks.
    certificate = solution.certify()
    note = (
        f"{certificate.kind}: {certificate.estimate:.2e}, relative {certificate.relative:.1e}; "
        f"{certificate.norm}; {solution.stats.iterations} steps"
    )
    yield row(f"{label}: estimate / true", certificate.effectivity(), within=WITHIN, note=note)
    if certificate.kind == "parabolic":
        ratio = certificate.estimate / in_time_energy(solution)
        yield row(
            f"{label}: the same in L²(0, T; V)", ratio, within=WITHIN, note="(∫∫ κ|∇e|²)^½ alone"
        )
    share = certificate.seconds / training
    yield row(
        f"{label}: time", 100 * share, 10.0, "%",
        note=f"of {training:.0f} s of training; {first:.1f} s the first time, which compiles",
    )  # fmt: skip


def in_time_energy(solution: Solution) -> float:
    """(∫∫ κ|∇(u − ũ)|² dx dt)^½ of the heat equation on an interval, by Gauss points."""
    problem = solution.problem
    assert problem.time is not None
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = (float(b[0]) for b in problem.domain.bounds)
    x = low + 0.5 * (high - low) * (1 + nodes)
    t = problem.time[0] + 0.5 * (problem.time[1] - problem.time[0]) * (1 + nodes)
    where, when = (jnp.asarray(a.ravel()) for a in np.meshgrid(x, t, indexing="ij"))
    area = 0.25 * (high - low) * (problem.time[1] - problem.time[0])

    def slope(y, s):
        def error(z):
            there = problem.exact_value("u", z, s)
            return there - solution.representation.values(z, s)["u"]

        return jax.grad(error)(y[None])[0]

    square = np.asarray(jax.jit(jax.vmap(slope))(where, when)) ** 2
    kappa = float(problem.pde.kappa.value)  # pyright: ignore[reportAttributeAccessIssue]
    return float(np.sqrt(area * kappa * (np.outer(weights, weights).ravel() @ square)))


def poisson(seeds: Sequence[int] = SEEDS, budget: float = BUDGET) -> Iterable[Row]:
    problem = pm.library.poisson()
    yield from _certified("certificate, Poisson by PINN", problem, pm.PINN(), seeds, budget)
    soft = pm.PINN(constraints="soft")
    yield from _certified("certificate, Poisson, soft data", problem, soft, seeds, budget)


def heat(seeds: Sequence[int] = SEEDS, budget: float = BUDGET) -> Iterable[Row]:
    problem = pm.library.heat()
    yield from _certified("certificate, heat by PINN", problem, pm.PINN(), seeds, budget)


def burgers(seeds: Sequence[int] = SEEDS, budget: float = 2 * BUDGET) -> Iterable[Row]:
    problem = pm.library.burgers()
    yield from _certified("certificate, Burgers by PINN", problem, pm.PINN(), seeds, budget)


CHECKS: Checks = {
    "certificate poisson": poisson,
    "certificate heat": heat,
    "certificate burgers": burgers,
}
