"""Finite volumes on rectangles and boxes: directions, boundaries by part, diffusion, positivity."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import physml as pm


class Diffusion(pm.PDE):
    """∂u/∂t = ∇·(K ∇u), with a full matrix K."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.flow,))}

    def flow(self, p):
        return -jnp.array([[1.0, 0.3], [0.3, 0.5]]) @ p.grad.u


class Viscous(pm.PDE):
    """The compressible Navier–Stokes equations with μ = 0.1, written beside those of Euler."""

    gas: pm.library.Euler = pm.library.Euler()
    fields = {"rho": pm.Scalar(), "m": pm.Vector(), "E": pm.Scalar()}

    def equations(self):
        return {
            "rho": pm.Balance(flux=(self.gas.mass,)),
            "m": pm.Balance(flux=(self.gas.momentum, self.stress)),
            "E": pm.Balance(flux=(self.gas.energy, self.work)),
        }

    def stress(self, p):
        velocity = (p.grad.m - p.m[:, None] * p.grad.rho / p.rho) / p.rho
        spread = jnp.trace(velocity) * jnp.eye(len(p.m))
        return -0.1 * (velocity + velocity.T - 2 / 3 * spread)

    def work(self, p):
        return self.stress(p) @ p.m / p.rho

    def wave_speeds(self, p, n):
        return self.gas.wave_speeds(p, n)


@eqx.filter_jit
def start_and_rate(system):
    """One program: operation by operation the start alone is dozens of small ones."""
    z = system.initial_state()
    return z, system.rate(z, jnp.zeros(()))


def rate(problem, **options):
    system = pm.FiniteVolume(**options).discretize(problem)
    return system, start_and_rate(system)[1]


def gas(domain, start, boundary=None):
    data = {k: lambda x, k=k: pm.library.conserved(*start(x))[k] for k in ("rho", "m", "E")}
    return pm.Problem(pm.library.Euler(), domain, time=(0.0, 1.0), initial=data, boundary=boundary)


def line(s):
    """Density, speed along the line and pressure."""
    return 1 + 0.3 * jnp.sin(3 * s), 0.4 * jnp.cos(2 * s), 1 + 0.2 * jnp.cos(5 * s)


@pytest.mark.parametrize("kind", ["muscl", "weno5"])
def test_each_direction_of_a_box_is_the_line(kind):
    ends = {"left": pm.Wall(), "right": pm.Outflow()}
    one = gas(pm.Interval(0.0, 1.0), lambda x: line(x[0]), ends)
    _, along = rate(one, cells=12, reconstruction=kind)
    plane = pm.Rectangle((0.0, 0.0), (1.0, 0.5), periodic=(False, True))

    def upright(x):
        rho, v, p = line(x[1])
        return rho, jnp.stack([jnp.zeros(()), v]), p

    tall = pm.Rectangle((0.0, 0.0), (0.5, 1.0), periodic=(True, False))
    problem = gas(tall, upright, {"bottom": pm.Wall(), "top": pm.Outflow()})
    _, found = rate(problem, cells=12, reconstruction=kind)
    assert found.shape == (4, 6, 12)
    zero = 0 * along[0]
    expected = jnp.stack([along[0], zero, along[1], along[2]])
    np.testing.assert_allclose(found[:, 2], expected, atol=1e-12)
    if kind == "muscl":

        def flat(x):
            rho, v, p = line(x[0])
            return rho, jnp.stack([v, jnp.zeros(())]), p

        problem = gas(plane, flat, ends)
        _, found = rate(problem, cells=(12, 4), reconstruction=kind)
        expected = jnp.stack([along[0], along[1], zero, along[2]])
        np.testing.assert_allclose(found[:, :, 1], expected, atol=1e-12)


def test_walls_of_a_box_in_three_dimensions_let_nothing_pass():
    def start(x):
        bump = jnp.exp(-4 * jnp.sum((x - 0.4) ** 2))
        return 1 + bump, jnp.stack([0.3 * x[1], -0.2 * x[2], 0.1 * x[0]]), 1 + bump

    problem = gas(pm.Box([0.0] * 3, [1.0, 0.5, 0.5]), start, {"all": pm.Wall()})
    system, found = rate(problem, cells=8)
    assert found.shape == (5, 8, 4, 4)
    total = jnp.sum(found * system.widths, axis=(1, 2, 3))
    np.testing.assert_allclose(total[jnp.array([0, 4])], 0.0, atol=1e-14)
    # Pressure on the walls changes the momentum.
    assert float(jnp.abs(total[1:4]).max()) > 1e-2


