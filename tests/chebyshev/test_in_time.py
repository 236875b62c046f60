"""Chebyshev collocation in time: layers found by moving panels, waves, gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import physml as pm


class Transport(pm.PDE):
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


class Wave(pm.PDE):
    """∂²u/∂t² = ∂²u/∂x²."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.tension,), inertia=1.0)}

    def tension(self, p):
        return -p.grad.u


@eqx.filter_jit
def exact_values(problem, field, x, t):
    return jax.vmap(lambda y: problem.exact_value(field, y, t))(x)


def errors(solution, field="u", t=0.0, count=201):
    problem = solution.problem
    low, high = problem.domain.bounds
    axes = [
        np.linspace(low[d], high[d], count if problem.dim == 1 else 23) for d in range(problem.dim)
    ]
    x = jnp.asarray(np.stack(np.meshgrid(*axes), -1).reshape(-1, problem.dim))
    exact = exact_values(problem, field, x, jnp.asarray(t))
    return np.linalg.norm(solution[field](x, t) - exact) / np.linalg.norm(exact)


def test_layer_of_burgers_is_found_and_resolved():
    solution = pm.Chebyshev().solve(pm.library.burgers())
    worst = max(errors(solution, t=t, count=2001) for t in (0.25, 0.5, 0.75, 1.0))
    assert worst < 5e-6
    edges = np.array(solution.stats.extra["panels"])
    assert np.diff(edges).min() < 0.02
    assert abs(edges[np.diff(edges).argmin()]) < 0.05
    assert solution.stats.notes == ()


def test_wave_with_moving_ends():
    exact = lambda x, t: jnp.sin(3 * (x[0] - t))
    problem = pm.Problem(
        Wave(),
        pm.Interval(0.0, 1.0),
        time=(0.0, 0.5),
        initial={"u": lambda x: exact(x, 0.0)},
        initial_rate={"u": lambda x: -3 * jnp.cos(3 * x[0])},
        boundary={
            "left": pm.Dirichlet(u=exact),
            "right": pm.Neumann(u=lambda x, t: -3 * jnp.cos(3 * (x[0] - t))),
        },
        exact={"u": exact},
    )
    solution = pm.Chebyshev(points=12, panels=2, dt=0.025).solve(problem)
    assert errors(solution, t=0.5) < 1e-6


class Amplitude(eqx.Module):
    """a f(x), with a trainable a."""

    a: jax.Array

    def __call__(self, x):
        return -self.a * jnp.sin(jnp.pi * x[0])


class Swing(eqx.Module):
    """a sin t."""

    a: jax.Array

    def __call__(self, x, t):
        return self.a * jnp.sin(t)


def test_gradients_in_coefficient_source_initial_and_boundary_data():
    method = pm.Chebyshev(points=12, panels=3, dt=0.1)

    def functional(theta):
        problem = pm.Problem(
            Transport(nu=theta[0], s=theta[1]),
            pm.Interval(-1.0, 1.0),
            time=(0.0, 0.3),
            initial={"u": Amplitude(theta[2])},
            boundary={"left": pm.Dirichlet(u=Swing(theta[3])), "right": pm.Dirichlet(u=0.0)},
        )
        solution = method.solve(problem)
        x = jnp.linspace(-1.0, 1.0, 9)[:, None]
        return jnp.sum(solution["u"](x, 0.3) ** 2 * (1 + x[:, 0])) + jnp.sum(solution["u"](x, 0.13))

    theta = jnp.array([0.05, 0.3, 1.0, 0.2])
    # One program for both: compiling it is what takes time.
    both = jax.jit(jax.value_and_grad(functional))
    gradient = both(theta)[1]
    value = lambda theta: both(theta)[0]
    for i in range(4):
        best = np.inf
        for h in (1e-4, 1e-5):
            step = jnp.zeros(4).at[i].set(h)
            difference = (value(theta + step) - value(theta - step)) / (2 * h)
            best = min(best, abs(float(difference / gradient[i]) - 1))
        assert best < 1e-6
