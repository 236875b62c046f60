"""Steppers of d/dt z = L z + N(z, t): orders, what is between steps, adaptive steps, diffrax."""

import warnings

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

import physml as pm
from pdes import library
from solvers.spectral.fourier_run import end_state
from solvers.time import (
    ETDRK,
    IMEX,
    SBDF,
    AdaptiveETDRK,
    Diagonal,
    ImexTableau,
    Ladder,
    Scheme,
    SplitTerm,
)
from solvers.time._compiled import timed_call


def line(pde, initial, end=1.0, length=2 * np.pi):
    return pm.Problem(
        pde,
        pm.Interval(0.0, length, periodic=True),
        time=(0.0, end),
        initial={"u": initial},
    )


@pytest.fixture(scope="module")
def burgers():
    return pm.Fourier(points=32).discretize(
        line(library.Burgers(nu=0.1), lambda x: 1.0 + 0.5 * jnp.sin(x[0]))
    )


@pytest.fixture(scope="module")
def dispersive():
    pde = library.KortewegDeVries(alpha=1.0, mu=0.1)
    start = lambda x: jnp.sin(x[0]) + 0.3 * jnp.cos(2 * x[0])
    return pm.Fourier(points=32).discretize(line(pde, start))


def end(system, scheme, steps):
    return timed_call(end_state, system, scheme, jnp.asarray(steps), jnp.asarray(1.0))[0]


def difference(a, b):
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("family", ["etdrk", "imex", "sbdf"])
def test_order_where_nothing_is_stiff(burgers, family, order):
    reference = end(burgers, Scheme("etdrk", 4), 1280)
    errors = [difference(end(burgers, Scheme(family, order), n), reference) for n in (80, 160)]
    assert errors[1] < 10.0 ** (-1.8 - order)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("scheme", [Scheme("imex", 2), Scheme("imex", 4), Scheme("sbdf", 2)])
