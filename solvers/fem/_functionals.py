"""Integrals of a solution over the domain, a material or a part of the boundary; reactions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Mesh, Point, point_of
from pdes._arrays import on_device
from solvers._solution import Solution
from solvers._traced import Traced, traced
from solvers.fem._build import geometry_points
from solvers.fem._constraints import facet_nodes
from solvers.fem._element import cell_quadrature, facet_quadrature, lagrange
from solvers.fem._locate import FEMRepresentation
from solvers.time import TimeSeries

# Points of an integral that are evaluated at once.
_PIECE = 2**16


def integrate(
    solution: Solution,
    function: Callable[[Point], Any],
    over: str | None = None,
    t: Any = None,
    degree: int = 5,
) -> Array:
    """∫ function(p) over the domain, a named material or a named part of the boundary.

    Quadrature on the solution's mesh, or on one of its domain where it has none; the point has
    all fields, gradients, and on a boundary the outward normal `p.n`.

    Arguments:
        over: None for the domain. t: the time, by default the end. degree: of the quadrature.

    Raises:
        ValueError: no such part of the boundary or material.
    """
    representation = solution.representation
    if isinstance(representation, FEMRepresentation):
        mesh = representation.space.mesh
    else:
        mesh = solution.problem.domain.mesh()
    x, weights, normals, cells = quadrature(mesh, degree, over)
    if t is None:
        t = 0.0 if solution.problem.time is None else solution.problem.time[1]
    dtype = jnp.result_type(float)
    regions = on_device(mesh.cell_regions[cells])

    normal = None if normals is None else jnp.asarray(normals, dtype)
    points = (jnp.asarray(x, dtype), normal, regions, on_device(cells))
    weights, t = jnp.asarray(weights, dtype), jnp.asarray(t, dtype)
    first = jax.tree.map(lambda array: array[0], points)
    sample = eqx.filter_eval_shape(_point, representation, t, *first)
    integrand = traced(lambda p: jnp.asarray(function(p)), sample)
    return _integral(representation, integrand, points, weights, t, _PIECE)


def _point(representation: Any, t: Array, y: Array, n: Any, region: Array, cell: Array) -> Point:
    fields = representation.values
    if isinstance(representation, FEMRepresentation):
        fields = representation.inside(cell)
    return point_of(fields, y, t, n=n, region=region, cell=cell)


# Compiled as a whole: operation by operation, each would be compiled for every new shape.
@eqx.filter_jit
def _integral(
    representation: Any, integrand: Traced, points: tuple, weights: Array, t: Array, piece: int
) -> Array:
    def value(*place: Any) -> Array:
        return integrand(_point(representation, t, *place))

    return _weighted_sum(value, points, weights, piece)


def _weighted_sum(value: Callable, points: tuple, weights: Array, piece: int) -> Array:
    """Σ wᵢ value(pointᵢ), some points at a time where they are many: what lies between is large."""
    each = jax.vmap(value, in_axes=tuple(None if a is None else 0 for a in points))

    def total(part):
        return jnp.tensordot(part[1], each(*part[0]), 1)

    pieces = -(-len(weights) // piece)
    if pieces <= 1:
        return total((points, weights))
    missing = pieces * piece - len(weights)

    def cut(array):
        more = jnp.broadcast_to(array[-1:], (missing, *array.shape[1:]))
        return jnp.concatenate([array, more]).reshape(pieces, piece, *array.shape[1:])

    weights = jnp.concatenate([weights, jnp.zeros(missing, weights.dtype)])
    parts = (jax.tree.map(cut, points), weights.reshape(pieces, piece))
    return jnp.sum(jax.lax.map(jax.checkpoint(total), parts), axis=0)


def quadrature(
    mesh: Mesh, degree: int, over: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Points (n, dim), weights (n,), outward normals or None, and cells (n,).

    Raises:
        ValueError: no such part of the boundary or material.
    """
    nodes, numbers = geometry_points(mesh)
    element = lagrange(mesh.shape, 1 if mesh.geometry is None else 2)
    if over is None or over in mesh.regions:
        chosen = np.arange(len(mesh.cells))
        if over is not None:
            chosen = np.flatnonzero(mesh.cell_regions == mesh.regions.index(over))
        points, w = cell_quadrature(mesh.shape, degree)
        table = np.broadcast_to(
            element.tabulate(points), (len(chosen), len(w), mesh.dim + 1, len(element.nodes))
        )
        w, reference = np.broadcast_to(w, (len(chosen), len(w))), None
    elif over in mesh.boundary_names or over == "all":
        facets = mesh.facets
        if over != "all":
            facets = facets[mesh.facet_parts == mesh.boundary_names.index(over)]
        chosen, local = facets[:, 0], facets[:, 1]
        points, weights, directions = facet_quadrature(mesh.shape, degree)
        table = np.stack([element.tabulate(p) for p in points])[local]
        w, reference = weights[local], directions[local]
    else:
        raise ValueError(
            f"no part {over!r} to integrate over: the boundary has {list(mesh.boundary_names)}, "
            f"the materials are {list(mesh.regions)}"
        )
    corners = nodes[numbers[chosen]]
    x = np.einsum("cqv,cvk->cqk", table[:, :, 0], corners)
    jacobian = np.einsum("cqrv,cvk->cqkr", table[:, :, 1:], corners)
    measure = w * np.abs(np.linalg.det(jacobian))
    normals = None
    if reference is not None:
        pulled = np.einsum("cqrk,cr->cqk", np.linalg.inv(jacobian), reference)
        length = np.linalg.norm(pulled, axis=-1)
        measure = measure * length
        normals = (pulled / length[..., None]).reshape(-1, mesh.dim)
    cells = np.repeat(chosen, x.shape[1])
    return x.reshape(-1, mesh.dim), measure.ravel(), normals, cells


