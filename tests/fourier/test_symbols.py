"""Symbols, φ-functions, de-aliasing, structure; refusals and failures by name."""

import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import physml as pm
from pdes import library
from solvers.spectral._dealias import kept_modes, polynomial_degree
from solvers.spectral._symbol import zero_point
from solvers.spectral.fourier_system import interpolate
from solvers.time._exponential import ETDRK, SplitTerm, phi_matrix, phi_scalar


def exact_phi(z, k):
    """φₖ(z) = ∫₀¹ e^{(1−s)z} sᵏ⁻¹/(k − 1)! ds, where nothing cancels for Re z ≤ 0."""
    nodes, weights = np.polynomial.legendre.leggauss(250)
    s = 0.5 * (nodes + 1)
    values = np.exp((1 - s) * z) * s ** (k - 1) / math.factorial(k - 1)
    return complex(np.sum(0.5 * weights * values))


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_scalar_phi_functions_to_round_off(dtype):
    sizes = 10.0 ** np.array([-9.0, -4, -2, -0.3, -0.01, 0.01, 0.3, 1, 2])
    angles = np.exp(1j * np.array([0.5, 0.75, 1.0, 1.49]) * np.pi)
    z = np.concatenate([[0.0], np.outer(sizes, angles).ravel()]).astype(dtype)
    found = phi_scalar(jnp.asarray(z), 3)
    eps = np.finfo(dtype).eps
    for k in range(1, 4):
        exact = np.array([exact_phi(v, k) for v in z])
        error = np.abs(np.asarray(found[k]) - exact) / np.abs(exact)
        # e^z itself loses |z| ε for large |z|.
        assert (error < 20 * eps * np.maximum(1, np.abs(z))).all(), k


@pytest.mark.parametrize("scale", [1e-6, 1.0, 40.0])
def test_matrix_phi_functions_equal_augmented_exponentials(scale):
    generator = np.random.default_rng(0)
    a = generator.standard_normal((4, 3, 3)) * scale - scale * np.eye(3)
    found = phi_matrix(jnp.asarray(a), 3)
    for i in range(4):
        # The last block column of exp of the nilpotent extension holds φ₁, φ₂, φ₃.
        big = np.zeros((12, 12))
        big[:3, :3] = a[i]
        for j in range(3):
            big[3 * j : 3 * j + 3, 3 * j + 3 : 3 * j + 6] = np.eye(3)
        blocks = scipy.linalg.expm(big)[:3]
        for k in range(4):
            expected = blocks[:, 3 * k : 3 * k + 3]
            size = np.abs(expected).max()
            assert np.abs(np.asarray(found[k][i]) - expected).max() < 1e-11 * size


def test_wave_symbol_of_high_frequency_is_not_overscaled():
    k = 1e4
    a = jnp.array([[0.0, 1.0], [-(k**2), 0.0]])
    found = np.asarray(phi_matrix(0.01 * a, 1)[0])
    angle = 0.01 * k
    expected = [[np.cos(angle), np.sin(angle) / k], [-k * np.sin(angle), np.cos(angle)]]
    np.testing.assert_allclose(
        found / [[1, 1 / k], [k, 1]], expected / np.array([[1, 1 / k], [k, 1]]), atol=1e-11
    )


def one_dimension(pde, **data):
    return pm.Problem(pde, pm.Interval(0.0, 2 * np.pi, periodic=True), time=(0.0, 1.0), **data)


def test_symbols_of_known_equations():
    k = np.arange(17.0)
    sine = {"u": lambda x: jnp.sin(x[0])}
    ks = pm.Fourier(points=32).discretize(
        one_dimension(library.KuramotoSivashinsky(), initial=sine)
    )
    np.testing.assert_allclose(ks.linear().values[0], k**2 - k**4, rtol=1e-14)
    assert not jnp.iscomplexobj(ks.linear().values)
    kdv = pm.Fourier(points=32).discretize(one_dimension(library.KortewegDeVries(), initial=sine))
    expected = 1j * k**3
    expected[-1] = 0.0  # an odd derivative has no value at the Nyquist mode
    np.testing.assert_allclose(kdv.linear().values[0], expected, atol=1e-11)


def test_cahn_hilliard_symbol_is_isotropic():
    problem = pm.Problem(
        library.CahnHilliard(epsilon=0.3),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 1.0),
        initial={"u": 0.1},
    )
    system = pm.Fourier(points=32).discretize(problem)
    k1, k2 = np.fft.fftfreq(32, 1 / 32)[:, None], np.arange(17.0)[None]
    squared = k1**2 + k2**2
    # ∇⁴, not Σ ∂ᵢ⁴; the Nyquist modes of ∇·∇ stay damped.
    expected = squared - 0.09 * squared**2
    np.testing.assert_allclose(np.asarray(system.linear().values[0]), expected, rtol=1e-12)
    assert system.plan.fraction == 0.5


