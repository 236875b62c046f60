"""Spectra, energy, dissipation, correlations; the smooth filter and the 1/2 rule."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library


def at_rest(start, dim=1, **changes):
    """Data as they are: a heat equation that does nothing."""
    domain = pm.Box([0.0] * dim, changes.pop("sides", [2 * np.pi] * dim), periodic=True)
    return pm.Problem(
        library.Heat(kappa=0.0), domain, time=(0.0, 1.0), initial={"u": start}, **changes
    )


@pytest.fixture(scope="module")
def waves():
    problem = at_rest(
        lambda x: 2.0 + 3.0 * jnp.cos(4 * x[0] + 3 * x[1]) + jnp.sin(2 * x[1]) + jnp.cos(8 * x[0]),
        dim=2,
    )
    return pm.Fourier(points=16, dt=0.5).solve(problem)


def test_spectrum_puts_each_wave_in_its_shell(waves):
    k, energies = pm.spectrum(waves, "u", 0.5)
    np.testing.assert_allclose(k, np.arange(9.0))
    # ½a²/2 for a wave of amplitude a; the mean ½·2²; a cosine at the Nyquist mode ½·1.
    expected = np.zeros(9)
    expected[[0, 5, 2, 8]] = [2.0, 9 / 4, 1 / 4, 1 / 2]
    np.testing.assert_allclose(energies, expected, atol=1e-13)
    values = waves.representation.on_grid(-1)["u"]
    assert float(pm.energy(waves, "u")) == pytest.approx(float(0.5 * jnp.mean(values**2)))
    assert float(energies.sum()) == pytest.approx(float(pm.energy(waves, "u")), rel=1e-13)


def test_dissipation_is_the_mean_square_gradient(waves):
    # 25 · 9/2 + 4 · 1/2 + 64 · 1 (the Nyquist mode's own mean square is 1).
    assert float(pm.dissipation(waves, "u")) == pytest.approx(112.5 + 2 + 64, rel=1e-13)


def test_autocorrelation_of_waves():
    problem = at_rest(lambda x: 5.0 + jnp.sin(np.pi * x[0]) + 2 * jnp.cos(3 * np.pi * x[0]),
                      sides=[2.0])  # fmt: skip
    solution = pm.Fourier(points=32, dt=0.5).solve(problem)
    r, c = pm.autocorrelation(solution, "u")
    np.testing.assert_allclose(r, np.arange(17) / 16, atol=1e-15)
    expected = (np.cos(np.pi * r) + 4 * np.cos(3 * np.pi * r)) / 5
    np.testing.assert_allclose(c, expected, atol=1e-13)


def test_energy_of_a_viscous_flow_falls_by_its_dissipation():
    solution = pm.Fourier(points=64, dt=0.005).solve(burgers(0.1))
    assert float(pm.energy(solution, "u", 0.0)) == pytest.approx(1 / 4, rel=1e-12)
    # Simpson's rule; convection keeps the energy.
    times = np.linspace(0.0, 0.5, 21)
    weights = np.array([1.0, *[4.0, 2.0] * 9, 4.0, 1.0]) * 0.5 / 60
    rates = [0.1 * float(pm.dissipation(solution, "u", t)) for t in times]
    fall = float(pm.energy(solution, "u", 0.0) - pm.energy(solution, "u", 0.5))
    assert fall == pytest.approx(float(weights @ rates), rel=1e-5)


def test_other_methods_have_spectra_too():
    problem = pm.Problem(
        library.Heat(kappa=0.1),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 0.5),
        initial={"u": lambda x: jnp.sin(3 * x[0])},
    )
    by_elements = pm.FiniteElement(degree=3, cells=32).solve(problem)
    by_waves = pm.Fourier(points=32, dt=0.1).solve(problem)
    _, first = pm.spectrum(by_elements, "u", points=32)
    _, second = pm.spectrum(by_waves, "u")
    np.testing.assert_allclose(first, second, atol=1e-5 * float(second.max()))
    assert float(second[3]) == pytest.approx(0.25 * np.exp(-2 * 0.9 * 0.5), rel=1e-12)


def test_diagnostics_refuse_what_is_not_periodic(waves):
    with pytest.raises(KeyError, match="no field 'v'"):
        pm.spectrum(waves, "v")
    solution = eqx.tree_at(lambda s: s.problem, waves, library.heat())
    with pytest.raises(pm.NotApplicable, match="periodic in every direction"):
        pm.spectrum(solution, "u")


def burgers(nu):
    return pm.Problem(
        library.Burgers(nu=nu),
        pm.Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 0.5),
        initial={"u": lambda x: -jnp.sin(jnp.pi * x[0])},
    )


def test_exponential_filter_converges_and_resolves_more():
    x = jnp.linspace(-1.0, 1.0, 41)
    exact = jnp.stack([library.cole_hopf(v[None], jnp.asarray(0.5), 0.04) for v in x])

    def error(points, dealias):
        method = pm.Fourier(points=points, dt=2e-3, dealias=dealias, frames=2)
        return float(jnp.abs(method.solve(burgers(0.04))["u"](x[:, None], 0.5) - exact).max())

    smooth = pm.ExponentialFilter()
    assert error(128, smooth) < 1e-9
    assert error(48, smooth) < 0.2 * error(48, "auto")


def test_exponential_filter_weights():
    weights = pm.ExponentialFilter(strength=36.0, order=36.0).weights((16, 8))
    assert weights.shape == (16, 5)
    assert weights[0, 0] == 1.0
    assert weights[8, 0] == pytest.approx(np.exp(-36.0))
    assert weights[3, 2] == pytest.approx(np.exp(-36 * ((3 / 8) ** 36 + (2 / 4) ** 36)))
    with pytest.raises(ValueError, match="must be positive"):
        pm.ExponentialFilter(order=-1.0)


def test_cubic_products_are_exact_by_the_half_rule():
    problem = pm.Problem(
        library.AllenCahn(beta=1.0),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 1.0),
        initial={"u": 0.0},
    )
    system = pm.Fourier(points=32).discretize(problem)
    assert system.plan.fraction == 0.5
    generator = np.random.default_rng(1)
    half = np.zeros(17, complex)
    half[:8] = generator.standard_normal(8) + 1j * generator.standard_normal(8)
    half[0] = half[0].real
    full = np.concatenate([np.conj(half[1:8][::-1]), half[:8]])
    cube = np.convolve(np.convolve(full, full), full)[21:29] / 32**2
    found = np.asarray(system.nonlinear(jnp.asarray(half)[None], jnp.zeros(())))[0]
    np.testing.assert_allclose(found[:8], -cube, atol=1e-11)
    assert not found[8:].any()
