"""Residuals by their Fourier coefficients, each divided by the size of the equation on its wave."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from pdes import library
from physml.losses import Spectral, spectral_batch, stacked
from physml.losses._spectral import wave_sizes, wavenumbers
from physml.losses._waves_on_grid import WaveBlock
from physml.optimizers import QuadratureBlock
from tests.losses._exact import exact_collocation


def _sizes(problem, name, k):
    shapes = tuple((n, problem.shapes[n]) for n in problem.initial)
    points = jnp.asarray(problem.domain.bounds[0] + np.arange(96)[:, None] / 96 * _length(problem))
    found = wave_sizes(problem, shapes, points, jnp.asarray(k, float)[:, None])
    return np.asarray(found[name])[:, 0]


def _length(problem):
    return float((problem.domain.bounds[1] - problem.domain.bounds[0])[0])


K = np.array([0, 1, 3, 8])


class Carried(pm.PDE):
    """∂u/∂t + ∂(2u − 0.05 ∂u/∂x)/∂x = 0."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(lambda p: 2.0 * p.u[None] - 0.05 * p.grad.u,))}


def _carried(length=3.0):
    return pm.Problem(
        Carried(),
        pm.Interval(0.0, length, periodic=True),
        time=(0.0, 0.2),
        initial={"u": lambda x: jnp.sin(2 * jnp.pi * x[0] / length)},
    )


def test_sizes_of_diffusion_and_advection():
    problem = _carried()
    k = 2 * np.pi * K / 3.0
    expected = 5.0 + np.hypot(2.0 * k, 0.05 * k**2)
    np.testing.assert_allclose(_sizes(problem, "u", K), expected, rtol=1e-12)


def test_sizes_of_an_equation_of_second_order_in_time():
    problem = pm.Problem(
        library.waves.Wave(c=3.0),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 0.2),
        initial={"u": lambda x: jnp.sin(x[0])},
        initial_rate={"u": 0.0},
    )
    np.testing.assert_allclose(_sizes(problem, "u", K), 25.0 + 9.0 * K**2, rtol=1e-12)


class Stiff(pm.PDE):
    """∂(5u)/∂t + ∂²w/∂x² = 0, w = ∂²u/∂x²: a capacity, and a definition that is substituted."""

    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(storage=lambda p: 5.0 * p.u, flux=(lambda p: p.grad.w,)),
            "w": pm.Definition(flux=(lambda p: p.grad.u,)),
        }


def test_sizes_with_a_definition_and_a_capacity():
    problem = pm.Problem(
        Stiff(),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 0.1),
        initial={"u": lambda x: jnp.sin(x[0])},
    )
    np.testing.assert_allclose(_sizes(problem, "u", K), 50 + K**4.0, rtol=1e-10)


def test_waves_of_one_sign_only():
    k = wavenumbers((2, 1))
    assert len(k) == (5 * 3 + 1) // 2 and len({tuple(row) for row in k}) == len(k)
    assert not {tuple(row) for row in k} & {tuple(-row) for row in k[1:]}


def test_the_loss_is_that_of_the_fourier_coefficients():
    """Of the residual of a known function, by NumPy's transform."""
    problem, length = _carried(), 3.0
    w = 2 * np.pi / length
    conditions, params = exact_collocation(
        problem, {"u": lambda x, t: jnp.sin(3 * w * x[0]) * (1 + t) + jnp.exp(jnp.cos(w * x[0]))}
    )
    objective = Spectral(conditions, {"equation": 4.0})
    data = stacked(spectral_batch(conditions, (5,), (24,), 4))
    batch = stacked(conditions.sample({"initial": 8, "boundary": 2}, 0)) | {"fourier": data}
    found = float(objective.terms(params, batch)["equation u"])
    fields = conditions.fields(params)
    at = jax.vmap(jax.vmap(lambda y, s: problem.residual(fields, y, s)["u"]))
    hat = np.fft.rfft(np.asarray(at(data["x"], data["t"])).reshape(4, 24), axis=1) / 24
    k = 2 * np.pi * np.arange(6) / length
    size = 5.0 + np.hypot(2.0 * k, 0.05 * k**2)
    share = np.array([1, 2, 2, 2, 2, 2]) * np.abs(hat[:, :6]) ** 2 / size**2
    weights = np.polynomial.legendre.leggauss(4)[1] / 2
    assert found == pytest.approx(4.0 * weights @ share.sum(axis=1), rel=1e-10)


@pytest.mark.parametrize("parity", ["even", "odd"])
def test_half_a_period_of_a_residual_with_parity_has_the_same_loss(parity):
    """And no tests but those of the parity, whose rows are those of the whole period."""
    problem = pm.Problem(
        library.diffusion.Heat(0.05),
        pm.Interval(0.0, 3.0, periodic=True),
        time=(0.0, 0.2),
        initial={"u": 0.0},
    )
    w = 2 * np.pi / 3.0
    wave = jnp.cos if parity == "even" else jnp.sin

    def exact(x, t):
        return wave(2 * w * x[0]) * (1 + t) + wave(w * x[0]) * jnp.exp(jnp.cos(w * x[0]) + t)

    conditions, params = exact_collocation(problem, {"u": exact})

    def rows(parity):
        data = stacked(spectral_batch(conditions, (5,), (30,), 3, parity))
        return np.asarray(Spectral(conditions).block("u", data).residual(params))

    whole, half = rows(None).reshape(3, 11), rows(parity).reshape(3, -1)
    kept, gone = ([0, 1, 3, 5, 7, 9], [2, 4, 6, 8, 10])
    if parity == "odd":
        kept, gone = gone, kept
    np.testing.assert_allclose(half, whole[:, kept], atol=1e-12)
    assert np.abs(half).max() > 0.1 and np.abs(whole[:, gone]).max() < 1e-12


