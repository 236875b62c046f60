"""Solids against published values, exact solutions and a peer; load steps."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad, simpson
from scipy.optimize import brentq

import pdes
from pdes import library
from pdes.library import solids
from solvers import SolverError
from solvers.fem import FiniteElement


def nodal(solution):
    """Nodes and displacements there: nothing is compiled to look points up."""
    space = solution.representation.space
    x, first = space.scalars["u"].coordinates, space.offsets["u"]
    return x, np.asarray(solution.representation.state)[first:][: x.size].reshape(x.shape)


def test_cooks_membrane():
    """Converged values: u_y(48, 52) = 23.9677, compliance 24.0415."""
    solution = FiniteElement(degree=2, mesh=solids.cook_mesh(16)).solve(library.cook())
    x, u = nodal(solution)
    right = np.flatnonzero(x[:, 0] > 48 - 1e-9)
    right = right[np.argsort(x[right, 1])]
    middle = right[len(right) // 2]
    np.testing.assert_allclose(x[middle], (48.0, 52.0))
    assert u[middle, 1] == pytest.approx(23.9677, rel=3e-3)
    work = simpson(u[right, 1], x=x[right, 1]) / 16.0
    assert work == pytest.approx(24.0415, rel=3e-3)


def test_kirschs_stress_concentration():
    problem = library.plate_with_hole()
    errors = []
    for cells in (4, 8):
        solution = FiniteElement(degree=2, mesh=solids.plate_mesh(cells)).solve(problem)
        x, u = nodal(solution)
        exact = jax.vmap(lambda y: problem.exact_value("u", y))(jnp.asarray(x))
        errors.append(nodal_rms(u - exact))
    assert np.log2(errors[0] / errors[1]) > 2.8
    stress = solution.evaluate(
        lambda p: -problem.pde.stress(p), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    )
    assert float(stress[0, 0, 0]) == pytest.approx(3.0, rel=3e-3)
    assert float(stress[1, 1, 1]) == pytest.approx(-1.0, rel=5e-3)


def peer_basis(n):
    skfem = pytest.importorskip("skfem")
    line = np.linspace(0.0, 1.0, n + 1)
    mesh = skfem.MeshHex.init_tensor(line, line, line)
    return skfem, skfem.Basis(mesh, skfem.ElementVector(skfem.ElementHex1()), intorder=3)


def nodal_rms(values):
    return np.sqrt(np.mean(np.sum(values**2, axis=-1)))


LAME = 10 * 0.3 / (1.3 * 0.4), 10 / 2.6


def test_clamped_cube_agrees_with_a_peer():
    from skfem.models.elasticity import linear_elasticity

    skfem, basis = peer_basis(3)
    load = skfem.LinearForm(lambda v, w: -0.1 * v[2]).assemble(basis)
    fixed = basis.get_dofs(lambda x: x[0] < 1e-9)
    system = skfem.condense(linear_elasticity(*LAME).assemble(basis), load, D=fixed)
    theirs = nodal_rms(skfem.solve(*system)[basis.nodal_dofs].T)
    method = FiniteElement(degree=1, cells=3, cell_shape="hexahedron")
    _, ours = nodal(method.solve(library.clamped_cube()))
    assert nodal_rms(ours) == pytest.approx(theirs, rel=1e-9)


def test_stretched_neo_hookean_block_agrees_with_a_peer():
    """The peer's tangent is derived by hand: P = μ(F − F⁻ᵀ) + λ(J − 1) J F⁻ᵀ."""
    skfem, basis = peer_basis(2)
    lam, mu = LAME

    def kinematics(w):
        f = w["w"].grad + np.eye(3)[:, :, None, None]
        j = np.linalg.det(np.moveaxis(f, (0, 1), (-2, -1)))
        inverse = np.linalg.inv(np.moveaxis(f, (0, 1), (-2, -1)))
        return f, j, np.moveaxis(inverse, (-1, -2), (0, 1))  # F⁻ᵀ

    def force(v, w):
        f, j, g = kinematics(w)
        return np.sum((mu * (f - g) + lam * (j - 1) * j * g) * v.grad, axis=(0, 1))

    def tangent(u, v, w):
        _, j, g = kinematics(w)
        along = np.sum(g * u.grad, axis=(0, 1))
        turned = np.einsum("ij...,kj...,kl...->il...", g, u.grad, g)
        change = mu * (u.grad + turned)
        change = change + lam * ((2 * j - 1) * j * along * g - (j - 1) * j * turned)
        return np.sum(change * v.grad, axis=(0, 1))

    ends = basis.get_dofs(lambda x: (x[0] < 1e-9) | (x[0] > 1 - 1e-9))
    z = np.zeros(basis.N)
    z[basis.nodal_dofs[0]] = 0.1 * basis.mesh.p[0]
    for _ in range(8):
        at = basis.interpolate(z)
        k = skfem.BilinearForm(tangent).assemble(basis, w=at)
        r = skfem.LinearForm(force).assemble(basis, w=at)
        z = z + skfem.solve(*skfem.condense(k, -r, D=ends))
    method = FiniteElement(degree=1, cells=2, cell_shape="hexahedron", quadrature_degree=3)
    _, ours = nodal(method.solve(library.stretched_block()))
    assert nodal_rms(ours) == pytest.approx(nodal_rms(z[basis.nodal_dofs].T), rel=1e-9)


