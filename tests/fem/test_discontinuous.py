"""Discontinuous elements: rates, exactness, conservation, upwinding, gradients, refusals."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import meshio
import numpy as np
import pytest
import scipy.linalg

import pdes
from pdes import library
from solvers import NotApplicable
from solvers.fem import DiscontinuousGalerkin, FiniteElement, estimate
from solvers.fem._element import cell_quadrature, facet_quadrature, lagrange
from solvers.fem._functionals import quadrature
from solvers.fem._interior import trace_constants
from solvers.output._mesh_plot import at_local, positions


def poisson(k=1.0):
    """−∇²u = d (kπ)² Π sin kπxᵢ, with u = Π sin kπxᵢ."""
    # An array: a number would be compiled in.
    k = jnp.asarray(k) * jnp.pi
    return library.Poisson(f=lambda p: len(p.x) * k**2 * jnp.prod(jnp.sin(k * p.x)))


class Transport(pdes.PDE):
    """∇·(a u) − ν∇²u = s with a = (1, ½), the first term as a flux or as a source −a·∇u."""

    s: pdes.Coefficient = pdes.coefficient(0.0)
    nu: pdes.Coefficient = pdes.coefficient(0.0)
    conservative: bool = True
    diffuses: bool = False
    fields = {"u": pdes.Scalar()}

    def equations(self):
        flux = (self.convection,) if self.conservative else ()
        source = (self.load,) if self.conservative else (self.load, self.carried)
        flux = (*flux, self.diffusion) if self.diffuses else flux
        return {"u": pdes.Balance(flux=flux, source=source, storage=pdes.NoStorage)}

    def convection(self, p):
        return p.u * jnp.array([1.0, 0.5])

    def carried(self, p):
        return -p.grad.u @ jnp.array([1.0, 0.5])

    def diffusion(self, p):
        return -self.nu(p) * p.grad.u

    def load(self, p):
        return self.s(p)


def l2_error(solution, exact, t=0.0, degree=10):
    """‖u − u_h‖ by quadrature in the cells, so that jumps don't matter."""
    mesh = solution.representation.space.mesh
    xi, _ = cell_quadrature(mesh.shape, degree)
    values = at_local(solution, "u", xi, t)[..., 0].ravel()
    _, weights, _, _ = quadrature(mesh, degree)
    difference = values - exact(positions(mesh, xi)).ravel()
    return float(np.sqrt(weights @ difference**2))


def rate(solve, exact):
    """Of the error on one mesh in the number of waves k across it: only h k matters, and both
    solves share a compiled program."""
    errors = [l2_error(solve(k), lambda x, k=k: exact(k, x)) for k in (1.0, 2.0)]
    return np.log2(errors[1] / errors[0])


@eqx.filter_jit
def linearized(system, z):
    """The rows of every integral at z, and the values of the matrix there."""
    t, extra = jnp.zeros(()), (system.no_anchors(), system.scales(0.0, 1.0, 0.0))
    rows = [i.residual(jnp.zeros_like(z), system.points, z, t, extra) for i in system.integrals]
    return rows, system.linearize(z, t, *extra)[1]


def assembled(system, z=None):
    """Rows by integral and the matrix, in the unknowns that exist."""
    rows, data = linearized(system, jnp.zeros(system.length) if z is None else z)
    matrix = system.pattern.matrix(np.asarray(data)[: system.pattern.count])
    return np.stack(rows)[:, system.real], matrix[system.real][:, system.real].toarray()


def interpolated(system, exact):
    """A function's values at the nodes."""
    x = jnp.asarray(system.space.padded_coordinates("u"))
    return jax.vmap(lambda y: jnp.atleast_1d(exact(y)))(x).ravel()


