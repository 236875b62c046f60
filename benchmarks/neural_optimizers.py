"""Optimizers at equal time on Burgers' equation, for a small and a large network.

What `pm.optimizers.automatic` chooses is beside them: its error is compared with the best of the
others. Every run has the same points, the same first network and the same short Adam before it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import jax

import physml as pm
from benchmarks._neural import Curve
from benchmarks._table import Checks, Row, row
from benchmarks.neural_time import relative_l2
from physml.optimizers import (
    DSGNAR,
    LBFGS,
    SOAP,
    Adam,
    GaussNewton,
    SelfScaledBroyden,
    automatic,
)
from physml.training import Phase

BUDGET = 100.0
# Width, depth and points: P = 921, and P = 8661, at which a step of Gauss–Newton takes seconds.
SIZES = {"small": (20, 3, 3000), "large": (64, 3, 3000)}
OPTIMIZERS = {
    "Gauss–Newton": GaussNewton(),
    "DSGNAR": DSGNAR(),
    "self-scaled Broyden": SelfScaledBroyden(),
    "L-BFGS": LBFGS(),
    "SOAP": SOAP(),
}


def compared(size: str) -> Iterable[Row]:
    """A row an optimizer, then how far the automatic choice is from the best."""
    problem = pm.library.burgers()
    width, depth, points = SIZES[size]
    network = functools.partial(pm.MLP, width=width, depth=depth)
    errors = {}
    for name, optimizer in OPTIMIZERS.items():
        phases = (Phase(Adam(2e-3), steps=300), Phase(optimizer))
        method = pm.PINN(network=network, points=points, optimizer=phases)
        pm.solve(problem, method, seed=0, steps=312)
        curve = Curve(functools.partial(relative_l2, "burgers"), BUDGET)
        solution = pm.solve(problem, method, seed=0, budget=BUDGET, monitor=curve)
        errors[type(optimizer)] = relative_l2("burgers", solution)
        stats = solution.stats
        yield row(
            f"Burgers, {size} network, {BUDGET:g} s, {name}", errors[type(optimizer)],
            unit="rel. L2",
            note=f"{stats.unknowns} parameters, {stats.iterations} steps; {curve}",
        )  # fmt: skip
    setup = pm.PINN(network=network, points=points).setup(problem, 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    chosen, why = automatic(setup.objective, setup.params, batch)
    ratio = errors[type(chosen)] / min(errors.values())
    yield row(f"Burgers, {size} network: the automatic choice over the best", ratio, None, note=why)


CHECKS: Checks = {f"optimizers {size}": functools.partial(compared, size) for size in SIZES}
