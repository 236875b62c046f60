"""Weak residuals: hp-VPINN on boxes and meshes, robust VPINN, deep Ritz."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._neural import Case, Judge
from benchmarks._table import Checks, Row, row
from pdes import Problem
from physml.optimizers import Objective
from solvers import Solution

HERE = Path(__file__).resolve().parent
# The mesh of the gear, from the examples of FastVPINNs (MIT); not part of this project.
DATA = Path(os.environ.get("PHYSML_DATA", HERE.parents[1] / "shared" / "data"))
GEAR = DATA / "gear.mesh"


def relative_l2(solution: Solution, x: np.ndarray, weights: np.ndarray, exact) -> float:
    """√(Σ w (u − exact)² / Σ w exact²) at points x."""
    found = np.asarray(solution["u"](jnp.asarray(x)))
    return float(np.sqrt(weights @ (found - exact) ** 2 / (weights @ exact**2)))


def exact_on_grid(problem: Problem, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss–Legendre points of 64 panels a direction on a line, 16 in the plane."""
    panels = 64 if problem.dim == 1 else 16
    points, weights = np.polynomial.legendre.leggauss(count)
    low, high = problem.domain.bounds
    axes, sizes = [], []
    for a, b in zip(low, high, strict=True):
        edges = np.linspace(a, b, panels + 1)
        half = 0.5 * np.diff(edges)[:, None]
        axes.append((edges[:-1, None] + half * (1 + points)).ravel())
        sizes.append((half * weights).ravel())
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, problem.dim)
    w = functools.reduce(np.multiply.outer, sizes).ravel()
    values = jax.jit(jax.vmap(lambda y: problem.exact_value("u", y)))(jnp.asarray(x))
    return x, w, np.asarray(values)


def on_grid(problem: Problem) -> Judge:
    grid = exact_on_grid(problem, 8)
    return Judge(lambda solution: relative_l2(solution, *grid))


def waves() -> Problem:
    """−∇²u = f on the unit square, u = −sin 4πx sin 4πy (Anandh et al., 2024, section 4)."""

    def exact(x, t):
        return -jnp.sin(4 * jnp.pi * x[0]) * jnp.sin(4 * jnp.pi * x[1])

    return pm.manufactured(pm.library.Poisson(), pm.Rectangle(), {"u": exact})


def plane_waves(width: int, tests: int, quadrature: int) -> pm.MeshVPINN:
    """The solution is a sum of sines of the inputs, of frequency 2π in [−1, 1]."""
    return pm.MeshVPINN(
        cells=4,
        cell_shape="quadrilateral",
        tests=tests,
        quadrature=quadrature,
        network=functools.partial(pm.SIREN, width=width, depth=1, frequency=12.0),
    )


class Layer(pm.PDE):
    """−ε u″ + u′ = 1."""

    epsilon: pm.Coefficient = pm.coefficient(1e-3)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(
                flux=(self.diffusion, self.transport), source=(self.load,), storage=pm.NoStorage
            )
        }

    def diffusion(self, p):
        return -self.epsilon(p) * p.grad.u

    def transport(self, p):
        return p.u * jnp.ones_like(p.x)

    def load(self, p):
        return 1.0


def layer(epsilon: float = 1e-3) -> Problem:
    """−ε u″ + u′ = 1 on (0, 1), u = 0 at both ends: u = x − e^{(x−1)/ε} + O(e^{−1/ε})."""
    return pm.Problem(
        Layer(epsilon=epsilon),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Dirichlet(u=0.0)},
        exact={"u": lambda x, t: x[0] - jnp.exp((x[0] - 1) / epsilon)},
        name="layer",
    )


# Values of ε on the way to 1e-3.
STAGES = (0.1, 0.05, 0.025, 0.0125, 0.007, 0.004, 0.0026, 0.0018, 0.0013)


def by_stages(width: int, elements: int) -> pm.Curriculum:
    # A distance factor would ask the network for 1/ε at the layer. Each step is of milliseconds.
    method = pm.VPINN(
        network=functools.partial(pm.MLP, width=width, depth=2),
        elements=elements,
        constraints="soft",
        weights={"boundary": 1e4},
        resample=5,
    )
    return pm.Curriculum(method, where=lambda pde: pde.epsilon, values=STAGES, last=0.2)