def distorted(mesh):
    """The interior points moved."""
    x = mesh.points
    bubble = np.prod(4 * x * (1 - x), axis=1, keepdims=True)
    wave = np.stack([np.sin(7 * x[:, i - 1] + i) for i in range(mesh.dim)], 1)
    return dataclasses.replace(mesh, points=x + 0.06 * bubble * wave)


def box(dim):
    return pdes.Box([0.0] * dim, [1.0] * dim)


@pytest.mark.parametrize(
    ("shape", "degree", "cells"),
    [
        ("interval", 4, 6),
        ("triangle", 2, 12),
        ("quadrilateral", 3, 8),
        ("tetrahedron", 2, 5),
        ("hexahedron", 1, 8),
    ],
)
def test_interior_penalty_converges_at_the_optimal_rate(shape, degree, cells):
    dim = lagrange(shape, 1).dim
    method = DiscontinuousGalerkin(degree=degree, cells=cells, cell_shape=shape)

    def solve(k):
        zero = {"all": pdes.Dirichlet(u=0.0)}
        return method.solve(pdes.Problem(poisson(k), box(dim), boundary=zero))

    found = rate(solve, lambda k, x: np.prod(np.sin(k * np.pi * x), axis=-1))
    assert found >= degree + 1 - 0.1


def test_steady_advection_converges_by_half_an_order_more_than_the_degree():
    """Lesaint and Raviart (1974), Johnson and Pitkäranta (1986)."""
    degree = 2
    method = DiscontinuousGalerkin(degree=degree, cells=10, cell_shape="triangle")

    def solve(k):
        k = jnp.asarray(k)

        def exact(x, t=0.0):
            return jnp.sin(k * (2 * x[0] + 1)) * jnp.cos(3 * k * x[1])

        def load(p):
            return jax.grad(exact)(p.x) @ jnp.array([1.0, 0.5])

        inflow = pdes.Dirichlet(u=exact)
        boundary = {"left": inflow, "bottom": inflow, "all": pdes.Outflow()}
        return method.solve(pdes.Problem(Transport(s=load), box(2), boundary=boundary))

    def exact(k, x):
        return np.sin(k * (2 * x[..., 0] + 1)) * np.cos(3 * k * x[..., 1])

    assert rate(solve, exact) >= degree + 0.5


@pytest.mark.parametrize(
    ("mesh", "degree", "power"),
    [
        (lambda: distorted(box(2).mesh(3, "triangle")), 3, 3),
        (lambda: distorted(box(3).mesh(2, "tetrahedron")), 2, 2),
        # Curved cells of degree 2 hold linear functions.
        (lambda: pdes.Disk((0.0, 0.0), 1.0).mesh(4, curved=True), 2, 1),
    ],
    ids=["triangles", "tetrahedra", "curved triangles"],
)
def test_polynomials_are_reproduced_by_a_symmetric_definite_matrix(mesh, degree, power):
    mesh = mesh()
    domain = box(mesh.dim) if mesh.geometry is None else pdes.Disk((0.0, 0.0), 1.0)

    def exact(x, t=0.0):
        return (x[0] - 0.3 * x[1] + 0.5) ** power

    pde = library.Poisson(f=lambda p: -jnp.trace(jax.hessian(exact)(p.x)))
    problem = pdes.Problem(pde, domain, boundary={"all": pdes.Dirichlet(u=exact)})
    method = DiscontinuousGalerkin(degree=degree, mesh=mesh, quadrature_degree=4 * degree)
    system = method.discretize(problem)
    rows, matrix = assembled(system, interpolated(system, exact))
    assert np.abs(matrix - matrix.T).max() <= 1e-13 * np.abs(matrix).max()
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert np.abs(np.linalg.solve(matrix, rows.sum(axis=0))).max() < 1e-11


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral", "tetrahedron", "hexahedron"])
@pytest.mark.parametrize("degree", [1, 3])
def test_trace_constants_bound_the_largest_eigenvalue(shape, degree):
    """C of ∫_F |∇u|² ≤ C ∫_K |∇u|² in distorted cells, sharp within a factor in straight ones."""
    straight = box(lagrange(shape, 1).dim).mesh(2, shape)
    element, geometry = lagrange(shape, degree), lagrange(shape, 1)
    inside, weights = cell_quadrature(shape, 4 * degree)
    points, facet_weights, normals = facet_quadrature(shape, 4 * degree)

    def gram(x, w, corners, normal=None):
        jacobian = np.einsum("qrv,vk->qkr", geometry.tabulate(x)[:, 1:], corners)
        back = np.linalg.inv(jacobian)
        slopes = np.einsum("qrn,qrk->qnk", element.tabulate(x)[:, 1:], back)
        measure = w * np.linalg.det(jacobian)
        if normal is not None:
            measure = measure * np.linalg.norm(normal @ back, axis=-1)
        return np.einsum("q,qnk,qmk->nm", measure, slopes, slopes)

    for mesh in (straight, distorted(straight)):
        constants = trace_constants(mesh, degree)
        for cell in range(0, len(mesh.cells), 5):
            corners = mesh.points[mesh.cells[cell]]
            # Constants have no gradient: one node is left out.
            volume = gram(inside, weights, corners)[1:, 1:]
            for local in range(len(points)):
                face = gram(points[local], facet_weights[local], corners, normals[local])
                largest = scipy.linalg.eigh(face[1:, 1:], volume, eigvals_only=True)[-1]
                assert largest <= constants[cell, local] * (1 + 1e-9)
                assert mesh is not straight or constants[cell, local] <= 3 * largest


