"""Assembly: no compilation on similar meshes, sparse tangents, patch tests, conservation."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import library
from solvers import _same
from solvers.fem import FiniteElement
from solvers.fem._sparsity import colours, output_masks

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def compilations():
    """A list that grows by one with each program that is compiled."""
    seen = []

    def listen(event, seconds, **_):
        if event == COMPILED:
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen


def conductor(k, domain):
    return pdes.Problem(
        library.Poisson(k=k, f=2.0),
        domain,
        boundary={
            "left": pdes.Dirichlet(u=lambda x, t: x[1]),
            "right": pdes.Neumann(u=0.3),
            "top": pdes.Dirichlet(u=0.0),
            "bottom": pdes.Dirichlet(u=0.0),
        },
    )


def test_a_mesh_that_differs_by_5_percent_compiles_nothing(compilations, monkeypatch):
    """Nor does another value of a coefficient, one by cell and one by a new function included."""
    # A size that an earlier mesh left may fit the first of these and not the second.
    monkeypatch.setattr(_same, "_SIZES", {})
    domain = pdes.Rectangle()
    x = jnp.asarray(domain.sample_interior(7, seed=0))
    values = {}

    def solve(n, k):
        mesh = domain.mesh(n, "triangle")
        k = pdes.CellData(np.full(len(mesh.cells), k)) if isinstance(k, float) else k
        solution = FiniteElement(degree=1, mesh=mesh).solve(conductor(k, domain))
        values[n] = np.asarray(solution["u"](x))

    for first, others in ((41, (42, 40)), (30, (30, 30))):
        by_function = first == 30
        solve(first, (lambda p: 1.0 + p.x[0] ** 2) if by_function else 1.5)
        before = len(compilations)
        for n in others:
            solve(n, (lambda p: 1.0 + p.x[0] ** 2) if by_function else 1.5)
        assert len(compilations) == before
        assert before > 0
    np.testing.assert_allclose(values[40], values[42], rtol=2e-2)


def test_padding_does_not_enter_the_answer():
    """A matrix and a solution are those of the mesh alone, whatever sizes were used before."""
    domain = pdes.Rectangle()
    problem = conductor(2.0, domain)
    for n in (5, 6):
        system = FiniteElement(degree=2, cells=n).discretize(problem)
        matrix = system.matrix()
        assert matrix.shape == (system.size, system.size) == ((2 * n + 1) ** 2,) * 2
        assert np.abs(matrix @ np.ones(system.size)).max() < 1e-13


@pytest.mark.parametrize(
    ("shape", "degree"), [("triangle", 2), ("quadrilateral", 1), ("tetrahedron", 1)]
)
def test_the_matrix_is_the_derivative_of_the_residual(shape, degree):
    """Of a nonlinear, unsymmetric, coupled system; `apply` is the same without a matrix."""

    class Mixed(pdes.PDE):
        fields = {"u": pdes.Vector(), "w": pdes.Scalar()}

        def equations(self):
            u = pdes.Balance(flux=(self.stress,), source=(self.drag,), storage=pdes.NoStorage)
            return {"u": u, "w": pdes.Balance(flux=(self.flow,), storage=pdes.NoStorage)}

        def stress(self, p):
            return -(1 + p.w**2) * p.grad.u + p.w * jnp.eye(p.x.shape[0])

        def drag(self, p):
            return -p.u * (p.u @ p.u) + p.grad.u @ p.u

        def flow(self, p):
            return -p.grad.w * jnp.exp(p.x[0]) + p.u * p.w

    dim = 3 if shape == "tetrahedron" else 2
    domain = pdes.Box([0.0] * dim, [1.0] * dim)
    problem = pdes.Problem(Mixed(), domain, boundary={"all": pdes.Dirichlet(u=0.0, w=1.0)})
    system = FiniteElement(degree=degree, cells=2, cell_shape=shape).discretize(problem)
    rng = np.random.default_rng(1)
    z = jnp.asarray(rng.normal(size=system.length))
    v = np.zeros(system.length)
    v[system.real] = rng.normal(size=system.size) * ~np.asarray(system.fixed)[system.real]
    t, scales = jnp.zeros(()), system.scales(0.0, 1.0, 0.0)

    @jax.jit
    def residual(step):
        return system.residual(z + step * jnp.asarray(v), t, system.no_anchors(), scales)

    product = system.matrix(z) @ v[system.real]
    difference = (residual(1e-5) - residual(-1e-5)) / 2e-5
    size = np.abs(product).max()
    np.testing.assert_allclose(product, difference[system.real], atol=1e-7 * size)
    free = ~np.asarray(system.fixed)[system.real]
    applied = np.asarray(eqx.filter_jit(system.apply)(z, jnp.asarray(v)))[system.real]
    np.testing.assert_allclose(applied[free], product[free], atol=1e-12 * size)


def test_zero_entries_of_tangents_are_found():
    """An isotropic flux has a diagonal tangent; its columns need one direction."""
    system = FiniteElement(degree=1, cells=2).discretize(conductor(2.0, pdes.Rectangle()))
    analysis = system.integrals[0].analysis
    assert analysis.affine and analysis.constant and analysis.diagonal(2)
    assert [d.seed for d in analysis.directions] == [(1.0, 1.0)]
    mixed = pdes.Problem(
        library.Elasticity(), pdes.Rectangle(), boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    found = FiniteElement(degree=1, cells=2).discretize(mixed).integrals[0].analysis
    assert found.constant and not found.diagonal(2)
    entries = {(e, j) for d in found.directions for _, part, e, j in d.entries if part == 1}
    assert entries == {(0, 0), (0, 3), (3, 0), (3, 3), (1, 1), (1, 2), (2, 1), (2, 2)}
    assert len(found.directions) == 2


def test_masks_are_conservative():
    def function(v):
        rolled = jnp.roll(v, 1)
        return jnp.stack([v[0] * 2.0, jnp.where(rolled > 0, v, 0.0)[1], jnp.sin(v)[2], v @ v])

    jaxpr = jax.make_jaxpr(function)(jnp.ones(3)).jaxpr
    for j in range(3):
        mask = np.zeros(3, bool)
        mask[j] = True
        (found,) = output_masks(jaxpr, [mask])
        exact = np.asarray(jax.jacfwd(function)(jnp.array([1.0, 2.0, 3.0])))[:, j] != 0
        assert (found | ~exact).all()
    assert colours(np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]], bool)) == [[0, 1], [2]]


SHAPES = ("interval", "triangle", "quadrilateral", "tetrahedron", "hexahedron")


def distorted(mesh):
    """Interior points moved; a box keeps its sides."""
    x = mesh.points
    bubble = np.prod(4 * x * (1 - x), axis=1, keepdims=True)
    wave = np.stack([np.sin(7 * x[:, (i + 1) % mesh.dim] + i) for i in range(mesh.dim)], 1)
    return dataclasses.replace(mesh, points=x + 0.04 * bubble * wave)


@pytest.mark.parametrize("shape", SHAPES)
def test_patch_conservation_and_rigid_modes(shape):
    """A linear field is exact, what flows in flows out, constants cost nothing: to 1e-12."""
    dim = {"interval": 1, "triangle": 2, "quadrilateral": 2}.get(shape, 3)
    domain = pdes.Box([0.0] * dim, [1.0] * dim)
    slope = jnp.arange(1.0, dim + 1.0)
    mesh = distorted(domain.mesh(3, shape))
    problem = pdes.Problem(
        library.Poisson(k=2.0), domain, boundary={"all": pdes.Dirichlet(u=lambda x, t: slope @ x)}
    )
    method = FiniteElement(degree=1, mesh=mesh, linear="direct")
    system = method.discretize(problem)
    solution = method.solve(problem)
    state = np.asarray(solution.representation.state)[system.real]
    exact = system.space.scalars["u"].coordinates @ np.asarray(slope)
    assert np.abs(state - exact).max() < 1e-12 * np.abs(exact).max()
    matrix = system.matrix()
    scale = abs(matrix).max()
    assert np.abs(matrix @ np.ones(system.size)).max() < 1e-12 * scale
    # Reactions of all nodes sum to what the source gives: nothing.
    assert abs((matrix @ state).sum()) < 1e-12 * scale
