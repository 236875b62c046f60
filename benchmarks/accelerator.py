"""Neural methods on an accelerator: the problems of `neural`, with networks that it can afford.

A row a problem and seed: the error at the end of the budget of wall time after compilation, and
against time. Problems, references and grids of error are those of `neural_time` and
`neural_steady`; what differs is the size of the network and the number of points. The records that
the numbers are from took a GPU as well: self-scaled Broyden on Burgers, 1.6e-8, and on Allen–Cahn,
9.4e-7 (Urbán, Stefanou and Pons, 2025). Run several at once, `--only NAME`, and the seconds are
those of a shared card.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

import physml as pm
from benchmarks import neural_steady, neural_time, neural_waves
from benchmarks._neural import SEEDS, Curve, compile_all, waves
from benchmarks._table import Checks, Row, row
from pdes import Problem
from solvers import Method, Solution


@dataclasses.dataclass(frozen=True)
class Large:
    """What is solved, by what, in how many seconds, and the number to reach."""

    problem: Callable[[], Problem]
    method: Method
    error: Callable[[Problem], Callable[[Solution], float]]
    target: float
    budget: float
    told: str = ""


def in_time(name: str, method: Method | None = None, target: float | None = None, budget=None):
    case = neural_time.CASES[name]
    return Large(
        case.problem,
        method or case.method,
        lambda problem: functools.partial(neural_time.relative_l2, name),
        target or case.target,
        budget or case.budget,
    )


def steady(problem: Callable[[], Problem], method: Method, target: float, budget: float) -> Large:
    return Large(problem, method, lambda p: neural_steady.exact(p, "u"), target, budget)


def pinn(width: int, depth: int, points: int, **options: Any) -> pm.PINN:
    return neural_time.pinn(width, depth, points, **options)


EVEN = functools.partial(
    pm.networks.Select,
    inputs=(0, 2, 4, -1),
    inner=functools.partial(pm.MLP, width=30, depth=3),
)

CASES = {
    "burgers": in_time("burgers", pinn(32, 3, 12_000, power=1.0), 1e-8, 180.0),
    "burgers on two slabs": in_time(
        "burgers", pm.TimeSlabs(pinn(28, 3, 10_000, power=1.0), 2), 1e-8, 180.0
    ),
    "allen-cahn": in_time(
        "allen-cahn",
        dataclasses.replace(neural_time.KINKED, network=EVEN, points=12_000, boundary_points=600),
        1e-6,
        180.0,
    ),
    # The records by another way: a linear fit a step, of waves that are tested one by one.
    "burgers by odd waves": Large(
        neural_waves.odd_burgers,
        neural_waves.waves_in_slabs(600, 40, "odd"),
        lambda problem: functools.partial(neural_time.relative_l2, "burgers"),
        1e-8,
        180.0,
        told=neural_waves.ODD,
    ),
    "allen-cahn by even waves": Large(
        neural_waves.allen_cahn_from_heat,
        neural_waves.waves_in_slabs(384, 10, "even"),
        lambda problem: neural_waves.from_heat_error,
        1e-6,
        180.0,
        told=neural_waves.EVEN,
    ),
    "convection": in_time("convection", neural_time.slabs(4, 12, 20), budget=60.0),
    "wave": in_time("wave", waves(240, 30.0, 6000, 400, initial=1e4, boundary=1e4), budget=60.0),
    "kdv": in_time("kdv", neural_time.slabs(128, 12, 100), budget=120.0),
    "kuramoto-sivashinsky": in_time(
        "kuramoto-sivashinsky", neural_time.slabs(128, 10, 200), budget=180.0
    ),
    "heat": in_time("heat", pinn(150, 1, 5000)),
    "klein-gordon": in_time("klein-gordon", budget=60.0),
    "poisson 2-D": steady(pm.library.poisson, pinn(32, 3, 8000), 1e-8, 30.0),
    "poisson 5-D": steady(
        functools.partial(neural_steady.cosines, 5),
        neural_steady.pinn(128, 1, 5000, 1500, activation="sin"),
        1e-6,
        30.0,
    ),
    "poisson 10-D": steady(
        functools.partial(neural_steady.pairs, 10),
        neural_steady.pinn(128, 1, 6000, 3000, activation="sin", weights={"boundary": 1e2}),
        1e-4,
        60.0,
    ),
    "helmholtz": steady(
        functools.partial(pm.library.helmholtz, 30.0),
        waves(300, 30.0, 8000, 600, boundary=1e5),
        1e-4,
        60.0,
    ),
    "kovasznay": steady(pm.library.kovasznay, pm.PINN(), 1e-6, 60.0),
}


def trained(name: str, seed: int) -> Iterable[Row]:
    """The row of one seed."""
    case = CASES[name]
    problem = case.problem()
    error = case.error(problem)
    start = time.perf_counter()
    compile_all(problem, case.method, 4)
    compiling = time.perf_counter() - start
    curve = Curve(error, case.budget)
    start = time.perf_counter()
    solution = pm.solve(problem, case.method, seed=seed, budget=case.budget, monitor=curve)
    seconds = time.perf_counter() - start
    stats = solution.stats
    yield row(
        f"{name} by {case.method.name}, {case.budget:g} s, seed {seed}",
        error(solution),
        case.target,
        "rel. L2",
        note=f"{stats.unknowns} parameters, {stats.iterations} steps, {seconds:.0f} s, a short run "
        f"before {compiling:.0f} s; {curve}{'; told: ' * bool(case.told)}{case.told}",
    )


CHECKS: Checks = {
    f"{name} seed {seed}": functools.partial(trained, name, seed)
    for name in CASES
    for seed in SEEDS
}