class Transport(pm.PDE):
    """−∇²u + 0.1 ∂u/∂x = 50 sin x + cos x."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(
                flux=(self.diffusion,), source=(self.load, self.transport), storage=pm.NoStorage
            )
        }

    def diffusion(self, p):
        return -p.grad.u

    def load(self, p):
        return 50 * jnp.sin(p.x[0]) + jnp.cos(p.x[0])

    def transport(self, p):
        return -0.1 * p.grad.u[0]


def gear() -> Problem:
    domain = pm.MeshDomain(GEAR)
    return pm.Problem(Transport(), domain, boundary={"all": pm.Dirichlet(u=0.0)}, name="gear")


def at_centres(problem: Problem) -> Judge:
    """Against finite elements of degree 2, at the centres of the gear's cells."""
    reference = pm.solve(problem, pm.FiniteElement(degree=2))
    mesh = problem.domain.mesh()
    x = mesh.points[mesh.cells].mean(axis=1)
    weights = np.ones(len(x)) / len(x)
    values = np.asarray(reference["u"](jnp.asarray(x)))
    return Judge(lambda solution: relative_l2(solution, x, weights, values))


def by_smooth_tests(width: int, tests: int) -> pm.RobustVPINN:
    # The gear's corners and small cells would govern other norms than the dual one of these.
    return pm.RobustVPINN(
        degree=1,
        quadrature=1,
        tests=tests,
        distances=True,
        network=functools.partial(pm.MLP, width=width, depth=2),
    )


def _gradient(objective: Objective) -> Callable:
    """The loss and its gradient, compiled."""

    @eqx.filter_jit
    def step(params, batch):
        return jax.value_and_grad(lambda p: objective.loss(p, batch))(params)

    return step


def step_time() -> Iterable[Row]:
    """One residual and its gradient, 400 cells of 2 × 2 × 25 points against 16."""
    problem = pm.library.poisson()
    times = {}
    # 400 cells of 6² points, 16 of 30²: 14 400 each.
    for cells, quadrature in ((4, 58), (20, 10)):
        method = pm.MeshVPINN(
            cells=cells, cell_shape="quadrilateral", tests=3, quadrature=quadrature
        )
        setup = method.setup(problem, 0)
        batch = setup.sampler(jax.random.key(0), setup.params, 0)
        points = batch["cells"]["tests"].shape[0] * batch["cells"]["tests"].shape[2]
        step = _gradient(setup.objective)
        jax.block_until_ready(step(setup.params, batch))
        best = np.inf
        for _ in range(20):
            start = time.perf_counter()
            jax.block_until_ready(step(setup.params, batch))
            best = min(best, time.perf_counter() - start)
        times[cells**2] = best
        note = f"{points} quadrature points, 9 tests a cell"
        yield row(f"VPINN step, {cells**2} cells", 1e3 * best, None, "ms", note=note)
    ratio = times[400] / times[16]
    yield row("VPINN step: 400 cells over 16 at equal quadrature", ratio, 1.5, "ratio")


CASES = {
    "hp-vpinn waves": Case(
        "−sin 4πx sin 4πy on 4 × 4 cells", waves, on_grid, plane_waves(150, 10, 24), 1e-5, 60.0
    ),
    "hp-vpinn boundary layer": Case(
        "layer, ε = 1e-3",
        layer,
        on_grid,
        by_stages(10, 40),
        1e-3,
        120.0,
        warm_up=4 * (len(STAGES) + 1),
    ),
    "hp-vpinn gear": Case(
        "gear of 14 192 quadrilaterals",
        gear,
        at_centres,
        by_smooth_tests(24, 2000),
        1e-2,
        200.0,
        files=(GEAR,),
    ),
    "poisson robust vpinn": Case(
        "Poisson", pm.library.poisson, on_grid, pm.RobustVPINN(), 1e-5, 60.0
    ),
    "poisson deep ritz": Case("Poisson", pm.library.poisson, on_grid, pm.DeepRitz(), 1e-4, 60.0),
}

CHECKS: Checks = {
    **{name: case.rows for name, case in CASES.items()},
    "vpinn step": step_time,
}
