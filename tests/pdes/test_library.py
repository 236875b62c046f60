"""Every library problem: its exact solution solves its equations and satisfies its data."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdes import Problem
from pdes.library import PROBLEMS


def exact_fields(problem: Problem):
    def fields(x, t):
        return {name: problem.exact_value(name, x, t) for name in problem.exact}

    return fields


def at_all(function, *points):
    """At many points, as one program."""
    return jax.jit(jax.vmap(function))(*points)


MAKERS = sorted(PROBLEMS)


@pytest.fixture(scope="module")
def problems():
    return {}


def make(name, problems):
    if name not in problems:
        problems[name] = PROBLEMS[name]()
    return problems[name]


@pytest.mark.parametrize("name", MAKERS)
def test_has_description_and_builds(name, problems):
    problem = make(name, problems)
    first = (PROBLEMS[name].__doc__ or "").splitlines()[0]
    assert len(first) > 20
    assert problem.name == name
    assert set(problem.shapes) == set(problem.pde.fields)


@pytest.mark.parametrize("name", MAKERS)
def test_exact_solution_has_no_residual(name, problems):
    problem = make(name, problems)
    if not problem.exact:
        pytest.skip("no exact solution is known; its reference is numerical")
    x = jnp.asarray(problem.domain.sample_interior(40, seed=3))
    start, end = problem.time or (0.0, 0.0)
    # Strictly inside the time interval: some exact solutions are not smooth at the start.
    t = start + (end - start) * jnp.linspace(0.1, 0.9, len(x))
    fields = exact_fields(problem)
    both = lambda x, t: (problem.residual(fields, x, t), fields(x, t))
    residuals, values = jax.jit(jax.vmap(both))(x, t)
    scale = 1.0 + max(float(jnp.abs(value).max()) for value in values.values())
    for field, residual in residuals.items():
        assert np.isfinite(residual).all(), field
        assert float(jnp.abs(residual).max()) < 1e-7 * scale, field


@pytest.mark.parametrize("name", MAKERS)
def test_exact_solution_meets_the_data(name, problems):
    problem = make(name, problems)
    if not problem.exact:
        pytest.skip("no exact solution is known; its reference is numerical")
    x = jnp.asarray(problem.domain.sample_interior(40, seed=4))
    start = 0.0 if problem.time is None else problem.time[0]
    for field in problem.evolving:
        initial = at_all(partial(problem.initial_value, field), x)
        exact = at_all(partial(problem.exact_value, field, t=start), x)
        np.testing.assert_allclose(initial, exact, atol=1e-9)
    for part, conditions in problem.conditions.items():
        sample = problem.domain.sample_boundary(12, seed=5, part=part)
        for field, condition in conditions.items():
            if not condition.all_essential or field not in problem.exact:
                continue
            points = jnp.asarray(np.tile(sample.points, (2, 1)))
            times = jnp.asarray(np.repeat([0.25, 0.75], len(sample.points)))
            given = at_all(condition.value, points, times)
            exact = at_all(partial(problem.exact_value, field), points, times)
            np.testing.assert_allclose(given, exact, atol=1e-8)


def test_cole_hopf_satisfies_its_initial_data_and_symmetry():
    problem = PROBLEMS["burgers"]()
    x = jnp.linspace(-1, 1, 21)[:, None]
    start = at_all(lambda x: problem.exact_value("u", x, 0.0), x)
    np.testing.assert_allclose(start, -np.sin(np.pi * x[:, 0]), atol=1e-12)
    late = at_all(lambda x: problem.exact_value("u", x, 0.9), x)
    np.testing.assert_allclose(late, -late[::-1], atol=1e-12)


def test_cole_hopf_slope_at_the_layer_is_the_published_one():
    # Basdevant et al. (1986): |∂u/∂x| at x = 0 is largest, 152.00516, at t = 1.6037/π.
    problem = PROBLEMS["burgers"]()
    profile = lambda x: problem.exact_value("u", x[None], 1.6037 / jnp.pi)
    slope = jax.jit(jax.grad(profile))(0.0)
    np.testing.assert_allclose(slope, -152.00516, rtol=1e-6)
