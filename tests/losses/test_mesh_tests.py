"""Tests on the cells of a mesh: what they vanish on, their derivatives, their integrals."""

import numpy as np
import pytest

import physml as pm
from pdes.domain import Mesh
from physml.losses import bubble_tests, cell_map, facet_measures, nodal_tests
from physml.losses import test_count as count_of_tests
from physml.losses._mesh_tests import element_jets
from solvers.fem._element import cell_quadrature, facet_quadrature, lagrange


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral", "tetrahedron"])
@pytest.mark.parametrize("power", [1, 2])
def test_bubbles_are_orthonormal_and_vanish_on_the_sides(shape, power):
    points, weights = cell_quadrature(shape, 20)
    jets = bubble_tests(shape, 3, power, points)
    assert len(jets.values) == count_of_tests(shape, points.shape[1], 3)
    mass = (jets.values * weights / weights.sum()) @ jets.values.T
    np.testing.assert_allclose(mass, np.eye(len(mass)), atol=1e-12)
    sides = np.concatenate(facet_quadrature(shape, 5)[0])
    on_sides = bubble_tests(shape, 3, power, sides)
    assert np.abs(on_sides.values).max() < 1e-12
    assert (np.abs(on_sides.gradients).max() < 1e-12) == (power == 2)


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
def test_derivatives_on_the_reference_cell(shape):
    points, step = cell_quadrature(shape, 4)[0], 1e-5
    for make in (
        lambda x: bubble_tests(shape, 3, 2, x),
        lambda x: element_jets(lagrange(shape, 3), x),
    ):
        jets = make(points)
        for i in range(2):
            ahead, behind = (make(points + sign * step * np.eye(2)[i]) for sign in (1, -1))
            for value, derivative in (("values", "gradients"), ("gradients", "hessians")):
                found = (getattr(ahead, value) - getattr(behind, value)) / (2 * step)
                exact = getattr(jets, derivative)[..., i]
                np.testing.assert_allclose(found, exact, atol=1e-8 * np.abs(exact).max())


def distorted():
    """Quadrilaterals that no affine map gives."""
    mesh = pm.Rectangle().mesh(cells=3, shape="quadrilateral")
    x, y = mesh.points.T
    moved = np.stack([x + 0.1 * np.sin(3 * y) * x, y + 0.08 * x * y], axis=1)
    return Mesh(**{**vars(mesh), "points": moved})


def test_second_derivatives_on_cells_that_are_not_affine():
    """Linear functions are reproduced by the map's own elements: their Hessian is zero there."""
    mesh = distorted()
    points, place = cell_map(mesh, 4)
    tests = place.tests(element_jets(lagrange("quadrilateral", 1), points), second=True)
    nodal = 2 * mesh.points[mesh.cells][..., 0] - mesh.points[mesh.cells][..., 1]
    function = np.einsum("et,etqk->eqk", nodal, tests)
    np.testing.assert_allclose(function[..., 1:3] - [2, -1], 0.0, atol=1e-12)
    np.testing.assert_allclose(function[..., 3:], 0.0, atol=1e-10)
    assert np.abs(tests[..., 3:]).max() > 1.0


def test_gram_and_masses_of_nodal_tests():
    mesh = distorted()
    tests = nodal_tests(mesh, 2, 6)
    x, y = tests.space.coordinates.T
    stiffness = tests.gram(0.0)
    linear = 3 * x - 2 * y
    assert linear @ stiffness @ linear == pytest.approx(13 * mesh.volume, rel=1e-12)
    np.testing.assert_allclose(stiffness @ np.ones(tests.size), 0.0, atol=1e-12)
    mass = tests.gram(1.0) - stiffness
    assert mass.sum() == pytest.approx(mesh.volume, rel=1e-12)
    np.testing.assert_allclose(tests.masses(), mass.diagonal(), rtol=1e-12)


def test_facets_of_a_curved_boundary():
    """∮ ds and ∮ x·n ds = 2 |Ω|, on cells of degree 2."""
    mesh = pm.Disk().mesh(cells=8, curved=True)
    x, n, measure, cells = facet_measures(mesh, "boundary", 6)
    assert measure.sum() == pytest.approx(2 * np.pi, rel=1e-4)
    flux = np.sum(measure * np.sum(x * n, axis=-1))
    assert flux == pytest.approx(2 * mesh.volume, rel=1e-6)
    assert len(cells) == len(mesh.facets)
