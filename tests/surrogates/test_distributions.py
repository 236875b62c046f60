"""Distributions: exact moments of the series, reproducible draws, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from physml.surrogates._distributions import eigenfunctions


@pytest.mark.parametrize("kind", ["fourier", "sine", "cosine"])
def test_eigenfunctions_are_orthonormal(kind):
    s = (np.arange(400) + 0.5) / 400
    values = np.asarray(jax.vmap(lambda r: eigenfunctions(kind, 9, r))(jnp.asarray(s)))
    np.testing.assert_allclose(values.T @ values / 400, np.eye(9), atol=1e-12)


def test_variances_are_those_of_the_covariance_operator():
    field = pm.GaussianField(pm.Interval(0.0, 1.0, periodic=True), modes=3)
    wave = 2 * np.pi * np.array([0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_allclose(field.deviations**2, 625.0 / (wave**2 + 25.0) ** 2, rtol=1e-14)
    plane = pm.GaussianField(pm.Rectangle((0, 0), (2, 1)), amplitude=3.0, tau=1.0, modes=2)
    λ = np.add.outer((np.pi * np.array([1, 2]) / 2) ** 2, (np.pi * np.array([1, 2])) ** 2)
    np.testing.assert_allclose(plane.deviations**2, 9.0 / (λ + 1.0) ** 2, rtol=1e-14)


def test_a_draw_is_a_differentiable_function_and_its_mean_square_is_parseval():
    domain = pm.Rectangle((0.0, 0.0), (2.0, 1.0), periodic=True)
    field = pm.GaussianField(domain, modes=4)
    latent = field.draw(np.random.default_rng(3))
    u = field.make(jnp.asarray(latent))
    x = pm.Rectangle((0.0, 0.0), (2.0, 1.0), periodic=True).grid(2 * 24 * 24)
    values = np.asarray(jax.vmap(u)(jnp.asarray(x)))
    np.testing.assert_allclose(np.mean(values**2) * 2.0, np.sum(latent**2), rtol=1e-12)
    at, h = jnp.array([0.3, 0.4]), 1e-5
    slope = (u(at + jnp.array([h, 0.0])) - u(at - jnp.array([h, 0.0]))) / (2 * h)
    np.testing.assert_allclose(jax.grad(u)(at)[0], slope, rtol=1e-7)


def test_sine_series_vanishes_at_the_ends_and_a_transform_is_applied():
    field = pm.GaussianField(pm.Interval(-1.0, 2.0), modes=8)
    u = field.make(jnp.asarray(field.draw(np.random.default_rng(0))))
    np.testing.assert_allclose([u(jnp.array([-1.0])), u(jnp.array([2.0]))], 0.0, atol=1e-12)
    wider = pm.GaussianField(pm.Interval(-1.0, 2.0), modes=8, transform=jnp.exp, mean=0.5)
    v = wider.make(u.coefficients)
    np.testing.assert_allclose(v(jnp.array([0.3])), np.exp(u(jnp.array([0.3])) + 0.5), rtol=1e-12)


def test_numbers_lie_where_they_should():
    draws = [pm.LogUniform(1e-3, 10.0).draw(np.random.default_rng(i)) for i in range(400)]
    assert min(draws) >= 1e-3 and max(draws) <= 10.0
    assert np.mean(np.array(draws) < 0.1) == pytest.approx(0.5, abs=0.1)  # the geometric mean
    normal = [pm.Normal(2.0, 0.5).draw(np.random.default_rng(i)) for i in range(400)]
    assert np.mean(normal) == pytest.approx(2.0, abs=0.1)
    assert np.std(normal) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pm.Uniform(1.0, 0.0), "low < high"),
        (lambda: pm.Uniform(0.0, float("nan")), "finite"),
        (lambda: pm.LogUniform(-1.0, 1.0), "0 < low"),
        (lambda: pm.Normal(0.0, -1.0), "positive deviation"),
        (lambda: pm.GaussianField(pm.Interval(0, 1), boundary="robin"), "'dirichlet' or"),
        (lambda: pm.GaussianField(pm.Interval(0, 1, periodic=True), tau=0.0), "spectrum"),
        (lambda: pm.GaussianField(pm.Interval(0, 1), modes=0), "positive number of modes"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_field_needs_a_box():
    with pytest.raises(TypeError, match="Interval, Rectangle or Box"):
        pm.GaussianField("unit square")  # type: ignore[arg-type]
