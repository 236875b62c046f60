"""Finite volumes: conservation, order, shocks, boundary fluxes, gradients, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import physml as pm
from solvers.fv._limiter import LIMITERS
from solvers.fv._riemann import rusanov, spectral_radius


class Transport(pm.PDE):
    """∂u/∂t + ∂/∂x (½u² − ν ∂u/∂x) = −k u."""

    nu: pm.Coefficient = pm.coefficient(0.0)
    k: pm.Coefficient = pm.coefficient(0.0)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.convection, self.diffusion), source=(self.decay,))}

    def convection(self, p):
        return 0.5 * p.u**2 * jnp.ones_like(p.x)

    def diffusion(self, p):
        return -self.nu(p) * p.grad.u

    def decay(self, p):
        return -self.k(p) * p.u


class Advection(pm.PDE):
    """∂u/∂t + ∂u/∂x = 0."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.convection,))}

    def convection(self, p):
        return p.u * jnp.ones_like(p.x)


class Gas(pm.PDE):
    """Euler's equations with γ = 1.4 for density, momentum and energy."""

    fields = {"q": pm.Components(3)}

    def equations(self):
        return {"q": pm.Balance(flux=(self.convection,))}

    def convection(self, p):
        density, momentum, energy = p.q
        speed = momentum / density
        pressure = 0.4 * (energy - 0.5 * momentum * speed)
        flux = [momentum, momentum * speed + pressure, speed * (energy + pressure)]
        return jnp.stack(flux)[:, None]


def gas(density, speed, pressure):
    return jnp.stack([density, density * speed, pressure / 0.4 + 0.5 * density * speed**2])


RING = pm.Interval(0.0, 1.0, periodic=True)


def test_mass_is_conserved_to_round_off_through_a_shock():
    problem = pm.Problem(
        Transport(nu=1e-3),
        RING,
        time=(0.0, 0.5),
        initial={"u": lambda x: jnp.sin(2 * jnp.pi * x[0]) + 0.3},
    )
    edges = np.concatenate([np.linspace(0, 0.5, 40), np.linspace(0.5, 1, 60)[1:]])
    method = pm.FiniteVolume(cells=edges, frames=9)
    system = method.discretize(problem)
    start = system.initial_state()
    assert float(start[0] @ system.widths) == pytest.approx(0.3, abs=1e-10)
    solution = method.solve(problem)
    states = solution.representation.series.states[:, 1:-1, 0]
    mass = np.asarray(states @ system.widths)
    np.testing.assert_allclose(mass, mass[0], rtol=0, atol=1e-13)
    assert np.ptp(np.asarray(states[-1])) < 0.95 * np.ptp(np.asarray(states[0]))


def test_second_order_on_smooth_advection_and_first_without_slopes():
    exact = lambda k, x: 1 + 0.3 * jnp.sin(2 * jnp.pi * k * x)
    start = lambda k, x: exact(k, x[0])

    def order(**options):
        """With k waves across there are n/k cells a wave: both are compiled once."""
        method = pm.FiniteVolume(cells=128, frames=3, **options)
        x = (np.arange(128) + 0.5) / 128
        errors = []
        for k in (2.0, 1.0):
            initial = {"u": Partial(start, jnp.asarray(k))}
            problem = pm.Problem(Advection(), RING, time=(0.0, 0.5), initial=initial)
            found = method.solve(problem)["u"](x[:, None], 0.5 / k)
            errors.append(np.abs(found - exact(k, x - 0.5 / k)).mean())
        return np.log2(errors[0] / errors[1])

    assert order(limiter="van_leer") > 1.8
    assert order(reconstruction="constant") == pytest.approx(1.0, abs=0.15)


def test_burgers_with_its_layer():
    problem = pm.library.burgers()
    solution = pm.FiniteVolume(cells=512).solve(problem)
    x = jnp.linspace(-1.0, 1.0, 801)[:, None]
    t = jnp.linspace(0.0, 1.0, 11)
    found = jnp.stack([solution["u"](x, s) for s in t])
    exact = jnp.stack([jax.vmap(lambda y, s=s: problem.exact_value("u", y, s))(x) for s in t])
    assert float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact)) < 5e-3


