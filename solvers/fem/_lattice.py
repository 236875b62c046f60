"""Matrix-free finite elements of degree 1 on uniform meshes of boxes, by geometric multigrid.

−∇·(k∇u) = f with k from the middle of each cell and f by quadrature; nothing is assembled.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from pdes.domain import Box, Mesh
from solvers._result import NotApplicable, SolverError
from solvers._same import Hidden
from solvers._traced import Traced, traced
from solvers.fem._analysis import analyse
from solvers.fem._build import boundary_densities
from solvers.fem._constraints import Essential, essential_values
from solvers.fem._density import CellDensity, Place, Scales, sample
from solvers.fem._element import cell_quadrature, facet_quadrature, lagrange
from solvers.fem._space import Space
from solvers.linear._geometric import Lattice, apply, solve_lattice
from solvers.time._compiled import is_traced, timed_call


class _Side(eqx.Module):
    """A boundary integral ∮ c v over facets, by their quadrature points.

    Attributes:
        x: (facets, q, dim). weights: (facets, q). table: basis, (facets, q, corners).
        normal: (facets, dim). nodes: (facets, corners). cell, region: (facets,).
    """

    density: Traced
    x: Array
    weights: Array
    table: Array
    normal: Array
    nodes: Array
    cell: Array
    region: Array


class LatticeSystem(eqx.Module):
    """−∇·(k∇u) = f on a lattice, with everything that the data close over as leaves."""

    density: Traced
    sides: tuple[_Side, ...]
    essential: tuple[Essential, ...]
    free: Array
    regions: Array
    points: Array
    hidden_space: Hidden = eqx.field(static=True)
    lattice: Lattice = eqx.field(static=True)
    field: str = eqx.field(static=True)
    length: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    limit: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    @property
    def space(self) -> Space:
        return self.hidden_space.value

    @property
    def size(self) -> int:
        """Nodes."""
        return int(np.prod(self.lattice.nodes))

    @property
    def inverse(self) -> Array:
        """∂ξ/∂x of every cell."""
        return jnp.diag(1.0 / jnp.asarray(self.lattice.spacing[::-1], self.points.dtype))


def unsuitable(problem: Problem, degree: int, shape: str | None, mesh: Mesh | None) -> str | None:
    """Why linear="geometric" can't be used, or None."""
    want = 'linear="geometric" is for '
    domain = problem.domain
    if mesh is not None or not isinstance(domain, Box) or any(domain.periodic):
        return want + 'uniform meshes of boxes without periodic directions; use linear="amg"'
    if degree != 1 or shape not in ("quadrilateral", "hexahedron"):
        return want + 'degree=1 and cell_shape="quadrilateral" or "hexahedron"; use linear="amg"'
    forms = problem.forms()
    name, form = next(iter(forms.items()))
    if len(forms) != 1 or form.kind != "Balance" or form.shape != () or not problem.steady:
        return want + 'one steady equation of one scalar; use linear="amg"'
    if problem.zero_mean:
        return want + 'problems with a prescribed value somewhere, not with a mean; use "amg"'
    inside = sample(problem, normal=False)
    found = analyse(traced(CellDensity(problem, False), *inside), inside)
    if found.blocks != {(name, 1, name, 1)} or not found.affine:
        return want + '−∇·(k∇u) = f, with k and f independent of u; use linear="amg"'
    outside = sample(problem, normal=True)
    if any(analyse(density, outside).blocks for _, density in boundary_densities(problem)):
        return want + 'Dirichlet and Neumann conditions, not Robin ones; use linear="amg"'
    return None


