"""The spectral PINN against exact solutions, and its own estimate of the error."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from solvers import NotApplicable


def _error(solution, problem, field="u"):
    """Root of the mean square over the box and the time, absolute and relative."""
    low, high = problem.domain.bounds
    x = jnp.asarray(low + np.random.default_rng(0).random((1024, problem.dim)) * (high - low))
    t = jnp.asarray(np.random.default_rng(1).random(1024) * problem.time[1])
    exact = np.asarray(jax.vmap(lambda y, s: problem.exact_value(field, y, s))(x, t))
    gap = np.asarray(solution[field](x, t)).reshape(exact.shape) - exact
    return np.sqrt(np.mean(gap**2)), np.linalg.norm(gap) / np.linalg.norm(exact)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_burgers_to_eight_digits_in_slabs(seed):
    problem = library.burgers_periodic(0.05, time=0.1)
    inner = pm.SpectralPINN(harmonics=32, times=9, tolerance=1e-18)
    solution = pm.solve(problem, pm.TimeSlabs(inner, 4, warm=False), seed=seed, steps=16)
    assert _error(solution, problem)[1] < 1e-8


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_odd_solution_with_half_the_unknowns(seed):
    problem = library.burgers_periodic(0.05, time=0.1)
    inner = pm.SpectralPINN(harmonics=32, times=9, tolerance=1e-18, parity="odd")
    solution = pm.solve(problem, pm.TimeSlabs(inner, 4, warm=False), seed=seed, steps=16)
    # Seven sines of time, with a constant, for each wave; frequency and phase of each sine.
    assert solution.stats.unknowns == 4 * (32 * 8 + 2 * 7)
    assert _error(solution, problem)[1] < 1e-8


UNITS = pm.HessianFree(
    preconditioner="units", damping=1e-9, factor=10.0, tolerance=1e-6, iterations=1000
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_many_unknowns_are_found_without_a_matrix(seed):
    """1160 of them: by products alone, to what the functions of time can hold."""
    problem = library.burgers_periodic(0.02, time=0.05)
    solution = pm.solve(
        problem, pm.SpectralPINN(accuracy=None, harmonics=64, tolerance=1e-18), seed=seed, steps=4
    )
    assert solution.stats.unknowns == 129 * 9 + 16
    assert "conjugate gradients, preconditioner units" in solution.stats.notes
    assert solution.stats.extra["dual_norm"]["u"] < 1e-8
    assert _error(solution, problem)[1] < 1e-8


def test_slabs_hand_over_series_of_one_length():
    """A front that forms needs more terms from slab to slab, and each length is another program."""
    problem = library.burgers_periodic(0.01, time=0.4)
    inner = pm.SpectralPINN(harmonics=100, tolerance=1e-12)
    solution = pm.solve(problem, pm.TimeSlabs(inner, 4, warm=False), steps=8)
    # The first has the problem's own data.
    assert solution.representation.sizes == (1, 3)
    assert _error(solution, problem)[1] < 1e-4


def test_fast_modes_do_not_hide_slow_ones_from_conjugate_gradients():
    """u_tt = 100 u_xx: λ in units of each coefficient, or its first steps would stay at 1e-4."""
    problem = pm.Problem(
        library.waves.Wave(c=10.0),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 0.2),
        initial={"u": lambda x: jnp.exp(jnp.cos(x[0]))},
        initial_rate={"u": 0.0},
    )
    solution = pm.solve(
        problem, pm.SpectralPINN(accuracy=None, harmonics=16, optimizer=UNITS), steps=2
    )
    exact = lambda x, t: 0.5 * sum(jnp.exp(jnp.cos(x[0] + s * 10.0 * t)) for s in (1, -1))
    known = problem.replace(exact={"u": exact})
    assert solution.stats.extra["loss"] < 1e-9
    assert _error(solution, known)[1] < 1e-4


def test_single_precision_by_conjugate_gradients():
    problem = library.burgers_periodic(0.05, time=0.1)
    solution = pm.solve(
        problem, pm.SpectralPINN(accuracy=None, harmonics=16, dtype="float32"), steps=4
    )
    leaves = jax.tree.leaves(solution.parameters)
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}
    assert _error(solution, problem)[1] < 1e-4


def test_a_stiff_wave_at_the_start_does_not_hide_the_others():
    """Hyperdiffusion of waves 1 and 24, whose rates differ by 24⁴: the slow one is exact."""
    problem = pm.Problem(
        library.diffusion.Hyperdiffusion(1.0),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 0.05),
        initial={"u": lambda x: jnp.cos(x[0]) + 1e-6 * jnp.cos(24 * x[0])},
    )
    network = partial(pm.FourierSeries, harmonics=24, inner=partial(pm.OrthonormalSines, width=6))
    newton = pm.GaussNewton(geodesic=False, damping=1e-9, factor=10.0, probes=3)
    x = jnp.linspace(0, 2 * np.pi, 96, endpoint=False)[:, None]

    def waves(method):
        solution = pm.solve(problem, method, steps=4)
        return np.fft.rfft(np.asarray(solution["u"](x, jnp.full(96, 0.05)))) / 48

    dual = waves(pm.SpectralPINN(network=network, optimizer=newton, harmonics=24, times=8))
    plain = waves(pm.PINN(network=network, optimizer=newton, points=700, resample=None))
    assert dual[1].real == pytest.approx(np.exp(-0.05), abs=1e-10)
    assert np.abs(dual[2:24]).max() < 1e-12
    # What is gone after a time of 3e-6 can't be followed by seven functions of time.
    assert abs(dual[24]) < 2e-7
    # The mean square of the residual pays for the fast wave with all the others.
    assert abs(plain[1].real - np.exp(-0.05)) > 1e-5 and np.abs(plain[2:24]).max() > 1e-5


@pytest.mark.parametrize("harmonics", [6, 10])
def test_what_is_not_tested_is_reported(harmonics):
    problem = library.burgers_periodic(0.05, time=0.1)
    method = pm.SpectralPINN(accuracy=None, harmonics=harmonics, times=9)
    solution = pm.solve(problem, method, steps=6)
    absolute, _ = _error(solution, problem)
    tested, rest = (solution.stats.extra[n]["u"] for n in ("dual_norm", "untested"))
    assert tested < 0.3 * rest
    assert 0.1 < absolute / rest < 10


def test_a_time_that_is_too_long_for_the_network_is_reported():
    problem = library.kuramoto_sivashinsky(length=20.0, end=20.0)
    solution = pm.solve(problem, pm.SpectralPINN(accuracy=None, harmonics=16), steps=6)
    assert any("NOT CONVERGED: the residual of u" in note for note in solution.stats.notes)


def test_the_dual_norm_is_about_the_error():
    """Few functions of time: a residual that the tests see."""
    problem = library.burgers_periodic(0.05, time=0.1)
    inner = partial(pm.OrthonormalSines, width=2)
    network = partial(pm.FourierSeries, harmonics=32, inner=inner)
    method = pm.SpectralPINN(network=network, harmonics=32, optimizer=pm.GaussNewton())
    solution = pm.solve(problem, method, steps=8)
    absolute, _ = _error(solution, problem)
    assert 0.1 < absolute / solution.stats.extra["dual_norm"]["u"] < 10


def _carried_waves():
    """u = e^{−νt} (sin(x − t) + ½ cos(y − t)), ν = 0.05, on [0, 2π]²."""

    def exact(x, t):
        return jnp.exp(-0.05 * t) * (jnp.sin(x[0] - t) + 0.5 * jnp.cos(x[1] - t))

    return pm.Problem(
        library.transport.AdvectionDiffusion(a=1.0, nu=0.05),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, jnp.zeros((), x.dtype))},
        exact={"u": exact},
    )


WIDE = partial(pm.MLP, width=16, depth=1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_dimensions(seed):
    problem = _carried_waves()
    method = pm.SpectralPINN(
        network=WIDE, harmonics=5, points=12, times=5, optimizer=pm.GaussNewton()
    )
    solution = pm.solve(problem, method, seed=seed, steps=40)
    assert _error(solution, problem)[1] < 1e-3
    assert not any("NOT RESOLVED" in note for note in solution.stats.notes)


def test_a_network_with_more_waves_than_tests_is_reported():
    """Its tested residuals vanish, and the solution is wrong."""
    problem = library.advection_diffusion_periodic(a=1.0, nu=0.05)
    network = partial(pm.MLP, width=12, depth=2)
    method = pm.SpectralPINN(network=network, harmonics=3, times=5, optimizer=pm.GaussNewton())
    solution = pm.solve(problem, method, steps=30)
    assert solution.stats.extra["dual_norm"]["u"] < 1e-2 and _error(solution, problem)[1] > 0.1
    assert any("NOT RESOLVED: waves of the residual of u" in n for n in solution.stats.notes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_components_that_exchange(seed):
    """A plane wave of Ginzburg and Landau, whose real and imaginary part turn into each other."""
    problem = library.ginzburg_landau_wave()
    method = pm.SpectralPINN(harmonics=6, times=9)
    solution = pm.solve(problem, method, seed=seed, steps=12)
    assert _error(solution, problem)[1] < 1e-6


class Screened(pm.PDE):
    """−u″ + u = 2 sin x + 5 cos 2x, solved by sin x + cos 2x."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(lambda p: -p.grad.u,), source=(self.load,))}

    def load(self, p):
        return 2 * jnp.sin(p.x[0]) + 5 * jnp.cos(2 * p.x[0]) - p.u


