"""Matrix-free geometric multigrid: the assembled answer, few iterations, gradients, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers._result import NotApplicable
from solvers.fem import FiniteElement
from solvers.linear._geometric import Lattice, apply, contract, diagonal, solve_lattice

Q1 = {"degree": 1, "cell_shape": "quadrilateral"}


def coefficients(lattice, spread=0.8):
    cells = np.arange(np.prod(lattice.cells), dtype=float)
    return jnp.asarray(np.exp(spread * np.sin(1.7 * cells)).reshape(lattice.cells))


def inside(lattice):
    free = np.zeros(lattice.nodes, bool)
    free[(slice(1, -1),) * len(lattice.cells)] = True
    return jnp.asarray(free)


def test_the_operator_is_that_of_its_diagonal_and_of_its_derivative():
    lattice = Lattice((3, 4), (0.5, 0.2))
    k = coefficients(lattice)
    unit = jnp.eye(20).reshape(20, 4, 5)
    matrix = jax.vmap(lambda u: apply(lattice, k, u).ravel())(unit)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-13)
    np.testing.assert_allclose(matrix.sum(axis=1), 0.0, atol=1e-13)
    np.testing.assert_allclose(jnp.diag(matrix), diagonal(lattice, k).ravel(), rtol=1e-13)
    largest = jnp.linalg.eigvals(matrix / jnp.diag(matrix)[:, None]).real.max()
    assert largest <= lattice.radius + 1e-12
    u, v = jnp.sin(unit.sum(0) + jnp.arange(5.0)), jnp.cos(jnp.arange(20.0)).reshape(4, 5)
    energy = jnp.vdot(contract(lattice, u, v), k)
    np.testing.assert_allclose(energy, jnp.vdot(v, apply(lattice, k, u)), rtol=1e-12)


@pytest.mark.parametrize(
    "lattice",
    [
        Lattice((64, 64), (1 / 64, 1 / 64)),
        Lattice((37, 61), (0.1, 0.07)),
        Lattice((12, 13, 14), (0.1, 0.1, 0.1)),
        Lattice((60, 60), (0.01, 0.2)),
    ],
    ids=["even", "odd", "space", "stretched"],
)
def test_few_iterations_on_any_lattice(lattice):
    assert len(lattice.levels()) > 1
    k, free = coefficients(lattice), inside(lattice)
    b = jnp.ones(lattice.nodes)
    u, count, _ = jax.jit(lambda k: solve_lattice(lattice, k, free, b, 1e-10, 100))(k)
    assert int(count) <= 16
    rest = jnp.where(free, b - apply(lattice, k, u), 0.0)
    assert float(jnp.linalg.norm(rest)) <= 1e-9 * float(jnp.linalg.norm(b))


def test_gradients_in_the_coefficients_have_a_quadratic_remainder():
    lattice = Lattice((24, 24), (1 / 24, 1 / 24))
    k, free = coefficients(lattice), inside(lattice)
    b = jnp.ones(lattice.nodes) / 24**2

    @jax.jit
    @jax.value_and_grad
    def compliance(k):
        return jnp.vdot(b, solve_lattice(lattice, k, free, b, 1e-13, 100)[0])

    direction = k * jnp.cos(jnp.arange(k.size) * 0.9).reshape(k.shape)
    value, gradient = compliance(k)
    slope = jnp.vdot(gradient, direction)
    rests = [abs(float(compliance(k + h * direction)[0] - value - h * slope)) for h in (2e-2, 1e-2)]
    assert abs(np.log2(rests[0] / rests[1]) - 2) < 0.05


def problem(k, g, flux=0.3):
    return pdes.Problem(
        library.Poisson(k=k, f=lambda p: 1.0 + p.x[0] * p.x[1]),
        pdes.Rectangle(upper=(1.0, 2.0)),
        boundary={
            "left": pdes.Dirichlet(u=lambda x, t: g * x[1]),
            "right": pdes.Dirichlet(u=0.2),
            "top": pdes.Neumann(u=lambda x, t: flux * jnp.cos(x[0])),
            "bottom": pdes.Neumann(u=0.1),
        },
    )


def test_the_assembled_answer_and_its_gradient():
    k = pdes.CellData(np.exp(np.sin(np.arange(12 * 24))))
    x = jnp.array([[0.3, 0.4], [0.71, 1.2], [1.0, 2.0]])
    direct, geometric = (
        FiniteElement(cells=24, linear=linear, **Q1) for linear in ("direct", "geometric")
    )
    ours = geometric.solve(problem(k, 0.3))
    np.testing.assert_allclose(ours["u"](x), direct.solve(problem(k, 0.3))["u"](x), rtol=1e-9)
    assert any("geometric multigrid" in note for note in ours.stats.notes)

    def objective(scale, g):
        scaled = eqx.tree_at(lambda c: c.values, k, k.values * scale)
        return geometric.solve(problem(scaled, g))["u"](x).sum()

    at = (jnp.asarray(1.2), jnp.asarray(0.3))
    both = jax.jit(jax.value_and_grad(objective, (0, 1)))
    found = both(*at)[1]
    h = 1e-4
    for i, slope in enumerate(found):
        shifted = [both(*(a + s * h * (j == i) for j, a in enumerate(at)))[0] for s in (1, -1)]
        np.testing.assert_allclose(slope, (shifted[0] - shifted[1]) / (2 * h), rtol=1e-6)


class Anisotropic(library.Poisson):
    def equations(self):
        return {"u": pdes.Balance(flux=(self.skew,), source=(self.load,), storage=pdes.NoStorage)}

    def skew(self, p):
        return -jnp.array([2.0, 1.0]) * p.grad.u


@pytest.mark.parametrize(
    ("options", "pde", "condition", "reason"),
    [
        ({"degree": 2}, library.Poisson(), pdes.Dirichlet(u=0.0), "degree=1"),
        ({"cell_shape": "triangle"}, library.Poisson(), pdes.Dirichlet(u=0.0), "quadrilateral"),
        ({}, library.Elasticity(), pdes.Dirichlet(u=(0.0, 0.0)), "one scalar"),
        ({}, library.Poisson(f=lambda p: -p.u), pdes.Dirichlet(u=0.0), "independent of u"),
        ({}, library.Poisson(), pdes.Robin(u=lambda p: p.u), "not Robin"),
        ({}, Anisotropic(), pdes.Dirichlet(u=0.0), "one positive k"),
    ],
)
def test_what_does_not_fit_is_refused(options, pde, condition, reason):
    method = FiniteElement(**{**Q1, "cells": 6, "linear": "geometric", **options})
    with pytest.raises(NotApplicable, match=reason):
        method.solve(pdes.Problem(pde, pdes.Rectangle(), boundary={"all": condition}))
