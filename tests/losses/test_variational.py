"""Test functions, quadrature, and weak residuals against the strong ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from pdes import library
from physml.losses import (
    ReferenceTests,
    Variational,
    element_batch,
    equation_residual,
    gauss_legendre,
    gauss_lobatto,
    graded_edges,
    stacked,
)
from physml.losses._tests import interior_tests, legendre_tests
from tests.losses._exact import exact_collocation


@pytest.mark.parametrize("count", [2, 3, 6, 9])
def test_quadrature_is_exact_to_its_degree_and_no_further(count):
    for rule, degree in ((gauss_legendre, 2 * count - 1), (gauss_lobatto, 2 * count - 3)):
        points, weights = rule(count)
        for power in range(degree + 1):
            expected = (1 - (-1) ** (power + 1)) / (power + 1)
            assert weights @ points**power == pytest.approx(expected, abs=1e-13)
        even = degree + 1
        assert abs(weights @ points**even - 2 / (even + 1)) > 1e-6
    assert gauss_lobatto(count)[0][[0, -1]] == pytest.approx([-1, 1])


@pytest.mark.parametrize("tests", [interior_tests, legendre_tests])
def test_tests_are_orthonormal_in_the_mean(tests):
    points, weights = gauss_legendre(12)
    values, slopes = tests(6, points)
    np.testing.assert_allclose((values * weights / 2) @ values.T, np.eye(6), atol=1e-12)
    step = 1e-5
    ahead, behind = tests(6, points + step)[0], tests(6, points - step)[0]
    np.testing.assert_allclose(slopes, (ahead - behind) / (2 * step), atol=1e-6)


def test_tests_of_space_vanish_at_the_ends():
    ends = np.array([-1.0, 1.0])
    np.testing.assert_allclose(interior_tests(5, ends)[0], 0.0, atol=1e-13)
    assert np.abs(legendre_tests(5, ends)[0]).min() > 0.5


def test_too_little_quadrature_is_refused():
    with pytest.raises(ValueError, match="5 tests a direction need more than 5"):
        ReferenceTests((5,), (5,), 1)
    with pytest.raises(ValueError, match="got 'simpson'"):
        ReferenceTests((2,), (5,), 1, rule="simpson")


def uniform_batch(problem, counts, tests, quadrature):
    low, high = problem.domain.bounds
    ends = [*zip(low, high, strict=True), *([problem.time] if problem.time else [])]
    edges = [np.linspace(a, b, n + 1) for (a, b), n in zip(ends, counts, strict=True)]
    reference = ReferenceTests(tests, quadrature, problem.dim)
    return {"elements": stacked(element_batch(reference, edges, problem.dim))}


def variational(problem, functions=None):
    conditions, params = exact_collocation(problem, functions)
    return Variational(conditions), params


def weak_rows(problem, functions, counts, tests, quadrature):
    objective, params = variational(problem, functions)
    batch = uniform_batch(problem, counts, tests, quadrature)
    around = stacked(objective.conditions.sample({"boundary": 4, "initial": 4}, 0))
    found = eqx.filter_jit(objective.residuals)(params, batch | around)
    return {name: r for name, r in found.items() if name.startswith("equation")}


def test_weak_residuals_are_the_strong_ones_tested():
    """R(v) = mean of r v for tests that vanish on the element's sides, for any function."""
    problem = library.burgers(nu=0.3)
    functions = {"u": lambda x, t: jnp.sin(2 * x[0] + t) * jnp.exp(-t)}
    counts, tests, quadrature = (3, 2), (3, 2), (12, 10)
    weak = weak_rows(problem, functions, counts, tests, quadrature)["equation u"]
    elements = uniform_batch(problem, counts, tests, quadrature)["elements"]
    strong = jax.jit(
        jax.vmap(
            jax.vmap(lambda x, t: equation_residual(problem, "u", lambda y, s: {
                "u": functions["u"](y, s)}, x, t)[0])
        )
    )(elements["x"], elements["t"])  # fmt: skip
    tested = jnp.einsum("etq,eq->et", elements["tests"][..., 0], strong) / 6**0.5
    np.testing.assert_allclose(weak, tested.reshape(-1), atol=1e-10)
    assert float(jnp.abs(weak).max()) > 0.1


@pytest.mark.parametrize("name", ["poisson", "elasticity", "stokes", "kovasznay"])
def test_weak_residuals_of_exact_solutions_are_as_small_as_their_quadrature(name):
    problem = getattr(library, name)()
    sizes = []
    for quadrature in (4, 6, 9):
        rows = weak_rows(problem, None, (2, 2), (3, 3), (quadrature, quadrature))
        sizes.append(max(float(jnp.abs(r).max()) for r in rows.values()))
    assert sizes[0] > 1e-8
    assert sizes[2] < 1e-3 * sizes[0] and sizes[2] < 1e-7


def test_weak_residual_in_time_converges():
    problem = library.heat()
    rows = [weak_rows(problem, None, (3, 2), (3, 3), (q, q))["equation u"] for q in (4, 9)]
    assert float(jnp.abs(rows[1]).max()) < 1e-9 < 1e-5 < float(jnp.abs(rows[0]).max())


def test_jacobian_of_weak_rows():
    from tests.losses.test_collocation import network_collocation

    conditions, params = network_collocation(library.stokes(), mixed=True)
    objective = Variational(conditions)
    batch = uniform_batch(conditions.problem, (2, 1), (2, 2), (4, 4))
    batch |= stacked(conditions.sample({"boundary": 4}, 0))
    theta, unravel = ravel_pytree(params)
    residual, jacobian = eqx.filter_jit(objective.jacobian)(params, batch)
    expected = jax.jit(jax.jacfwd(lambda flat: objective.residual(unravel(flat), batch)))(theta)
    np.testing.assert_allclose(jacobian, expected, atol=1e-11 * float(jnp.abs(expected).max()))
    assert residual.shape == (2 * 4 * 3 + 4 * 4 * 2 + 1,)


def test_edges_share_the_density_equally():
    rng = np.random.default_rng(0)
    places = rng.random(20000)
    uniform = graded_edges(0.0, 1.0, 10, places, np.ones_like(places))
    np.testing.assert_allclose(uniform, np.linspace(0, 1, 11), atol=1e-12)
    layer = graded_edges(0.0, 1.0, 10, places, np.where(np.abs(places - 0.5) < 0.05, 1.0, 0.0))
    # Half of the density, 1 + r/mean r, lies in the tenth where r is: 5.5 of 10 intervals.
    inside = np.sum((layer > 0.45) & (layer < 0.55))
    assert 5 <= inside <= 6
    assert (np.diff(layer) > 0).all() and layer[0] == 0.0 and layer[-1] == 1.0


def test_fields_without_outputs_are_refused():
    problem = pm.Problem(Sum(), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0, w=0.0)})
    conditions, _ = exact_collocation(problem, {"u": lambda x, t: x[0]})
    with pytest.raises(ValueError, match=r"every field as an output; missing \['w'\]"):
        Variational(conditions)


class Sum(pm.PDE):
    """−∇²u = w with w = u."""

    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.slope,), source=(self.load,), storage=pm.NoStorage),
            "w": pm.Definition(source=(self.value,)),
        }

    def slope(self, p):
        return -p.grad.u

    def load(self, p):
        return p.w

    def value(self, p):
        return p.u
