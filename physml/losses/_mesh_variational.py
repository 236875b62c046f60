"""Weak residuals on the cells of any mesh as a least-squares objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Mesh, Problem, point_of
from physml.losses._collocation import Collocation
from physml.losses._distance_shaping import DistanceShaping, local_shaping
from physml.losses._mesh_tests import bubble_tests, cell_map
from physml.losses._nodal_tests import (
    FacetTests,
    NodalTests,
    component_rows,
    facet_tests,
    free_rows,
    natural_parts,
)
from physml.losses._residuals import all_fields
from physml.losses._variational import _by_component, pointwise_density, twice_density
from physml.optimizers import Block, LeastSquares, Projection, QuadratureBlock
from solvers._weak import boundary_density


class SummedBlock(Block):
    """r = matrix · Σ of blocks that share their rows; the matrix is left out where it is None."""

    parts: tuple[Block, ...]
    matrix: Array | None = None

    def residual(self, params: Any) -> Array:
        return self._applied(sum(part.residual(params) for part in self.parts))

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        pairs = [part.jacobian(params, project) for part in self.parts]
        return self._applied(sum(r for r, _ in pairs)), self._applied(sum(j for _, j in pairs))

    def locate(self, index: int, size: int) -> str:
        return self.parts[0].locate(index, size)

    def _applied(self, rows: Any) -> Array:
        return rows if self.matrix is None else self.matrix @ rows


class MeshVariational(LeastSquares):
    """loss = Σ w · Σ_v R(v)² over the tests of a mesh, and the conditions that are not exact.

    R(v) = ∫ c₀·v + c₁:∇v + ∮ c·v with the weak densities of finite elements, as one contraction
    of (elements × tests × quadrature) with the integrand. A batch has "cells" with the points
    (E, Q), "tests" (E, T, Q, K) and, for nodal tests, "rows u"; and "facets left u" for fluxes.

    Arguments:
        conditions: the blocks of boundary, gauges and observations. twice: integrated by parts
            twice. sizes: rows of each field for nodal tests, else empty. scales: √w/size of each
            row, by field. whitening: L⁻¹ of a Gram matrix by field: Σ R² becomes RᵀG⁻¹R.

    Source: Kharazmi, Zhang and Karniadakis (2021); Anandh, Ghose, Jain and Ganesan (2024).
    """

    conditions: Collocation
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)
    twice: bool = eqx.field(static=True)
    sizes: tuple[tuple[str, int], ...] = eqx.field(static=True)
    scales: dict[str, Array]
    whitening: dict[str, Array]
    chunk: int | None = eqx.field(static=True)

    def __init__(
        self,
        conditions: Collocation,
        *,
        weights: Mapping[str, float] | None = None,
        twice: bool = False,
        sizes: Mapping[str, int] | None = None,
        scales: dict[str, Array] | None = None,
        whitening: dict[str, Array] | None = None,
        chunk: int | None = None,
    ):
        missing = set(conditions.problem.shapes) - set(conditions.trial.names)
        if missing:
            raise ValueError(
                f"weak residuals need every field as an output; missing {sorted(missing)}"
            )
        self.conditions = conditions
        self.weights = tuple(sorted((weights or {}).items()))
        self.twice = twice
        self.sizes = tuple((sizes or {}).items())
        self.scales = scales or {}
        self.whitening = whitening or {}
        self.chunk = chunk

    def equation_blocks(self, batch: Any) -> dict[str, Block]:
        """The weak residuals alone."""
        found: dict[str, Block] = {}
        weights, sizes = dict(self.weights), dict(self.sizes)
        for name, shape in self.conditions.trial.shapes:
            components = max(int(np.prod(shape, dtype=int)), 1)
            weight = weights.get(f"equation {name}", weights.get("equation", 1.0)) ** 0.5
            scale = weight * self.scales.get(name, jnp.ones(()))
            rows = batch["cells"].get(f"rows {name}")
            parts: list[Block] = [
                QuadratureBlock(
                    self._density(name),
                    batch["cells"]["points"],
                    _by_component(batch["cells"]["tests"], components),
                    scale,
                    rows,
                    sizes.get(name),
                    self.chunk,
                )
            ]
            for part in natural_parts(self.conditions.problem, name) if sizes else ():
                facets = batch[f"facets {part} {name}"]
                parts.append(
                    QuadratureBlock(
                        self._flux(part, name),
                        facets["points"],
                        _by_component(facets["tests"], components),
                        scale,
                        facets["rows"],
                        sizes[name],
                    )
                )
            matrix = self.whitening.get(name)
            plain = len(parts) == 1 and matrix is None
            found[f"equation {name}"] = parts[0] if plain else SummedBlock(tuple(parts), matrix)
        return found

    def blocks(self, batch: Any) -> dict[str, Block]:
        found = self.equation_blocks(batch)
        conditions = self.conditions.condition_blocks(batch)
        if self.sizes:
            # The rows of nodal tests hold the prescribed fluxes.
            soft = {part: self._essential(part) for part in self.conditions.soft_parts()}
            conditions = {
                name: block
                for name, block in conditions.items()
                if not name.startswith("boundary ")
                or name.rsplit(" ", 1)[1] in soft[name.removeprefix("boundary ").rsplit(" ", 1)[0]]
            }
        return found | conditions

    def _essential(self, part: str) -> set[str]:
        conditions = self.conditions.problem.conditions[part]
        return {
            name
            for name, condition in conditions.items()
            if condition.any_essential and (part, name) not in self.conditions.exact_boundary
        }

    def _density(self, name: str):
        density = twice_density if self.twice else pointwise_density

        def fn(params: Any, point: Any) -> Array:
            problem, _ = self.conditions.bound(params)
            fields = self.fields(params, point)
            region, cell = point["region"], point["cell"]
            return density(problem, name, fields, point["x"], point["t"], region, cell)

        return fn

    def _flux(self, part: str, name: str):
        def fn(params: Any, point: Any) -> Array:
            problem, _ = self.conditions.bound(params)
            fields = all_fields(problem, self.fields(params, point))
            p = point_of(
                fields,
                point["x"],
                point["t"],
                n=point["n"],
                region=point["region"],
                cell=point["cell"],
            )
            condition = problem.conditions[part][name]
            return boundary_density(problem.forms()[name], condition, p).reshape(-1)

        return fn

    def fields(self, params: Any, point: Any):
        """fields(x, t) near one point, exact there to first order."""
        _, network = self.conditions.bound(params)
        known = self.conditions.trial
        trial = dataclasses.replace(known, shaping={**known.shaping, **point["shaping"]})
        return lambda x, t: trial(network, x, t)


def local_batch(
    conditions: Collocation,
    mesh: Mesh,
    tests: int,
    quadrature: int,
    *,
    twice: bool = False,
    cells: np.ndarray | None = None,
) -> dict[str, Any]:
    """ "cells" of `MeshVariational` with `bubble_tests` on each cell, or on the given ones.

    Tests are orthonormal in the mean over straight cells, and scaled so that Σ R² is the mean
    square over the domain of the residual's projection on them.
    """
    points, place = cell_map(mesh, quadrature, cells)
    jets = bubble_tests(mesh.shape, tests, 2 if twice else 1, points)
    volumes = place.measure.sum(axis=1)
    weights = place.measure / np.sqrt(volumes * volumes.sum())[:, None]
    table = place.tests(jets, second=twice) * weights[:, None, :, None]
    numbers = np.arange(len(mesh.cells)) if cells is None else cells
    return {"points": points_of(conditions, mesh, place.x, numbers), "tests": jnp.asarray(table)}


def nodal_batch(
    conditions: Collocation, mesh: Mesh, tests: NodalTests, quadrature: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The batch of `MeshVariational` with nodal tests, and each field's rows by node."""
    problem = conditions.problem
    numbers = np.arange(len(mesh.cells))
    cells = {
        "points": points_of(conditions, mesh, tests.map.x, numbers),
        "tests": jnp.asarray(tests.cells),
    }
    batch: dict[str, Any] = {"cells": cells}
    kept = {}
    for name in problem.shapes:
        rows = kept[name] = free_rows(problem, mesh, tests.space, name)
        cells[f"rows {name}"] = jnp.asarray(component_rows(tests.space.cell_nodes, rows))
        for part in natural_parts(problem, name):
            facets = facet_tests(mesh, tests.space, part, quadrature)
            batch[f"facets {part} {name}"] = {
                "points": facet_points(conditions, mesh, facets),
                "tests": jnp.asarray(facets.tests),
                "rows": jnp.asarray(component_rows(facets.nodes, rows)),
            }
    return batch, kept


