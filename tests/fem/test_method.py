"""Meshes, refinement, notes, point evaluation, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from pdes.library import poisson
from solvers import SolverError
from solvers.fem import FiniteElement, _functionals
from solvers.fem._locate import FEMRepresentation
from solvers.fem._space import make_space


def test_curved_cells_on_a_disk_keep_the_optimal_rate():
    """−∇²u = 4 with u = 0 on the unit circle: u = 1 − |x|²."""
    domain = pdes.domain.Disk()
    problem = pdes.Problem(library.Poisson(f=4.0), domain, boundary={"all": pdes.Dirichlet(u=0.0)})
    x = jnp.asarray(domain.sample_interior(400, seed=0)) * 0.97
    errors, flows = [], []
    for cells in (6, 12):
        solution = FiniteElement(degree=2, cells=cells).solve(problem)
        errors.append(float(jnp.linalg.norm(solution["u"](x) - 1 + jnp.sum(x**2, 1))))
        flows.append(float(solution.integrate(lambda p: -p.grad.u @ p.n, over="all")))
    assert np.log2(errors[0] / errors[1]) > 2.6
    assert abs(flows[1] / (4 * np.pi) - 1) < 5e-3


@pytest.mark.parametrize(
    ("shape", "degree"),
    [("interval", 3), ("triangle", 3), ("quadrilateral", 3), ("tetrahedron", 3), ("hexahedron", 2)],
)
def test_polynomials_of_the_degree_are_represented(shape, degree):
    """Also across cells of any orientation, and with exact gradients."""
    dim = {"interval": 1, "triangle": 2, "quadrilateral": 2, "tetrahedron": 3, "hexahedron": 3}
    domain = pdes.Box([0.0] * dim[shape], [1.0] * dim[shape])
    mesh = domain.mesh(3, shape)
    # Corners renumbered at random, as meshes from files have them.
    order = np.random.default_rng(0).permutation(len(mesh.points))
    inverse = np.argsort(order)
    mesh = pdes.Mesh(
        points=mesh.points[order],
        cells=inverse[mesh.cells],
        shape=shape,
        facets=mesh.facets,
        facet_parts=mesh.facet_parts,
        boundary_names=mesh.boundary_names,
        cell_regions=mesh.cell_regions,
    )
    space = make_space(mesh, {"u": degree}, {"u": 1})

    def polynomial(x):
        return (1.0 + jnp.sum(x * jnp.arange(1.0, 1.0 + x.shape[0]))) ** degree

    state = jax.vmap(polynomial)(jnp.asarray(space.scalars["u"].coordinates))
    represented = FEMRepresentation(space, jnp.asarray(mesh.points), state, {"u": ()})
    x = jnp.asarray(domain.sample_interior(50, seed=3))

    def value(y):
        return represented.values(y, 0.0)["u"]

    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(value)))(x)
    expected, exact = jax.jit(jax.vmap(jax.value_and_grad(polynomial)))(x)
    np.testing.assert_allclose(values, expected, rtol=1e-11)
    np.testing.assert_allclose(slopes, exact, rtol=1e-9)


def test_refined_multiplies_cells_and_tightens_time():
    method = FiniteElement(cells=8, dt=0.1)
    finer = method.refined(2.0)
    assert finer is not None
    assert len(finer.make_mesh(pdes.Interval(0.0, 1.0)).cells) == 16
    assert finer.dt == 0.05
    assert FiniteElement(mesh=pdes.Interval(0.0, 1.0).mesh(4)).refined(0.5) is None


def test_a_mesh_that_the_domain_brings_is_refined_or_lowered_in_degree():
    domain = pdes.MeshDomain(pdes.Rectangle().mesh(2))
    problem = pdes.Problem(library.Poisson(f=1.0), domain, boundary={"all": pdes.Dirichlet(u=0.0)})
    unknowns = [
        FiniteElement(degree=2).refined(factor).discretize(problem).size for factor in (0.5, 1, 2)
    ]
    assert unknowns == [9, 25, 81]


class Transport(pdes.PDE):
    """∇·(u b − κ∇u) = 0."""

    kappa: pdes.Coefficient = pdes.coefficient(1e-3)
    fields = {"u": pdes.Scalar()}

    def equations(self):
        return {"u": pdes.Balance(flux=(self.flow,), storage=pdes.NoStorage)}

    def flow(self, p):
        return p.u - self.kappa(p) * p.grad.u


@pytest.mark.parametrize(("kappa", "warned"), [(1e-3, True), (0.5, False)])
def test_unresolved_transport_is_noted(kappa, warned):
    problem = pdes.Problem(
        Transport(kappa=kappa), pdes.Interval(0.0, 1.0), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    notes = FiniteElement(degree=1, cells=10).solve(problem).stats.notes
    assert any("SUPG" in note for note in notes) == warned
    if warned:
        assert any("reaches 50" in note for note in notes)


def test_single_precision(float32):
    problem = pdes.Problem(
        library.Poisson(f=2.0), pdes.Interval(0.0, 1.0), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    solution = FiniteElement(degree=2, cells=8).solve(problem)
    value = solution["u"](jnp.array([0.3]))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, 0.3 * 0.7, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"degree": 0}, {"scheme": "leapfrog"}, {"linear": "petsc"}])
def test_unknown_options_are_refused(wrong):
    with pytest.raises(ValueError, match=r"degree|scheme|linear"):
        FiniteElement(**wrong)


@pytest.mark.parametrize(
    ("problem", "options", "words"),
    [
        (poisson(2), {"cells": 100_000}, r"20000000000 triangle cells .* at least 3.84 TB, "),
        (poisson(3), {"cells": 4000, "degree": 2}, r"384000000000 tetrahedron cells"),
        (poisson(3), {"cells": 5000, "cell_shape": "hexahedron"}, r'linear="geometric"'),
    ],
)
def test_what_does_not_fit_is_refused_before_a_mesh_is_made(problem, options, words):
    with pytest.raises(SolverError, match=words) as error:
        FiniteElement(**options).solve(problem)
    assert error.value.reason == "too_large"


def test_cells_follow_the_arcs_of_combinations():
    channel = pdes.Rectangle((0.0, 0.0), (2.2, 0.41)) - pdes.Disk((0.2, 0.2), 0.05, "cylinder")
    straight, curved = (FiniteElement(degree=d, cells=40).make_mesh(channel) for d in (1, 2))
    assert straight.geometry is None and curved.geometry is not None
    assert abs(curved.volume - channel.volume) < 1e-2 * abs(straight.volume - channel.volume)


def test_integrals_in_pieces(monkeypatch):
    """Of many points some at a time: values and gradients as of all at once."""
    domain = pdes.Rectangle()

    def energy(scale):
        problem = pdes.Problem(
            library.Poisson(f=lambda p: scale), domain, boundary={"all": pdes.Dirichlet(u=0.0)}
        )
        solution = FiniteElement(degree=1, cells=4).solve(problem)
        inside = solution.integrate(lambda p: jnp.sum(p.grad.u**2) + p.x[0])
        return inside + solution.integrate(lambda p: p.n @ p.grad.u * p.x[1], over="right")

    whole = jax.jit(jax.value_and_grad(energy))(2.0)
    monkeypatch.setattr(_functionals, "_PIECE", 7)
    pieces = jax.jit(jax.value_and_grad(energy))(2.0)
    np.testing.assert_allclose(pieces, whole, rtol=1e-12)
