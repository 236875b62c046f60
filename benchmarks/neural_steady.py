"""Neural methods on steady problems: error in a budget, seeds 0, 1, 2.

Errors are relative L², on points that no training point is tied to: a grid of 101² in the plane,
20 000 uniform points in more dimensions, of the velocity for flows. Poisson in five dimensions,
Σ cos πxᵢ, and in ten, Σ x₂ᵢ₋₁x₂ᵢ: Müller and Zeinhofer (2023), Dangel, Müller and Zeinhofer (2024).
Kovasznay: Jin et al. (2021), Re = 40. Cavity: u = 1 on the lid, Re = 100, finite elements on cells
that shrink to the walls. The L-shape, −∇²u = 1 and u = 0:
DeepXDE's example, here with the singular function r^{2/3} sin(2θ/3) beside the network, its
coefficient unknown. References without a formula are our own finite elements.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._neural import SEEDS, Case, Judge, median, waves
from benchmarks._table import Checks, Row, row
from pdes import Problem
from solvers import Solution


def cube(dim: int) -> Any:
    """The unit cube, its boundary one part, so that conditions are one residual and not 2 dim."""
    return pm.Box((0.0,) * dim, (1.0,) * dim).name("shell", lambda x: x[..., 0] > -1.0)


def cosines(dim: int) -> Problem:
    """−∇²u = π² Σ cos πxᵢ on the unit cube, u = Σ cos πxᵢ."""
    exact = lambda x, t=0.0: jnp.sum(jnp.cos(jnp.pi * x))
    return pm.Problem(
        pm.library.Poisson(f=lambda p: jnp.pi**2 * jnp.sum(jnp.cos(jnp.pi * p.x))),
        cube(dim),
        boundary={"all": pm.Dirichlet(u=exact)},
        exact={"u": exact},
        name=f"poisson {dim}-D",
    )


def pairs(dim: int) -> Problem:
    """−∇²u = 0 on the unit cube, u = Σ x₂ᵢ₋₁ x₂ᵢ."""
    exact = lambda x, t=0.0: jnp.sum(x[0::2] * x[1::2])
    return pm.Problem(
        pm.library.Poisson(f=0.0),
        cube(dim),
        boundary={"all": pm.Dirichlet(u=exact)},
        exact={"u": exact},
        name=f"laplace {dim}-D",
    )


def lshape() -> Problem:
    """−∇²u = 1 on the L-shape, u = 0."""
    return pm.Problem(
        pm.library.Poisson(f=1.0), pm.LShape(), boundary={"all": pm.Dirichlet(u=0.0)}, name="lshape"
    )


def corner(x: jax.Array) -> jax.Array:
    """r^{2/3} sin(2θ/3) with θ from the edge x > 0, y = 0; zero on both edges of the corner."""
    # θ runs from 0 to 3π/2: the branch lies in the quadrant that is cut out.
    theta = jnp.arctan2(-x[0] - x[1], x[1] - x[0]) + 0.75 * jnp.pi
    r2 = jnp.maximum(x[0] ** 2 + x[1] ** 2, 1e-24)
    return r2 ** (1 / 3) * jnp.sin(2 * theta / 3)


def points_of(problem: Problem) -> jax.Array:
    """Where errors are taken."""
    if problem.dim > 2:
        return jnp.asarray(np.random.default_rng(99).uniform(size=(20_000, problem.dim)))
    low, high = problem.domain.bounds
    axes = [np.linspace(a, b, 101) for a, b in zip(low, high, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return jnp.asarray(x[np.asarray(problem.domain.contains(x))])


def against(
    problem: Problem, field: str, values: Callable[[jax.Array], Any], note: str = ""
) -> Judge:
    """The error of a solution against values at points."""
    x = points_of(problem)
    expected = np.asarray(values(x))

    def error(solution: Solution) -> float:
        found = np.asarray(solution[field](x))
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    return Judge(error, note)


def exact(problem: Problem) -> Judge:
    """Against the known solution."""
    return against(problem, "u", jax.vmap(lambda y: problem.exact_value("u", y)))


def pinn(width: int, depth: int, points: int, around: int, **options: Any) -> pm.PINN:
    """A perceptron by Gauss–Newton alone."""
    activation = options.pop("activation", "tanh")
    network = functools.partial(pm.MLP, width=width, depth=depth, activation=activation)
    options = {"network": network, "optimizer": pm.GaussNewton(), **options}
    return pm.PINN(points=points, boundary_points=around, **options)


def helmholtz_features() -> Iterable[Row]:
    """One least-squares solve: k is known, ±k/2 in ξ ∈ [−1, 1], and the bandwidth 1.3 times it."""
    import time

    problem, errors, times = pm.library.helmholtz(30.0), [], []
    error = exact(problem)
    method = pm.RandomFeatures(features=1200, bandwidth=20.0)
    pm.solve(problem, method, seed=3)
    for seed in SEEDS:
        start = time.perf_counter()
        solution = pm.solve(problem, method, seed=seed)
        times.append(time.perf_counter() - start)
        errors.append(error(solution))
    yield median("Helmholtz k = 30 by random features", errors, 1e-12)
    yield row("Helmholtz k = 30 by random features, time", float(np.median(times)), 5.0, "s")


def scraper(x: jax.Array, side: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Velocities along the lid and downwards, and the pressure up to its size, in a corner.

    Stokes flow between a wall that slides and one that rests, ψ = r (A sin θ + C θ sin θ + D θ cos
    θ): Taylor (1962). θ is measured from the lid.
    """
    d = 1 / (1 - np.pi**2 / 4)
    a, c = -d * np.pi**2 / 4, d * np.pi / 2
    # Inputs of the network are in [−1, 1].
    along = 1 + x[0] if side == "left" else 1 - x[0]
    down = 1 - x[1]
    r = jnp.sqrt(along**2 + down**2 + 1e-24)
    cos, sin = along / r, down / r
    theta = jnp.arctan2(down, along + 1e-30)
    stream = a * sin + c * theta * sin + d * theta * cos
    slope = a * cos + c * (sin + theta * cos) + d * (cos - theta * sin)
    pressure = (c * sin + d * cos) / jnp.maximum(r, 1e-6)
    return slope * cos + stream * sin, slope * sin - stream * cos, pressure