def test_what_leaves_a_cell_enters_its_neighbour():
    """In every cell the fluxes through its facets balance its source, and by facet they cancel."""
    pde = Transport(s=lambda p: jnp.exp(p.x[0]) * p.x[1], nu=0.05, diffuses=True)
    boundary = {"left": pdes.Dirichlet(u=1.0), "all": pdes.Robin(u=lambda p: 0.3 * p.u)}
    mesh = distorted(box(2).mesh(4, "triangle"))
    method = DiscontinuousGalerkin(degree=2, mesh=mesh, quadrature_degree=8)
    system = method.discretize(pdes.Problem(pde, box(2), boundary=boundary))
    rows, matrix = assembled(system)
    state = jnp.zeros(system.length).at[system.real].set(-np.linalg.solve(matrix, rows.sum(0)))
    rows, _ = assembled(system, state)
    # A constant is the sum of a cell's basis functions.
    _, through, *outer = rows.reshape(len(rows), len(mesh.cells), -1).sum(axis=2)
    leaving = sum(outer)
    x, weights, _, cells = quadrature(mesh, 12)
    load = np.bincount(cells, weights * np.exp(x[:, 0]) * x[:, 1])
    assert np.abs(through + leaving - load).max() < 1e-12
    assert np.abs(through).max() > 1e-3
    assert abs(through.sum()) < 1e-12 and abs(leaving.sum() - load.sum()) < 1e-12


def test_transport_as_a_source_is_transport_as_a_flux():
    """−a·∇u jumps with u: integrated by parts, the upwind form is the same matrix."""
    everywhere = {"all": pdes.Dirichlet(u=0.0)}
    method = DiscontinuousGalerkin(degree=2, mesh=distorted(box(2).mesh(3, "triangle")))
    flux, source = (
        method.discretize(
            pdes.Problem(Transport(conservative=way), box(2), boundary=everywhere)
        ).matrix()
        for way in (True, False)
    )
    assert abs(flux - source).max() < 1e-14


class Waves(pdes.PDE):
    """∂ₓ(A u) = 0 for two components."""

    a: pdes.Coefficient = pdes.coefficient()
    fields = {"u": pdes.Components(2)}

    def equations(self):
        return {"u": pdes.Balance(flux=(self.waves,), storage=pdes.NoStorage)}

    def waves(self, p):
        return (self.a(p) @ p.u)[:, None]