def lattice_system(problem: Problem, space: Space, linear: Any, degree: int) -> LatticeSystem:
    """The system; `unsuitable` has found nothing."""
    mesh = space.mesh
    assert isinstance(problem.domain, Box)
    name = next(iter(problem.shapes))
    low, high = problem.domain.bounds
    counts = _counts(mesh)
    spacing = (high - low) / counts
    lattice = Lattice(tuple(int(n) for n in counts[::-1]), tuple(float(h) for h in spacing[::-1]))
    nodes = space.scalars[name].cell_nodes
    if not np.array_equal(nodes, mesh.cells):
        raise NotApplicable('linear="geometric": nodes are not in the mesh\'s order; use "amg"')
    groups, fixed = essential_values(problem, space)
    sides = tuple(
        side
        for part, density in boundary_densities(problem)
        if (side := _side(mesh, part, density, degree)) is not None
    )
    return LatticeSystem(
        traced(CellDensity(problem, False), *sample(problem, normal=False)),
        sides,
        tuple(groups),
        on_device(~fixed[space.real].reshape(lattice.nodes)),
        jnp.asarray(mesh.cell_regions, jnp.int32),
        jnp.asarray(mesh.points, jnp.result_type(float)),
        Hidden(space),
        lattice,
        name,
        space.length,
        linear.tolerance,
        linear.max_iterations,
        degree,
    )


def _counts(mesh: Mesh) -> np.ndarray:
    return np.array([len(np.unique(mesh.points[:, axis])) - 1 for axis in range(mesh.dim)])


def _side(mesh: Mesh, part: str, density: Traced, degree: int) -> _Side | None:
    index = mesh.boundary_names.index(part) if part in mesh.boundary_names else -1
    chosen = mesh.facets[mesh.facet_parts == index]
    if not len(chosen):
        return None
    points, weights, normals = facet_quadrature(mesh.shape, degree)
    element = lagrange(mesh.shape, 1)
    table = np.stack([element.tabulate(x)[:, 0] for x in points])
    cell, local = chosen[:, 0], chosen[:, 1]
    corners = mesh.points[mesh.cells[cell]]
    extent = corners[:, -1] - corners[:, 0]
    area = np.abs(np.prod(np.where(np.abs(normals[local]) > 0.5, 1.0, extent), axis=1))
    real = jnp.result_type(float)
    return _Side(
        density,
        jnp.asarray(np.einsum("fqn,fnd->fqd", table[local], corners), real),
        jnp.asarray(weights[local] * area[:, None], real),
        jnp.asarray(table[local], real),
        jnp.asarray(normals[local], real),
        on_device(mesh.cells[cell]),
        jnp.asarray(cell, jnp.int32),
        jnp.asarray(mesh.cell_regions[cell], jnp.int32),
    )


def _scales(dtype: Any) -> Scales:
    return Scales(*(jnp.asarray(v, dtype) for v in (0.0, 1.0, 0.0)))


def coefficient(system: LatticeSystem) -> tuple[Array, Array]:
    """k in the middle of each cell, (cells), and how far ∂F/∂∇u is from k times the identity."""
    name, dim = system.field, len(system.lattice.cells)
    cells = system.space.mesh.cells
    ends = system.points[cells[:, 0]], system.points[cells[:, -1]]
    zero, flat = jnp.zeros((), system.points.dtype), jnp.zeros(dim, system.points.dtype)

    def one(x: Array, region: Array, cell: Array) -> tuple[Array, Array]:
        def flux(gradient: Array) -> Array:
            place = Place(x, zero, region, cell, None, system.inverse)
            values, slopes = {name: zero}, {name: gradient}
            return system.density(values, slopes, place, {}, _scales(x.dtype))[name][1]

        tangent = jax.jacfwd(flux)(flat)
        k = tangent[0, 0]
        return k, jnp.abs(tangent - k * jnp.eye(dim, dtype=x.dtype)).max()

    numbers = jnp.arange(len(cells), dtype=jnp.int32)
    k, skew = jax.vmap(one)((ends[0] + ends[1]) / 2, system.regions, numbers)
    return k.reshape(system.lattice.cells), skew.max() / jnp.abs(k).max()