BLOCK = FiniteElement(degree=1, cells=3, cell_shape="quadrilateral")


@pytest.fixture(scope="module")
def pressed():
    return BLOCK.solve(library.stretched_block(stretch=-0.3, dim=2))


def test_newton_converges_quadratically(pressed):
    norms = np.log(np.array(pressed.stats.extra["residuals"])[-3:])
    assert (norms[2] - norms[1]) / (norms[1] - norms[0]) > 1.8


def test_load_steps_reach_the_same_solution(pressed):
    in_steps = dataclasses.replace(BLOCK, load_steps=3).solve(pressed.problem)
    assert in_steps.stats.extra["load_increments"] == 3
    np.testing.assert_allclose(nodal(in_steps)[1], nodal(pressed)[1], atol=1e-9)


def bratu(strength):
    """−u″ = λ eᵘ, u(±½) = 0: solvable up to λ = 3.513830719, a turning point."""

    class Bratu(pdes.PDE):
        fields = {"u": pdes.Scalar()}

        def equations(self):
            return {
                "u": pdes.Balance(flux=(self.flux,), source=(self.heat,), storage=pdes.NoStorage)
            }

        def flux(self, p):
            return -p.grad.u

        def heat(self, p):
            return strength * jnp.exp(p.u)

    return pdes.Problem(
        Bratu(), pdes.Interval(-0.5, 0.5), boundary={"all": pdes.Dirichlet(u=0.0)}, name="bratu"
    )


def test_steps_are_cut_and_a_turning_point_is_named():
    method = FiniteElement(degree=2, cells=8, load_steps=2, newton_iterations=8)
    with pytest.raises(SolverError, match="of the load was reached") as error:
        method.solve(bratu(8.0))
    assert error.value.reason == "load_not_reached"
    assert len(error.value.history) >= 1
    # Cut steps approach the turning point of −u″ − λ(eᵘ − 1 + s) = 0 closely from below.
    reached = float(re.search(r"([\d.]+) of the load", str(error.value)).group(1))
    assert reached == pytest.approx(turning_point(8.0), abs=2e-3)


def turning_point(strength):
    """The largest s with a solution of u″ + λ(eᵘ − 1 + s) = 0: ½u′² + λ(eᵘ − (1 − s)u) is kept,
    so that the length of the interval is an integral over u up to the height a."""

    def half_length(a, s):
        def kernel(y):  # u = a(1 − y²) takes the root's singularity away
            u = a * (1 - y**2)
            return 2 * a * y / np.sqrt(2 * strength * (np.exp(a) - np.exp(u) - (1 - s) * (a - u)))

        return quad(kernel, 0.0, 1.0)[0]

    def load(a):
        return brentq(lambda s: half_length(a, s) - 0.5, 1e-6, 1.0 - 1e-9) if a else 0.0

    heights = np.linspace(0.05, 1.2, 60)
    return max(load(a) for a in heights if half_length(a, 1e-6) > 0.5 > half_length(a, 1.0 - 1e-9))


def test_gradient_through_load_steps():
    """Of a displacement in the modulus, the pressure and the prescribed displacement."""
    method = FiniteElement(
        degree=1, cells=2, cell_shape="quadrilateral", load_steps=2, newton_tolerance=1e-13
    )

    def probe(s):
        problem = library.stretched_block(stretch=-0.2 * s[0], young=s[1], poisson=s[2], dim=2)
        return jnp.sum(method.solve(problem).representation.state[::3] ** 2)

    # One program for values and gradients.
    probe = jax.jit(jax.value_and_grad(probe))
    at = jnp.array([1.0, 3.0, 0.3])
    exact = probe(at)[1]
    for i in (0, 2):
        h = 1e-3 * jnp.eye(3)[i]
        f = [float(probe(at + k * h)[0]) for k in (-2, -1, 1, 2)]
        found = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 12e-3
        assert found == pytest.approx(float(exact[i]), rel=1e-6)
    # Displacements that are prescribed alone don't depend on the modulus.
    assert float(exact[1]) == pytest.approx(0.0, abs=1e-10)