def test_sizes_of_components_that_exchange_and_of_a_constraint():
    """Schrödinger's real part changes the imaginary one; a divergence has no field of its own."""
    problem = library.schroedinger()
    # So fast a wave that the nonlinear terms are of no account.
    fast = np.array([40])
    k = 2 * np.pi * fast / _length(problem)
    rate = 1 / (problem.time[1] - problem.time[0])
    np.testing.assert_allclose(_sizes(problem, "u", fast), rate + k**2 / 2, rtol=0.1)
    flow = pm.Problem(
        library.turbulence.PeriodicFlow(nu=0.1),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 0.5),
        initial={"u": 0.0},
        gauge={"q": pm.ZeroMean()},
    )
    shapes = (("u", (2,)), ("q", ()))
    grid = np.meshgrid(*[2 * np.pi * np.arange(8) / 8] * 2)
    x = jnp.asarray(np.stack(grid, axis=2).reshape(-1, 2))
    sizes = wave_sizes(flow, shapes, x, jnp.array([[0.0, 0.0], [3.0, 0.0], [1.0, 2.0]]))
    np.testing.assert_allclose(sizes["u"][:, 0], [2.0, 2.9, 2.5], rtol=1e-10)
    np.testing.assert_allclose(sizes["q"][:, 0], [0.0, 3.0, 5**0.5], atol=1e-12)


def test_the_jacobian_is_that_of_the_residual():
    problem = library.advection_diffusion_periodic()
    network = partial(pm.MLP, width=3, depth=1)
    method = pm.SpectralPINN(network=network, harmonics=1, points=(4, 5), times=2)
    setup = method.setup(problem, 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    flat, unravel = jax.flatten_util.ravel_pytree(setup.params)

    @eqx.filter_jit
    def both(objective, params, batch):
        expected = jax.jacfwd(lambda p: objective.residual(unravel(p), batch))(flat)
        return *objective.jacobian(params, batch), expected

    value, jacobian, expected = both(setup.objective, setup.params, batch)
    # 3 × 3 waves at two times, and no block for the start, which is exact.
    assert value.shape == (18,)
    np.testing.assert_allclose(jacobian, expected, atol=1e-12 * np.abs(expected).max())


def _random_series(problem, parity=None):
    """The objective, its data and parameters of a `FourierSeries` whose weights are all drawn."""
    inner = partial(pm.OrthonormalSines, width=3)
    network = partial(pm.FourierSeries, harmonics=5, inner=inner, parity=parity)
    method = pm.SpectralPINN(network=network, harmonics=5, points=16, times=4, parity=parity)
    setup = method.setup(problem, 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    leaves, tree = jax.tree.flatten(setup.params)
    draw = np.random.default_rng(0)
    drawn = [leaf + 0.1 * draw.normal(size=leaf.shape) for leaf in leaves]
    return setup.objective, jax.tree.unflatten(tree, drawn), batch["fourier"]


def _waves_problem(name):
    box = pm.Interval(0.5, 3.5, periodic=True)
    wave = lambda x: jnp.sin(2 * jnp.pi * (x[0] - 0.5) / 3.0)
    cases = {
        "definition": (Stiff(), {"u": wave}, {}),
        "third order": (library.dispersive.KortewegDeVries(), {"u": wave}, {}),
        "second order in time": (library.waves.Wave(c=3.0), {"u": wave}, {"u": 0.5}),
        "system": (library.reaction.GrayScott(), {"u": wave, "v": lambda x: wave(x) ** 2}, {}),
        "even": (library.diffusion.Heat(0.1), {"u": lambda x: wave(x) ** 2}, {}),
        "odd": (library.diffusion.Heat(0.1), {"u": wave}, {}),
    }
    pde, initial, rate = cases[name]
    return pm.Problem(pde, box, time=(0.2, 0.5), initial=initial, initial_rate=rate)


@pytest.mark.parametrize(
    "name", ["definition", "third order", "second order in time", "system", "even", "odd"]
)
def test_a_series_on_a_grid_has_the_residuals_of_its_points(name):
    """By its derivatives on the grid, as by differentiating it at each point; and its Jacobian."""
    problem = _waves_problem(name)
    objective, params, data = _random_series(problem, name if name in ("even", "odd") else None)
    theta, unravel = ravel_pytree(params)
    for field in objective.conditions.trial.names:
        block = objective.block(field, data)
        assert isinstance(block, WaveBlock)
        plain = QuadratureBlock(block.fn, block.points, block.tests, block.scale)
        expected = np.asarray(plain.residual(params))
        found = np.asarray(block.residual(params))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
        values, jacobian = block.jacobian(params)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        slopes = jax.jacfwd(lambda flat, b=block: b.residual(unravel(flat)))(theta)
        size = np.abs(np.asarray(jacobian)).max()
        np.testing.assert_allclose(slopes, jacobian, rtol=0, atol=1e-11 * size)


def test_other_networks_are_taken_point_by_point():
    inner = partial(pm.MLP, width=4, depth=1)
    method = pm.SpectralPINN(network=inner, harmonics=5, points=16, times=4)
    setup = method.setup(_carried(), 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    assert type(setup.objective.block("u", batch["fourier"])) is QuadratureBlock
