"""Euler and shallow water by finite volumes: waves, order, walls, positivity, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import Point
from solvers.fv._law import Law
from solvers.fv._riemann import hll, speed_range
from solvers.fv._weno import central_weno5, weno5

FIELDS = {"rho": 0, "m": slice(1, -1), "E": -1}


def gas_point(u):
    dim = u.shape[0] - 2
    return Point(jnp.zeros(dim), jnp.zeros(()), {"rho": u[0], "m": u[1:-1], "E": u[-1]}, {})


def gas_state(rho, v, p):
    f = pm.library.conserved(rho, jnp.asarray(v, float), p)
    return jnp.concatenate([f["rho"][None], f["m"], f["E"][None]])


def water_point(u):
    return Point(jnp.zeros(u.shape[0] - 1), jnp.zeros(()), {"h": u[0], "q": u[1:]}, {})


def averages(solution):
    """Cell averages at the frames, (frames, slots, cells), in one dimension."""
    functions = solution.representation
    reach = 2 if functions.weno else 1
    return np.moveaxis(np.asarray(functions.series.states)[:, reach:-reach], -1, 1)


def closed_tube(domain, state):
    """A gas between walls."""
    data = {k: lambda x, k=k: pm.library.conserved(*state(x))[k] for k in FIELDS}
    return pm.Problem(
        pm.library.Euler(), domain, time=(0.0, 0.1), initial=data, boundary={"all": pm.Wall()}
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_eigenvectors_and_speeds_are_those_of_the_flux(dim):
    rng = np.random.default_rng(dim)
    n = rng.normal(size=dim)
    n = jnp.asarray(n / np.linalg.norm(n))
    gas, water = pm.library.Euler(), pm.library.ShallowWater(g=2.0)
    cases = [(gas, gas_point, gas_state(1.3, rng.normal(size=dim), 0.7))]
    if dim < 3:
        cases.append((water, water_point, jnp.asarray([0.8, *rng.normal(size=dim)])))
    for pde, point, u in cases:

        def flux(v, pde=pde, point=point):
            p = point(v)
            return jnp.concatenate(
                [jnp.atleast_1d(e.flux[0](p) @ n) for e in pde.equations().values()]
            )

        rows, columns = pde.characteristics(point(u), n)
        np.testing.assert_allclose(rows @ columns, np.eye(len(u)), atol=1e-14)
        diagonal = rows @ jax.jacfwd(flux)(u) @ columns
        np.testing.assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=2e-14)
        speeds = pde.wave_speeds(point(u), n)
        np.testing.assert_allclose([speeds.min(), speeds.max()], speed_range(flux, u), rtol=1e-12)
        # With a direction along a front there is a wave that only carries, in one none for water.
        carried = speeds if dim > 1 or pde is gas else speeds[jnp.array([0, 2])]
        values = np.unique(np.diag(diagonal).round(10))
        np.testing.assert_allclose(values, np.unique(carried.round(10)))


def test_numerical_fluxes_are_consistent_and_hllc_keeps_a_contact():
    problem = pm.library.entropy_wave((1.0, 0.5))
    law = Law(problem)
    x, t, n = jnp.zeros(2), jnp.zeros(()), jnp.asarray([0.6, 0.8])
    u = gas_state(1.1, [0.3, -0.4], 0.9)
    exact = law.flux(law.point(u, x, t), central=False) @ n
    for name in ("rusanov", "hll", "hllc"):
        np.testing.assert_allclose(law.through(name, u, u, x, t, n), exact, atol=1e-14)
    # At rest along n; density and the velocity along the face jump.
    left, right = gas_state(1.0, [0.8, -0.6], 1.0), gas_state(0.1, [-0.4, 0.3], 1.0)
    still = law.through("hllc", left, right, x, t, n)
    np.testing.assert_allclose(still, [0.0, 0.6, 0.8, 0.0], atol=1e-14)
    assert float(jnp.abs(law.through("hll", left, right, x, t, n)[0])) > 0.1
    fast = gas_state(1.0, [30.0, 0.0], 1.0), gas_state(0.5, [31.0, 0.0], 2.0)
    along = jnp.asarray([1.0, 0.0])
    for name in ("hll", "hllc"):
        found = law.through(name, *fast, x, t, along)
        np.testing.assert_allclose(found, law.flux(law.point(fast[0], x, t), central=False) @ along)
    burgers = lambda v: 0.5 * v**2
    np.testing.assert_allclose(hll(burgers, jnp.array([0.0]), jnp.array([0.0])), [0.0])
    np.testing.assert_allclose(hll(burgers, jnp.array([-1.0]), jnp.array([-2.0])), [2.0])


def test_weno_is_of_fifth_order_and_does_not_cross_a_jump():
    integral = lambda x: -jnp.cos(3 * x) / 3 + x
    value = lambda x: jnp.sin(3 * x) + 1
    errors = []
    for h in (0.1, 0.05):
        edges = 0.2 + h * jnp.arange(-2.5, 3.0)
        means = tuple(jnp.diff(integral(edges)) / h)
        low, high = weno5(*means)
        inside = central_weno5(means, jnp.asarray(0.3))
        exact = jnp.stack([value(edges[2]), value(edges[3]), value(0.2 + 0.3 * h)])
        errors.append(jnp.stack([low, high, inside]) - exact)
    orders = np.log2(np.abs(errors[0] / errors[1]))
    assert (orders > 4.6).all()
    # A step beside the cell, and one in its neighbour.
    for step in ((0.0, 0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 0.0, 0.0, 0.0)):
        means = tuple(map(jnp.asarray, step))
        found = [*weno5(*means), *(central_weno5(means, s) for s in np.linspace(-0.5, 0.5, 5))]
        assert max(abs(float(v)) for v in found) < 1e-6


def test_rates_of_the_entropy_wave_converge_at_fifth_order():
    problem = pm.library.entropy_wave((0.7,))
    errors = []
    for n in (20, 40):
        system = pm.FiniteVolume(cells=n, reconstruction="weno5").discretize(problem)
        rate = jax.jit(lambda z, s=system: s.rate(z, jnp.zeros(())))(system.initial_state())
        rho = 1 + 0.2 * np.sin(2 * np.pi * np.arange(n + 1) / n)
        errors.append(np.abs(rate[0] + 0.7 * np.diff(rho) * n).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(5.0, abs=0.3)


def test_double_precision_after_single_has_all_its_digits(float32):
    """JAX keeps constants of a first program in single precision; a step must not take them."""
    pm.solve(pm.library.burgers(), pm.FiniteVolume(cells=32))
    jax.config.update("jax_enable_x64", True)
    solution = pm.FiniteVolume(cells=40, frames=2).solve(pm.library.sod())
    momentum = averages(solution)[-1][1].mean()
    assert momentum == pytest.approx(0.2 * (1.0 - 0.1), abs=1e-13)


def test_shock_tube_of_sod_by_weno5():
    problem = pm.library.sod()
    solution = pm.FiniteVolume(cells=100, reconstruction="weno5", frames=3).solve(problem)
    rho, m, energy = averages(solution)[-1]
    x = (jnp.arange(100) + 0.5)[:, None] / 100
    exact = jax.vmap(lambda y: problem.exact_value("rho", y, 0.2))(x)
    assert np.abs(rho - exact).mean() < 6e-3
    # Mass has not reached the ends; the momentum is what the pressures at the ends have pushed.
    assert rho.mean() == pytest.approx(0.5 * (1.0 + 0.125), abs=1e-13)
    assert m.mean() == pytest.approx(0.2 * (1.0 - 0.1), abs=1e-13)
    assert energy.mean() == pytest.approx(0.5 * (1.0 + 0.1) / 0.4, abs=1e-12)
    # Inside cells the solution is WENO's own polynomial.
    np.testing.assert_allclose(solution["rho"](x[:20], 0.2), rho[:20], atol=1e-6)


def test_two_rarefactions_leave_positive_states():
    problem = pm.library.einfeldt()
    solution = pm.FiniteVolume(cells=100, reconstruction="weno5", frames=5).solve(problem)
    rho, m, energy = np.moveaxis(averages(solution), 1, 0)
    pressure = 0.4 * (energy - 0.5 * m**2 / rho)
    assert rho.min() > 0 and pressure.min() > 0
    assert pressure[-1].min() < 1e-2
    x = (jnp.arange(100) + 0.5)[:, None] / 100
    exact = jax.vmap(lambda y: problem.exact_value("rho", y, 0.15))(x)
    assert np.abs(rho[-1] - exact).mean() < 2e-2


def test_steps_that_empty_a_cell_are_repeated():
    problem = pm.library.shock_tube((1.0, -3.6, 0.4), (1.0, 3.6, 0.4), 0.1)
    method = pm.FiniteVolume(cells=100, courant=1.0, reconstruction="weno5", frames=5)
    solution = method.solve(problem)
    assert solution.stats.extra["repeated_steps"] > 0
    rho, m, energy = np.moveaxis(averages(solution), 1, 0)
    assert rho.min() > 0 and (energy - 0.5 * m**2 / rho).min() > 0
    # What leaves at both ends is known: the gas there has not been reached.
    np.testing.assert_allclose(rho[-1].mean(), 1 - 2 * 3.6 * 0.1, atol=1e-4)


def test_a_wall_is_a_plane_of_symmetry():
    def state(x):
        hump = jnp.exp(-20 * (jnp.abs(x[0]) - 0.4) ** 2)
        return 1 + hump, 0.0, 1 + hump

    # A speed that is odd in x vanishes at the wall: half a domain has the same answer.
    kwargs = {"reconstruction": "weno5", "frames": 2, "dt": 0.002}
    half = pm.FiniteVolume(cells=40, **kwargs).solve(closed_tube(pm.Interval(0.0, 1.0), state))
    whole = pm.FiniteVolume(cells=80, **kwargs).solve(closed_tube(pm.Interval(-1.0, 1.0), state))
    np.testing.assert_allclose(averages(half)[-1], averages(whole)[-1][:, 40:], atol=1e-12)
    start, end = averages(half)[0], averages(half)[-1]
    np.testing.assert_allclose(end[[0, 2]].sum(axis=1), start[[0, 2]].sum(axis=1), rtol=1e-14)
    assert np.abs(end - start).max() > 0.1


def test_dam_break():
    problem = pm.library.dam_break()
    solution = pm.FiniteVolume(cells=200, frames=3).solve(problem)
    depth = averages(solution)[-1][0]
    x = (jnp.arange(200) + 0.5)[:, None] / 200
    exact = jax.vmap(lambda y: problem.exact_value("h", y, problem.time[1]))(x)
    assert np.abs(depth - exact).mean() < 2e-3
    assert depth.mean() == pytest.approx(0.75, abs=1e-13)


def test_gradients_through_waves_between_walls():
    method = pm.FiniteVolume(cells=10, dt=0.02, frames=2, limiter="van_leer", riemann="hll")

    def functional(theta):
        problem = pm.Problem(
            pm.library.ShallowWater(g=theta[0]),
            pm.Interval(0.0, 1.0),
            time=(0.0, 0.1),
            initial={"h": lambda x: 1 + theta[1] * jnp.sin(2 * x[0]), "q": 0.0},
            boundary={"left": pm.Wall(), "right": pm.Dirichlet(h=1.2, q=theta[2])},
        )
        x = jnp.linspace(0.05, 0.95, 5)[:, None]
        return jnp.sum(method.solve(problem)["q"](x, 0.1) ** 2)

    theta, h = jnp.array([1.4, 0.3, -0.2]), 1e-5
    both = jax.jit(jax.value_and_grad(functional))
    gradient = both(theta)[1]
    for i in range(3):
        step = jnp.zeros(3).at[i].set(h)
        difference = (both(theta + step)[0] - both(theta - step)[0]) / (2 * h)
        assert float(gradient[i]) == pytest.approx(float(difference), rel=1e-6)


def test_refusals_say_what_helps():
    problem = pm.library.shock_tube((1.0, 0.0, 1.0), (0.5, 0.0, 0.5), 0.04)
    with pytest.raises(pm.SolverError, match=r"beyond the stability limit.*dt = .* is stable"):
        # Limiters keep it finite for a few steps: the step itself is what tells.
        pm.FiniteVolume(cells=50, dt=0.02, frames=2).solve(problem)
    negative = pm.Problem(
        pm.library.Euler(),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"rho": 1.0, "m": 3.0, "E": 1.0},
    )
    with pytest.raises(pm.SolverError, match=r"pressure of the initial data is -1.4") as error:
        pm.FiniteVolume(cells=8).solve(negative)
    assert error.value.reason == "negative"
    with pytest.raises(pm.NotApplicable, match=r"Burgers has no method star_states"):
        pm.FiniteVolume(cells=8, riemann="hllc").solve(pm.library.burgers())
    with pytest.raises(ValueError, match="equal cells"):
        pm.FiniteVolume(cells=[0.0, 0.1, 0.3, 0.6, 1.0], reconstruction="weno5").solve(problem)
    with pytest.raises(ValueError, match=r"Wall on 'left' turns vector fields.*pm.Vector"):
        pm.Problem(
            pm.library.Burgers(),
            pm.Interval(0.0, 1.0),
            time=(0.0, 1.0),
            initial={"u": 0.0},
            boundary={"all": pm.Wall()},
        )
    with pytest.raises(ValueError, match="a vacuum opens"):
        pm.library.exact_gas((1.0, -9.0, 1.0), (1.0, 9.0, 1.0))