def reaction(solution: Solution, field: str, over: str, t: Any = None) -> Array:
    """∮ F·n over a part of the boundary from the weak residual of its basis functions.

    −Σᵢ ∫ (∂ₜm − s) φᵢ − F·∇φᵢ over the basis functions φᵢ that live on the part: it converges
    twice as fast as the integral of F·n, and balances what flows in and what is stored exactly.

    Arguments:
        field: whose flux. over: the part; basis functions at its ends count as its own.
        t: the time, by default the end.

    Raises:
        ValueError: no such field or part, or a solution that is not of finite elements.

    Source: Babuška and Miller (1984); John (2004), section 3.
    """
    representation = solution.representation
    if not isinstance(representation, FEMRepresentation):
        raise ValueError("reactions are of finite element solutions; use solution.integrate")
    space, mesh = representation.space, representation.space.mesh
    if space.broken:
        raise ValueError(
            "reactions are of continuous finite elements; of discontinuous ones use "
            "solution.integrate(lambda p: flux @ p.n, over=…)"
        )
    if field not in space.components or over not in mesh.boundary_names:
        raise ValueError(
            f"no reaction of {field!r} over {over!r}: the fields are {sorted(space.components)}, "
            f"the boundary has {list(mesh.boundary_names)}"
        )
    method = dataclasses.replace(solution.method, mesh=mesh, resolution=1.0)
    system = method.discretize(solution.problem)
    if t is None:
        t = 0.0 if solution.problem.time is None else solution.problem.time[1]
    rows = _cell_rows(system, representation.state, jnp.asarray(t, system.points.dtype))
    facets = mesh.facets[mesh.facet_parts == mesh.boundary_names.index(over)]
    count = space.components[field]
    first = space.offsets[field] + facet_nodes(space, field, facets)[:, None] * count
    total = -jnp.sum(rows[first + np.arange(count)], axis=0)
    return total.reshape(representation.shapes[field])


@eqx.filter_jit
def _cell_rows(system: Any, state: Any, t: Array) -> Array:
    """∫ (∂ₜm − s) v − F·∇v in all rows, prescribed ones included, without boundary integrals."""
    cells, scales = system.integrals[0], system.scales(0.0, 1.0, 0.0)
    series = isinstance(state, TimeSeries)
    main, _ = system.split(state(t) if series else state)
    extra = (system.no_anchors(), scales)
    out = cells.residual(jnp.zeros_like(main), system.points, main, t, extra)
    if not series or system.storages is None:
        return out

    def stored(s):
        at, rates = system.split(state(s))
        extra = (rates, system.scales(1.0, 0.0, 1.0))
        return system.storages.residual(jnp.zeros_like(at), system.points, at, s, extra)

    return out + jax.jvp(stored, (t,), (jnp.ones_like(t),))[1]