def test_shock_moves_at_the_speed_of_rankine_and_hugoniot():
    problem = pm.Problem(
        Transport(),
        pm.Interval(0.0, 1.0),
        time=(0.0, 0.4),
        initial={"u": lambda x: jnp.where(x[0] < 0.3, 1.0, 0.0)},
        boundary={"left": pm.Dirichlet(u=1.0), "right": pm.Outflow()},
    )
    solution = pm.FiniteVolume(cells=200, limiter="minmod", frames=3).solve(problem)
    averages = solution.representation.series.states[-1, 1:-1, 0]
    # The area behind the shock is its position, 0.3 + 0.4 / 2.
    assert float(averages.sum() / 200) == pytest.approx(0.5, abs=1e-6)
    assert float(averages.max()) < 1 + 1e-9
    assert float(averages.min()) > -1e-9


def test_shock_tube_of_sod():
    problem = pm.Problem(
        Gas(),
        pm.Interval(0.0, 1.0),
        time=(0.0, 0.2),
        initial={"q": lambda x: jnp.where(x[0] < 0.5, gas(1.0, 0.0, 1.0), gas(0.125, 0.0, 0.1))},
        boundary={"all": pm.Outflow()},
    )
    solution = pm.FiniteVolume(cells=200, frames=3).solve(problem)
    # Left of the contact, right of it, ahead of the shock (Sod 1978; Toro, table 4.3).
    state = solution["q"](jnp.array([[0.6], [0.76], [0.95]]), 0.2)
    np.testing.assert_allclose(state[:, 0], [0.42632, 0.26557, 0.125], atol=3e-3)
    np.testing.assert_allclose(state[:2, 1] / state[:2, 0], 0.92745, atol=3e-3)


def test_boundary_fluxes_enter_the_balance():
    # ∂u/∂t = ν ∂²u/∂x² with F·n = −1 on the left (inflow 1) and u-dependent outflow on the right.
    problem = pm.Problem(
        Transport(nu=0.1),
        pm.Interval(0.0, 1.0),
        time=(0.0, 0.2),
        initial={"u": 0.0},
        boundary={"left": pm.Neumann(u=-1.0), "right": pm.Robin(u=lambda p: 0.0 * p.u)},
    )
    solution = pm.FiniteVolume(cells=50, frames=5).solve(problem)
    averages = solution.representation.series.states[:, 1:-1, 0]
    mass = np.asarray(averages.sum(axis=1) / 50)
    np.testing.assert_allclose(mass, solution.representation.series.times, atol=1e-13)


def test_dirichlet_and_flux_give_the_steady_line():
    # −ν u″ = 0 with u(0) = 1 and −ν u′(1) = −0.05: u = 1 + x/2.
    class Heat(pm.PDE):
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(self.flow,))}

        def flow(self, p):
            return -0.1 * p.grad.u

    problem = pm.Problem(
        Heat(),
        pm.Interval(0.0, 1.0),
        time=(0.0, 60.0),
        initial={"u": 1.0},
        boundary={"left": pm.Dirichlet(u=1.0), "right": pm.Neumann(u=-0.05)},
    )
    solution = pm.FiniteVolume(cells=16, frames=3).solve(problem)
    x = jnp.linspace(0.0, 1.0, 9)[:, None]
    np.testing.assert_allclose(solution["u"](x, 60.0), 1 + x[:, 0] / 2, atol=1e-5)


class Amplitude(eqx.Module):
    """a sin 2πx, with a trainable a."""

    a: jax.Array

    def __call__(self, x):
        return self.a * jnp.sin(2 * jnp.pi * x[0]) + 2.0