def test_order_with_dispersion(dispersive, scheme):
    reference = end(dispersive, Scheme("etdrk", 4), 2560)
    errors = [difference(end(dispersive, scheme, n), reference) for n in (320, 640)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(scheme.order, abs=0.1)


def transforms(jaxpr):
    """How many one-component transforms a program does, loops and branches once."""
    count = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "fft":
            shape, lengths = eqn.invars[0].aval.shape, eqn.params["fft_lengths"]
            count += int(np.prod(shape[: len(shape) - len(lengths)], dtype=int))
        for inner in eqn.params.values():
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                count += transforms(getattr(inner, "jaxpr", inner))
    return count


@pytest.mark.parametrize(
    ("scheme", "evaluations"),
    [
        (Scheme("etdrk", 1), 1),
        (Scheme("etdrk", 2), 2),
        (Scheme("etdrk", 4), 4),
        (Scheme("imex", 2), 2),
        (Scheme("imex", 3), 4),
        (Scheme("imex", 4), 6),
        (Scheme("sbdf", 3), 1),
    ],
)
def test_a_step_takes_the_fewest_transforms(burgers, scheme, evaluations):
    stepper = scheme.stepper(burgers.linear(), 0.01)
    z = burgers.initial_state()
    memory = stepper.begin(burgers, 0.0, z)
    step = jax.make_jaxpr(lambda z, memory: stepper.proceed(burgers, 0.0, z, memory))(z, memory)
    # To the grid and back: u, and u².
    assert transforms(step.jaxpr) == 2 * evaluations


def test_vorticity_takes_four_transforms_an_evaluation():
    system = pm.Fourier(points=32).discretize(library.decaying_turbulence())
    z = system.initial_state()
    once = jax.make_jaxpr(lambda z: system.nonlinear(z, jnp.zeros(())))(z)
    assert transforms(once.jaxpr) == 4


def test_matrix_symbols_by_all_schemes():
    problem = pm.manufactured(
        library.KleinGordon(),
        pm.Interval(0.0, 2 * np.pi, periodic=True),
        {"u": lambda x, t: jnp.cos(2 * t) * jnp.sin(x[0])},
        time=(0.0, 1.0),
    )
    x = jnp.linspace(0.0, 6.0, 9)[:, None]
    exact = jnp.cos(2.0) * jnp.sin(x[:, 0])
    for method, bound in (
        (pm.Fourier(points=32, dt=0.02, scheme="imex", frames=2), 1e-6),
        (pm.Fourier(points=32, dt=0.005, scheme="sbdf", order=2, frames=2), 1e-3),
        (pm.Fourier(points=32, adaptive=True, rtol=1e-7, frames=9), 1e-6),
    ):
        found = method.solve(problem)["u"](x, 1.0)
        assert float(jnp.abs(found - exact).max()) < bound


def run(system, solver, ts=None, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Complex dtype")
        saveat = diffrax.SaveAt(t1=True) if ts is None else diffrax.SaveAt(ts=ts)
        # An array: every number would be compiled in.
        dt0 = options.pop("dt0", None)
        return diffrax.diffeqsolve(
            SplitTerm(system),
            solver,
            0.0,
            1.0,
            None if dt0 is None else jnp.asarray(dt0),
            system.initial_state(),
            saveat=saveat,
            **options,
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda operator, h: ETDRK(operator, h, 4),
        lambda operator, h: IMEX(operator, h, 4),
        lambda operator, h: SBDF(operator, h, 4),
    ],
)
def test_between_steps_as_good_as_at_steps(burgers, make):
    ts = jnp.asarray([0.2871, 0.6313, 0.91])
    exact = run(burgers, ETDRK(burgers.linear(), 1 / 1000), ts, dt0=1 / 1000).ys
    errors = [
        difference(run(burgers, make(burgers.linear(), 1 / n), ts, dt0=1 / n).ys, exact)
        for n in (40, 80)
    ]
    assert errors[1] < 1e-6
    assert np.log2(errors[0] / errors[1]) > 3.5


def test_between_steps_decaying_modes_decay():
    # hL = −1024 for the highest mode: a polynomial through its slopes would reach −150.
    heat = pm.Fourier(points=64).discretize(
        line(library.Heat(kappa=1.0), lambda x: jnp.sin(x[0]) + jnp.cos(31 * x[0]))
    )
    ts = jnp.asarray([0.01, 0.3, 0.7])
    found = run(heat, ETDRK(heat.linear(), 1.0), ts, dt0=1.0).ys[:, 0]
    exact = jnp.exp(-ts)[:, None] * heat.initial_state()[0]
    np.testing.assert_allclose(found[:, :20], exact[:, :20], atol=1e-12)
    assert float(jnp.abs(found[:, 20:]).max()) < 1e-2


def test_events_stop_an_exponential_solve(burgers):
    def weakened(t, y, args, **rest):
        return jnp.abs(y[0, 1]) - 7.5

    event = diffrax.Event(weakened, optx.Newton(1e-10, 1e-10))
    found = run(burgers, ETDRK(burgers.linear(), 0.01), event=event, dt0=0.01)
    assert found.result == diffrax.RESULTS.event_occurred
    assert 0.0 < float(found.ts[0]) < 1.0
    assert float(jnp.abs(found.ys[0, 0, 1])) == pytest.approx(7.5, abs=1e-8)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_adaptive_error_follows_the_tolerance(burgers, order):
    reference = end(burgers, Scheme("etdrk", 4), 1280)
    solver = AdaptiveETDRK(burgers.linear(), 1.0, order)
    for rtol in jnp.asarray([1e-5, 1e-7]):
        found = run(
            burgers,
            solver,
            stepsize_controller=Ladder(jnp.asarray(1.0), rtol, order=3 if order == 2 else 4),
        )
        # As many steps as are made, each of at most rtol.
        steps = int(found.stats["num_accepted_steps"])
        assert difference(found.ys[0], reference) < steps * rtol
        assert float(found.ts[0]) == 1.0


def test_adaptive_steps_are_rungs_that_start_at_multiples(burgers):
    solver = AdaptiveETDRK(burgers.linear(), 1.0)
    ladder = Ladder(jnp.asarray(1.0), 1e-8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Complex dtype")
        found = diffrax.diffeqsolve(
            SplitTerm(burgers), solver, 0.0, 1.0, 1 / 1024, burgers.initial_state(),
            saveat=diffrax.SaveAt(t0=True, steps=True), stepsize_controller=ladder,
        )  # fmt: skip
    count = int(found.stats["num_accepted_steps"])
    times = np.asarray(found.ts)[: count + 1]
    steps = np.diff(times)
    assert steps[0] == 1 / 1024
    assert len(set(steps)) > 2
    np.testing.assert_array_equal(np.log2(steps), np.round(np.log2(steps)))
    np.testing.assert_array_equal(times[:-1] / steps, np.round(times[:-1] / steps))


def test_implicit_explicit_steps_adapt_too(dispersive):
    reference = end(dispersive, Scheme("etdrk", 4), 2560)
    found = run(
        dispersive,
        IMEX(dispersive.linear()),
        stepsize_controller=Ladder(jnp.asarray(1.0), 1e-7),
    )
    assert difference(found.ys[0], reference) < 1e-7 * int(found.stats["num_accepted_steps"])


def test_adaptive_solve_equals_cole_hopf_and_has_gradients():
    def value(nu):
        problem = line(library.Burgers(nu=nu), lambda x: -jnp.sin(x[0]))
        method = pm.Fourier(points=96, adaptive=True, rtol=1e-9, frames=17, max_steps=512)
        return method.solve(problem)["u"](1.0, 1.0)

    # The exact solution on [−1, 1] with x = πy, so that t scales by π and ν by 1/π.
    both = jax.jit(jax.value_and_grad(value))
    found, slope = (float(number) for number in both(0.2))
    exact = library.cole_hopf(jnp.asarray([1 / np.pi]), jnp.asarray(1 / np.pi), 0.2 / np.pi)
    assert found == pytest.approx(float(exact), abs=1e-8)
    step = 1e-4
    measured = (float(both(0.2 + step)[0]) - float(both(0.2 - step)[0])) / (2 * step)
    assert slope == pytest.approx(measured, rel=1e-5)


def test_adaptive_failures_are_named():
    problem = line(library.Burgers(nu=0.1), lambda x: jnp.sin(x[0]))
    with pytest.raises(ValueError, match="no embedded error"):
        pm.Fourier(adaptive=True, order=1).solve(problem)
    with pytest.raises(ValueError, match="no embedded error"):
        pm.Fourier(adaptive=True, scheme="sbdf").solve(problem)
    with pytest.raises(ValueError, match="scheme is one of"):
        pm.Fourier(scheme="rk4").solve(problem)
    with pytest.raises(pm.SolverError, match="used up at t = 0") as caught:
        pm.Fourier(points=32, adaptive=True, rtol=1e-10, max_steps=16).solve(problem)
    assert caught.value.reason == "max_steps"

    class Explosion(pm.PDE):
        """∂u/∂t = ∇²u + u², which ends at t = 1 from u = 1."""

        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(self.diffusion,), source=(self.growth,))}

        def diffusion(self, p):
            return -p.grad.u

        def growth(self, p):
            return p.u**2

    with pytest.raises(pm.SolverError, match="may cease to exist") as caught:
        pm.Fourier(points=8, adaptive=True).solve(line(Explosion(), lambda x: 1.0, end=1.5))
    assert caught.value.reason == "step_too_small"