def test_a_linear_system_is_upwind_in_its_characteristic_variables():
    boundary = {"left": pdes.Dirichlet(u=(1.0, 0.5)), "right": pdes.Dirichlet(u=(0.0, 2.0))}
    method = DiscontinuousGalerkin(degree=1, cells=5)
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    coupled, apart = (
        method.discretize(pdes.Problem(Waves(a=a), box(1), boundary=boundary)).matrix().toarray()
        for a in (np.array([[0.0, 3.0], [3.0, 0.0]]), np.diag([3.0, -3.0]))
    )
    turned = np.kron(np.eye(10), turn)
    assert np.abs(turned @ coupled @ turned - apart).max() < 1e-13
    # The first is carried to the right: no cell depends on one downstream.
    right = apart[::2, ::2].reshape(5, 2, 5, 2)
    assert all(np.abs(right[i, :, j]).max() == 0.0 for j in range(5) for i in range(j))


def test_slip_free_components_traction_and_robin_hold_a_linear_displacement():
    """u = (αx, βy): no shear, so that sliding walls and free components are exact."""
    alpha, beta = 0.2, -0.1
    pde = library.Elasticity(young=3.0, poisson=0.25)
    lam, mu = 1.2, 1.2
    across = lam * (alpha + beta) + 2 * mu * beta
    along = lam * (alpha + beta) + 2 * mu * alpha
    problem = pdes.Problem(
        pde,
        box(2),
        boundary={
            "left": pdes.Slip("u"),
            "bottom": pdes.Dirichlet(u=(None, 0.0)),
            "right": pdes.Traction(u=(along, 0.0)),
            "top": pdes.Robin(u=lambda p: 5.0 * (p.u[1] - beta) * p.n - across * p.n),
        },
    )
    mesh = distorted(box(2).mesh(3, "quadrilateral"))
    system = DiscontinuousGalerkin(degree=1, mesh=mesh).discretize(problem)
    rows, matrix = assembled(system, interpolated(system, lambda x: x * jnp.array([alpha, beta])))
    assert np.abs(np.linalg.solve(matrix, rows.sum(axis=0))).max() < 1e-12


class Diffusion(pdes.PDE):
    """−∇·(k(1 + u²)∇u) = f."""

    k: pdes.Coefficient = pdes.coefficient(1.0)
    f: pdes.Coefficient = pdes.coefficient(1.0)
    fields = {"u": pdes.Scalar()}

    def equations(self):
        balance = pdes.Balance(flux=(self.flux,), source=(self.load,), storage=pdes.NoStorage)
        return {"u": balance}

    def flux(self, p):
        return -self.k(p) * (1 + p.u**2) * p.grad.u

    def load(self, p):
        return self.f(p)


def test_a_nonlinear_problem_agrees_with_continuous_elements():
    problem = pdes.Problem(
        Diffusion(k=0.7, f=lambda p: 2.0 * jnp.exp(p.x[0])),
        box(1),
        boundary={"left": pdes.Dirichlet(u=0.4), "right": pdes.Neumann(u=lambda x, t: 0.3 * x[0])},
    )
    ours = DiscontinuousGalerkin(degree=4, cells=32).solve(problem)
    theirs = FiniteElement(degree=4, cells=32).solve(problem)
    x = jnp.linspace(0.0, 1.0, 41)[:, None]
    assert np.abs(ours["u"](x) - theirs["u"](x)).max() < 1e-6
    assert ours.stats.iterations <= 7


