"""Lagrange elements of degrees 1 to 4 on affine and curved cells: optimal rates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers.fem import FiniteElement
from solvers.fem._element import lagrange

DIMENSION = {"interval": 1, "triangle": 2, "quadrilateral": 2, "tetrahedron": 3, "hexahedron": 3}


def curved(mesh):
    """Cells of degree 2 that follow a smooth map of the unit box onto itself, sides included."""
    element = lagrange(mesh.shape, 2)
    nodes = np.einsum("in,cnd->cid", element.corner_weights, mesh.points[mesh.cells])
    return dataclasses.replace(mesh, points=moved(mesh.points), geometry=moved(nodes))


def moved(x):
    bubble = np.prod(x * (1 - x), axis=-1, keepdims=True)
    return x + 1.5 ** x.shape[-1] * bubble * np.roll(np.cos(2 * x), 1, axis=-1)


def errors(shape, degree, cells, family):
    """Errors of ∇·∇u = −f in L2 and H1 (seminorm), by quadrature."""
    dim = DIMENSION[shape]
    domain = pdes.Box([0.0] * dim, [1.0] * dim)

    def exact(x, t=0.0):
        return jnp.prod(jnp.sin(2.0 * x + 0.3))

    problem = pdes.Problem(
        library.Poisson(f=lambda p: 4.0 * dim * exact(p.x)),
        domain,
        boundary={"all": pdes.Dirichlet(u=exact)},
    )
    mesh = domain.mesh(cells, shape)
    mesh = curved(mesh) if family == "curved" else mesh
    solution = FiniteElement(degree=degree, mesh=mesh, linear="direct").solve(problem)

    def squares(p):
        value, slope = jax.value_and_grad(exact)(p.x)
        return jnp.stack([(p.u - value) ** 2, jnp.sum((p.grad.u - slope) ** 2)])

    return np.sqrt(np.asarray(solution.integrate(squares, degree=2 * degree + 2)))


@pytest.mark.parametrize(
    ("shape", "degree", "cells", "family"),
    [
        ("triangle", 1, (8, 16), "affine"),
        ("triangle", 2, (5, 10), "curved"),
        ("triangle", 4, (3, 6), "affine"),
        ("quadrilateral", 3, (4, 8), "curved"),
        ("tetrahedron", 2, (3, 6), "affine"),
    ],
)
def test_rates_are_optimal_in_l2_and_h1(shape, degree, cells, family):
    coarse, fine = (errors(shape, degree, n, family) for n in cells)
    rates = np.log(coarse / fine) / np.log(cells[1] / cells[0])
    assert rates[0] > degree + 1 - 0.3
    assert rates[1] > degree - 0.2