def test_steps_beyond_stability_are_refused_while_still_finite():
    pde = library.KortewegDeVries(alpha=1.0, mu=0.1)
    problem = line(pde, lambda x: jnp.sin(x[0]) + 0.3 * jnp.cos(2 * x[0]))
    with pytest.raises(pm.SolverError, match="is stable") as caught:
        pm.Fourier(points=48, dt=1 / 320, scheme="sbdf", order=4, frames=2).solve(problem)
    assert caught.value.reason == "unstable"

    class Growth(pm.PDE):
        """∂u/∂t = ∇²u + 8u + u sin(u)/10, which grows about e⁸ times by itself."""

        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(self.diffusion,), source=(self.growth,))}

        def diffusion(self, p):
            return -p.grad.u

        def growth(self, p):
            return 8.0 * p.u + 0.1 * p.u * jnp.sin(p.u)

    solution = pm.Fourier(points=16, dt=1 / 64, frames=2).solve(line(Growth(), lambda x: 1.0))
    assert float(solution["u"](1.0, 1.0)) > 2000


def test_steps_that_are_no_rungs_are_refused(burgers):
    solver = AdaptiveETDRK(burgers.linear(), 1.0)
    found = run(burgers, solver, dt0=0.3, throw=False)
    assert found.result == diffrax.RESULTS.dt_min_reached


def test_ladders_are_checked():
    problem = line(library.Burgers(nu=0.1), lambda x: jnp.sin(x[0]))
    with pytest.raises(ValueError, match="rungs are"):
        Ladder(jnp.asarray(1.0), 1e-6, first=20, rungs=20)
    with pytest.raises(ValueError, match="longest adaptive step"):
        pm.Fourier(points=8, adaptive=True, dt=1e-9).solve(problem)


def test_tableaux_are_checked():
    with pytest.raises(ValueError, match="diagonal"):
        ImexTableau("x", 1, np.eye(2), np.zeros((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="same times"):
        ImexTableau("x", 1, np.diag([0.0, 1.0]), np.zeros((2, 2)), np.ones(2))


def test_a_resolvent_inverts():
    values = jnp.asarray([[-3.0 + 1.0j, 0.0, 2.0j]])
    z = jnp.asarray([[1.0 + 2.0j, 3.0, -1.0j]])
    operator = Diagonal(values)
    back = operator.resolvent(0.1)(z)
    np.testing.assert_allclose(back - 0.1 * operator(back), z, atol=1e-15)


def test_batches_by_every_scheme_equal_single_solves():
    problem = line(library.Burgers(nu=0.1), lambda x: jnp.sin(x[0]))
    x = jnp.linspace(0.0, 2 * np.pi, 32, endpoint=False)
    starts = jnp.stack([jnp.sin(x), jnp.cos(x)])
    method = pm.Fourier(points=32, dt=0.02, scheme="sbdf", order=3)
    found = pm.trajectory(problem, method, starts, [0.5, 1.0])
    single = method.solve(problem)["u"](x[:, None], 1.0)
    # The shorter runs between two times start anew.
    np.testing.assert_allclose(found[0, 1], single, atol=1e-6)
    np.testing.assert_allclose(found[1, 1], np.roll(found[0, 1], -8), atol=1e-12)
