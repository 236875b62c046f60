"""Neural methods on problems in time: error in a budget, seeds 0, 1, 2.

A row a seed, then one for the median, which must meet the number while the worst seed is within 10
times of it. The budget is wall time after compilation: a short run compiles first. Errors are
relative L² on 512 × 101 points of space and time, which no training point is tied to. References
are exact where a formula is known, else ETDRK4, whose difference to a run of half the modes and
twice the step is printed.

Problems, domains and data: Burgers, Allen–Cahn: Raissi, Perdikaris and Karniadakis (2019);
convection β = 50: Krishnapriyan et al. (2021); wave: Wang, Yu and Perdikaris (2022); KdV from
cos πx, μ = 0.022: Zabusky and Kruskal (1965), Raissi et al. (2019); Kuramoto–Sivashinsky: Wang,
Sankaran, Wang and Perdikaris (2023); heat, κ = 1/4: Dangel, Müller and Zeinhofer (2024);
Klein–Gordon: Wang, Teng and Perdikaris (2021), section 5.2.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._neural import SEEDS, Case, Judge, waves
from benchmarks._table import Checks, Row, row
from pdes import Problem
from solvers import Method, Solution


@dataclasses.dataclass(frozen=True)
class InTime:
    """A problem, its reference on a grid of `points` × `times`, and the number to reach.

    Attributes:
        budget: wall seconds. method: what trains.
        modes: grid points of the ETDRK4 reference; None where the solution is exact.
        step: of ETDRK4. told: what the network knows besides the problem.
    """

    problem: Callable[[], Problem]
    target: float
    budget: float
    method: Method
    modes: int | None = None
    step: float = 1e-4
    points: int = 512
    times: int = 101
    told: str = ""

    def grid(self, problem: Problem) -> tuple[jax.Array, jax.Array]:
        """x (times · points, 1), t (times · points,); both ends where x is not periodic."""
        (low,), (high,) = problem.domain.bounds
        periodic = problem.domain.periodic[0]
        x = np.linspace(low, high, self.points, endpoint=not periodic)
        assert problem.time is not None
        t = np.linspace(*problem.time, self.times)
        return jnp.asarray(np.tile(x, len(t))[:, None]), jnp.asarray(np.repeat(t, len(x)))


def kuramoto_sivashinsky() -> Problem:
    """∂u/∂t + a u ∂u/∂x + b ∂²u/∂x² + c ∂⁴u/∂x⁴ = 0 on [0, 2π], periodic, t ∈ [0, 1].

    a = 100/16, b = 100/16², c = 100/16⁴, u₀ = cos x (1 + sin x). Source: Wang, Sankaran, Wang and
    Perdikaris (2023), and Wang, Li, Chen and Perdikaris (2024).
    """
    return Problem(
        ScaledKuramotoSivashinsky(),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.cos(x[0]) * (1.0 + jnp.sin(x[0]))},
        name="kuramoto_sivashinsky",
    )


class ScaledKuramotoSivashinsky(pm.PDE):
    """∂u/∂t + ∂(½a u²)/∂x + b ∂²u/∂x² + c ∂²w/∂x² = 0, w = ∂²u/∂x²."""

    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.convection, self.growth, self.damping)),
            "w": pm.Definition(flux=(self.slope,)),
        }

    def convection(self, p):
        return 0.5 * (100 / 16) * p.u**2 * jnp.ones_like(p.x)

    def growth(self, p):
        return (100 / 16**2) * p.grad.u

    def damping(self, p):
        return (100 / 16**4) * p.grad.w

    def slope(self, p):
        return p.grad.u


def pinn(width: int, depth: int, points: int, **options: Any) -> pm.PINN:
    """tanh perceptron by Gauss–Newton alone."""
    network = functools.partial(pm.MLP, width=width, depth=depth)
    return pm.PINN(network=network, optimizer=pm.GaussNewton(), points=points, **options)


# The initial data have the frequency 4π in x, and the solution twice that in t.
WAVES = waves(120, 30.0, 2500, 200, initial=1e4, boundary=1e4)


# Five residuals a parameter, not drawn too near to the largest ones (power 1): with fewer the steps
# fit the points of the moment, and the error on others stops falling after a minute.
# x² cos πx has a kink at the ends of the period: conditions that hold exactly would keep it. Data
# and equation are even in x: of cos kπx and sin kπx, k = 1, 2, 3, the cosines are kept, and t.
EVEN = functools.partial(
    pm.networks.Select,
    inputs=(0, 2, 4, -1),
    inner=functools.partial(pm.MLP, width=16, depth=3),
)
KINKED = pm.PINN(
    network=EVEN,
    optimizer=pm.GaussNewton(),
    points=4000,
    power=1.0,
    harmonics=3,
    constraints="soft",
    weights={"initial": 1e3},
)

# Stiff equations of periodic problems are the spectral PINN's, as it comes: it chooses its slabs of
# time and its waves by its own residual, for a relative error of 1e-6.
CASES = {
    # The front forms in the first slab; one network for all times stays at 6e-6 to 2e-5.
    "burgers": InTime(
        pm.library.burgers, 1e-5, 150.0, pm.TimeSlabs(pinn(20, 3, 3500, power=1.0), 2)
    ),
    "allen-cahn": InTime(
        pm.library.allen_cahn, 1e-4, 240.0, KINKED, modes=8192, step=1e-3, told="even in x"
    ),
    "convection": InTime(pm.library.convection, 1e-5, 120.0, pm.TimeSlabs(pinn(60, 1, 800), 10)),
    "wave": InTime(pm.library.wave, 1e-5, 60.0, WAVES),
    "kdv": InTime(
        pm.library.kdv_cosine,
        1e-4,
        300.0,
        pm.SpectralPINN(),
        modes=512,
        step=1e-4,
    ),
    "kuramoto-sivashinsky": InTime(
        kuramoto_sivashinsky,
        1e-2,
        600.0,
        pm.SpectralPINN(),
        modes=512,
        step=2.5e-5,
    ),
    "heat": InTime(pm.library.heat, 1e-8, 30.0, pinn(100, 1, 2000)),
    "klein-gordon": InTime(pm.library.klein_gordon, 1e-6, 120.0, pm.TimeSlabs(pinn(16, 2, 800), 4)),
}


@functools.cache
def reference(name: str) -> tuple[np.ndarray, float]:
    """Values on the grid, and the relative difference to the solution of half the resolution."""
    case = CASES[name]
    problem = case.problem()
    x, t = case.grid(problem)
    if case.modes is None:
        exact = jax.jit(jax.vmap(lambda y, s: problem.exact_value("u", y, s)))(x, t)
        return np.asarray(exact), 0.0
    fine, coarse = (
        np.asarray(
            pm.solve(
                problem, pm.Fourier(points=case.modes // k, dt=k * case.step, frames=case.times)
            )["u"](x, t)
        )
        for k in (1, 2)
    )
    return fine, float(np.linalg.norm(fine - coarse) / np.linalg.norm(fine))


def relative_l2(name: str, solution: Solution) -> float:
    """Of a solution of the case, or of the same in another statement."""
    case = CASES[name]
    exact, _ = reference(name)
    found = np.asarray(solution["u"](*case.grid(case.problem())))
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def judge(name: str, problem: Problem) -> Judge:
    """Of the case, in its own statement or another."""
    gap = reference(name)[1]
    note = f"reference to itself {gap:.1e}" if gap else ""
    return Judge(functools.partial(relative_l2, name), note)


def case(name: str) -> Case:
    own = CASES[name]
    judging = functools.partial(judge, name)
    return Case(name, own.problem, judging, own.method, own.target, own.budget, own.told)


def random_features(name: str, method: pm.RandomFeatures) -> Iterable[Row]:
    """Error and time of one linear solve a seed, after a first one that compiles."""
    problem = CASES[name].problem()
    pm.solve(problem, method, seed=SEEDS[0])
    errors, seconds = [], []
    for seed in SEEDS:
        solution = pm.solve(problem, method, seed=seed)
        errors.append(relative_l2(name, solution))
        seconds.append(solution.stats.run_seconds)
    label = f"{name} by random features"
    note = f"worst {max(errors):.1e}; {solution.stats.unknowns} unknowns"
    yield row(f"{label}, median", float(np.median(errors)), 1e-10, "rel. L2", note=note)
    yield row(f"{label}: time, worst seed", max(seconds), 5.0, "s")


FEATURES = {
    # sin(x − 50 t) is linear in the inputs cos x and sin x, and of frequency 25 in t ∈ [−1, 1].
    "convection": pm.RandomFeatures(features=900, bandwidth=(1.0, 1.0, 30.0)),
    # sin 4πx cos 8πt has the frequencies 2π and 4π in [−1, 1].
    "wave": pm.RandomFeatures(features=800, bandwidth=16.0),
}

CHECKS: Checks = {
    **{name: case(name).rows for name in CASES},
    **{
        f"{name} random features": functools.partial(random_features, name, method)
        for name, method in FEATURES.items()
    },
}
