"""Matrices equal to a peer's, symmetric where the problem is."""

import numpy as np
import pytest

import pdes
from pdes import library
from solvers.fem import FiniteElement


def test_the_stokes_matrix_is_symmetric():
    matrix = FiniteElement(degree=2, cells=5).discretize(library.stokes()).matrix()
    assert abs(matrix - matrix.T).max() <= 1e-14 * abs(matrix).max()


def peer(mesh, degree, vector):
    """scikit-fem's basis on the same mesh, and the order of its unknowns in ours."""
    skfem = pytest.importorskip("skfem")
    scalar = {1: skfem.ElementTriP1, 2: skfem.ElementTriP2}[degree]()
    element = skfem.ElementVector(scalar) if vector else scalar
    basis = skfem.Basis(skfem.MeshTri(mesh.points.T, mesh.cells.T), element, intorder=6)
    return basis


def order(basis, space, field="u"):
    """Our number of each of the peer's unknowns, by position and component."""
    ours = {tuple(x): i for i, x in enumerate(space.scalars[field].coordinates.round(9))}
    size = space.components[field]
    numbers = np.array([ours[tuple(x)] for x in basis.doflocs.T.round(9)])
    if size == 1:
        return numbers
    component = np.zeros(len(numbers), int)
    for names, dofs in (("nodal", basis.nodal_dofs), ("facet", basis.facet_dofs)):
        del names
        for c in range(dofs.shape[0]):
            component[dofs[c]] = c
    return numbers * size + component


@pytest.mark.parametrize("degree", [1, 2])
def test_poisson_stiffness_equals_scikit_fem(degree):
    pytest.importorskip("skfem")
    from skfem.models.poisson import laplace

    domain = pdes.Rectangle()
    mesh = domain.mesh(6)
    problem = pdes.Problem(library.Poisson(), domain, boundary={"all": pdes.Dirichlet(u=0.0)})
    system = FiniteElement(degree=degree, mesh=mesh).discretize(problem)
    basis = peer(mesh, degree, False)
    theirs = laplace.assemble(basis).toarray()
    at = order(basis, system.space)
    ours = system.matrix().toarray()[np.ix_(at, at)]
    assert np.abs(ours - theirs).max() <= 1e-13 * np.abs(theirs).max()


@pytest.mark.parametrize("degree", [1, 2])
def test_elasticity_stiffness_equals_scikit_fem(degree):
    pytest.importorskip("skfem")
    from skfem.models.elasticity import linear_elasticity

    young, nu = 10.0, 0.3
    domain = pdes.Rectangle((0.0, 0.0), (2.0, 1.0))
    mesh = domain.mesh(6)
    pde = library.Elasticity(young=young, poisson=nu)
    problem = pdes.Problem(pde, domain, boundary={"all": pdes.Dirichlet(u=0.0)})
    system = FiniteElement(degree=degree, mesh=mesh).discretize(problem)
    basis = peer(mesh, degree, True)
    form = linear_elasticity(young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu)))
    theirs = form.assemble(basis).toarray()
    at = order(basis, system.space)
    ours = system.matrix().toarray()[np.ix_(at, at)]
    assert np.abs(ours - theirs).max() <= 1e-13 * np.abs(theirs).max()
    modes = [np.eye(2)[0], np.eye(2)[1]]
    x = system.space.scalars["u"].coordinates
    rotation = np.stack([-x[:, 1], x[:, 0]], 1).ravel()
    shifts = [np.tile(mode, len(x)) for mode in modes]
    for mode in [*shifts, rotation]:
        assert np.abs(system.matrix() @ mode).max() <= 1e-12 * np.abs(theirs).max()
