"""Flows against published values; forces by the weak residual."""

import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from pdes.library import fluids
from solvers.fem import FiniteElement


def extreme(values, index):
    """The vertex of the parabola through an extreme value and its neighbours."""
    a, b, c = (float(values[i]) for i in (index - 1, index, index + 1))
    return b - (a - c) ** 2 / (8 * (a - 2 * b + c))


@pytest.mark.parametrize(
    ("reynolds", "cells", "reference"),
    [
        # Least u on the vertical and largest and least v on the horizontal line through the middle.
        pytest.param(100, 10, (-0.2140417, 0.1795728, -0.2538030), id="Marchi et al. (2009)"),
        pytest.param(1000, 16, (-0.3885698, 0.3769447, -0.5270771), id="Botella and Peyret (1998)"),
    ],
)
def test_lid_driven_cavity(reynolds, cells, reference):
    mesh, steps = fluids.cavity_mesh(cells), 1 if reynolds < 500 else 3
    method = FiniteElement(degree=3, mesh=mesh, load_steps=steps)
    solution = method.solve(library.cavity(reynolds))
    line = jnp.linspace(0.0, 1.0, 401)[1:-1]
    middle = jnp.full_like(line, 0.5)
    ends = jnp.concatenate([jnp.stack([middle, line], 1), jnp.stack([line, middle], 1)])
    velocity = np.asarray(solution["u"](ends))
    u, v = velocity[: len(line), 0], velocity[len(line) :, 1]
    found = [extreme(u, u.argmin()), extreme(v, v.argmax()), extreme(v, v.argmin())]
    np.testing.assert_allclose(found, reference, rtol=3e-3)


def test_drag_and_lift_of_a_cylinder():
    """DFG benchmark 2D-1 (Schäfer and Turek 1996; values by Nabh 1998)."""
    method = FiniteElement(degree=2, mesh=fluids.cylinder_mesh(12))
    solution = method.solve(library.cylinder_flow())
    drag, lift = 500.0 * solution.reaction("u", "cylinder")
    assert float(drag) == pytest.approx(5.57953523384, rel=1e-4)
    assert float(lift) == pytest.approx(0.010618948146, rel=5e-3)
    front, back = solution["p"](jnp.array([[0.15, 0.2], [0.25, 0.2]]))
    assert float(front - back) == pytest.approx(0.11752016697, rel=3e-3)


def test_drag_of_a_cylinder_in_a_flow_that_rises():
    """DFG benchmark 2D-3 at its largest drag (John 2004)."""
    problem = library.cylinder_flow(1.5, (0.0, 3.93625), lambda t: jnp.sin(jnp.pi * t / 8))
    method = FiniteElement(
        degree=3, mesh=fluids.cylinder_mesh(5), scheme="bdf2", dt=3.93625 / 100, frames=2
    )
    drag, _ = 20.0 * method.solve(problem).reaction("u", "cylinder", t=3.93625)
    # 0.3 % off on this coarse mesh.
    assert float(drag) == pytest.approx(2.950921575, rel=5e-3)


def test_reactions_balance_sources():
    """∮ F·n = ∫ f to rounding, which the integral of F·n meets only to the error."""
    problem = pdes.Problem(
        library.Poisson(f=lambda p: jnp.exp(p.x[0])),
        pdes.Interval(0.0, 1.0),
        boundary={"left": pdes.Dirichlet(u=1.0), "right": pdes.Dirichlet(u=0.0)},
    )
    solution = FiniteElement(degree=1, cells=4, quadrature_degree=15).solve(problem)
    # u = 2 + (e − 2)x − eˣ, whose flux is −u′ = eˣ − e + 2.
    left, right = (float(solution.reaction("u", side)) for side in ("left", "right"))
    assert left == pytest.approx(np.e - 3.0, abs=1e-10)
    assert right == pytest.approx(2.0, abs=1e-10)
    with pytest.raises(ValueError, match="no reaction of 'u' over 'lid'"):
        solution.reaction("u", "lid")


def test_reactions_in_time_count_what_is_stored():
    """u = e^{-t} x: F·n at x = 1 is −e^{-t}, and the rod loses ½ e^{-t} through what it stores."""

    def exact(x, t):
        return jnp.exp(-t) * x[0]

    problem = pdes.manufactured(
        library.Heat(kappa=1.0), pdes.Interval(0.0, 1.0), {"u": exact}, time=(0.0, 0.5)
    )
    solution = FiniteElement(degree=1, cells=4, rtol=1e-8, atol=1e-9).solve(problem)
    found = float(solution.reaction("u", "right", t=0.4))
    assert found == pytest.approx(-np.exp(-0.4), rel=1e-4)
