"""Library problems on periodic domains against exponax, or against what is known of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from solvers.spectral.fourier_pointwise import backward
from solvers.spectral.fourier_run import end_state
from solvers.time import Scheme
from solvers.time._compiled import timed_call

_SCHEME = Scheme("etdrk", 4)


def both(problem, make, points, steps, dt):
    """States after some steps of ETDRK4, ours and exponax's, from the same start."""
    exponax = pytest.importorskip("exponax")
    system = pm.Fourier(points=points).discretize(problem)
    until = jnp.asarray(problem.time[0] + steps * dt)
    end, *_ = timed_call(end_state, system, _SCHEME, jnp.asarray(steps), until)
    low, high = problem.domain.bounds
    length = float(high[0] - low[0])
    stepper = make(exponax.stepper, problem.dim, length, points, dt)
    # exponax turns the flow the other way round: with −ω its vorticity equation is ours.
    sign = -1.0 if "omega" in problem.shapes else 1.0
    start = sign * backward(system.initial_state(), system.plan.points)
    theirs = sign * jax.jit(exponax.repeat(stepper, steps))(start)
    return backward(end, system.plan.points), theirs


CASES = {
    "fisher_kpp_spread": (
        lambda s, *a: s.reaction.FisherKPP(*a, diffusivity=1.0, reactivity=1.0, order=4),
        128, 0.02,
    ),
    "swift_hohenberg": (
        lambda s, *a: s.reaction.SwiftHohenberg(
            *a, reactivity=0.3, polynomial_coefficients=(0.0, 0.0, 0.0, -1.0), order=4
        ),
        256, 0.1,
    ),
    "allen_cahn": (
        lambda s, *a: s.reaction.AllenCahn(
            *a, diffusivity=1e-4, first_order_coefficient=5.0, third_order_coefficient=-5.0, order=4
        ),
        128, 1e-3,
    ),
    "cahn_hilliard": (
        lambda s, *a: s.reaction.CahnHilliard(*a, diffusivity=1.0, gamma=0.01, order=4), 32, 1e-4,
    ),
    "gray_scott": (lambda s, *a: s.reaction.GrayScott(*a, order=4), 64, 0.125),
    "decaying_turbulence": (
        lambda s, *a: s.NavierStokesVorticity(*a, diffusivity=1 / 500, order=4), 32, 0.01,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_states_equal_exponax(name):
    make, points, dt = CASES[name]
    ours, theirs = both(library.PROBLEMS[name](), make, points, 20, dt)
    assert float(jnp.abs(ours - theirs).max()) < 1e-9 * float(jnp.abs(theirs).max())


@pytest.mark.parametrize(
    ("name", "options", "bound"),
    [
        ("advection_diffusion_periodic", {"points": 16, "dt": 0.1}, 1e-12),
        ("hyperdiffusion", {"points": 16, "dt": 0.1}, 1e-12),
        ("wave_periodic", {"points": 16, "dt": 0.1}, 1e-11),
        ("sine_gordon", {"points": 512, "dt": 0.01}, 1e-6),
        ("schroedinger", {"points": 512, "dt": 2e-3}, 1e-6),
        ("ginzburg_landau_wave", {"points": 32, "dt": 0.01}, 1e-6),
    ],
)
def test_solutions_equal_exact_ones(name, options, bound):
    problem = library.PROBLEMS[name]()
    solution = pm.Fourier(frames=2, **options).solve(problem)
    x = jnp.asarray(problem.domain.sample_interior(50, seed=2))
    end = problem.time[1]
    exact = jax.vmap(lambda y: problem.exact_value("u", y, end))(x)
    assert float(jnp.abs(solution["u"](x, end) - exact).max()) < bound


def test_flame_front_is_isotropic():
    # Along the diagonal, |k| = √2 q: the front of one dimension on length L/√2. (exponax's
    # −Σ∂ᵢ⁴ in place of −∇⁴ is another equation.)
    length = 24.0
    wave = lambda s: jnp.sin(s) + 0.5 * jnp.cos(2 * s + 0.3)
    q = 2 * np.pi / length
    plane = pm.Problem(
        library.FlameFront(),
        pm.Rectangle((0.0, 0.0), (length, length), periodic=True),
        time=(0.0, 2.0),
        initial={"u": lambda x: wave(q * (x[0] + x[1]))},
    )
    line = pm.Problem(
        library.FlameFront(),
        pm.Interval(0.0, length / 2**0.5, periodic=True),
        time=(0.0, 2.0),
        initial={"u": lambda x: wave(2**0.5 * q * x[0])},
    )
    method = pm.Fourier(points=32, dt=0.02, frames=2)
    s = jnp.linspace(0.0, 1.0, 21)
    along = method.solve(plane)["u"](length * jnp.stack([0.3 * s, 0.7 * s], -1), 2.0)
    expected = method.solve(line)["u"](length * s[:, None] / 2**0.5, 2.0)
    np.testing.assert_allclose(along, expected, atol=1e-8)


def test_two_solitons_keep_mass_and_energy():
    problem = library.kdv_two_solitons()
    solution = pm.Fourier(points=512, dt=8 / 4000, frames=9).solve(problem)
    grids = [solution.representation.on_grid(i)["u"] for i in range(9)]
    masses = np.array([float(u.mean()) for u in grids])
    energies = np.array([float((u**2).mean()) for u in grids])
    assert np.abs(masses / masses[0] - 1).max() < 1e-13
    assert np.abs(energies / energies[0] - 1).max() < 1e-7
    x = jnp.linspace(-40.0, 40.0, 101)[:, None]
    exact = jax.vmap(lambda y: problem.exact_value("u", y, 8.0))(x)
    error = jnp.linalg.norm(solution["u"](x, 8.0) - exact) / jnp.linalg.norm(exact)
    assert float(error) < 1e-4


def test_fronts_of_fisher_kpp_spread_at_their_speed():
    solution = pm.Fourier(points=128, dt=0.05).solve(library.fisher_kpp_spread())
    x = jnp.linspace(0.0, 18.0, 1801)[:, None]
    places = [float(x[jnp.argmin(jnp.abs(solution["u"](x, t) - 0.5)), 0]) for t in (4.0, 6.0)]
    speed = (places[1] - places[0]) / 2.0
    # 2 − 3/(2t) + O(t^{−3/2}), Bramson (1983).
    assert 1.5 < speed < 2.0
