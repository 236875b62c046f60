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

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import physml as pm
from benchmarks import neural_steady, neural_time
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


def odd_burgers() -> Problem:
    """Burgers' problem as a periodic one: −sin πx and the solution are odd about both ends."""
    walls = pm.library.burgers()
    assert walls.time is not None
    return Problem(
        walls.pde,
        pm.Interval(-1.0, 1.0, periodic=True),
        time=walls.time,
        initial={"u": lambda x: -jnp.sin(jnp.pi * x[0])},
        name="burgers, odd",
    )


# Those beyond are gone at the first Gauss point of time.
_MODES = 2048


def data_by_heat(x: Array, t: Array) -> Array:
    """v(x, t) with ∂v/∂t = 10⁻⁴ ∂²v/∂x² and v = x² cos πx at the start, periodic on [−1, 1].

    Σ aₙ e^{−10⁻⁴(nπ)²t} cos nπx, where aₙ = ½(Iₙ₋₁ + Iₙ₊₁) with Iₘ = ∫ x² cos mπx dx =
    4(−1)ᵐ/(mπ)², I₀ = 2/3. At t = 0 it would converge slowly, at the kink.
    """
    n = np.arange(_MODES + 1)

    def integral(m: np.ndarray) -> np.ndarray:
        return np.where(m == 0, 2 / 3, 4 * (-1.0) ** m / (np.maximum(np.abs(m), 1) * np.pi) ** 2)

    amplitude = 0.5 * (integral(n - 1) + integral(n + 1))
    amplitude[0] *= 0.5
    waves = jnp.exp(-1e-4 * (np.pi * n) ** 2 * t) * jnp.cos(np.pi * n * x[0])
    return jnp.where(t > 0, jnp.sum(amplitude * waves), x[0] ** 2 * jnp.cos(np.pi * x[0]))


class FromHeat(pm.PDE):
    """∂w/∂t = 10⁻⁴ ∇²w + 5u − 5u³ with u = w + v: Allen–Cahn's change of its data by heat."""

    fields = {"w": pm.Scalar()}

    def equations(self):
        return {"w": pm.Balance(flux=(self.diffusion,), source=(self.reaction,))}

    def diffusion(self, p):
        return -1e-4 * p.grad.w

    def reaction(self, p):
        u = p.w + data_by_heat(p.x, p.t)
        return 5 * u - 5 * u**3


def allen_cahn_from_heat() -> Problem:
    return Problem(
        FromHeat(),
        pm.Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"w": 0.0},
        name="allen-cahn from the heat equation",
    )


def _from_heat_error(problem: Problem) -> Callable[[Solution], float]:
    """Of u = w + v, on the grid of `neural`."""
    case = neural_time.CASES["allen-cahn"]
    x, t = case.grid(case.problem())
    known = np.asarray(jax.jit(lambda: jax.lax.map(lambda at: data_by_heat(*at), (x, t)))())
    exact, _ = neural_time.reference("allen-cahn")

    def error(solution: Solution) -> float:
        found = np.asarray(solution["w"](x, t)) + known
        return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))

    return error


def waves_in_slabs(harmonics: int, count: int, parity: str) -> pm.TimeSlabs:
    """Half a Fourier series by sines of time on slabs, its residual in the dual norm."""
    inner = pm.SpectralPINN(harmonics=harmonics, parity=parity, tolerance=1e-18)
    return pm.TimeSlabs(inner, count, warm=False)


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
        odd_burgers,
        waves_in_slabs(512, 20, "odd"),
        lambda problem: functools.partial(neural_time.relative_l2, "burgers"),
        1e-8,
        180.0,
        told="odd and periodic",
    ),
    "allen-cahn by even waves": Large(
        allen_cahn_from_heat,
        waves_in_slabs(384, 10, "even"),
        _from_heat_error,
        1e-6,
        180.0,
        told="even in x; what the heat equation makes of the data is taken out",
    ),
    "convection": in_time("convection", pm.TimeSlabs(pinn(80, 1, 2000), 10), budget=60.0),
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