def load(system: LatticeSystem) -> Array:
    """∫ (f v + g·∇v) − ∮ c v for all nodes: minus the residual of u = 0."""
    mesh, name = system.space.mesh, system.field
    points, weights = cell_quadrature(mesh.shape, system.degree)
    table = lagrange(mesh.shape, 1).tabulate(points)
    low = system.points[mesh.cells[:, 0]]
    spacing = jnp.asarray(system.lattice.spacing[::-1], low.dtype)
    zero, flat = jnp.zeros((), low.dtype), jnp.zeros(len(spacing), low.dtype)
    numbers = jnp.arange(len(low), dtype=jnp.int32)

    def at_point(out: tuple[Array, ...], item: Any):
        xi, weight, rows = item

        def one(corner: Array, region: Array, cell: Array):
            place = Place(corner + xi * spacing, zero, region, cell, None, system.inverse)
            return system.density({name: zero}, {name: flat}, place, {}, _scales(xi.dtype))[name]

        c0, c1 = jax.vmap(one)(low, system.regions, numbers)
        volume = weight * jnp.prod(spacing)
        local = [
            acc - volume * (c0 * rows[0, i] + c1 @ (rows[1:, i] / spacing))
            for i, acc in enumerate(out)
        ]
        return tuple(local), None

    start = tuple(jnp.zeros(len(low), low.dtype) for _ in range(table.shape[-1]))
    items = tuple(jnp.asarray(a, low.dtype) for a in (points, weights, table))
    local, _ = jax.lax.scan(at_point, start, items)
    out = jnp.zeros(len(system.points), low.dtype)
    for i, values in enumerate(local):
        out = out.at[mesh.cells[:, i]].add(values, unique_indices=True)
    for side in system.sides:
        out = _add_side(out, side, name, system.inverse)
    return out.reshape(system.lattice.nodes)


def _add_side(out: Array, side: _Side, name: str, inverse: Array) -> Array:
    zero, flat = jnp.zeros((), out.dtype), jnp.zeros(side.x.shape[-1], out.dtype)

    def one(x: Array, region: Array, cell: Array, normal: Array) -> Array:
        place = Place(x, zero, region, cell, normal, inverse)
        return side.density({name: zero}, {name: flat}, place, {}, _scales(x.dtype))[name][0]

    points = jax.vmap(one, (0, None, None, None))
    c = jax.vmap(points)(side.x, side.region, side.cell, side.normal)
    return out.at[side.nodes].add(-jnp.einsum("fq,fq,fqn->fn", c, side.weights, side.table))


def _run(system: LatticeSystem) -> tuple[Array, ...]:
    k, skew = coefficient(system)
    shape = system.lattice.nodes
    z = jnp.zeros(system.length, system.points.dtype)
    for group in system.essential:
        z = group.set(z, jnp.zeros((), z.dtype))
    u = z[: system.size].reshape(shape)
    b = load(system) - apply(system.lattice, k, u)
    change, count, size = solve_lattice(
        system.lattice, k, system.free, b, system.tolerance, system.limit
    )
    good = (skew < 1e-10) & (k.min() > 0)
    return z.at[: system.size].set((u + change).ravel()), count, size, good


def solve_on_lattice(system: LatticeSystem, what: str) -> tuple[Array, dict]:
    """The unknowns and the statistics.

    Raises:
        NotApplicable: ∂F/∂∇u is not a positive number times the identity.
        SolverError: "linear_not_converged".
    """
    wrong = 'linear="geometric" needs a flux −k∇u with one positive k; use linear="amg"'
    if is_traced(system):
        z, _, _, good = _run(system)
        z = eqx.error_if(z, ~good, f"[not_applicable] {wrong}")
        z = eqx.error_if(
            z, ~jnp.isfinite(z).all(), "[linear_not_converged] geometric multigrid stalled"
        )
        return z, {}
    out, compiling, running, memory = timed_call(_run, system)
    z, count, size, good = out
    if not bool(good):
        raise NotApplicable(f"{what}: {wrong}")
    if not bool(jnp.isfinite(z).all()):
        raise SolverError(
            "linear_not_converged",
            f"{what}: conjugate gradients with geometric multigrid left a relative residual of "
            f'{float(size):.1e} after {int(count)} iterations; use linear="amg", or '
            'LinearSolver("geometric", max_iterations=…)',
        )
    note = f"conjugate gradients with geometric multigrid: {int(count)} iterations"
    return z, {
        "compile_seconds": compiling,
        "run_seconds": running,
        "iterations": int(count),
        "peak_memory": memory,
        "notes": (note,),
    }
