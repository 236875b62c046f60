"""Posteriors against exact formulas, and fits of fields."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm

X = np.linspace(0.04, 0.96, 24)[:, None]
# Exact for these cubic solutions.
METHOD = pm.FiniteElement(degree=3, cells=8)


class Loads(pm.PDE):
    """−u″ = Σ cₖ fₖ with f = (1, x, 0): u = c₀ x(1 − x)/2 + c₁ x(1 − x²)/6."""

    c: pm.Coefficient = pm.coefficient((1.0, 1.0, 1.0))
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance((lambda p: -p.grad.u,), (self.load,), pm.NoStorage)}

    def load(self, p):
        c = self.c(p)
        return c[0] + c[1] * p.x[0] + 0.0 * c[2]


def loads(c):
    return pm.Problem(
        Loads(c=jnp.asarray(c)), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0)}
    )


def columns():
    x = X[:, 0]
    return np.stack([x * (1 - x) / 2, x * (1 - x**2) / 6, 0 * x], axis=1)


def data(noise, seed=0):
    values = columns() @ [2.0, -1.0, 0.0]
    extra = 1e-3 * np.random.default_rng(seed).standard_normal(len(X))
    return pm.Observations(X, 0.0, values + extra, "u", noise=noise)


def where(pde):
    return pde.c


def test_linear_gaussian_posterior_is_exact():
    """Mean and covariance of u = A c + noise with a Gaussian prior, in closed form."""
    noise, prior = np.linspace(1e-3, 3e-3, len(X)), np.array([0.7, 1.3, 0.9])
    found = pm.fit(loads([1.0, 1.0, 1.0]), data(noise), METHOD, where, prior=prior)
    posterior = found.posterior()
    a = columns() / noise[:, None]
    precision = a.T @ a + np.diag(prior**-2)
    exact = np.linalg.inv(precision)
    right = a.T @ (np.asarray(data(noise).values) / noise) + prior**-2 * 1.0
    np.testing.assert_allclose(posterior.covariance, exact, rtol=1e-8, atol=1e-10 * exact.max())
    np.testing.assert_allclose(posterior.mean, exact @ right, rtol=1e-7)
    np.testing.assert_allclose(found.numbers, posterior.mean)
    # The load that does nothing keeps its prior.
    assert posterior.deviations[2] == pytest.approx(0.9, rel=1e-9)
    low, high = posterior.interval(0.9)[0]
    assert high - low == pytest.approx(2 * 1.6448536269514722 * posterior.deviations[0])
    draws = posterior.sample(jax.random.key(0), 4000)
    whitened = (draws - posterior.mean) @ np.linalg.inv(np.linalg.cholesky(exact)).T
    # 4000 draws: the entries of a sample covariance deviate by √(2/4000) at most, here 5 of them.
    np.testing.assert_allclose(np.cov(whitened, rowvar=False), np.eye(3), atol=5 * 0.0224)


def test_undetermined_numbers_are_named():
    with pytest.raises(ValueError, match=r"do not depend on value\[2\]"):
        pm.laplace(loads([1.0, 1.0, 1.0]), data(1e-3), METHOD, where)
    rod = pm.Problem(
        pm.library.Poisson(k=1.0, f=1.0),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    seen = pm.Observations(X, 0.0, X[:, 0], "u", noise=0.1)
    with pytest.raises(ValueError, match=r"24 observations do not determine all 2 numbers"):
        pm.laplace(rod, seen, METHOD, lambda pde: (pde.k, pde.f))


def two_loads():
    class Two(pm.PDE):
        a: pm.Coefficient = pm.coefficient(1.0)
        b: pm.Coefficient = pm.coefficient(1.0)
        fields = {"u": pm.Scalar()}

        def equations(self):
            load = lambda p: self.a(p) + self.b(p) * p.x[0]
            return {"u": pm.Balance((lambda p: -p.grad.u,), (load,), pm.NoStorage)}

    return pm.Problem(Two(), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0)})


def test_unknown_noise_and_ensembles():
    """σ² = r·r/(n − P), and refits of data with new noise have the same covariance."""
    problem, chosen = two_loads(), lambda pde: (pde.a, pde.b)
    found = pm.fit(problem, data(None), METHOD, chosen)
    a = columns()[:, :2]
    best, squares = np.linalg.lstsq(a, np.asarray(data(None).values))[:2]
    np.testing.assert_allclose(found.numbers, best, rtol=1e-7)
    exact = np.linalg.inv(a.T @ a) * squares[0] / (len(X) - 2)
    np.testing.assert_allclose(found.posterior().covariance, exact, rtol=1e-7)
    members = found.posterior("ensemble", draws=40, seed=1)
    ratio = members.deviations / np.sqrt(np.diag(exact))
    # A deviation from 40 draws is known to 1/√78.
    np.testing.assert_allclose(ratio, 1.0, atol=3.5 / np.sqrt(78))
    # A network eliminates its weights to the same bound, whatever its seed.
    known = pm.fit(problem, data(1e-3), METHOD, chosen).posterior()
    small = pm.networks.MLP
    for method in (pm.PINN(network=lambda i, o, key: small(i, o, width=8, depth=2, key=key)),):
        network = pm.fit(problem, data(1e-3), method, chosen, steps=40)
        own = network.posterior()
        np.testing.assert_allclose(own.covariance, known.covariance, rtol=0.05)
        np.testing.assert_allclose(network.numbers, known.mean, atol=0.2 * known.deviations.min())


def burgers_readings():
    """u of Burgers' equation at 40 points with noise; the best ν and its bound by the formula."""
    rng, noise = np.random.default_rng(0), 0.05
    x, t = rng.uniform(-1.0, 1.0, (40, 1)), rng.uniform(0.1, 1.0, 40)

    def at(nu):
        exact = pm.library.burgers(float(nu)).exact["u"]
        return np.asarray(jax.vmap(exact)(jnp.asarray(x), jnp.asarray(t)))

    values = at(0.05) + noise * rng.standard_normal(40)
    best, h = 0.05, 1e-4
    for _ in range(3):
        slope = (at(best + h) - at(best - h)) / (2 * h)
        best += slope @ (values - at(best)) / (slope @ slope)
    return pm.Observations(x, t, values, "u", noise=noise), best, noise / np.linalg.norm(slope)


