"""From a problem and a mesh to integrals and a sparsity pattern, on the host."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pdes import CellData, Problem
from pdes._arrays import on_device
from pdes.domain import Mesh
from solvers._same import padded, padded_size
from solvers._traced import Traced, traced
from solvers.fem._analysis import analyse
from solvers.fem._assembly import Integral
from solvers.fem._chunk import Batch
from solvers.fem._coupling import Coupling, coupling_of
from solvers.fem._density import CellDensity, FacetDensity, StorageDensity, sample, vanishes
from solvers.fem._element import SIMPLICES, lagrange
from solvers.fem._space import Space
from solvers.fem._tables import (
    OUTSIDE,
    cell_tables,
    constant_tables,
    facet_tables,
    geometry_degree,
    is_affine_map,
)
from solvers.linear import SparsePattern

_POINTS = {"cpu": 1024}
_MANY = 2**17


def geometry_points(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Points of the map and their numbers by cell."""
    if mesh.geometry is None:
        return mesh.points, mesh.cells
    count, nodes, dim = mesh.geometry.shape
    return mesh.geometry.reshape(-1, dim), np.arange(count * nodes).reshape(count, nodes)


def padded_points(mesh: Mesh) -> np.ndarray:
    """Points of the map, padded."""
    points = geometry_points(mesh)[0]
    return padded(points, padded_size(len(points), f"{mesh.shape} points"))


