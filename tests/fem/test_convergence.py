"""Rates of convergence on every shape of cell, patch tests, mixed spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers.fem import FiniteElement


class Poisson(pdes.PDE):
    """−∇·∇u = f."""

    f: pdes.Coefficient = pdes.coefficient(0.0)
    fields = {"u": pdes.Scalar()}

    def equations(self):
        balance = pdes.Balance(flux=(self.flux,), source=(self.load,), storage=pdes.NoStorage)
        return {"u": balance}

    def flux(self, p):
        return -p.grad.u

    def load(self, p):
        return self.f(p)


def sines(x, t=0.0):
    return jnp.prod(jnp.sin(jnp.pi * x))


def poisson(dim, waves=1):
    # An array: a number would be compiled in.
    k = jnp.asarray(float(waves))
    return pdes.Problem(
        Poisson(f=lambda p: dim * (k * jnp.pi) ** 2 * sines(k * p.x)),
        pdes.Box([0.0] * dim, [1.0] * dim),
        boundary={"all": pdes.Dirichlet(u=0.0)},
        exact={"u": lambda x, t: sines(k * x)},
    )


def error(solution, field="u", count=400):
    """Root mean square at scattered points."""
    problem = solution.problem
    x = jnp.asarray(problem.domain.sample_interior(count, seed=1))
    exact = jax.jit(jax.vmap(lambda y: problem.exact_value(field, y)))(x)
    return float(jnp.sqrt(jnp.mean((solution[field](x) - exact) ** 2)))


def slope(problem, method, counts, field="u"):
    errors = [error(method(n).solve(problem), field) for n in counts]
    return np.log(errors[0] / errors[-1]) / np.log(counts[-1] / counts[0])


@pytest.mark.parametrize(
    ("shape", "dim", "degree", "counts"),
    [
        ("interval", 1, 2, (16, 64)),
        ("interval", 1, 4, (4, 12)),
        ("triangle", 2, 1, (12, 36)),
        ("triangle", 2, 2, (8, 24)),
        ("triangle", 2, 3, (4, 12)),
        ("quadrilateral", 2, 2, (8, 24)),
        ("tetrahedron", 3, 1, (8, 16)),
        ("tetrahedron", 3, 2, (4, 8)),
        ("hexahedron", 3, 2, (3, 6)),
    ],
)
def test_poisson_converges_at_the_optimal_rate(shape, dim, degree, counts):
    """With k waves across the same mesh there are n/k cells a wave: both are compiled once."""
    coarse, fine = counts
    method = FiniteElement(degree=degree, cells=fine, cell_shape=shape)
    waves = fine // coarse
    few, many = (error(method.solve(poisson(dim, k))) for k in (1, waves))
    assert abs(np.log(many / few) / np.log(waves) - (degree + 1)) < 0.2


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
def test_patch_test_of_elasticity(shape):
    """A linear displacement is reproduced to rounding, on a distorted mesh."""
    gradient = jnp.array([[0.3, -0.2], [0.1, 0.4]])
    domain = pdes.Rectangle()
    mesh = distorted(domain.mesh(4, shape))
    problem = pdes.Problem(
        library.Elasticity(young=3.0, poisson=0.25),
        domain,
        boundary={"all": pdes.Dirichlet(u=lambda x, t: gradient @ x)},
        exact={"u": lambda x, t: gradient @ x},
    )
    solution = FiniteElement(degree=1, mesh=mesh).solve(problem)
    assert error(solution) < 1e-13


def distorted(mesh):
    """The interior points moved."""
    import dataclasses

    x = mesh.points
    bubble = np.prod(4 * x * (1 - x), axis=1, keepdims=True)
    wave = np.stack([np.sin(7 * x[:, 1]), np.cos(5 * x[:, 0])], 1)
    return dataclasses.replace(mesh, points=x + 0.06 * bubble * wave)


def test_convergence_on_a_distorted_mesh_of_quadrilaterals():
    domain = poisson(2).domain

    def method(n):
        return FiniteElement(degree=2, mesh=distorted(domain.mesh(n, "quadrilateral")))

    assert slope(poisson(2), method, (6, 18)) > 2.8


def test_taylor_hood_converges_for_stokes():
    problem = library.stokes()
    coarse, fine = (FiniteElement(degree=2, cells=n).solve(problem) for n in (8, 24))
    ratio = np.log(3.0)
    assert np.log(error(coarse) / error(fine)) / ratio >= 2.85
    assert np.log(error(coarse, "p") / error(fine, "p")) / ratio >= 1.85


def test_newton_converges_quadratically_for_kovasznay():
    problem = library.kovasznay()
    solution = FiniteElement(degree=2, cells=24).solve(problem)
    assert error(solution) < 2e-3
    assert solution.stats.iterations <= 8
