"""Our training of a problem in a budget, in a process of its own, as the peers' are.

    python -m benchmarks._own_training CASE SECONDS SEED FOLDER

The method is that of the case's own row, and a short run compiles first, as there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._snapshots import SHARES, Snapshots
from benchmarks.neural_time import CASES
from solvers import Solution


def main() -> None:
    case, seconds, seed, folder = sys.argv[1:5]
    budget = float(seconds)
    jax.config.update("jax_enable_x64", True)
    # A budget is counted by this clock: here in the processor's time, as the peers' is.
    time.perf_counter = time.process_time
    problem, method = (
        (pm.library.poisson(), pm.PINN())
        if case == "poisson"
        else (CASES[case].problem(), CASES[case].method)
    )
    points = jnp.asarray(np.load(Path(folder) / "points.npy"))
    at = (points,) if problem.time is None else (points[:, :1], points[:, 1])
    values = lambda solution: np.asarray(solution["u"](*at))
    warm_up = 2 * (method.count if isinstance(method, pm.TimeSlabs) else 1)
    values(pm.solve(problem, method, seed=0, steps=warm_up))
    clock = Snapshots(budget)

    def keep(solution: Solution, passed: float) -> None:
        if len(clock.kept) < len(SHARES) and passed >= SHARES[len(clock.kept)] * budget:
            clock.kept.append((passed, values(solution)))

    clock.start()
    solution = pm.solve(problem, method, seed=int(seed), budget=budget, monitor=keep)
    clock.end(values(solution))
    stats: Any = solution.stats
    clock.write(
        folder,
        lambda kept: kept,
        f"physml {pm.__version__}|{method.name}, {stats.unknowns} parameters, "
        f"{stats.iterations} steps",
    )


main()