def chunk_size(cells: int, points: int) -> int:
    """Cells a chunk: what fits in a core's cache; on a GPU, as many as keep it busy."""
    wanted = max(64, _POINTS.get(jax.default_backend(), _MANY) // points)
    return min(wanted, padded_size(cells, "cells"))


@functools.lru_cache(maxsize=4)
def cell_batch(space: Space, coupling: Coupling, pairs: frozenset, points: int) -> Batch:
    """All cells."""
    # Kept, so it must not belong to a program that is being traced.
    with jax.ensure_compile_time_eval():
        return batch(space, coupling, pairs, np.arange(len(space.mesh.cells)), None, points)


def batch(
    space: Space,
    coupling: Coupling,
    pairs: frozenset[tuple[str, str]],
    cells: np.ndarray,
    facet: np.ndarray | None,
    points: int,
    others: np.ndarray | None = None,
) -> Batch:
    """The given cells (or facets, by cell and local number) in chunks.

    Arguments:
        pairs: (row, column) of the blocks, marked `OUTSIDE` where they are of the cells `others`.
    """
    mesh = space.mesh
    _, corners = geometry_points(mesh)
    chunk = chunk_size(len(cells), points)
    kind = f"{'cells' if facet is None else 'facets'} by {chunk}"
    pieces = -(-padded_size(len(cells), kind) // chunk)
    if facet is not None and pieces > 1:
        pieces = padded_size(pieces, "chunks of facets")
    total = pieces * chunk

    def part(array: np.ndarray) -> Any:
        """(cells, …) -> (chunks, …, chunk)."""
        rows = padded(np.asarray(array, np.int32), total)
        rows = rows.reshape(pieces, chunk, *rows.shape[1:])
        return on_device(np.moveaxis(rows, 1, -1))

    def slots(pair: tuple[str, str]) -> Any:
        row, column = (name.removeprefix(OUTSIDE) for name in pair)
        outer = cells if others is None else others
        sides = [outer if name.startswith(OUTSIDE) else cells for name in pair]
        found = coupling.slots(row, column, *sides)
        out = np.empty((pieces, *found.shape[:2], chunk, found.shape[3]), np.int32)
        for piece in range(pieces):
            here = found[:, :, piece * chunk : (piece + 1) * chunk]
            out[piece, :, :, : here.shape[2]] = here
            out[piece, :, :, here.shape[2] :] = found[:, :, -1:]
        return on_device(out)

    active = np.zeros(total)
    active[: len(cells)] = 1.0
    return Batch(
        part(corners[cells]),
        {name: part(space.dofs(name)[cells]) for name in space.scalars},
        part(mesh.cell_regions[cells]),
        part(cells),
        None if facet is None else part(facet),
        jnp.asarray(active.reshape(pieces, chunk), jnp.result_type(float)),
        {"|".join(pair): slots(pair) for pair in sorted(pairs)},
    )


def boundary_densities(problem: Problem) -> list[tuple[str, Traced]]:
    """Part and density of every boundary integral that is not zero."""
    found = []
    arguments = sample(problem, normal=True)
    forms = problem.forms()
    for part, by_field in problem.conditions.items():
        fields = tuple(
            name
            for name, condition in by_field.items()
            if not condition.all_essential and forms[name].kind != "Constraint"
        )
        fields = tuple(
            name for name in fields if not vanishes(FacetDensity(problem, part, (name,)), arguments)
        )
        if fields:
            found.append((part, traced(FacetDensity(problem, part, fields), *arguments)))
    return found


def with_padded_cells(problem: Problem, mesh: Mesh) -> Problem:
    """Coefficients by cell padded, since a program sees how many there are.

    Raises:
        ValueError: not one value a cell.
    """
    count = padded_size(len(mesh.cells), f"{mesh.shape} cells")

    def pad(node: Any) -> Any:
        if not isinstance(node, CellData):
            return node
        if len(node.values) != len(mesh.cells):
            raise ValueError(
                f"CellData has {len(node.values)} values, but the mesh has {len(mesh.cells)} "
                "cells: give one value a cell, in the mesh's order"
            )
        missing = count - len(node.values)
        if not isinstance(node.values, Tracer):
            # By NumPy, since every shape would be one more little program.
            values = on_device(padded(np.asarray(node.values), count))
        else:
            values = jnp.pad(
                node.values, [(0, missing)] + [(0, 0)] * (node.values.ndim - 1), mode="edge"
            )
        return eqx.tree_at(lambda data: data.values, node, values)

    pde = jax.tree.map(pad, problem.pde, is_leaf=lambda node: isinstance(node, CellData))
    return eqx.tree_at(lambda p: p.pde, problem, pde)


def make_integrals(
    problem: Problem,
    space: Space,
    degree: int,
    borders: tuple[str, ...],
    *,
    exact: bool,
    stabilization: str | None = None,
) -> tuple[Coupling, list[Integral], Integral | None]:
    """The pattern, the integrals of the equations, and that of the storage in time.

    Arguments:
        exact: the user chose no quadrature: a tangent that is constant in every cell is
            integrated exactly, by one point. stabilization: None or "supg".
    """
    problem = with_padded_cells(problem, space.mesh)
    mesh, outside = space.mesh, sample(problem, normal=True)
    shapes = tuple(problem.shapes.items())
    density, found = cell_density(problem, mesh, stabilization)
    boundary = [(part, d, analyse(d, outside)) for part, d in boundary_densities(problem)]
    every = found.blocks.union(*(a.blocks for _, _, a in boundary))
    pairs = frozenset((b[0], b[2]) for b in every)
    coupling = coupling_of(space, pairs, borders)
    cells, storage = cell_integrals(
        problem, space, degree, coupling, pairs, density, found, exact=exact
    )
    integrals = [cells]
    for part, facet_density, facet_analysis in boundary:
        index = mesh.boundary_names.index(part) if part in mesh.boundary_names else -1
        chosen = mesh.facets[mesh.facet_parts == index]
        if len(chosen):
            names = frozenset((b[0], b[2]) for b in facet_analysis.blocks)
            on_facets = facet_tables(space, degree, facet_analysis.blocks)
            points = on_facets.weights.shape[-1]
            facets = batch(space, coupling, names, chosen[:, 0], chosen[:, 1], points)
            integrals.append(
                Integral(facet_density, facets, on_facets, on_facets, facet_analysis, shapes, True)
            )
    return coupling, integrals, storage


def cell_density(problem: Problem, mesh: Mesh, stabilization: str | None) -> tuple[Traced, Any]:
    """The density of the cells, and what it depends on."""
    inside = sample(problem, normal=False)
    simplex = mesh.shape in SIMPLICES
    density = traced(CellDensity(problem, not problem.steady, stabilization, simplex), *inside)
    return density, analyse(density, inside)


def cell_integrals(
    problem: Problem,
    space: Space,
    degree: int,
    coupling: Coupling,
    pairs: frozenset[tuple[str, str]],
    density: Traced,
    found: Any,
    *,
    exact: bool,
) -> tuple[Integral, Integral | None]:
    """The integral over the cells, and that of the storage in time."""
    inside, shapes = sample(problem, normal=False), tuple(problem.shapes.items())
    symmetric = found.diagonal(space.mesh.dim)
    tables = cell_tables(space, degree, found.blocks, symmetric=symmetric)
    flat = exact and found.constant and is_affine_map(space.mesh)
    once = constant_tables(space, found.blocks, symmetric=symmetric) if flat else tables
    cells = cell_batch(space, coupling, pairs, 1 if flat else len(tables.weights))
    integral = Integral(density, cells, tables, once, found, shapes, True)
    if problem.steady or not problem.evolving:
        return integral, None
    held = traced(StorageDensity(problem), *inside)
    return integral, Integral(held, cells, tables, tables, analyse(held, inside), shapes, False)


def check_cells(mesh: Mesh) -> None:
    """Refuses cells that are degenerate or turned inside out.

    Raises:
        ValueError: names how many and the first.
    """
    nodes, corners = geometry_points(mesh)
    element = lagrange(mesh.shape, geometry_degree(mesh))
    at = element.nodes[:1] if is_affine_map(mesh) else element.nodes
    table = element.tabulate(at)[:, 1:]
    bad = np.zeros(len(corners), dtype=bool)
    step = max(1, 2_000_000 // table[..., 0].size)
    for start in range(0, len(corners), step):
        here = slice(start, start + step)
        jacobian = np.einsum("qrv,cvk->qkrc", table, nodes[corners[here]], optimize=True)
        det = _determinants(jacobian)
        scale = np.abs(jacobian).max(axis=(0, 1, 2)) ** mesh.dim
        bad[here] = np.abs(det).min(axis=0) <= 1e-12 * scale
        bad[here] |= np.sign(det).min(axis=0) != np.sign(det).max(axis=0)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"{int(bad.sum())} of {len(bad)} cells are degenerate or turned inside out, the first "
            f"is cell {first} near {nodes[corners[first]].mean(axis=0).round(6).tolist()}: repair "
            "the mesh where it was made"
        )


def _determinants(matrices: np.ndarray) -> np.ndarray:
    """Of matrices whose entries are the second and third axis."""
    m = matrices
    if m.shape[1] == 1:
        return m[:, 0, 0]
    if m.shape[1] == 2:
        return m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0]
    terms = [
        m[:, 0, i] * (m[:, 1, j] * m[:, 2, k] - m[:, 1, k] * m[:, 2, j])
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    ]
    return terms[0] + terms[1] + terms[2]


def uncondensed(pattern: SparsePattern, fixed: np.ndarray, length: int) -> np.ndarray:
    """Values that neither a prescribed row nor a prescribed column holds, padded."""
    free = ~(fixed[pattern.rows] | fixed[pattern.indices])
    return padded(free, length, False)
