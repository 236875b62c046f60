"""fit: coefficients come back from data that they made; nonsense is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm

X = np.linspace(0.05, 0.95, 19)[:, None]


def rod(k=1.0):
    """−(k u′)′ = 1, u = 0 at both ends: u = x (1 − x)/2k."""
    return pm.Problem(
        pm.library.Poisson(k=k, f=1.0),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Dirichlet(u=0.0)},
        name="rod",
    )


def data(k=0.4):
    return pm.Observations(X, 0.0, X[:, 0] * (1 - X[:, 0]) / (2 * k), "u", noise=0.01)


@pytest.mark.parametrize(
    "method", [lambda: pm.Chebyshev(points=8, panels=1), lambda: pm.FiniteElement(cells=8)]
)
def test_adjoint_recovers_a_number(method):
    found = pm.fit(rod(), data(), method(), lambda pde: pde.k, positive=True)
    assert found.number == pytest.approx(0.4, rel=1e-6)
    assert found.misfit < 1e-10
    x = jnp.array([[0.3]])
    np.testing.assert_allclose(found.solution["u"](x), 0.3 * 0.7 / 0.8, rtol=1e-6)


def test_adjoint_recovers_a_function_of_two_numbers():
    """k = a + b x from the solution of the same problem, both numbers at once."""

    def conductivity(ab):
        return pm.library.Poisson(k=Line(jnp.asarray(ab)), f=1.0)

    method = pm.FiniteElement(degree=2, cells=16)
    boundary = {"all": pm.Dirichlet(u=0.0)}
    domain = pm.Interval(0.0, 1.0)
    truth = pm.Problem(conductivity([0.5, 1.0]), domain, boundary=boundary)
    values = np.asarray(pm.solve(truth, method)["u"](X))
    guess = pm.Problem(conductivity([1.0, 0.1]), domain, boundary=boundary)
    observed = pm.Observations(X, 0.0, values, "u", noise=1e-3)
    found = pm.fit(guess, observed, method, lambda pde: pde.k, tolerance=1e-14)
    np.testing.assert_allclose(found.value.numbers, [0.5, 1.0], rtol=1e-3)


class Line(pm.Coefficient):
    numbers: jnp.ndarray

    def __call__(self, p):
        return self.numbers[0] + self.numbers[1] * p.x[0]


def test_network_and_coefficient_together():
    found = pm.fit(rod(), data(), pm.PINN(), lambda pde: pde.k, steps=40)
    assert found.number == pytest.approx(0.4, rel=1e-3)
    assert float(found.problem.pde.k.value) == found.number


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": []}, "fit needs observations"),
        ({"observations": [3.0]}, r"fit takes pm.Observations"),
        (
            {"observations": pm.Observations(X, 0.0, X[:, 0], "v")},
            r"observations of 'v': no such field; there are \['u'\]",
        ),
        (
            {"observations": pm.Observations(X + 1.0, 0.0, X[:, 0], "u")},
            r"observation 0 at \[1.05\] is outside the domain",
        ),
        ({"where": "k"}, r"where is a function such as"),
        ({"where": lambda pde: None}, r"no numbers to identify"),
        ({"method": pm.RandomFeatures}, r"is a class: give a method"),
        ({"problem": rod(-1.0), "positive": True}, r"needs a start above zero"),
    ],
)
def test_refuses(changes, message):
    arguments = {
        "problem": rod(),
        "observations": data(),
        "method": pm.Chebyshev(points=8, panels=1),
        "where": lambda pde: pde.k,
    }
    with pytest.raises((ValueError, TypeError), match=message):
        pm.fit(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:, 0], 0.0, X[:, 0]), r"x has shape \(n, dim\)"),
        ((X, 0.0, X[:5, 0]), r"19 points but values of shape \(5,\)"),
        ((X, 0.0, np.where(X[:, 0] > 0.5, np.nan, 0.0)), r"values is not finite at index 10"),
    ],
)
def test_observations_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        pm.Observations(*arguments)