def test_a_network_finds_what_least_squares_on_the_exact_solution_finds():
    """Trained on data and equation at once it is off by 4 to 15 deviations after these steps."""
    seen, best, deviation = burgers_readings()
    network = functools.partial(pm.networks.MLP, width=12, depth=2)
    for seed in (0, 1, 2):
        found = pm.fit(
            pm.library.burgers(0.08),
            seen,
            pm.PINN(network=network, points=500),
            lambda pde: pde.nu,
            seed=seed,
            steps=80,
        )
        assert abs(found.number - best) < 0.1 * deviation
        posterior = found.posterior()
        assert posterior.deviations[0] == pytest.approx(deviation, rel=0.03)
        assert "on solutions of the equations" in posterior.explanation
        # The solution is that of the problem with these coefficients.
        assert found.problem is found.solution.problem
        exact = pm.library.burgers(found.number).exact["u"]
        x, t = jnp.asarray(seen.x), jnp.asarray(seen.t)
        gap = np.asarray(found.solution["u"](x, t)) - np.asarray(jax.vmap(exact)(x, t))
        assert np.sqrt(np.mean(gap**2)) < 0.2 * 0.05


def test_open_conditions_leave_the_equations_to_the_data():
    """Where nothing is prescribed the equation alone does not tell the solution."""

    class Rod(pm.PDE):
        k: pm.Coefficient = pm.coefficient(1.0)
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(lambda p: -p.grad.u,), source=(lambda p: self.k(p),))}

    rod = pm.Problem(
        Rod(),
        pm.Interval(0.0, 1.0),
        boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Free("u")},
    )
    x, noise = X[:, 0], 1e-3
    seen = pm.Observations(X, 0.0, x * (1 - x) / 2, "u", noise=noise)
    small = functools.partial(pm.networks.MLP, width=8, depth=2)
    found = pm.fit(rod, seen, pm.PINN(network=small), lambda pde: pde.k, steps=40)
    # u = a x − k x²/2 with both unknown.
    both = np.linalg.inv(np.stack([x, -(x**2) / 2]) @ np.stack([x, -(x**2) / 2]).T)
    posterior = found.posterior()
    assert "eliminated" in posterior.explanation
    assert posterior.deviations[0] == pytest.approx(noise * both[1, 1] ** 0.5, rel=0.1)