def test_diffusion_with_cross_terms_is_of_second_order():
    # With k waves across there are n/k cells a wave: both are compiled once.
    wave = lambda k, x: jnp.sin(2 * jnp.pi * k * (x[0] + 2 * x[1]))
    square = pm.Rectangle(periodic=True)
    errors = []
    for k in jnp.array([2.0, 1.0]):
        initial = {"u": Partial(wave, k)}
        problem = pm.Problem(Diffusion(), square, time=(0.0, 1.0), initial=initial)
        start, found = start_and_rate(pm.FiniteVolume(cells=32).discretize(problem))
        # −(2πk)² (1, 2)·K(1, 2) u
        decay = -4 * np.pi**2 * (1.0 + 4 * 0.3 + 4 * 0.5)
        errors.append(float(jnp.abs(found / k**2 - decay * start).max()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_prescribed_values_and_fluxes_of_diffusion_balance():
    # u = 1 + x + 2y: nothing changes, F·n = −(K∇u)·n at the top.
    exact = lambda x: 1 + x[0] + 2 * x[1]
    problem = pm.Problem(
        Diffusion(),
        pm.Rectangle(),
        time=(0.0, 1.0),
        initial={"u": exact},
        boundary={"all": pm.Dirichlet(u=lambda x, t: exact(x)), "top": pm.Neumann(u=-1.3)},
    )
    _, found = rate(problem, cells=8)
    np.testing.assert_allclose(found, 0.0, atol=1e-11)


def test_viscosity_slows_shear():
    # v = (0, sin 2πkx): ∂m/∂t = −μ (2πk)² v, and the work of the stress goes into the energy.
    # With k waves across there are n/k cells a wave: both are compiled once.
    momentum = lambda k, x: 2.0 * jnp.stack([jnp.zeros(()), jnp.sin(2 * jnp.pi * k * x[0])])
    energy = lambda k, x: 2.5 + jnp.sin(2 * jnp.pi * k * x[0]) ** 2
    square = pm.Rectangle(periodic=True)
    errors = []
    for k in jnp.array([2.0, 1.0]):
        fields = {"rho": 2.0, "m": Partial(momentum, k), "E": Partial(energy, k)}
        problem = pm.Problem(Viscous(), square, time=(0.0, 1.0), initial=fields)
        system, found = rate(problem, cells=(32, 4), reconstruction="weno5", riemann="hll")
        x = 2 * np.pi * float(k) * np.asarray(system.centres(0))
        shear = -0.1 * 4 * np.pi**2 * np.sin(x)
        work = 0.1 * 4 * np.pi**2 * np.cos(2 * x)
        exact = np.stack([0 * x, 0 * x, shear, work])
        errors.append(np.abs(found[:, :, 0] / k**2 - exact).max(axis=1))
    assert errors[1][0] < 1e-12
    assert (np.log2(errors[0][1:] / errors[1][1:]) > 1.7).all()


def test_parts_of_a_side_have_their_own_conditions():
    problem = pm.library.double_mach()
    method = pm.FiniteVolume(cells=24, frames=3)
    solution = method.solve(problem)
    points = [[0.05, 0.5], [0.1, 0.9], [3.9, 0.5], [2.3, 0.96], [3.7, 0.96], [2.2, 0.02]]
    density = np.asarray(solution["rho"](jnp.array(points), 0.2))
    # Behind the shock, before the wall: the inflow's state.
    np.testing.assert_allclose(density[:3], [8.0, 8.0, 1.4], rtol=1e-2)
    # The shock above has moved 10/(sin 60°) t along the top.
    assert density[3] > 7 and density[4] == pytest.approx(1.4, rel=1e-2)
    # Along the wall the gas is denser than behind the incoming shock.
    assert density[5] > 10
    states = solution.representation.series.states.reshape(3, 26, 8, 4)[:, 1:-1, 1:-1]
    rho, m, energy = states[..., 0], states[..., 1:3], states[..., 3]
    pressure = 0.4 * (energy - 0.5 * jnp.sum(m**2, axis=-1) / rho)
    assert float(rho.min()) > 1 and float(pressure.min()) > 0.9


def test_what_does_not_fit_a_box_is_named():
    method = pm.FiniteVolume(cells=8)
    disk = pm.Problem(
        Diffusion(),
        pm.Disk((0.0, 0.0), 1.0),
        time=(0.0, 1.0),
        initial={"u": 1.0},
        boundary={"all": pm.Dirichlet(u=1.0)},
    )
    with pytest.raises(pm.NotApplicable, match=r"not a box.*structured grid.*triangle"):
        method.solve(disk)
    square = pm.Problem(
        Diffusion(), pm.Rectangle(periodic=True), time=(0.0, 1.0), initial={"u": 1.0}
    )
    with pytest.raises(ValueError, match="entry for each of 2 directions, got 3"):
        pm.FiniteVolume(cells=(8, 8, 8)).discretize(square)
    with pytest.raises(ValueError, match="at least 4"):
        pm.FiniteVolume(cells=(8, 2)).discretize(square)