def facet_points(conditions: Collocation, mesh: Mesh, facets: FacetTests) -> dict[str, Any]:
    """Points of boundary integrals."""
    return points_of(conditions, mesh, facets.x, facets.cells) | {"n": jnp.asarray(facets.n)}


def points_of(
    conditions: Collocation, mesh: Mesh, x: np.ndarray, cells: np.ndarray
) -> dict[str, Any]:
    """Points x (E, Q, dim) of the given cells (E,), with what is known of the fields there."""
    places = jnp.asarray(x, jnp.result_type(float))
    shape = places.shape[:2]
    flat = places.reshape(-1, places.shape[-1])
    shaping = {
        name: jax.tree.map(
            lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), local_shaping(known, flat)
        )
        for name, known in conditions.trial.shaping.items()
        if isinstance(known, DistanceShaping)
    }
    each = (jnp.asarray(a)[:, None] for a in (mesh.cell_regions[cells], cells))
    region, cell = (jnp.broadcast_to(a, shape) for a in each)
    return {
        "x": places,
        "t": jnp.zeros(shape, places.dtype),
        "region": region,
        "cell": cell,
        "shaping": shaping,
    }


def mesh_of(problem: Problem, given: Mesh | None, cells: int | None, shape: str | None) -> Mesh:
    """The mesh given, the domain's own, or one made with `cells` along its longest side."""
    from pdes import MeshDomain

    if given is not None:
        return given
    if isinstance(problem.domain, MeshDomain):
        return problem.domain.mesh()
    options: dict[str, Any] = {"cells": cells, "shape": shape}
    if problem.domain.is_curved:
        options["curved"] = True
    return problem.domain.mesh(**options)
