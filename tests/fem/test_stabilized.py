"""Transport that the mesh does not resolve, and solids that hardly change their volume."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers import NotApplicable
from solvers.fem import FiniteElement


class Transport(pdes.PDE):
    """∇·(u b − κ∇u) = f."""

    b: tuple[float, ...] = (1.0,)
    kappa: pdes.Coefficient = pdes.coefficient(1e-3)
    f: pdes.Coefficient = pdes.coefficient(0.0)
    fields = {"u": pdes.Scalar()}

    def equations(self):
        balance = pdes.Balance(
            flux=(self.carried, self.spread), source=(self.load,), storage=pdes.NoStorage
        )
        return {"u": balance}

    def carried(self, p):
        return p.u * jnp.array(self.b)

    def spread(self, p):
        return -self.kappa(p) * p.grad.u

    def load(self, p):
        return self.f(p)


SUPG = FiniteElement(degree=1, cells=10, stabilization="supg")


@pytest.mark.parametrize("kappa", [5e-4, 2e-2, 1.0])
def test_supg_is_exact_at_the_nodes_of_a_boundary_layer(kappa):
    """u′ − κu″ = 1, cell Péclet numbers 100, 2.5 and 0.05: u = x − (e^{x/κ} − 1)/(e^{1/κ} − 1)."""
    problem = pdes.Problem(
        Transport(kappa=kappa, f=1.0),
        pdes.Interval(0.0, 1.0),
        boundary={"all": pdes.Dirichlet(u=0.0)},
    )
    solution = SUPG.solve(problem)
    x = np.linspace(0.0, 1.0, 11)
    exact = x - np.exp((x - 1) / kappa) * -np.expm1(-x / kappa) / -np.expm1(-1 / kappa)
    found = np.asarray(solution["u"](jnp.asarray(x)[:, None]))
    assert np.abs(found - exact).max() < 1e-10
    assert not any("Péclet" in note for note in solution.stats.notes)


def test_supg_does_not_oscillate_where_galerkin_does():
    """Flow along x with a layer at the outflow, cell Péclet number 50."""
    problem = pdes.Problem(
        Transport(b=(1.0, 0.0), kappa=1e-3),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=1.0),
            "right": pdes.Dirichlet(u=0.0),
            "top": pdes.Neumann(u=0.0),
            "bottom": pdes.Neumann(u=0.0),
        },
    )
    method = dataclasses.replace(SUPG, cell_shape="quadrilateral")
    nodes = jnp.asarray(method.make_mesh(problem.domain).points)
    u = np.asarray(method.solve(problem)["u"](nodes))
    assert u.max() < 1.01 and u.min() > -0.01
    plain = dataclasses.replace(method, stabilization=None)
    assert np.asarray(plain.solve(problem)["u"](nodes)).max() > 1.2


def test_supg_is_refused_where_it_is_not_made_for():
    problem = pdes.Problem(
        Transport(), pdes.Interval(0.0, 1.0), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    with pytest.raises(NotApplicable, match="degree 1"):
        dataclasses.replace(SUPG, degree=2).solve(problem)
    with pytest.raises(NotApplicable, match="steady"):
        SUPG.solve(library.advection_diffusion())
    with pytest.raises(ValueError, match="stabilization"):
        FiniteElement(stabilization="upwind")


def test_a_pressure_of_its_own_does_not_lock():
    """Cook's membrane, ν = 0.4999: the tip is within 1 % of its converged value, where linear
    elements for the displacement alone lock and say so."""
    problem = library.incompressible_cook()
    tip = jnp.array([48.0, 60.0])

    def moved(cells):
        mesh = library.solids.cook_mesh(cells)
        solution = FiniteElement(degree=2, mesh=mesh).solve(problem)
        return float(solution["u"](tip)[1])

    coarse, fine = moved(6), moved(20)
    assert abs(coarse / fine - 1) < 0.01
    locking = pdes.Problem(
        library.Elasticity(young=240.565, poisson=0.4999),
        problem.domain,
        boundary={
            "edge0": pdes.Traction(u=0.0),
            "edge1": pdes.Traction(u=(0.0, 100.0 / 16.0)),
            "edge2": pdes.Traction(u=0.0),
            "edge3": pdes.Dirichlet(u=0.0),
        },
    )
    mesh = library.solids.cook_mesh(6)
    stiff = FiniteElement(degree=1, mesh=mesh).solve(locking)
    assert any("lock" in note and "0.4999" in note for note in stiff.stats.notes)
    assert float(stiff["u"](tip)[1]) < 0.7 * fine
    soft = library.Elasticity(young=240.565, poisson=0.3)
    free = FiniteElement(degree=1, mesh=mesh).solve(
        pdes.Problem(
            soft,
            problem.domain,
            boundary=dict.fromkeys(("edge0", "edge1", "edge2"), pdes.Traction(u=0.0))
            | {"edge3": pdes.Dirichlet(u=0.0)},
        )
    )
    assert not any("lock" in note for note in free.stats.notes)