def test_projection_of_stokes_is_leray_and_keeps_a_diagonal_symbol():
    problem = pm.Problem(
        library.Stokes(nu=0.7),
        pm.Box([0.0] * 3, [2 * np.pi] * 3, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.stack([jnp.sin(x[1]), jnp.cos(x[2]), jnp.sin(x[0] + x[2])])},
        gauge={"p": pm.ZeroMean()},
    )
    system = pm.Fourier(points=8).discretize(problem)
    assert system.plan.diagonal and system.plan.commuting
    generator = np.random.default_rng(0)
    z = jnp.asarray(generator.standard_normal((3, 8, 8, 5)) + 1j)
    once = system.projection(z)
    np.testing.assert_allclose(system.projection(once), once, atol=1e-13)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(8, 1 / 8)] * 2, np.arange(5.0), indexing="ij"))
    inside = (np.abs(k) < 4).all(axis=0)
    divergence = np.sum(k * np.asarray(once), axis=0)[inside]
    assert np.abs(divergence).max() < 1e-12
    gradient = jnp.where(inside, jnp.asarray(1j * k), 0.0)
    assert float(jnp.abs(system.projection(gradient)).max()) < 1e-12


@pytest.mark.parametrize(
    ("term", "degree"),
    [
        (lambda p: p.u**2, 2),
        (lambda p: p.u * p.grad.u[0] + p.u, 2),
        (lambda p: p.u**3 / 3 + jnp.sum(p.grad.u**2), 3),
        (lambda p: jnp.sin(p.x[0]) * p.u, 1),
        (lambda p: jnp.cos(p.x[0]), 0),
        (lambda p: jnp.sin(p.u), math.inf),
        (lambda p: p.u / (1 + p.u), math.inf),
        (lambda p: jnp.where(p.u > 0, p.u, 0.0), math.inf),
    ],
)
def test_polynomial_degree(term, degree):
    assert polynomial_degree(term, zero_point({"u": ()}, 1)) == degree


def test_kept_modes_leave_no_aliases():
    for count in (32, 48, 200, 256):
        for degree, fraction in ((2, 2 / 3), (3, 1 / 2)):
            mask = kept_modes((count,), fraction)
            assert mask is not None
            highest = int(np.flatnonzero(mask)[-1])
            assert (degree + 1) * highest < count <= (degree + 1) * (highest + 3)


def test_quadratic_products_are_exact():
    # A product of kept modes, against its exact convolution.
    problem = one_dimension(library.Burgers(nu=0.1), initial={"u": 0.0})
    system = pm.Fourier(points=32).discretize(problem)
    generator = np.random.default_rng(1)
    half = np.zeros(17, complex)
    half[:10] = generator.standard_normal(10) + 1j * generator.standard_normal(10)
    half[0] = half[0].real
    full = np.concatenate([np.conj(half[1:10][::-1]), half[:10]])
    square = np.convolve(full, full)[18:28] / 32
    expected = -0.5j * np.arange(10) * square
    found = np.asarray(system.nonlinear(jnp.asarray(half)[None], jnp.zeros(())))[0]
    np.testing.assert_allclose(found[:10], expected, atol=1e-12)
    assert not found[10:].any()


def test_interpolation_reproduces_the_grid_and_is_real_cosine_at_nyquist():
    problem = one_dimension(library.Heat(), initial={"u": lambda x: jnp.cos(4 * x[0])})
    system = pm.Fourier(points=8).discretize(problem)
    z = system.initial_state()
    value = jax.jit(lambda x: interpolate(z, x, system.plan)[0])
    assert float(value(jnp.array([0.3]))) == pytest.approx(np.cos(1.2), abs=1e-14)
    slope = jax.grad(lambda x: value(x[None]))(0.3)
    assert float(slope) == pytest.approx(-4 * np.sin(1.2), abs=1e-13)


def test_runs_inside_diffrax_with_saveat_and_refuses_other_steps():
    problem = library.kdv()
    system = pm.Fourier(points=128).discretize(problem)
    z = system.initial_state()
    solver = ETDRK(system.linear(), 0.01)

    def run(dt):
        """An array, and the same options: both are compiled once."""
        return diffrax.diffeqsolve(
            SplitTerm(system), solver, 0.0, 0.5, jnp.asarray(dt), z,
            saveat=diffrax.SaveAt(ts=jnp.asarray([0.25, 0.5])), throw=False,
        )  # fmt: skip

    with pytest.warns(UserWarning, match="Complex dtype"):
        found, wrong = run(0.01), run(0.02)
    assert found.result == diffrax.RESULTS.successful
    advance = jax.jit(lambda t, z: solver.advance(system, t, z))
    direct = z
    for i in range(50):
        direct = advance(0.01 * i, direct)
        if i == 24:
            np.testing.assert_allclose(found.ys[0], direct, atol=1e-11)
    np.testing.assert_allclose(found.ys[1], direct, atol=1e-11)
    assert wrong.result == diffrax.RESULTS.dt_min_reached


