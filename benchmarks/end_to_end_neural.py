"""Neural methods on Burgers and Poisson: defaults, three seeds, one budget."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row
from pdes import Problem
from solvers import Method, Solution

SEEDS = (0, 1, 2)
BUDGET = 60.0


def relative_l2(solution: Solution, field: str = "u") -> float:
    """‖u − exact‖ / ‖exact‖ on 400 × 101 points of Burgers, 101² of the square."""
    problem = solution.problem
    low, high = problem.domain.bounds
    counts = (400,) if problem.dim == 1 else (101,) * problem.dim
    axes = [np.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True)]
    times = np.zeros(1) if problem.time is None else np.linspace(*problem.time, 101)
    space = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, problem.dim)
    x = jnp.asarray(np.tile(space, (len(times), 1)))
    t = jnp.asarray(np.repeat(times, len(space)))
    exact = jax.jit(jax.vmap(lambda y, s: problem.exact_value(field, y, s)))(x, t)
    return float(jnp.linalg.norm(solution[field](x, t) - exact) / jnp.linalg.norm(exact))


def _cost(solution: Solution) -> str:
    stats = solution.stats
    return (
        f"{stats.unknowns} parameters, {stats.iterations} steps, "
        f"{stats.compile_seconds:.0f} s of it compiling"
    )


def _seeds(
    label: str,
    problem: Problem,
    method: Method,
    target: float | None,
    budget: float = BUDGET,
    jump_target: float | None = None,
) -> Iterable[Row]:
    for seed in SEEDS:
        solution = pm.solve(problem, method, seed=seed, budget=budget)
        error = relative_l2(solution)
        yield row(
            f"{label}, {budget:g} s, seed {seed}", error, target, "rel. L2", note=_cost(solution)
        )
        jump = solution.stats.extra.get("flux_jump", {}).get("u")
        if jump is not None:
            yield row(f"{label}: flux jump, seed {seed}", jump, jump_target, "relative")


def burgers_pinn() -> Iterable[Row]:
    yield from _seeds("Burgers by PINN", pm.library.burgers(), pm.PINN(), 1e-3)


def burgers_pinn_demo() -> Iterable[Row]:
    yield from _seeds("Burgers by PINN", pm.library.burgers(), pm.PINN(), 1e-2, budget=40.0)


def burgers_cpinn() -> Iterable[Row]:
    problem = pm.library.burgers()
    yield from _seeds("Burgers by CPINN", problem, pm.CPINN(), 5e-3)
    # The partition of Jagtap, Kharazmi and Karniadakis (2020), for comparison.
    method = pm.CPINN(partition={"x": (-0.6, 0.2, 0.5)})
    yield from _seeds("Burgers by CPINN, interfaces −0.6, 0.2, 0.5", problem, method, None)


def burgers_vpinn() -> Iterable[Row]:
    yield from _seeds("Burgers by VPINN", pm.library.burgers(), pm.VPINN(), 5e-3)


def poisson_pinn() -> Iterable[Row]:
    yield from _seeds("Poisson by PINN", pm.library.poisson(), pm.PINN(), 1e-6)


def poisson_cpinn() -> Iterable[Row]:
    method = pm.CPINN(partition=(2, 2))
    yield from _seeds(
        "Poisson by CPINN 2 × 2", pm.library.poisson(), method, 1e-4, jump_target=1e-3
    )


def poisson_vpinn() -> Iterable[Row]:
    yield from _seeds("Poisson by VPINN", pm.library.poisson(), pm.VPINN(), 1e-4)


def poisson_random_features() -> Iterable[Row]:
    for seed in SEEDS:
        solution = pm.solve(pm.library.poisson(), pm.RandomFeatures(), seed=seed)
        note = f"rank {solution.stats.extra['rank']}; {'; '.join(solution.stats.notes)}"
        yield row(
            f"Poisson by random features, seed {seed}",
            relative_l2(solution),
            1e-11,
            "rel. L2",
            note=note,
        )
        yield row(
            f"Poisson by random features: time, seed {seed}",
            solution.stats.run_seconds,
            5.0,
            "s",
            note="bandwidth search, and on the first seed compilation, included",
        )


CHECKS: Checks = {
    "burgers pinn": burgers_pinn,
    "burgers pinn demo": burgers_pinn_demo,
    "burgers cpinn": burgers_cpinn,
    "burgers vpinn": burgers_vpinn,
    "poisson pinn": poisson_pinn,
    "poisson cpinn": poisson_cpinn,
    "poisson vpinn": poisson_vpinn,
    "poisson random features": poisson_random_features,
}
