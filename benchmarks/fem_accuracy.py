"""Finite elements: rates on every shape and degree, and what holds exactly or does not lock."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import pdes
from benchmarks._table import Checks, Row, row
from pdes import library
from pdes.library import solids
from solvers.fem import FiniteElement
from solvers.fem._build import geometry_points
from solvers.fem._element import cell_quadrature, lagrange

DIMENSION = {"interval": 1, "triangle": 2, "quadrilateral": 2, "tetrahedron": 3, "hexahedron": 3}
# Coarse and fine cells along a side, by dimension and degree.
COUNTS = {
    1: {1: (32, 64), 2: (16, 32), 3: (8, 16), 4: (6, 12)},
    2: {1: (24, 48), 2: (12, 24), 3: (8, 16), 4: (6, 12)},
    3: {1: (12, 20), 2: (6, 10), 3: (4, 7), 4: (3, 5)},
}


def smooth(x, t=0.0):
    return jnp.prod(jnp.cos(1.7 * x + 0.3 * (1.0 + jnp.arange(x.shape[-1]))))


def bent(x: np.ndarray) -> np.ndarray:
    """A smooth map of the unit box that bends every face."""
    dim = x.shape[1]
    wave = [np.sin(2.0 * x[:, (i + 1) % dim] + 1.1 * x[:, i] + i) for i in range(dim)]
    return x + 0.12 * np.stack(wave, axis=1)


def family(shape: str, cells: int, curved: bool) -> pdes.Mesh:
    dim = DIMENSION[shape]
    mesh = pdes.Box([0.0] * dim, [1.0] * dim).mesh(cells, shape)
    return pdes.mapped_mesh(mesh, bent, curved=True) if curved else mesh


def errors(mesh: pdes.Mesh, degree: int) -> tuple[float, float]:
    """‖u − u_h‖ and ‖∇(u − u_h)‖ of −∇²u = f with prescribed values."""
    dim = mesh.dim
    problem = pdes.Problem(
        library.Poisson(f=lambda p: 1.7**2 * dim * smooth(p.x)),
        pdes.MeshDomain(mesh),
        boundary={"all": pdes.Dirichlet(u=smooth)},
    )
    method = FiniteElement(
        degree=degree, mesh=mesh, linear="direct", quadrature_degree=2 * degree + 2
    )
    solution = method.solve(problem)
    space = solution.representation.space
    local = np.asarray(solution.representation.state)[space.scalars["u"].cell_nodes]
    points, weights = cell_quadrature(mesh.shape, 2 * degree + 4)
    table = lagrange(mesh.shape, degree).tabulate(points)
    nodes, numbers = geometry_points(mesh)
    shape = lagrange(mesh.shape, 1 if mesh.geometry is None else 2).tabulate(points)
    corners = nodes[numbers]
    x = np.einsum("qv,cvk->cqk", shape[:, 0], corners)
    jacobian = np.einsum("qrv,cvk->cqkr", shape[:, 1:], corners)
    measure = weights * np.abs(np.linalg.det(jacobian))
    slopes = np.einsum(
        "qrn,cn,cqrk->cqk", table[:, 1:], local, np.linalg.inv(jacobian), optimize=True
    )
    both = jax.jit(jax.vmap(jax.value_and_grad(smooth)))
    value, gradient = both(jnp.asarray(x.reshape(-1, dim)))
    off = np.asarray(value).reshape(x.shape[:2]) - np.einsum("qn,cn->cq", table[:, 0], local)
    off_slope = np.asarray(gradient).reshape(x.shape) - slopes
    return (
        float(np.sqrt(np.sum(measure * off**2))),
        float(np.sqrt(np.sum(measure[..., None] * off_slope**2))),
    )


def convergence() -> Iterator[Row]:
    for shape, dim in DIMENSION.items():
        for curved in (False, True):
            found: list[list[float]] = [[], []]
            least = np.inf
            for degree, counts in COUNTS[dim].items():
                pair = np.array([errors(family(shape, n, curved), degree) for n in counts])
                rates = np.log(pair[0] / pair[1]) / np.log(counts[1] / counts[0])
                least = min(least, pair[1, 0])
                for norm in (0, 1):
                    found[norm].append(float(rates[norm]))
            kind = "curved" if curved else "affine"
            for norm, name, order in ((0, "L2", 1), (1, "H1", 0)):
                off = [rate - (p + order) for rate, p in zip(found[norm], COUNTS[dim], strict=True)]
                shown = ", ".join(f"{rate:.2f}" for rate in found[norm])
                yield row(
                    f"{shape}, {kind}, degrees 1 to 4: least slope in {name} − optimal",
                    min(off),
                    -0.1,
                    at_least=True,
                    note=f"slopes {shown}; least error {least:.0e}",
                )


def distorted(mesh: pdes.Mesh) -> pdes.Mesh:
    """Interior points moved; a box keeps its sides."""
    x = mesh.points
    bubble = np.prod(4 * x * (1 - x), axis=1, keepdims=True)
    wave = np.stack([np.sin(7 * x[:, (i + 1) % mesh.dim] + i) for i in range(mesh.dim)], 1)
    return dataclasses.replace(mesh, points=x + 0.04 * bubble * wave)


def exactness() -> Iterator[Row]:
    """Linear fields, rigid motions and what flows through, on distorted meshes."""
    for shape, dim in DIMENSION.items():
        domain = pdes.Box([0.0] * dim, [1.0] * dim)
        mesh = distorted(domain.mesh(4, shape))
        slope = jnp.arange(1.0, dim + 1.0)
        problem = pdes.Problem(
            library.Poisson(k=2.0),
            domain,
            boundary={"all": pdes.Dirichlet(u=lambda x, t, a=slope: a @ x)},
        )
        worst = flow = 0.0
        for degree in (1, 2, 3):
            method = FiniteElement(degree=degree, mesh=mesh, linear="direct")
            system, solution = method.discretize(problem), method.solve(problem)
            state = np.asarray(solution.representation.state)[system.real]
            exact = system.space.scalars["u"].coordinates @ np.asarray(slope)
            worst = max(worst, np.abs(state - exact).max() / np.abs(exact).max())
            flow = max(flow, abs((system.matrix() @ state).sum()) / abs(system.matrix()).max())
        yield row(f"{shape}, degrees 1 to 3: patch test, relative", worst, 1e-12)
        yield row(f"{shape}, degrees 1 to 3: conservation, relative", flow, 1e-12)
        if dim == 1:
            continue
        solid = pdes.Problem(
            library.Elasticity(young=3.0, poisson=0.25),
            domain,
            boundary={"all": pdes.Dirichlet(u=0.0)},
        )
        system = FiniteElement(degree=2, mesh=mesh).discretize(solid)
        x = system.space.scalars["u"].coordinates
        modes = [np.tile(e, (len(x), 1)) for e in np.eye(dim)]
        for i in range(dim):
            for j in range(i):
                turn = np.zeros_like(x)
                turn[:, i], turn[:, j] = x[:, j], -x[:, i]
                modes.append(turn)
        matrix = system.matrix()
        left = max(np.abs(matrix @ m.ravel()).max() for m in modes) / abs(matrix).max()
        yield row(f"{shape}, degree 2: rigid-body modes, relative", left, 1e-12)


class Transport(pdes.PDE):
    """∇·(u b − κ∇u) = 0."""

    fields = {"u": pdes.Scalar()}

    def equations(self):
        flux = (self.carried, self.spread)
        return {"u": pdes.Balance(flux=flux, storage=pdes.NoStorage)}

    def carried(self, p):
        return p.u * jnp.array([1.0, 0.0])

    def spread(self, p):
        return -1e-3 * p.grad.u


def stability() -> Iterator[Row]:
    """Nearly incompressible solids, and transport that the mesh does not resolve."""
    tip = jnp.array([48.0, 60.0])
    problem = library.incompressible_cook()

    def moved(cells: int) -> float:
        solution = FiniteElement(degree=2, mesh=solids.cook_mesh(cells)).solve(problem)
        return float(solution["u"](tip)[1])

    fine = moved(32)
    # Four cells a side don't resolve the corner's singularity, locking or not.
    for cells, target in ((4, None), (8, 0.01), (16, 0.01)):
        value = moved(cells)
        yield row(
            f"Cook, ν = 0.4999, {cells} × {cells} Q2–Q1: tip, relative difference",
            abs(value / fine - 1),
            target,
            note=f"{value:.6g} against {fine:.6g} by 32 × 32",
        )
    carried = pdes.Problem(
        Transport(),
        pdes.Rectangle(),
        boundary={
            "left": pdes.Dirichlet(u=1.0),
            "right": pdes.Dirichlet(u=0.0),
            "top": pdes.Neumann(u=0.0),
            "bottom": pdes.Neumann(u=0.0),
        },
    )
    for stabilization in ("supg", None):
        method = FiniteElement(
            degree=1, cells=10, cell_shape="quadrilateral", stabilization=stabilization
        )
        u = np.asarray(method.solve(carried).representation.state)
        beyond = max(u.max() - 1.0, -u.min(), 0.0)
        name = "SUPG" if stabilization else "Galerkin, for comparison"
        yield row(
            f"transport, cell Péclet number 50, {name}: oscillation",
            beyond,
            0.01 if stabilization else None,
        )


CHECKS: Checks = {
    "fem convergence": convergence,
    "fem exactness": exactness,
    "fem stability": stability,
}
