"""Problems in time: parabolic, hyperbolic, with constraints, with definitions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers.fem import FiniteElement


def error(solution, field="u", count=300):
    """Relative error at scattered points at the end."""
    problem = solution.problem
    x = jnp.asarray(problem.domain.sample_interior(count, seed=1))
    end = problem.time[1]
    exact = jax.jit(jax.vmap(lambda y: problem.exact_value(field, y, end)))(x)
    found = solution[field](x, end)
    return float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))


def heat(kappa):
    # An array: a number would be compiled in.
    kappa = jnp.asarray(kappa)

    def exact(x, t):
        return jnp.exp(-kappa * jnp.pi**2 * t) * jnp.sin(jnp.pi * x[0])

    return pdes.Problem(
        library.Heat(kappa=kappa),
        pdes.Interval(0.0, 1.0),
        time=(0.0, 1.0),
        initial={"u": lambda x: exact(x, 0.0)},
        boundary={"all": pdes.Dirichlet(u=0.0)},
        exact={"u": exact},
    )


@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        ("implicit_euler", 1),
        ("trapezoidal", 2),
        ("generalized_alpha", 2),
        ("esdirk3", 3),
    ],
)
def test_order_in_time(scheme, order):
    """In n steps of z = λ Δt the error is n z^{p+1}: by another λ both are compiled once."""
    method = FiniteElement(degree=4, cells=8, scheme=scheme, dt=1.0 / 16)
    errors = [error(method.solve(heat(kappa))) for kappa in (0.2, 0.1)]
    assert np.log2(errors[0] / errors[1]) > order + 1 - 0.15


def test_bdf2_is_of_second_order():
    """Its first step is of another order: here it is the steps that are halved."""
    errors = [
        error(FiniteElement(degree=4, cells=8, scheme="bdf2", dt=1.0 / n).solve(heat(0.1)))
        for n in (8, 16)
    ]
    assert np.log2(errors[0] / errors[1]) > 2 - 0.15


def test_adaptive_steps_meet_their_tolerance_for_burgers():
    problem = library.burgers(0.05)
    solution = FiniteElement(degree=3, cells=100, rtol=1e-7, atol=1e-8).solve(problem)
    assert error(solution) < 1e-5
    assert solution.stats.iterations > 5
    assert solution.representation.frames() is not None


def test_mass_is_conserved_without_flow_through_the_boundary():
    problem = pdes.Problem(
        library.Heat(kappa=0.3),
        pdes.Interval(0.0, 1.0),
        time=(0.0, 0.5),
        initial={"u": lambda x: x[0] ** 2},
        boundary={"all": pdes.Neumann(u=0.0)},
    )
    solution = FiniteElement(degree=2, cells=10).solve(problem)
    np.testing.assert_allclose(solution.integrate(lambda p: p.u), 1.0 / 3.0, rtol=1e-12)
    # x² = 1/3 + Σ 4(−1)ⁿ/(nπ)² cos nπx: the odd modes make the difference of the ends.
    modes = sum(8 / (n * np.pi) ** 2 * np.exp(-0.15 * (n * np.pi) ** 2) for n in (1, 3))
    difference = float(solution["u"](1.0, 0.5) - solution["u"](0.0, 0.5))
    np.testing.assert_allclose(difference, modes, rtol=1e-4)


def test_a_standing_wave_keeps_its_energy():
    def exact(x, t):
        return jnp.cos(jnp.pi * t) * jnp.sin(jnp.pi * x[0])

    class Wave(pdes.PDE):
        fields = {"u": pdes.Scalar()}

        def equations(self):
            return {"u": pdes.Balance(flux=(self.flux,), inertia=2.0)}

        def flux(self, p):
            return -2.0 * p.grad.u

    problem = pdes.Problem(
        Wave(),
        pdes.Interval(0.0, 1.0),
        time=(0.0, 1.5),
        initial={"u": lambda x: exact(x, 0.0)},
        initial_rate={"u": 0.0},
        boundary={"all": pdes.Dirichlet(u=0.0)},
        exact={"u": exact},
    )
    solution = FiniteElement(degree=3, cells=16, rtol=1e-7, atol=1e-9).solve(problem)
    x = jnp.linspace(0.05, 0.95, 19)[:, None]
    np.testing.assert_allclose(
        solution["u"](x, 1.3), jax.vmap(lambda y: exact(y, 1.3))(x), atol=1e-5
    )


def test_unsteady_stokes_with_data_in_time():
    def velocity(x, t):
        return jnp.exp(-t) * jnp.stack([x[1] ** 2, x[0]])

    def pressure(x, t):
        return jnp.cos(t) * (x[0] - 0.5)

    problem = pdes.manufactured(
        library.Stokes(nu=0.7),
        pdes.Rectangle(),
        {"u": velocity, "p": pressure},
        time=(0.0, 0.5),
        gauge={"p": pdes.ZeroMean()},
    )
    solution = FiniteElement(degree=2, cells=3, rtol=1e-7, atol=1e-8).solve(problem)
    assert error(solution) < 1e-6
    # Steps adapt to the error of the velocity alone.
    assert error(solution, "p") < 3e-4


class CahnHilliard(pdes.PDE):
    """∂c/∂t = ∇²w, w = c³ − c − ε²∇²c."""

    fields = {"c": pdes.Scalar(), "w": pdes.Scalar()}

    def equations(self):
        return {
            "c": pdes.Balance(flux=(self.flow,)),
            "w": pdes.Definition(flux=(self.interface,), source=(self.reaction,)),
        }

    def flow(self, p):
        return -p.grad.w

    def interface(self, p):
        return -0.01 * p.grad.c

    def reaction(self, p):
        return p.c**3 - p.c


def test_cahn_hilliard_conserves_mass_and_loses_energy():
    problem = pdes.Problem(
        CahnHilliard(),
        pdes.Interval(0.0, 1.0),
        time=(0.0, 0.1),
        initial={"c": lambda x: 0.1 + 0.2 * jnp.cos(2 * jnp.pi * x[0])},
        boundary={"all": pdes.Neumann(c=0.0, w=0.0)},
    )
    solution = FiniteElement(degree=2, cells=20, rtol=1e-5, atol=1e-7).solve(problem)

    def energy(t):
        return float(
            solution.integrate(
                lambda p: 0.25 * (p.c**2 - 1) ** 2 + 0.005 * jnp.sum(p.grad.c**2), t=t
            )
        )

    np.testing.assert_allclose(solution.integrate(lambda p: p.c, t=0.1), 0.1, rtol=1e-8)
    energies = [energy(t) for t in (0.0, 0.03, 0.06, 0.1)]
    assert all(later < earlier for earlier, later in itertools.pairwise(energies))
