"""Networks on subdomains, windows and axes: XPINN, CPINN, FBPINN, SPINN."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._neural import seeds
from benchmarks._table import Checks, Row
from benchmarks.neural_variational import on_grid
from pdes import Problem
from physml.networks import MLP
from solvers import Method, Solution


def poisson(method: Method, target: float, jump: float | None = None) -> Iterable[Row]:
    problem = pm.library.poisson()
    budget = 60.0 if jump is None else 180.0
    yield from seeds("Poisson", problem, method, on_grid(problem), target, budget, jump=jump)


def xpinn() -> Iterable[Row]:
    yield from poisson(pm.XPINN(partition=(2, 1)), 1e-5)


def fbpinn() -> Iterable[Row]:
    yield from poisson(pm.FBPINN(), 1e-5)


def spinn() -> Iterable[Row]:
    yield from poisson(pm.SPINN(), 1e-5)


def cpinn_poisson() -> Iterable[Row]:
    yield from poisson(pm.CPINN(partition=(2, 2)), 1e-6, 1e-4)


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


def cpinn_jump() -> Iterable[Row]:
    problem = jump_problem()
    # The larger coefficient makes the equation's residual and the flux's jump large.
    method = pm.CPINN(
        partition={"x": 0.5},
        network=functools.partial(MLP, width=16, depth=2),
        constraints="soft",
        boundary_points=100,
        weights={"value": 1e5, "boundary": 1e5, "flux": 0.1},
    )
    label = "coefficient jump of 100"
    yield from seeds(label, problem, method, on_grid(problem), 1e-4, 180.0, jump=1e-4)


def burgers_error(solution: Solution) -> float:
    """‖u − exact‖ / ‖exact‖ on 400 × 101 points."""
    problem = solution.problem
    x, t = np.meshgrid(np.linspace(-1, 1, 400), np.linspace(0, 1, 101), indexing="ij")
    x, t = jnp.asarray(x.reshape(-1, 1)), jnp.asarray(t.ravel())
    exact = jax.jit(jax.vmap(lambda y, s: problem.exact_value("u", y, s)))(x, t)
    return float(jnp.linalg.norm(solution["u"](x, t) - exact) / jnp.linalg.norm(exact))


def cpinn_burgers() -> Iterable[Row]:
    problem = pm.library.burgers()
    # The shock at x = 0 stands in the second part, which gets the most of everything.
    sizes = ((8, 2), (20, 3), (8, 2), (8, 2))
    method = pm.CPINN(
        partition={"x": (-0.6, 0.2, 0.5)},
        network=[functools.partial(MLP, width=w, depth=d) for w, d in sizes],
        points=[300, 1800, 300, 300],
        weights={"value": 1e3, "flux": 1e2},
    )
    label = "Burgers, interfaces −0.6, 0.2, 0.5"
    yield from seeds(label, problem, method, burgers_error, 1e-4, 180.0, jump=1e-4)


CHECKS: Checks = {
    "poisson xpinn": xpinn,
    "poisson fbpinn": fbpinn,
    "poisson spinn": spinn,
    "subdomains cpinn poisson": cpinn_poisson,
    "subdomains cpinn jump": cpinn_jump,
    "subdomains cpinn burgers": cpinn_burgers,
}