def test_a_steady_problem():
    """More parameters than tests: what is left is in the waves that it reports."""
    problem = pm.Problem(Screened(), pm.Interval(0.0, 2 * np.pi, periodic=True))
    method = pm.SpectralPINN(network=WIDE, harmonics=12, optimizer=pm.GaussNewton())
    solution = pm.solve(problem, method, steps=30)
    x = jnp.linspace(0.0, 6.0, 60)[:, None]
    gap = np.asarray(solution["u"](x) - jnp.sin(x[:, 0]) - jnp.cos(2 * x[:, 0]))
    assert np.abs(gap).max() < 1e-5
    assert np.sqrt(np.mean(gap**2)) < 10 * solution.stats.extra["untested"]["u"]


def test_a_coefficient_is_identified():
    truth = library.burgers_periodic(0.05, time=0.1)
    x, t = np.random.default_rng(0).random((40, 1)), 0.1 * np.random.default_rng(1).random(40)
    values = jax.vmap(lambda y, s: truth.exact_value("u", y, s))(jnp.asarray(x), jnp.asarray(t))
    guess = library.burgers_periodic(0.08, time=0.1)
    observations = pm.Observations(x, t, np.asarray(values))
    method = pm.SpectralPINN(harmonics=24, times=9)
    found = pm.fit(guess, observations, method, lambda pde: pde.nu, steps=15)
    assert float(found.numbers[0]) == pytest.approx(0.05, rel=1e-4)