def by_elements(problem: Problem) -> Judge:
    """The cavity's velocity by finite elements."""
    # Cells that shrink to the walls: 64² even ones of degree 2 are off by 1.3e-2, in the corners.
    fine, finer = (
        np.asarray(pm.solve(problem, method)["u"](points_of(problem)))
        for method in (
            pm.FiniteElement(degree=2, mesh=pm.library.fluids.cavity_mesh(64)),
            pm.FiniteElement(degree=3, mesh=pm.library.fluids.cavity_mesh(48)),
        )
    )
    gap = np.linalg.norm(fine - finer) / np.linalg.norm(finer)
    return against(problem, "u", lambda x: finer, f"reference to another {gap:.1e}")


def cavity(width: int, points: int, around: int) -> pm.PINN:
    """With what Stokes flow does in the corners of the lid.

    The lid's velocity jumps there and the pressure is infinite: the flow in such a corner is known,
    and the network adds the rest (Botella and Peyret, 1998, take the same from a spectral method's
    solution).
    """
    network = functools.partial(
        pm.networks.Enriched,
        network=functools.partial(pm.MLP, width=width, depth=3),
        functions=tuple(
            lambda x, side=side, part=part: scraper(x, side)[part]
            for side in ("left", "right")
            for part in range(3)
        ),
    )
    # Points that stay: those kept apart would be judged by the residual in the corners.
    return pm.PINN(
        network=network,
        optimizer=pm.GaussNewton(),
        constraints="soft",
        points=points,
        boundary_points=around,
        sampling="sobol",
        resample=None,
        weights={"boundary": 1e3},
    )


def by_adaptive_elements(problem: Problem) -> Judge:
    """Of the L-shape: 2.9e4 unknowns, from which 4.5e3 differ by 8e-5."""
    method = pm.AdaptiveFiniteElement(pm.FiniteElement(degree=2, cells=8), max_unknowns=40_000)
    return against(problem, "u", lambda x: pm.solve(problem, method)["u"](x))


def singular(width: int, around: int, **options: Any) -> pm.PINN:
    """With the singular function of the corner."""
    network = functools.partial(
        pm.networks.Enriched,
        network=functools.partial(pm.MLP, width=width, depth=3),
        functions=(corner,),
    )
    return pm.PINN(
        network=network,
        optimizer=pm.GaussNewton(),
        constraints="soft",
        boundary_points=around,
        weights={"boundary": 1e3},
        **options,
    )


CASES = {
    "poisson": Case("Poisson 2-D", pm.library.poisson, exact, pm.PINN(), 1e-8, 60.0),
    "poisson 5d": Case(
        "Poisson 5-D",
        functools.partial(cosines, 5),
        exact,
        pinn(64, 1, 2000, 600, activation="sin"),
        1e-6,
        30.0,
    ),
    "poisson 10d": Case(
        "Poisson 10-D",
        functools.partial(pairs, 10),
        exact,
        pinn(64, 1, 2000, 1500, activation="sin", weights={"boundary": 1e2}),
        1e-4,
        60.0,
    ),
    "helmholtz": Case(
        "Helmholtz k = 30",
        functools.partial(pm.library.helmholtz, 30.0),
        exact,
        waves(150, 30.0, 3000, 300, boundary=1e5),
        1e-4,
        60.0,
    ),
    "kovasznay": Case("Kovasznay", pm.library.kovasznay, exact, pm.PINN(), 1e-6, 120.0),
    "cavity": Case(
        "cavity Re 100",
        functools.partial(pm.library.cavity, 100.0),
        by_elements,
        cavity(20, 4000, 300),
        1e-2,
        200.0,
        told="Stokes flow in the corners, not its size",
    ),
    "lshape": Case(
        "L-shape",
        lshape,
        by_adaptive_elements,
        singular(20, 150),
        1e-4,
        120.0,
        told="the singular function, not its size",
    ),
}

CHECKS: Checks = {
    **{name: case.rows for name, case in CASES.items()},
    "helmholtz features": helmholtz_features,
}
