"""Neural methods on an accelerator: the table of `neural`, with networks that it can afford.

A row a problem and seed: the error at the end of the budget of wall time after compilation, and
against time. Problems, references and grids of error are those of `neural`; what differs is the
size of the network, the number of points and the seconds. The records that the numbers of Burgers
and Allen–Cahn are from took a GPU as well: self-scaled Broyden, 1.6e-8 and 9.4e-7 (Urbán,
Stefanou and Pons, 2025). Rows without a network to enlarge are as they stand in `neural`.

    XLA_PYTHON_CLIENT_PREALLOCATE=false python -m benchmarks accelerator --jobs 8 \\
        --only "seed 0" --only "all seeds"

has a row of each problem, eight at once on one card: their seconds are those of a shared one.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import physml as pm
from benchmarks import (
    neural_certificates,
    neural_derivatives,
    neural_inverse,
    neural_kfac,
    neural_steady,
    neural_subdomains,
    neural_time,
    neural_variational,
    neural_waves,
)
from benchmarks._neural import SEEDS, Case, waves
from benchmarks._table import Checks


def larger(case: Case, budget: float, method: Any = None, target: float | None = None) -> Case:
    return dataclasses.replace(
        case, budget=budget, method=method or case.method, target=target or case.target
    )


def mlp(width: int, depth: int, **options: Any) -> Any:
    return functools.partial(pm.MLP, width=width, depth=depth, **options)


TIME = {name: neural_time.case(name) for name in neural_time.CASES}
STEADY, WEAK = neural_steady.CASES, neural_variational.CASES
PARTS = neural_subdomains.CASES

EVEN = functools.partial(pm.networks.Select, inputs=(0, 2, 4, -1), inner=mlp(30, 3))
KINKED = dataclasses.replace(neural_time.KINKED, network=EVEN, points=12_000, boundary_points=600)

pinn = neural_time.pinn
sines = functools.partial(neural_steady.pinn, activation="sin")

# The longest first, so that none is begun last where several run at once.
CASES = {
    # The two records by waves, as in `neural`, and by tanh networks.
    **neural_waves.RECORDS,
    "burgers": larger(TIME["burgers"], 180.0, pinn(32, 3, 12_000, power=1.0), 1e-8),
    "burgers on two slabs": larger(
        TIME["burgers"], 180.0, pm.TimeSlabs(pinn(28, 3, 10_000, power=1.0), 2), 1e-8
    ),
    "allen-cahn": larger(TIME["allen-cahn"], 180.0, KINKED, 1e-6),
    "kuramoto-sivashinsky": larger(
        TIME["kuramoto-sivashinsky"], 180.0, pm.SpectralPINN(accuracy=1e-8)
    ),
    "kdv": larger(TIME["kdv"], 120.0, pm.SpectralPINN(accuracy=1e-8)),
    "poisson 100-D": larger(
        neural_derivatives.POISSON_100, 120.0, neural_derivatives.few_points(256, 200, 1800)
    ),
    "gear": larger(WEAK["hp-vpinn gear"], 120.0, neural_variational.by_smooth_tests(40, 4000)),
    "cavity": larger(STEADY["cavity"], 120.0, neural_steady.cavity(32, 12_000, 800)),
    "cpinn burgers": larger(
        PARTS["subdomains cpinn burgers"],
        120.0,
        neural_subdomains.around_shock(
            ((14, 2), (30, 3), (14, 2), (14, 2)), (1200, 7200, 1200, 1200)
        ),
    ),
    "convection": larger(TIME["convection"], 60.0, pm.SpectralPINN(accuracy=1e-9)),
    "wave": larger(TIME["wave"], 60.0, waves(240, 30.0, 6000, 400, initial=1e4, boundary=1e4)),
    "heat": larger(TIME["heat"], 60.0, pinn(150, 1, 5000)),
    "klein-gordon": larger(TIME["klein-gordon"], 60.0, pm.TimeSlabs(pinn(20, 3, 4000), 4)),
    "poisson 10-D": larger(
        STEADY["poisson 10d"], 60.0, sines(128, 1, 6000, 3000, weights={"boundary": 1e2})
    ),
    "helmholtz": larger(STEADY["helmholtz"], 60.0, waves(300, 30.0, 8000, 600, boundary=1e5)),
    "kovasznay": larger(STEADY["kovasznay"], 60.0, neural_steady.pinn(32, 3, 8000, 600)),
    "lshape": larger(STEADY["lshape"], 60.0, neural_steady.singular(32, 600, points=8000)),
    "cpinn jump": larger(
        PARTS["subdomains cpinn jump"], 60.0, neural_subdomains.across_jump(28, 4000, 400)
    ),
    "cpinn poisson": larger(
        PARTS["subdomains cpinn poisson"],
        60.0,
        pm.CPINN(partition=(2, 2), network=mlp(24, 2), points=2500),
    ),
    "boundary layer": larger(
        WEAK["hp-vpinn boundary layer"], 60.0, neural_variational.by_stages(14, 80)
    ),
    "poisson 2-D": larger(STEADY["poisson"], 30.0, pinn(32, 3, 8000)),
    "poisson 5-D": larger(STEADY["poisson 5d"], 30.0, sines(128, 1, 5000, 1500)),
    "xpinn": larger(
        PARTS["poisson xpinn"],
        30.0,
        pm.XPINN(partition=(2, 1), network=mlp(28, 2), points=4000),
    ),
    "fbpinn": larger(PARTS["poisson fbpinn"], 30.0, pm.FBPINN(points=10_000)),
    "spinn": larger(PARTS["poisson spinn"], 30.0, pm.SPINN(network=mlp(28, 2))),
    "hp-vpinn waves": larger(
        WEAK["hp-vpinn waves"], 30.0, neural_variational.plane_waves(240, 14, 32)
    ),
    "robust vpinn": larger(WEAK["poisson robust vpinn"], 30.0, pm.RobustVPINN(network=mlp(28, 3))),
    "deep ritz": larger(WEAK["poisson deep ritz"], 30.0, pm.DeepRitz(network=mlp(28, 3))),
}

# Checks that take the seeds, and those that take seconds too.
BY_SEED = {
    "inverse burgers clean": functools.partial(neural_inverse.clean, budget=60.0),
    "inverse burgers noisy": functools.partial(neural_inverse.noisy, budget=60.0),
    "inverse darcy": neural_inverse.log_conductivity,
    "certificate poisson": functools.partial(neural_certificates.poisson, budget=30.0),
    "certificate heat": functools.partial(neural_certificates.heat, budget=30.0),
    "certificate burgers": functools.partial(neural_certificates.burgers, budget=60.0),
    "kfac": neural_kfac.kfac,
}
AS_THEY_ARE: Checks = {
    "convection random features": neural_time.CHECKS["convection random features"],
    "wave random features": neural_time.CHECKS["wave random features"],
    "helmholtz features": neural_steady.helmholtz_features,
    "vpinn step": neural_variational.step_time,
    "gradient": neural_derivatives.burgers,
    "kfac one layer": neural_kfac.one_layer,
    "inverse coverage": neural_inverse.coverage,
}

CHECKS: Checks = {
    f"{name} seed {seed}": functools.partial(check, (seed,))
    for name, check in ({name: case.rows for name, case in CASES.items()} | BY_SEED).items()
    for seed in SEEDS
} | {f"{name}, all seeds": check for name, check in AS_THEY_ARE.items()}
