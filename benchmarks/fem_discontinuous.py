"""Discontinuous elements: rates of interior penalty and upwind fluxes on every shape of cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import pdes
from benchmarks._table import Checks, Row, row
from pdes import library
from solvers.fem import DiscontinuousGalerkin, FiniteElement
from solvers.fem._element import cell_quadrature, lagrange
from solvers.fem._functionals import quadrature
from solvers.output._mesh_plot import at_local, positions

Exact = Callable[..., jax.Array]
VELOCITY = (1.0, 0.5)


class Advection(pdes.PDE):
    """∇·(a u) = f with a = (1, ½)."""

    f: pdes.Coefficient = pdes.coefficient(0.0)
    fields = {"u": pdes.Scalar()}

    def equations(self):
        balance = pdes.Balance(flux=(self.flux,), source=(self.load,), storage=pdes.NoStorage)
        return {"u": balance}

    def flux(self, p):
        return p.u * jnp.array(VELOCITY)

    def load(self, p):
        return self.f(p)


def l2_error(solution, exact: Exact) -> float:
    """‖u − u_h‖ by quadrature in the cells."""
    mesh = solution.representation.space.mesh
    xi, _ = cell_quadrature(mesh.shape, 12)
    values = at_local(solution, "u", xi, 0.0)[..., 0].ravel()
    _, weights, _, _ = quadrature(mesh, 12)
    x = jnp.asarray(positions(mesh, xi).reshape(-1, mesh.dim))
    return float(np.sqrt(weights @ (values - np.asarray(jax.vmap(exact)(x))) ** 2))


def rate(
    check: str,
    problem: pdes.Problem,
    exact: Exact,
    counts: tuple[int, int],
    degree: int,
    shape: str,
    target: float,
) -> Row:
    """A row for the slope of the error between two meshes."""
    errors, unknowns = [], 0
    for cells in counts:
        method = DiscontinuousGalerkin(degree=degree, cells=cells, cell_shape=shape)
        solution = method.solve(problem)
        errors.append(l2_error(solution, exact))
        unknowns = solution.stats.unknowns
    found = np.log(errors[0] / errors[1]) / np.log(counts[1] / counts[0])
    note = f"{unknowns} unknowns, error {errors[1]:.3g}"
    return row(check, found, target, at_least=True, note=note)


def interior_penalty() -> Iterator[Row]:
    """−∇²u = f with u = Π sin πxᵢ."""
    meshes = {
        "interval": {1: (32, 64), 2: (16, 32), 3: (12, 24), 4: (8, 16)},
        "triangle": {1: (16, 32), 2: (8, 16), 3: (6, 12), 4: (4, 8)},
        "quadrilateral": {1: (16, 32), 2: (8, 16), 3: (6, 12), 4: (4, 8)},
        "tetrahedron": {1: (8, 12), 2: (4, 8), 3: (3, 6)},
        "hexahedron": {1: (8, 14), 2: (4, 8), 3: (3, 6)},
    }

    def exact(x, t=0.0):
        return jnp.prod(jnp.sin(jnp.pi * x))

    for shape, by_degree in meshes.items():
        dim = lagrange(shape, 1).dim
        problem = pdes.Problem(
            library.Poisson(f=lambda p, dim=dim: dim * jnp.pi**2 * exact(p.x)),
            pdes.Box([0.0] * dim, [1.0] * dim),
            boundary={"all": pdes.Dirichlet(u=0.0)},
        )
        for degree, counts in by_degree.items():
            check = f"SIPG, {shape} of degree {degree}: L2 slope ≥ p + 1 − 0.1"
            yield rate(check, problem, exact, counts, degree, shape, degree + 0.9)


def upwind() -> Iterator[Row]:
    """a·∇u = f with u given where a flows in."""

    def exact(x, t=0.0):
        return jnp.sin(2 * x[0] + 1) * jnp.cos(3 * x[1])

    def load(p):
        return jax.grad(exact)(p.x) @ jnp.array(VELOCITY)

    given = pdes.Dirichlet(u=exact)
    problem = pdes.Problem(
        Advection(f=load),
        pdes.Rectangle(),
        boundary={"left": given, "bottom": given, "all": pdes.Outflow()},
    )
    for shape in ("triangle", "quadrilateral"):
        for degree in (1, 2, 3, 4):
            counts = (16, 32) if degree < 3 else (8, 16)
            check = f"upwind DG, {shape} of degree {degree}: L2 slope ≥ p + 1/2"
            yield rate(check, problem, exact, counts, degree, shape, degree + 0.5)


def layer() -> Iterator[Row]:
    """Advection through a jump that crosses the mesh: overshoot beside continuous elements."""

    def jump(x, t=0.0):
        return jnp.where(x[1] > 0.3, 1.0, 0.0)

    given = pdes.Dirichlet(u=jump)
    problem = pdes.Problem(
        Advection(),
        pdes.Rectangle(),
        boundary={"left": given, "bottom": given, "all": pdes.Outflow()},
    )
    x = jnp.asarray(problem.domain.sample_interior(4000, seed=0))
    away = np.abs(x[:, 1] - 0.3 - 0.5 * x[:, 0]) > 0.15
    for method in (DiscontinuousGalerkin, FiniteElement):
        solution = method(degree=1, cells=32).solve(problem)
        u = np.asarray(solution["u"](x))[away]
        over = max(float(u.max()) - 1.0, -float(u.min()))
        target = 0.01 if method is DiscontinuousGalerkin else None
        yield row(f"{solution.method.name}: overshoot 0.15 away from a jump", over, target)


CHECKS: Checks = {
    "interior_penalty": interior_penalty,
    "upwind": upwind,
    "discontinuous_layer": layer,
}