def test_positive_numbers_are_log_normal():
    rod = pm.Problem(
        pm.library.Poisson(k=1.0, f=1.0),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    shape = X[:, 0] * (1 - X[:, 0]) / 2
    seen = pm.Observations(X, 0.0, shape / 0.4, "u", noise=0.01)
    posterior = pm.fit(rod, seen, METHOD, lambda pde: pde.k, positive=True).posterior()
    # ∂u/∂k = −x(1 − x)/2k².
    deviation = 0.01 / np.linalg.norm(shape / 0.16)
    assert posterior.deviations[0] == pytest.approx(deviation, rel=1e-6)
    low, high = posterior.interval(0.95)[0]
    assert low * high == pytest.approx(0.16, rel=1e-6)
    assert (posterior.sample(jax.random.key(1), 50) > 0).all()


def test_derivatives_in_time_are_those_of_the_exact_solution():
    """Heat: u = e^{−κπ²t} sin πx, so ∂u/∂κ = −π²t u: the bound in closed form."""
    x, t = np.tile(X, (2, 1)), np.repeat([0.3, 0.7], len(X))
    problem = pm.library.heat()
    seen = pm.Observations(x, t, 0 * t, "u", noise=0.02)
    method = pm.FiniteElement(degree=3, cells=8, dt=0.05)
    bound = pm.laplace(problem, seen, method, lambda pde: pde.kappa)
    slope = np.pi**2 * t * np.exp(-0.25 * np.pi**2 * t) * np.sin(np.pi * x[:, 0])
    assert bound.deviations[0] == pytest.approx(0.02 / np.linalg.norm(slope), rel=1e-4)


def test_both_optimizers_find_a_field():
    """Values by cell, and a Karhunen–Loève field, from data without noise."""
    truth = np.array([0.8, -0.5, 0.3])

    def rod(coefficients):
        k = pm.KarhunenLoeve(pm.Interval(0.0, 1.0), 3, length=0.6, coefficients=coefficients)
        return pm.Problem(
            pm.library.Poisson(k=k, f=10.0),
            pm.Interval(0.0, 1.0),
            boundary={"all": pm.Dirichlet(u=0.0)},
        )

    values = np.asarray(pm.solve(rod(truth), METHOD)["u"](X))
    seen = pm.Observations(X, 0.0, values, "u", noise=1e-3)
    newton = pm.fit(rod(np.zeros(3)), seen, METHOD, lambda pde: pde.k, optimizer="gauss-newton")
    np.testing.assert_allclose(newton.numbers, truth, atol=1e-6)
    adjoint = pm.fit(rod(np.zeros(3)), seen, METHOD, lambda pde: pde.k, optimizer="l-bfgs")
    np.testing.assert_allclose(adjoint.numbers, truth, atol=1e-3)
    assert newton.evaluations < adjoint.evaluations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": -1.0}, "prior is a positive deviation"),
        ({"prior": [1.0, 2.0]}, "one for each of 3 numbers"),
        ({"optimizer": "newton"}, "optimizer is one of"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        pm.fit(loads([1.0, 1.0, 1.0]), data(1e-3), METHOD, where, **options)
