"""Karhunen–Loève fields: eigenpairs against exact ones and their own equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import physml as pm


def grid(count):
    nodes, weights = np.polynomial.legendre.leggauss(count)
    x, w = 0.5 * (1 + nodes), 0.5 * weights
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    return points, np.outer(w, w).ravel()


def test_eigenpairs_of_the_plane():
    """∫ C φ = λ φ and ∫ φₖ φₗ = δₖₗ on points that the modes were not made from."""
    field = pm.KarhunenLoeve(pm.Rectangle(), 12, length=0.4, deviation=1.5)
    x, w = grid(33)
    scaled = np.asarray(jax.vmap(field.basis)(jnp.asarray(x)))
    np.testing.assert_allclose(
        scaled.T @ (w[:, None] * scaled), np.diag(field.eigenvalues), atol=1e-12
    )
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    covariance = 1.5**2 * np.exp(-0.5 * (distance / 0.4) ** 2)
    left = covariance @ (w[:, None] * scaled)
    np.testing.assert_allclose(left, scaled * field.eigenvalues, atol=1e-9)


def test_exponential_covariance_on_an_interval():
    """λ = 2c/(ω² + c²), c = ω tan ω/2 or −ω cot ω/2 in turn; Σ λ = 1. Ghanem & Spanos (1991)."""
    c, errors = 2.0, []
    even = brentq(lambda w: c - w * np.tan(w / 2), 1e-6, np.pi - 1e-6)
    odd = brentq(lambda w: w + c * np.tan(w / 2), np.pi + 1e-6, 2 * np.pi)
    exact = np.array([2 * c / (w**2 + c**2) for w in (even, odd)])
    for points in (32, 64):
        field = pm.KarhunenLoeve(
            pm.Interval(0.0, 1.0), points, covariance="exponential", length=0.5, points=points
        )
        assert field.eigenvalues.sum() == pytest.approx(1.0, abs=1e-12)
        errors.append(np.abs(field.eigenvalues[:2] - exact).max())
    # A kink on the diagonal: second order.
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_value_and_derivatives():
    xi = np.array([0.5, -1.0, 2.0, 0.1])
    field = pm.KarhunenLoeve(pm.Rectangle((0.0, 0.0), (2.0, 1.0)), 4, mean=0.3, coefficients=xi)
    x = jnp.array([0.7, 0.4])

    def value(y, numbers):
        there = pm.KarhunenLoeve(
            pm.Rectangle((0.0, 0.0), (2.0, 1.0)), 4, mean=0.3, coefficients=numbers
        )
        return there(pm.Point(y, jnp.zeros(()), {}))

    np.testing.assert_allclose(value(x, xi), np.exp(0.3 + field.basis(x) @ xi))
    h = 1e-5
    for i in range(2):
        step = h * jnp.eye(2)[i]
        difference = (value(x + step, xi) - value(x - step, xi)) / (2 * h)
        np.testing.assert_allclose(jax.grad(value)(x, xi)[i], difference, rtol=1e-7)
    np.testing.assert_allclose(
        jax.grad(value, argnums=1)(x, jnp.asarray(xi)), value(x, xi) * field.basis(x), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance": "cubic"}, "covariance is one of"),
        ({"length": 0.0}, "length > 0"),
        ({"modes": 65}, "between 1 and the number of points, 64"),
        ({"coefficients": [1.0, 2.0]}, r"shape \(16,\), got \(2,\)"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        pm.KarhunenLoeve(pm.Interval(0.0, 1.0), **options)
