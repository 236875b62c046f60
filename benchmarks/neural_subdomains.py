"""Networks on subdomains, windows and axes: XPINN, CPINN, FBPINN, SPINN."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._neural import Case, Judge
from benchmarks._table import Checks
from benchmarks.neural_variational import on_grid
from pdes import Problem
from physml.networks import MLP
from solvers import Solution


def jump_problem(ratio: float = 100.0) -> Problem:
    """−∇·(k∇u) = f on the unit square with k = ratio | 1 at x = ½.

    u = (x − ½)/k · (1 + sin πy) + cos πy: continuous, as is k ∂u/∂x = 1 + sin πy at x = ½.
    """

    def k(x):
        return jnp.where(x[0] < 0.5, ratio, 1.0)

    def exact(x, t):
        return (x[0] - 0.5) / k(x) * (1 + jnp.sin(jnp.pi * x[1])) + jnp.cos(jnp.pi * x[1])

    def load(p):
        # k does not vary inside a material.
        bend = (p.x[0] - 0.5) * jnp.sin(jnp.pi * p.x[1])
        return jnp.pi**2 * (bend + k(p.x) * jnp.cos(jnp.pi * p.x[1]))

    return pm.Problem(
        pm.library.Poisson(k=lambda p: k(p.x), f=load),
        pm.Rectangle(),
        boundary={"all": pm.Dirichlet(u=exact)},
        exact={"u": exact},
        name="jump",
    )


def across_jump(width: int, points: int | None, around: int) -> pm.CPINN:
    # The larger coefficient makes the equation's residual and the flux's jump large.
    return pm.CPINN(
        partition={"x": 0.5},
        network=functools.partial(MLP, width=width, depth=2),
        constraints="soft",
        points=points,
        boundary_points=around,
        weights={"value": 1e5, "boundary": 1e5, "flux": 0.1},
    )


def burgers_error(solution: Solution) -> float:
    """‖u − exact‖ / ‖exact‖ on 400 × 101 points."""
    problem = solution.problem
    x, t = np.meshgrid(np.linspace(-1, 1, 400), np.linspace(0, 1, 101), indexing="ij")
    x, t = jnp.asarray(x.reshape(-1, 1)), jnp.asarray(t.ravel())
    exact = jax.jit(jax.vmap(lambda y, s: problem.exact_value("u", y, s)))(x, t)
    return float(jnp.linalg.norm(solution["u"](x, t) - exact) / jnp.linalg.norm(exact))


def around_shock(sizes: Sequence[tuple[int, int]], points: Sequence[int]) -> pm.CPINN:
    """Interfaces at −0.6, 0.2 and 0.5, the shock at x = 0 in the second part.

    Arguments:
        sizes: width and depth of each part's network. points: of each part.
    """
    return pm.CPINN(
        partition={"x": (-0.6, 0.2, 0.5)},
        network=[functools.partial(MLP, width=w, depth=d) for w, d in sizes],
        points=list(points),
        weights={"value": 1e3, "flux": 1e2},
    )


CASES = {
    "poisson xpinn": Case(
        "Poisson", pm.library.poisson, on_grid, pm.XPINN(partition=(2, 1)), 1e-5, 60.0
    ),
    "poisson fbpinn": Case("Poisson", pm.library.poisson, on_grid, pm.FBPINN(), 1e-5, 60.0),
    "poisson spinn": Case("Poisson", pm.library.poisson, on_grid, pm.SPINN(), 1e-5, 60.0),
    "subdomains cpinn poisson": Case(
        "Poisson", pm.library.poisson, on_grid, pm.CPINN(partition=(2, 2)), 1e-6, 180.0, jump=1e-4
    ),
    "subdomains cpinn jump": Case(
        "coefficient jump of 100",
        jump_problem,
        on_grid,
        across_jump(16, None, 100),
        1e-4,
        180.0,
        jump=1e-4,
    ),
    "subdomains cpinn burgers": Case(
        "Burgers, interfaces −0.6, 0.2, 0.5",
        pm.library.burgers,
        lambda problem: Judge(burgers_error),
        around_shock(((8, 2), (20, 3), (8, 2), (8, 2)), (300, 1800, 300, 300)),
        1e-4,
        180.0,
        jump=1e-4,
    ),
}

CHECKS: Checks = {name: case.rows for name, case in CASES.items()}
