"""Fourier: exact solutions, orders, agreement with exponax, gradients against differences."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from solvers.spectral.fourier_run import end_state
from solvers.time import Scheme
from solvers.time._compiled import timed_call

# One object, and few sizes of grids: what is compiled for one test serves others.
kdv = functools.cache(library.kdv)


@eqx.filter_jit
def exact_values(problem, field, x, t):
    return jax.vmap(lambda y: problem.exact_value(field, y, t))(x)


@jax.jit
def cole_hopf(x, t):
    return jax.vmap(lambda y: library.cole_hopf(y, t, 0.05))(x)


def relative(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


def relative_error(problem, solution, field, t=None, count=200):
    x = jnp.asarray(problem.domain.sample_interior(count, seed=5))
    t = jnp.asarray(problem.time[1] if t is None else t)
    return relative(solution[field](x, t), exact_values(problem, field, x, t))


def errors_at_the_end(system, exact, scheme, steps):
    """Of the state, by number of steps: one program for all of them."""
    until = jnp.asarray(system.problem.time[1])
    return [
        relative(timed_call(end_state, system, scheme, jnp.asarray(n), until)[0], exact)
        for n in steps
    ]


def periodic_burgers(nu=0.05, dim=1, time=(0.0, 1.0), **changes):
    return pm.Problem(
        library.Burgers(nu=nu, **changes),
        pm.Box([-1.0] * dim, [1.0] * dim, periodic=True),
        time=time,
        initial={"u": lambda x: -jnp.sin(jnp.pi * jnp.sum(x))},
    )


def test_burgers_equals_cole_hopf():
    problem = periodic_burgers()
    solution = pm.Fourier(points=256, dt=1e-3, frames=2).solve(problem)
    x = jnp.linspace(-1.0, 1.0, 101)[:, None]
    assert relative(solution["u"](x, 1.0), cole_hopf(x, jnp.asarray(1.0))) < 1e-11


def test_burgers_in_two_dimensions_equals_cole_hopf_along_the_diagonal():
    # With u = v(x + y): v_t + 2 v v_s = 2ν v_ss, so v(s, t) is Cole–Hopf's at time 2t.
    problem = periodic_burgers(dim=2, time=(0.0, 0.25))
    solution = pm.Fourier(points=96, dt=2.5e-3, frames=2).solve(problem)
    s = jnp.linspace(-1.0, 1.0, 41)
    x = jnp.stack([0.3 + 0 * s, s - 0.3], -1)
    assert relative(solution["u"](x, 0.25), cole_hopf(s[:, None], jnp.asarray(0.5))) < 1e-7
    assert solution.stats.extra["transforms"] == 2  # one there, one back: both fluxes are equal


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_kdv_orders_with_complex_symbols(order):
    problem = kdv()
    system = pm.Fourier(points=256).discretize(problem)
    values = exact_values(problem, "u", system.points.T, jnp.asarray(1.0))
    exact = system.state_of({"u": values}, {})
    steps = {1: (1000, 2000), 2: (500, 1000), 3: (250, 500), 4: (250, 500)}[order]
    errors = errors_at_the_end(system, exact, Scheme("etdrk", order), steps)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1 if order == 4 else 0.2)


def test_between_frames_a_kdv_soliton_is_as_good_as_at_the_frames():
    problem = kdv()
    solution = pm.Fourier(points=256, dt=1 / 500).solve(problem)
    for t in (1.0, 0.7013):
        assert relative_error(problem, solution, "u", t) < 2e-7


def test_chosen_step_meets_its_tolerance():
    problem = kdv()
    solution = pm.Fourier(points=256, rtol=1e-6).solve(problem)
    assert relative_error(problem, solution, "u") < 1e-6
    assert solution.stats.extra["interpolation_error"] < 1e-5


class Combustion(pm.PDE):
    """∂u/∂t + ½|∇u|² + ∇²u + ∇⁴u = 0."""

    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.growth, self.damping), source=(self.front,)),
            "w": pm.Definition(flux=(self.slope,)),
        }

    def growth(self, p):
        return p.grad.u

    def damping(self, p):
        return p.grad.w

    def slope(self, p):
        return p.grad.u

    def front(self, p):
        return -0.5 * jnp.sum(p.grad.u**2)


def ks_start(x):
    return jnp.sin(2 * jnp.pi * x[0] / 60) + 0.5 * jnp.cos(6 * jnp.pi * x[0] / 60 + 0.4)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("form", ["u", "combustion"])
def test_kuramoto_sivashinsky_equals_exponax(form, order):
    exponax = pytest.importorskip("exponax")
    stepper = {
        "u": exponax.stepper.KuramotoSivashinskyConservative,
        "combustion": exponax.stepper.KuramotoSivashinsky,
    }[form](1, 60.0, 256, 0.05, order=order)
    problem = pm.Problem(
        library.KuramotoSivashinsky() if form == "u" else Combustion(),
        pm.Interval(0.0, 60.0, periodic=True),
        time=(0.0, 10.0),
        initial={"u": ks_start},
    )
    x = jnp.linspace(0.0, 60.0, 256, endpoint=False)[:, None]
    start = jax.vmap(ks_start)(x)
    theirs = exponax.rollout(stepper, 200)(start[None])[:, 0]
    times = 0.05 * jnp.arange(1, 201)
    ours = pm.trajectory(problem, pm.Fourier(points=256, dt=0.05, order=order), start[None], times)
    difference = ours[0] - theirs
    if form == "combustion":
        # exponax takes the mean off the nonlinear term; nothing else depends on it.
        difference = difference - difference.mean(axis=1, keepdims=True)
    assert float(jnp.abs(difference).max()) < 1e-10 * float(jnp.abs(theirs).max())


def taylor_green(nu=0.05, time=(0.0, 1.0)):
    def velocity(x, t):
        decay = jnp.exp(-2 * nu * t)
        return decay * jnp.stack([jnp.sin(x[0]) * jnp.cos(x[1]), -jnp.cos(x[0]) * jnp.sin(x[1])])

    def pressure(x, t):
        return 0.25 * jnp.exp(-4 * nu * t) * (jnp.cos(2 * x[0]) + jnp.cos(2 * x[1]))

    return pm.Problem(
        library.NavierStokes(nu=nu),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=time,
        initial={"u": lambda x: velocity(x, 0.0)},
        gauge={"p": pm.ZeroMean()},
        exact={"u": velocity, "p": pressure},
    )


def test_taylor_green_vortex_by_projection():
    problem = taylor_green()
    solution = pm.Fourier(points=32, dt=0.05).solve(problem)
    assert relative_error(problem, solution, "u") < 1e-13
    assert relative_error(problem, solution, "p") < 1e-12
    x = jnp.asarray(problem.domain.sample_interior(20))
    divergence = solution.evaluate(lambda p: jnp.trace(p.grad.u), x, 0.6)
    assert float(jnp.abs(divergence).max()) < 1e-13


def test_navier_stokes_conserves_energy_but_for_viscosity():
    # Random solenoidal data; d/dt ½|u|² = −ν|∇u|² holds for the projected, de-aliased terms.
    problem = eqx.tree_at(
        lambda p: p.initial["u"].function,
        taylor_green(nu=0.02),
        lambda x: jnp.stack([jnp.sin(x[1]) + jnp.cos(2 * x[0]), jnp.cos(x[0] + 2 * x[1])]),
    )
    system = pm.Fourier(points=32).discretize(problem)
    z = system.initial_state()
    z, rate = np.asarray(z), np.asarray(eqx.filter_jit(system.nonlinear)(z, jnp.zeros(())))
    assert np.abs(rate).max() > 1.0
    by_mode = np.real(np.conj(z) * rate)
    work = 2 * by_mode[:, :, 1:-1].sum() + by_mode[:, :, 0].sum()
    assert abs(work) < 1e-12 * np.sum(np.abs(z) ** 2)


def test_heat_in_three_dimensions():
    def exact(x, t):
        return jnp.exp(-14 * 0.1 * t) * jnp.sin(x[0]) * jnp.cos(2 * x[1]) * jnp.sin(3 * x[2] + 1)

    problem = pm.Problem(
        library.Heat(kappa=0.1),
        pm.Box([0.0] * 3, [2 * np.pi] * 3, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, 0.0)},
        exact={"u": exact},
    )
    solution = pm.Fourier(points=8, dt=0.1).solve(problem)
    assert relative_error(problem, solution, "u", count=40) < 1e-13


def test_wave_equation_by_matrix_symbols():
    def exact(x, t):
        first = jnp.sin(2 * np.pi * x[0]) * jnp.cos(4 * np.pi * t)
        return first + 0.3 * jnp.cos(6 * np.pi * (x[0] - 2 * t)) + 0.2 + 0.1 * t

    problem = pm.Problem(
        library.Wave(c=2.0),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, 0.0)},
        initial_rate={"u": lambda x: jax.jvp(lambda t: exact(x, t), (0.0,), (1.0,))[1]},
        exact={"u": exact},
    )
    solution = pm.Fourier(points=64, dt=0.01).solve(problem)
    assert relative_error(problem, solution, "u") < 1e-12
    assert "matrix symbol" in solution.stats.notes[0]


def test_klein_gordon_manufactured_source_in_time():
    problem = pm.manufactured(
        library.KleinGordon(),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        {"u": lambda x, t: jnp.cos(2 * t) * jnp.sin(x[0]) + 0.1 * jnp.sin(t)},
        time=(0.0, 1.0),
    )
    system = pm.Fourier(points=32).discretize(problem)
    sine = jnp.sin(system.points[0])
    values = {"u": jnp.cos(2.0) * sine + 0.1 * jnp.sin(1.0)}
    exact = system.state_of(values, {"u": -2 * jnp.sin(2.0) * sine + 0.1 * jnp.cos(1.0)})
    errors = errors_at_the_end(system, exact, Scheme("etdrk", 4), (20, 40))
    assert errors[1] < 1e-7
    assert np.log2(errors[0] / errors[1]) > 3.7


def test_coefficient_that_varies_in_space():
    problem = pm.manufactured(
        library.Heat(kappa=lambda p: 1.0 + 0.5 * jnp.sin(p.x[0])),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        {"u": lambda x, t: jnp.exp(-t) * jnp.exp(jnp.cos(x[0]))},
        time=(0.0, 0.5),
    )
    solution = pm.Fourier(points=48, dt=5e-4).solve(problem)
    assert relative_error(problem, solution, "u") < 1e-9


def test_steady_poisson_and_helmholtz():
    exact = {"u": lambda x, t: jnp.sin(x[0]) * jnp.cos(2 * x[1])}
    square = pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True)
    poisson = pm.manufactured(library.Poisson(), square, exact, gauge={"u": pm.ZeroMean(0.0)})
    helmholtz = pm.manufactured(library.Helmholtz(k=1.7), square, exact)
    for problem in (poisson, helmholtz):
        solution = pm.Fourier(points=32).solve(problem)
        x = jnp.asarray(problem.domain.sample_interior(50))
        expected = exact_values(problem, "u", x, jnp.zeros(()))
        assert float(jnp.abs(solution["u"](x) - expected).max()) < 1e-13


def test_steady_stokes_with_pinned_pressure():
    exact = {
        "u": lambda x, t: jnp.stack(
            [jnp.sin(x[0]) * jnp.cos(x[1]), -jnp.cos(x[0]) * jnp.sin(x[1])]
        ),
        "p": lambda x, t: jnp.sin(x[0] + 2 * x[1]) + 3.0,
    }
    problem = pm.manufactured(
        library.Stokes(nu=0.3),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        exact,
        gauge={"u": pm.ZeroMean(), "p": pm.Pin((0.0, 0.0), p=3.0)},
    )
    solution = pm.Fourier(points=32).solve(problem)
    x = jnp.asarray(problem.domain.sample_interior(50))
    for field in ("u", "p"):
        expected = exact_values(problem, field, x, jnp.zeros(()))
        assert float(jnp.abs(solution[field](x) - expected).max()) < 1e-12


def test_cahn_hilliard_conserves_mass_and_lowers_energy():
    problem = library.cahn_hilliard(epsilon=0.3)
    solution = pm.Fourier(points=32, dt=2e-4).solve(problem)
    spacing = (2 * np.pi / 32) ** 2

    def energy(frame):
        values = solution.representation.on_grid(frame)["u"]
        gradient = jnp.stack(jnp.gradient(values, 2 * np.pi / 32))
        return float(jnp.sum(0.25 * (values**2 - 1) ** 2 + 0.045 * jnp.sum(gradient**2, 0)))

    masses = [float(solution.representation.on_grid(i)["u"].sum()) * spacing for i in (0, 100, -1)]
    assert max(masses) - min(masses) < 1e-11
    assert energy(0) > energy(100) > energy(-1)


def test_gray_scott_couples_two_fields():
    # Where v = 0 the reaction stops: u relaxes to 1 as e^{−Ft}, diffusion as e^{−Dk²t}.
    q = 2 * np.pi
    pde = library.GrayScott(diffusivity_u=1e-3)

    def exact(x, t):
        return 1.0 + jnp.exp(-(0.04 + 1e-3 * q**2) * t) * jnp.cos(q * x[0]) * 0.1

    problem = pm.Problem(
        pde,
        pm.Rectangle(periodic=True),
        time=(0.0, 5.0),
        initial={"u": lambda x: exact(x, 0.0), "v": 0.0},
        exact={"u": exact},
    )
    solution = pm.Fourier(points=32, dt=0.5).solve(problem)
    assert relative_error(problem, solution, "u") < 1e-13
    assert float(jnp.abs(solution["v"](jnp.ones((1, 2)) * 0.3, 5.0)).max()) == 0.0


def central_difference(function, at, steps=(1e-3, 3e-4, 1e-4)):
    return [(function(at + h) - function(at - h)) / (2 * h) for h in steps]


@pytest.mark.parametrize("what", ["nu", "source", "initial"])
def test_gradients_equal_central_differences(what):
    class Forced(pm.PDE):
        nu: pm.Coefficient = pm.coefficient(0.1)
        force: pm.Coefficient = pm.coefficient(0.5)
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(self.convection, self.diffusion), source=(self.forcing,))}

        def convection(self, p):
            return 0.5 * p.u**2 * jnp.ones_like(p.x)

        def diffusion(self, p):
            return -self.nu(p) * p.grad.u

        def forcing(self, p):
            return self.force(p) * jnp.cos(p.x[0])

    def objective(value):
        nu = value if what == "nu" else 0.1
        force = value if what == "source" else 0.5
        amplitude = value if what == "initial" else 1.0
        problem = pm.Problem(
            Forced(nu=nu, force=force),
            pm.Interval(0.0, 2 * np.pi, periodic=True),
            time=(0.0, 0.5),
            initial={"u": lambda x: amplitude * jnp.sin(x[0])},
        )
        solution = pm.Fourier(points=32, dt=0.02).solve(problem)
        return jnp.sum(solution["u"](jnp.linspace(0.1, 5.0, 7)[:, None], 0.431) ** 2)

    at = {"nu": 0.1, "source": 0.5, "initial": 1.0}[what]
    both = jax.jit(jax.value_and_grad(objective))
    slope = float(both(at)[1])
    differences = central_difference(lambda v: float(both(v)[0]), at)
    assert min(abs(d - slope) for d in differences) < 1e-6 * abs(slope)


def test_trajectory_of_a_batch_equals_single_solves():
    points, times = 32, np.array([0.0, 0.25, 0.4])
    x = jnp.linspace(-1.0, 1.0, points, endpoint=False)
    starts = jnp.stack([jnp.sin(jnp.pi * x), 0.5 * jnp.cos(2 * jnp.pi * x)])
    found = pm.trajectory(periodic_burgers(), pm.Fourier(points=points), starts, times)
    assert found.shape == (2, 3, points)
    np.testing.assert_allclose(found[:, 0], starts, atol=1e-14)
    for i, start in enumerate(
        (lambda x: jnp.sin(jnp.pi * x[0]), lambda x: 0.5 * jnp.cos(2 * jnp.pi * x[0]))
    ):
        problem = eqx.tree_at(
            lambda p: p.initial["u"].function, periodic_burgers(time=(0.0, 0.4)), start
        )
        solution = pm.Fourier(points=points, dt=0.005).solve(problem)
        np.testing.assert_allclose(found[i, 2], solution["u"](x[:, None], 0.4), atol=1e-6)