def test_gradients_in_coefficients_and_initial_data():
    method = pm.FiniteVolume(cells=16, dt=0.01, frames=3, limiter="van_leer")

    def functional(theta):
        problem = pm.Problem(
            Transport(nu=theta[0], k=theta[1]),
            RING,
            time=(0.0, 0.1),
            initial={"u": Amplitude(theta[2])},
        )
        x = jnp.linspace(0.05, 0.95, 7)[:, None]
        return jnp.sum(method.solve(problem)["u"](x, 0.1) ** 2)

    theta = jnp.array([0.02, 0.5, 0.7])
    both = jax.jit(jax.value_and_grad(functional))
    gradient = both(theta)[1]
    value = lambda theta: both(theta)[0]
    for i in range(3):
        best = np.inf
        for h in (1e-4, 1e-5, 1e-6):
            step = jnp.zeros(3).at[i].set(h)
            difference = (value(theta + step) - value(theta - step)) / (2 * h)
            best = min(best, abs(float(difference / gradient[i]) - 1))
        assert best < 1e-6


@pytest.mark.parametrize("name", LIMITERS)
def test_limiters_keep_to_the_region_of_sweby(name):
    limit = LIMITERS[name]
    a, b = jnp.meshgrid(jnp.linspace(-2.0, 2.0, 41), jnp.linspace(-2.0, 2.0, 41))
    slope = limit(a, b)
    smaller = jnp.minimum(jnp.abs(a), jnp.abs(b))
    assert bool(jnp.all(jnp.where(a * b <= 0, slope == 0, jnp.abs(slope) <= 2 * smaller + 1e-12)))
    np.testing.assert_allclose(limit(b, a), slope, atol=1e-15)
    np.testing.assert_allclose(limit(a, a), a, atol=1e-15)


def test_fastest_wave_by_the_jacobian():
    euler = Gas()
    flux = lambda u: euler.convection(pm.Point(jnp.zeros(1), jnp.zeros(()), {"q": u}, {}))[:, 0]
    state = gas(1.2, 0.7, 1.0)
    sound = np.sqrt(1.4 * 1.0 / 1.2)
    assert float(spectral_radius(flux, state)) == pytest.approx(0.7 + sound, rel=1e-12)
    np.testing.assert_allclose(rusanov(flux, state, state), flux(state), atol=1e-14)
    linear = lambda u: jnp.array([[0.0, 4.0], [1.0, 1.0]]) @ u
    assert float(spectral_radius(linear, jnp.ones(2))) == pytest.approx((1 + 17**0.5) / 2)


def test_what_does_not_apply_says_why():
    class NotConservative(pm.PDE):
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(source=(self.steepening,))}

        def steepening(self, p):
            return -p.u * p.grad.u[0]

    problem = pm.Problem(NotConservative(), RING, time=(0.0, 1.0), initial={"u": 1.0})
    with pytest.raises(pm.NotApplicable, match=r"non-conservative: .*'steepening'"):
        pm.FiniteVolume().solve(problem)
    method = pm.FiniteVolume()
    assert "steady" in str(method.inapplicable(pm.library.poisson(dim=1)))
    assert "inertia" in str(method.inapplicable(pm.library.wave()))


def test_bad_options_and_failures_are_named():
    with pytest.raises(ValueError, match="limiter is one of"):
        pm.FiniteVolume(limiter="superbee")
    with pytest.raises(ValueError, match="courant"):
        pm.FiniteVolume(courant=2.0)
    problem = pm.Problem(
        Transport(), RING, time=(0.0, 0.1), initial={"u": lambda x: jnp.sin(6.28 * x[0])}
    )
    with pytest.raises(ValueError, match="at least 4"):
        pm.FiniteVolume(cells=2).solve(problem)
    with pytest.raises(pm.SolverError, match="negative") as error:
        pm.FiniteVolume(cells=16, positive=("u",), dt=0.01, frames=5).solve(problem)
    assert error.value.reason == "negative"
    stiff = pm.Problem(Transport(nu=10.0), RING, time=(0.0, 1.0), initial={"u": lambda x: x[0]})
    with pytest.raises(pm.SolverError, match="not finite") as error:
        pm.FiniteVolume(cells=64, dt=0.01, frames=5).solve(stiff)
    assert error.value.reason == "not_finite"
