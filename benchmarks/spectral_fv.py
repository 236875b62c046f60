"""Finite volumes: shock tubes against exact solutions, orders, positivity, speed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row
from pdes import Problem

GAMMA = 1.4


def averages(solution: Any, frame: int = -1) -> np.ndarray:
    """Cell averages at one frame, (slots, *cells)."""
    functions = solution.representation
    reach = 2 if functions.weno else 1
    sizes = [len(c) for c in functions.centres]
    states = np.asarray(functions.series.states[frame]).reshape(*sizes, -1)
    return np.moveaxis(states[tuple(slice(reach, -reach) for _ in sizes)], -1, 0)


def primitive(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Density, velocity (dim, …) and pressure from the slots of Euler's equations."""
    rho, m, energy = z[0], z[1:-1], z[-1]
    return rho, m / rho, (GAMMA - 1) * (energy - 0.5 * (m**2).sum(axis=0) / rho)


def _exact(problem: Problem, cells: int, t: float) -> np.ndarray:
    """Averages of the exact solution by 20 points a cell, (slots, cells)."""
    (low,), (high,) = problem.domain.bounds
    x = low + (np.arange(20 * cells) + 0.5) * (high - low) / (20 * cells)
    rows = [
        jax.vmap(lambda y, f=f: jnp.ravel(problem.exact_value(f, y, t)))(jnp.asarray(x)[:, None])
        for f in problem.shapes
    ]
    z = np.concatenate([np.asarray(r).T for r in rows])
    return z.reshape(len(z), cells, 20).mean(axis=-1)


def _tube_errors(problem: Problem, method: pm.FiniteVolume, cells: int) -> list[float]:
    """L1 errors of density, velocity and pressure at the end."""
    assert problem.time is not None
    (low,), (high,) = problem.domain.bounds
    found = primitive(averages(method.solve(problem)))
    exact = primitive(_exact(problem, cells, problem.time[1]))
    width = float(high - low)
    return [float(np.abs(a - b).mean() * width) for a, b in zip(found, exact, strict=True)]


def sod() -> Iterable[Row]:
    """L1 orders between 200 and 800 cells (HLLC)."""
    problem = pm.library.sod()
    for kind, density in (("muscl", 0.6), ("weno5", 0.8)):
        errors = np.array(
            [
                _tube_errors(problem, pm.FiniteVolume(cells=n, reconstruction=kind, frames=2), n)
                for n in (200, 800)
            ]
        )
        orders = np.log(errors[0] / errors[1]) / np.log(4)
        for name, order, target, error in zip(
            ("density", "velocity", "pressure"), orders, (density, 0.9, 0.9), errors[1], strict=True
        ):
            yield row(
                f"Sod, {kind}, L1 order of {name}", order, target,
                at_least=True, note=f"error {error:.2e} at 800 cells",
            )  # fmt: skip


def shu_osher() -> Iterable[Row]:
    """400 cells against WENO5 with 2000."""
    problem = pm.library.shu_osher()

    def density(kind: str, cells: int) -> np.ndarray:
        solution = pm.FiniteVolume(cells=cells, reconstruction=kind, frames=2).solve(problem)
        return averages(solution)[0]

    fine = density("weno5", 2000).reshape(400, 5).mean(axis=1)
    for kind, target in (("muscl", None), ("weno5", 2e-2)):
        error = np.abs(density(kind, 400) - fine).sum() / np.abs(fine).sum()
        yield row(f"Shu-Osher, {kind}, 400 cells, density, L1 to 2000 cells", error, target)


def entropy_wave() -> Iterable[Row]:
    """WENO5 with Δt ∝ h^{5/3}: values between the centres, at t = 1."""
    problem = pm.library.entropy_wave()
    x = jnp.linspace(0.0, 1.0, 1009)[:, None]
    exact = jax.vmap(lambda y: problem.exact_value("rho", y, 1.0))(x)
    errors = []
    for n in (20, 40, 80):
        method = pm.FiniteVolume(
            cells=n, reconstruction="weno5", dt=0.008 * (20 / n) ** (5 / 3), frames=2
        )
        found = method.solve(problem)["rho"](x, 1.0)
        errors.append(float(jnp.abs(found - exact).mean()))
    order = float(np.log2(errors[1] / errors[2]))
    yield row(
        "entropy wave, weno5, L1 order", order, 5.0, within=(4.7, 5.3),
        note="errors " + ", ".join(f"{e:.2e}" for e in errors),
    )  # fmt: skip