def test_a_parity_that_is_not_there():
    interval = pm.Interval(0.0, 1.0, periodic=True)

    def solve(pde, wave, **options):
        problem = pm.Problem(
            pde, interval, time=(0.0, 0.1), initial={"u": lambda x: wave(2 * jnp.pi * x[0])}
        )
        pm.solve(problem, pm.SpectralPINN(harmonics=8, times=5, **options), steps=1)

    burgers = library.burgers_periodic(0.05).pde
    with pytest.raises(ValueError, match=r"the value at the start of u is not even: .* at its mir"):
        solve(burgers, jnp.sin, parity="even")
    with pytest.raises(ValueError, match=r"the equation of u is not even: .* would not stay so"):
        solve(burgers, jnp.cos, parity="even")
    with pytest.raises(ValueError, match=r"the network of u is not odd: .*FourierSeries\(parity="):
        solve(burgers, jnp.sin, parity="odd", network=WIDE)
    with pytest.raises(ValueError, match='parity must be "even", "odd" or None, got 1'):
        solve(burgers, jnp.sin, parity=1)
    with pytest.raises(ValueError, match=r"parity is for one periodic direction, .* has 2"):
        pm.solve(_carried_waves(), pm.SpectralPINN(parity="odd"), steps=1)


def test_an_equilibrium_has_a_parity():
    """Its residual is round-off, which has none."""
    problem = pm.Problem(
        library.diffusion.Heat(0.05),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 0.1),
        initial={"u": 1.0},
    )
    solution = pm.solve(problem, pm.SpectralPINN(harmonics=4, times=5, parity="even"), steps=2)
    assert float(solution["u"](jnp.array([0.3]), 0.1)) == pytest.approx(1.0, abs=1e-12)


def test_bad_input():
    with pytest.raises(NotApplicable, match="no box with every direction periodic"):
        pm.solve(library.burgers(), pm.SpectralPINN(), steps=1)
    problem = library.burgers_periodic(0.05, time=0.1)
    with pytest.raises(ValueError, match="16 harmonics need more than 32 points, got 32"):
        pm.solve(problem, pm.SpectralPINN(harmonics=16, points=32), steps=1)
    with pytest.raises(ValueError, match="harmonics: expected 1 positive whole numbers"):
        pm.solve(problem, pm.SpectralPINN(harmonics=(4, 4)), steps=1)
    with pytest.raises(ValueError, match="times must be a positive whole number, got 0"):
        pm.SpectralPINN(times=0)
