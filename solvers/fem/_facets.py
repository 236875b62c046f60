"""From a problem and a broken space to its integrals: cells, interior facets, the boundary."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pdes import Problem
from solvers._same import padded
from solvers._traced import traced
from solvers.fem._analysis import Analysis, analyse
from solvers.fem._assembly import Integral
from solvers.fem._build import batch, cell_density, cell_integrals, with_padded_cells
from solvers.fem._chunk import Batch
from solvers.fem._coupling import Coupling, coupling_of
from solvers.fem._density import vanishes
from solvers.fem._element import turns
from solvers.fem._interior import interior_facets, trace_constants
from solvers.fem._jumps import BoundaryDensity, InteriorDensity, sample_facet
from solvers.fem._space import Space
from solvers.fem._tables import OUTSIDE, facet_tables, sided_tables


def make_broken_integrals(
    problem: Problem,
    space: Space,
    degree: int,
    borders: tuple[str, ...],
    penalty: float,
    *,
    exact: bool,
) -> tuple[Coupling, list[Integral], Integral | None]:
    """As `make_integrals`, for discontinuous elements.

    Arguments:
        penalty: of jumps, in multiples of the least one for which coercivity is proved.
    """
    problem = with_padded_cells(problem, space.mesh)
    mesh, shapes = space.mesh, problem.shapes
    density, found = cell_density(problem, mesh, None)
    sided = sample_facet(problem, interior=True)
    between = traced(InteriorDensity(problem), *sided)
    across = analyse(between, sided)
    outside = sample_facet(problem, interior=False)
    boundary = [
        (parts, traced(d, *outside))
        for parts in _alike(problem)
        if not vanishes(d := BoundaryDensity(problem, parts[0]), outside)
    ]
    analysed = [(parts, d, analyse(d, outside)) for parts, d in boundary]
    interior = _pairs(across)
    meeting = frozenset(_plain(pair) for pair in interior)
    pairs = meeting | _pairs(found).union(*(_pairs(a) for _, _, a in analysed))
    coupling = coupling_of(space, pairs, borders, meeting)
    cells, storage = cell_integrals(
        problem, space, degree, coupling, pairs, density, found, exact=exact
    )
    integrals = [cells]
    if len(interior_facets(mesh)) and across.rows:
        tables = sided_tables(space, degree, across.blocks)
        facets = interior_batch(space, coupling, interior, tables.weights.shape[-1], penalty)
        both = tuple(shapes.items()) + tuple((OUTSIDE + n, s) for n, s in shapes.items())
        integrals.append(Integral(between, facets, tables, tables, across, both, True))
    for parts, facet_density, analysis in analysed:
        numbers = [mesh.boundary_names.index(part) for part in parts if part in mesh.boundary_names]
        chosen = mesh.facets[np.isin(mesh.facet_parts, numbers)]
        if not len(chosen):
            continue
        tables = facet_tables(space, degree, analysis.blocks)
        points, (cell, local) = tables.weights.shape[-1], chosen.T
        facets = batch(space, coupling, _pairs(analysis), cell, local, points)
        facets = _penalised(facets, space, cell, local, penalty)
        integrals.append(
            Integral(facet_density, facets, tables, tables, analysis, tuple(shapes.items()), True)
        )
    return coupling, integrals, storage


def _alike(problem: Problem) -> list[list[str]]:
    """Parts of the boundary by their conditions: those with the same are one integral, since
    each is one more program to compile."""
    groups: list[tuple[Any, list[str]]] = []
    for part, conditions in problem.conditions.items():
        found = jax.tree.flatten(conditions)
        for known, parts in groups:
            if known[1] == found[1] and all(map(_same, known[0], found[0])):
                parts.append(part)
                break
        else:
            groups.append((found, [part]))
    return [parts for _, parts in groups]


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if not (eqx.is_array(a) and eqx.is_array(b)):
        return type(a) is type(b) and not eqx.is_array(a) and bool(a == b)
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    return np.array_equal(np.asarray(a), np.asarray(b))


def interior_batch(
    space: Space,
    coupling: Coupling,
    pairs: frozenset[tuple[str, str]],
    points: int,
    penalty: float,
) -> Batch:
    """All interior facets, with the outer cells beside the inner ones."""
    facets, shape = interior_facets(space.mesh), space.mesh.shape
    (inside, outside), (inner, outer) = facets.cells.T, facets.local.T
    count = len(turns(shape))
    here = batch(space, coupling, pairs, inside, inner * count, points, outside)
    there = batch(space, coupling, frozenset(), outside, outer * count + facets.turn, points)
    # A mean of two fluxes, each with half the jump: a quarter of what a boundary takes.
    here = _penalised(here, space, inside, inner, penalty / 4)
    there = _penalised(there, space, outside, outer, penalty / 4)
    dofs = here.dofs | {OUTSIDE + name: numbers for name, numbers in there.dofs.items()}
    return dataclasses.replace(here, dofs=dofs, outside=there)


def _penalised(
    facets: Batch, space: Space, cells: np.ndarray, local: np.ndarray, penalty: float
) -> Batch:
    """With τ = penalty · (facets of a cell) · C by facet.

    Every facet of a cell takes an equal share of its energy; C is that of the trace inequality for
    the highest degree.
    """
    degree = max(scalar.element.degree for scalar in space.scalars.values())
    constants = trace_constants(space.mesh, degree)
    chosen = penalty * constants.shape[1] * constants[cells, local]
    shape = facets.active.shape
    values = padded(chosen, shape[0] * shape[1]).reshape(shape)
    return dataclasses.replace(facets, penalty=jnp.asarray(values, facets.active.dtype))


def _pairs(analysis: Analysis) -> frozenset[tuple[str, str]]:
    return frozenset((block[0], block[2]) for block in analysis.blocks)


def _plain(pair: tuple[str, str]) -> tuple[str, str]:
    row, column = pair
    return row.removeprefix(OUTSIDE), column.removeprefix(OUTSIDE)
