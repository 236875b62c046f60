"""Phase fields, solitons and waves in time: conservation, energy, adaptive steps."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pdes
from pdes import library
from solvers.fem import FiniteElement
from solvers.time import generalized_alpha


def test_two_drops_keep_their_mass_and_lose_energy():
    problem = library.cahn_hilliard()
    method = FiniteElement(
        degree=1, cells=16, cell_shape="quadrilateral", scheme="bdf2", rtol=1e-4, atol=1e-4
    )
    solution = method.solve(problem)
    system, series = method.discretize(problem), solution.representation.state
    # The basis functions add up to one, so that the rows of the storage add up to ∫ u.
    masses = jax.jit(jax.vmap(lambda z, t: jnp.sum(system.storage(z, t))))(
        series.states, series.times
    )
    assert np.ptp(masses) <= 1e-10 * abs(float(masses[0]))

    @jax.jit
    def energy(state, t):
        # The state as an argument: as a constant it would be folded at length.
        at = eqx.tree_at(lambda s: s.representation.state, solution, state)
        return at.integrate(
            lambda p: 0.25 * (p.u**2 - 1) ** 2 + 0.005 * jnp.sum(p.grad.u**2), t=t, degree=3
        )

    energies = np.array([energy(series, t) for t in np.asarray(series.times)[::4]])
    assert len(energies) > 5
    assert (np.diff(energies) < 0.0).all()


def test_a_soliton_takes_few_steps():
    """Steps adapt to u, not to its second derivative w, which is an algebraic field here."""
    problem = library.kdv()
    solution = FiniteElement(degree=2, cells=200, rtol=1e-5, atol=1e-5, max_steps=100).solve(
        problem
    )
    x = jnp.asarray(problem.domain.sample_interior(200, seed=1))
    exact = jax.vmap(lambda y: problem.exact_value("u", y, 1.0))(x)
    assert solution.stats.iterations < 60
    error = jnp.linalg.norm(solution["u"](x, 1.0) - exact) / jnp.linalg.norm(exact)
    assert float(error) < 1e-3


def test_a_struck_bar_keeps_its_energy_or_loses_what_it_can_not_resolve():
    """½∫(v² + c²u′²) of a bar that is struck in the middle, by the generalised-α method."""
    problem = pdes.Problem(
        library.Wave(c=1.0),
        pdes.Interval(0.0, 1.0),
        time=(0.0, 2.0),
        initial={"u": 0.0},
        initial_rate={"u": lambda x: jnp.where(jnp.abs(x[0] - 0.5) < 0.1, 1.0, 0.0)},
        boundary={"all": pdes.Dirichlet(u=0.0)},
    )
    method = FiniteElement(degree=1, cells=20, dt=0.05, scheme=generalized_alpha(1.0))
    system = method.discretize(problem)

    @jax.jit
    def energies(states):
        def energy(z):
            u, rates = system.split(z)
            momentum, _ = system.split(system.storage(z, 0.0))
            force, _ = system.split(system.rate(z, 0.0))
            return 0.5 * (rates["u"] @ momentum - u @ force)

        return jax.vmap(energy)(states)

    kept = energies(method.solve(problem).representation.state.states)
    np.testing.assert_allclose(kept, kept[0], rtol=1e-12)
    damped = dataclasses.replace(method, scheme=generalized_alpha(0.2))
    lost = energies(damped.solve(problem).representation.state.states)
    assert 0.5 < lost[-1] / lost[0] < 0.95
    # The period is 2: the bar comes back as it was, but for what the mesh can't carry.
    assert lost[-1] < lost[len(lost) // 2] < lost[0]