def test_gradients_agree_with_finite_differences():
    """Coefficient, source in a closure, Dirichlet and Robin data at once."""
    method = DiscontinuousGalerkin(degree=2, cells=3, newton_tolerance=1e-13)

    # One program for value and gradient: compiling it is what takes time.
    @jax.jit
    @jax.value_and_grad
    def probe(s):
        problem = pdes.Problem(
            Diffusion(k=s[0], f=lambda p: s[1] * jnp.exp(p.x[0])),
            box(1),
            boundary={"left": pdes.Dirichlet(u=s[2]), "right": pdes.Robin(u=lambda p: p.u - s[3])},
        )
        return method.solve(problem)["u"](jnp.array([0.63]))

    at = jnp.array([0.7, 1.3, 0.4, 0.2])
    exact = probe(at)[1]
    for i, unit in enumerate(jnp.eye(4)):
        h = 1e-3
        f = [float(probe(at + s * h * unit)[0]) for s in (-2, -1, 1, 2)]
        found = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
        assert abs(found - exact[i]) <= 1e-6 * abs(exact[i]) and abs(exact[i]) > 1e-3


def test_waves_are_carried_around_a_periodic_interval_at_the_rate():
    method = DiscontinuousGalerkin(degree=2, cells=24, rtol=1e-8, atol=1e-10)

    def solve(k):
        k = jnp.asarray(k)
        return method.solve(
            pdes.Problem(
                library.Advection(a=1.0),
                pdes.Interval(0.0, 2 * np.pi, periodic=True),
                time=(0.0, 1.0),
                initial={"u": lambda x: jnp.sin(k * x[0])},
            )
        )

    errors = []
    for k in (1.0, 2.0):
        solution = solve(k)
        errors.append(l2_error(solution, lambda x, k=k: np.sin(k * (x[..., 0] - 1.0)), t=1.0))
    assert np.log2(errors[1] / errors[0]) >= 2.5


def test_files_keep_the_jumps(tmp_path):
    problem = pdes.Problem(poisson(), box(2), boundary={"all": pdes.Dirichlet(u=0.0)})
    method = DiscontinuousGalerkin(degree=2, cells=12, cell_shape="triangle")
    solution = method.solve(problem)
    written = meshio.read(solution.save(tmp_path / "u.vtu"))
    assert len(written.points) == 288 * 6 == solution.stats.unknowns
    # One program a part is not made where the conditions are alike.
    assert len(method.discretize(problem).integrals) == 3
    at_corner = np.isclose(written.points[:, :2], 0.5).all(axis=1)
    values = written.point_data["u"][at_corner]
    assert len(values) == 6 and np.ptp(values) > 1e-7
    assert solution.plot() is not None
    with pytest.raises(NotApplicable, match="continuous"):
        estimate(solution)
    with pytest.raises(ValueError, match="continuous"):
        solution.reaction("u", "left")


class Eikonal(pdes.PDE):
    """|∇u|² = 1."""

    fields = {"u": pdes.Scalar()}

    def equations(self):
        return {"u": pdes.Balance(source=(self.speed,), storage=pdes.NoStorage)}

    def speed(self, p):
        return 1.0 - p.grad.u @ p.grad.u


def test_what_does_not_apply_says_what_does():
    method = DiscontinuousGalerkin()
    assert method.name == "DG P2"
    with pytest.raises(NotApplicable, match=r"constraint.*pm\.FiniteElement"):
        method.solve(library.stokes())
    with pytest.raises(NotApplicable, match=r"definition.*pm\.FiniteElement"):
        method.solve(library.cahn_hilliard())
    eikonal = pdes.Problem(Eikonal(), box(2), boundary={"all": pdes.Dirichlet(u=0.0)})
    with pytest.raises(NotApplicable, match=r"nonlinear in gradients.*as a flux"):
        method.solve(eikonal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 0}, r"degree is 1 or more, got 0.*FiniteVolume"),
        ({"penalty": 0.5}, r"penalty is 1 or more, got 0\.5"),
        ({"linear": "geometric"}, "continuous elements of degree 1"),
        ({"linear": "magic"}, "unknown"),
        ({"scheme": "magic"}, "no scheme 'magic'"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DiscontinuousGalerkin(**options)