def test_two_stages_where_a_nonlinear_definition_is_needed_pointwise():
    # Mobility 1 + 0·u makes the flux −M∇μ pointwise; the solution must be that of M = 1.
    def problem(mobility):
        return pm.Problem(
            library.CahnHilliard(epsilon=0.5, mobility=mobility),
            pm.Interval(0.0, 2 * np.pi, periodic=True),
            time=(0.0, 0.05),
            initial={"u": lambda x: 0.5 * jnp.sin(x[0]) + 0.2 * jnp.cos(2 * x[0])},
        )

    plain = pm.Fourier(points=32, dt=1e-4, dealias=0.5).solve(problem(1.0))
    varying = pm.Fourier(points=32, dt=1e-4, dealias=0.5)
    system = varying.discretize(problem(lambda p: 1.0 + 0.0 * p.u))
    assert len(system.plan.stages) == 2
    other = varying.solve(problem(lambda p: 1.0 + 0.0 * p.u))
    x = jnp.linspace(0, 6, 20)[:, None]
    np.testing.assert_allclose(plain["u"](x, 0.05), other["u"](x, 0.05), atol=1e-7)


def test_single_precision_follows_double(float32):
    problem = library.kuramoto_sivashinsky(end=5.0)
    solution = pm.Fourier(points=128, dt=0.05).solve(problem)
    found = np.asarray(solution.representation.on_grid(-1)["u"])
    assert found.dtype == np.float32
    jax.config.update("jax_enable_x64", True)
    double = pm.Fourier(points=128, dt=0.05).solve(library.kuramoto_sivashinsky(end=5.0))
    expected = np.asarray(double.representation.on_grid(-1)["u"])
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_refusals_name_the_reason_and_the_remedy():
    assert "not periodic" in str(pm.Fourier().inapplicable(library.burgers()))
    nonlinear = pm.Problem(
        library.NavierStokes(),
        pm.Rectangle(periodic=True),
        gauge={"u": pm.ZeroMean(), "p": pm.ZeroMean()},
    )
    assert "steady" in str(pm.Fourier().inapplicable(nonlinear))
    with pytest.raises(pm.NotApplicable, match="not periodic"):
        pm.Fourier().solve(library.burgers())
    for points in (31, 4, 32.5):
        with pytest.raises(ValueError, match="even and at least 8"):
            pm.Fourier(points=points).solve(library.kdv())
    with pytest.raises(ValueError, match="order is 1, 2, 3 or 4"):
        pm.Fourier(order=5).solve(library.kdv())
    with pytest.raises(ValueError, match="dealias"):
        pm.Fourier(dealias=1.5).solve(library.kdv())
    with pytest.raises(ValueError, match="dt must be positive"):
        pm.Fourier(dt=-0.1).solve(library.kdv())
    with pytest.raises(ValueError, match="give dt"):
        jax.jit(
            lambda nu: pm.Fourier(points=16).solve(
                one_dimension(library.Burgers(nu=nu), initial={"u": 1.0})
            )["u"](0.1, 1.0)
        )(0.1)
    with pytest.raises(ValueError, match="expected \\(batch, 16\\)"):
        pm.trajectory(library.kdv(), pm.Fourier(points=16), jnp.zeros((2, 8)), [0.1])


def test_unstable_step_is_an_error_that_names_a_stable_one():
    problem = one_dimension(
        library.Burgers(nu=1e-3), initial={"u": lambda x: 20.0 + 5.0 * jnp.sin(x[0])}
    )
    with pytest.raises(pm.SolverError, match="is stable") as caught:
        pm.Fourier(points=64, dt=0.2).solve(problem)
    assert caught.value.reason == "not_finite"


def test_steady_data_that_no_solution_fits_are_refused():
    square = pm.Rectangle(periodic=True)
    biased = pm.Problem(library.Poisson(f=1.0), square, gauge={"u": pm.ZeroMean()})
    with pytest.raises(pm.SolverError, match="mean of a source") as caught:
        pm.Fourier(points=8).solve(biased)
    assert caught.value.reason == "incompatible_data"
    resonant = pm.Problem(
        library.Helmholtz(k=1.0, f=lambda p: jnp.sin(p.x[0])),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
    )
    with pytest.raises(pm.SolverError, match="not unique") as caught:
        pm.Fourier(points=8).solve(resonant)
    assert caught.value.reason == "singular_matrix"