def positivity() -> Iterable[Row]:
    """Least density and pressure over all frames."""
    for problem, cells in ((pm.library.einfeldt(), 200), (pm.library.double_mach(), 240)):
        for kind in ("muscl", "weno5"):
            frames = 9
            method = pm.FiniteVolume(cells=cells, reconstruction=kind, frames=frames)
            solution = method.solve(problem)
            states = [primitive(averages(solution, i)) for i in range(frames)]
            least = [min(float(s[i].min()) for s in states) for i in (0, 2)]
            updates = solution.stats.iterations * averages(solution)[0].size
            for name, value in zip(("density", "pressure"), least, strict=True):
                yield row(
                    f"{problem.name}, {kind}, {cells} cells, least {name}", value, 0.0,
                    at_least=True,
                    note=f"{solution.stats.iterations} steps, "
                    f"{solution.stats.extra['repeated_steps']} repeated",
                )  # fmt: skip
            yield row(
                f"{problem.name}, {kind}, cell updates a second",
                updates / solution.stats.run_seconds, unit="1/s",
                note=f"{solution.stats.run_seconds:.1f} s in all; SSPRK3, three stages",
            )  # fmt: skip


def triangles() -> Iterable[Row]:
    """Smooth transport along the diagonal of a periodic square, averages at t = 0.25."""

    def exact(x: jax.Array, t: float) -> jax.Array:
        return 1 + 0.3 * jnp.sin(2 * jnp.pi * (x[0] + x[1] - 2 * t))

    problem = Problem(
        pm.library.Advection(a=1.0),
        pm.Rectangle(periodic=True),
        time=(0.0, 0.25),
        initial={"u": lambda x: exact(x, 0.0)},
    )
    for limiter in ("venkatakrishnan", "barth_jespersen"):
        errors = []
        for n in (32, 64):
            method = pm.FiniteVolume(cells=n, cell_shape="triangle", limiter=limiter, frames=2)
            functions: Any = method.solve(problem).representation
            end = jax.vmap(lambda x: exact(x, 0.25))(functions.centroids)
            errors.append(float(jnp.abs(functions.series.states[-1, :, 0, 0] - end).mean()))
        yield row(
            f"transport on triangles, {limiter}, L1 order", np.log2(errors[0] / errors[1]), 1.8,
            at_least=True, note="errors " + ", ".join(f"{e:.1e}" for e in errors),
        )  # fmt: skip


def gradients() -> Iterable[Row]:
    """Reverse mode through 20 steps of WENO5 with HLLC against central differences."""
    method = pm.FiniteVolume(cells=24, reconstruction="weno5", dt=0.005, frames=2)
    x = jnp.linspace(0.05, 0.95, 11)[:, None]

    def functional(theta):
        problem = Problem(
            pm.library.ShallowWater(g=theta[0]),
            pm.Interval(0.0, 1.0),
            time=(0.0, 0.1),
            initial={"h": lambda x: 1 + theta[1] * jnp.sin(2 * x[0]), "q": 0.0},
            boundary={"left": pm.Wall(), "right": pm.Dirichlet(h=1.2, q=theta[2])},
        )
        return jnp.sum(method.solve(problem)["q"](x, 0.1) ** 2)

    theta = jnp.array([1.4, 0.3, -0.2])
    both = jax.jit(jax.value_and_grad(functional))
    gradient = np.asarray(both(theta)[1])
    for i, name in enumerate(("coefficient", "initial data", "boundary data")):
        worst = np.inf
        for h in (1e-4, 1e-5, 1e-6):
            step = jnp.zeros(3).at[i].set(h)
            difference = float((both(theta + step)[0] - both(theta - step)[0]) / (2 * h))
            worst = min(worst, abs(difference / gradient[i] - 1))
        yield row(f"gradient through finite volumes in {name}, against differences", worst, 1e-6)


CHECKS: Checks = {
    "fv: sod": sod,
    "fv: shu-osher": shu_osher,
    "fv: entropy wave": entropy_wave,
    "fv: positivity": positivity,
    "fv: triangles": triangles,
    "fv: gradients": gradients,
}
