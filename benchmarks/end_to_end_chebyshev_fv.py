"""Chebyshev collocation and finite volumes: errors, orders, gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row


def relative_error(solution: Any, field: str = "u", points: int = 2001, times: int = 41) -> float:
    """Relative L2 over the interval or rectangle and, if there is one, the time."""
    problem = solution.problem
    low, high = problem.domain.bounds
    count = points if problem.dim == 1 else 101
    axes = [np.linspace(low[d], high[d], count) for d in range(problem.dim)]
    x = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, problem.dim))

    @jax.jit
    def at(t):
        exact = jax.vmap(lambda y: problem.exact_value(field, y, t))(x)
        return jnp.sum((solution[field](x, t) - exact) ** 2), jnp.sum(exact**2)

    instants = [0.0] if problem.steady else np.linspace(*problem.time, times)
    sums = np.array([[float(v) for v in at(jnp.asarray(t))] for t in instants])
    return float(np.sqrt(sums[:, 0].sum() / sums[:, 1].sum()))


def _cost(solution: Any) -> str:
    stats = solution.stats
    return (
        f"{stats.unknowns} unknowns, {stats.iterations} steps, "
        f"compile {stats.compile_seconds:.1f} s, run {stats.run_seconds:.2f} s"
    )


def burgers() -> Iterable[Row]:
    problem = pm.library.burgers()
    for method, target in ((pm.Chebyshev(), 1e-4), (pm.FiniteVolume(cells=2048), 5e-3)):
        solution = method.solve(problem)
        yield row(
            f"Burgers nu=0.01/pi, {method.name}, relative L2",
            relative_error(solution),
            target,
            note=_cost(solution),
        )


def poisson() -> Iterable[Row]:
    solution = pm.Chebyshev(points=24).solve(pm.library.poisson())
    yield row(
        "Poisson, Chebyshev 24 x 24, relative L2",
        relative_error(solution),
        1e-12,
        note=_cost(solution),
    )


class _Forced(pm.PDE):
    """∂u/∂t + ∂/∂x (½u² − ν ∂u/∂x) = s cos x."""

    nu: pm.Coefficient = pm.coefficient(0.05)
    s: pm.Coefficient = pm.coefficient(0.0)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.convection, self.diffusion), source=(self.load,))}

    def convection(self, p):
        return 0.5 * p.u**2 * jnp.ones_like(p.x)

    def diffusion(self, p):
        return -self.nu(p) * p.grad.u

    def load(self, p):
        return self.s(p) * jnp.cos(p.x[0])


class _Start(eqx.Module):
    """−a sin πx."""

    a: jax.Array

    def __call__(self, x):
        return -self.a * jnp.sin(jnp.pi * x[0])


class _End(eqx.Module):
    """a sin t."""

    a: jax.Array

    def __call__(self, x, t):
        return self.a * jnp.sin(t)


def gradients() -> Iterable[Row]:
    """Reverse mode against central differences at fixed steps, the best of several h."""
    method = pm.Chebyshev(points=16, panels=4, dt=0.02)

    def functional(theta):
        problem = pm.Problem(
            _Forced(nu=theta[0], s=theta[1]),
            pm.Interval(-1.0, 1.0),
            time=(0.0, 0.5),
            initial={"u": _Start(theta[2])},
            boundary={"left": pm.Dirichlet(u=_End(theta[3])), "right": pm.Dirichlet(u=0.0)},
        )
        solution = method.solve(problem)
        x = jnp.linspace(-1.0, 1.0, 33)[:, None]
        return jnp.sum(solution["u"](x, 0.5) ** 2 * (1 + x[:, 0])) + jnp.sum(solution["u"](x, 0.23))

    theta = jnp.array([0.05, 0.3, 1.0, 0.2])
    gradient = np.asarray(jax.jit(jax.grad(functional))(theta))
    value = jax.jit(functional)
    for i, name in enumerate(("nu", "source", "initial data", "boundary data")):
        worst = np.inf
        for h in (1e-3, 1e-4, 1e-5, 1e-6):
            step = jnp.zeros(4).at[i].set(h)
            difference = float((value(theta + step) - value(theta - step)) / (2 * h))
            worst = min(worst, abs(difference / gradient[i] - 1))
        yield row(f"gradient through Chebyshev in {name}, against differences", worst, 1e-6)


def stepper_orders() -> Iterable[Row]:
    """Every stepper on u = cos t, w = u² with nonlinear storage and an algebraic row."""
    from solvers.time import (
        esdirk3,
        esdirk4,
        esdirk5,
        implicit_euler,
        integrate,
        sdirk2,
        trapezoidal,
    )
    from tests.time._systems import Forced

    system = Forced(jnp.asarray(1.0))
    for make, order, first in (
        (implicit_euler, 1, 128),
        (trapezoidal, 2, 32),
        (sdirk2, 2, 64),
        (esdirk3, 3, 32),
        (esdirk4, 4, 16),
        (esdirk5, 5, 16),
    ):
        errors = []
        for n in (first, 2 * first, 4 * first):
            found = integrate(system, (0.0, 2.0), stepper=make(), dt=2.0 / n)
            end = found.series.states[-1]
            errors.append(float(jnp.max(jnp.abs(end - Forced.exact(2.0)))))
        observed = float(np.log2(errors[1] / errors[2]))
        yield row(
            f"order of {make.__name__}, a DAE",
            observed,
            float(order),
            within=(order - 0.1, order + 0.1),
            note=f"errors {errors[0]:.1e} … {errors[2]:.1e}",
        )


CHECKS: Checks = {
    "chebyshev and fv: burgers": burgers,
    "chebyshev: poisson": poisson,
    "chebyshev: gradients": gradients,
    "time: orders": stepper_orders,
}
