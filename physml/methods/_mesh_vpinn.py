"""hp-VPINN on any mesh: weak residuals on its cells or against its nodal functions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pdes import Mesh, Problem
from physml.losses import (
    Collocation,
    MeshVariational,
    distance_constraints,
    local_batch,
    mesh_of,
    nodal_batch,
    nodal_tests,
    output_shapes,
    stacked,
)
from physml.losses import test_count as count_of_tests
from physml.methods._neural import (
    Setup,
    check_precision,
    count_parameters,
    one_network,
    sampler_seed,
    train_setup,
)
from physml.methods._pinn import exactness_notes, represent, unsupported_regions
from physml.networks import partition
from solvers import Method, Run, Solution


class MeshVPINN(Method):
    """Minimises Σ R(v)² of the weak residuals R(v) = ∫ c₀·v + c₁:∇v + ∮ c·v on a mesh.

    The densities c and the quadrature are those of finite elements, and all cells are one
    contraction. Prescribed values hold exactly where the domain has a distance function.

    Arguments:
        mesh: the `Mesh`; by default the domain's own, or one of `cells` along the longest side
            with cells of `cell_shape` ("triangle", "quadrilateral", …).
        functions: "legendre", orthonormal polynomials times a bubble on each cell; or "nodal",
            the basis functions of finite elements, in whose rows prescribed fluxes are natural.
        tests: Legendre tests of a cell in each direction (on simplices polynomials of total degree
            below it), or the degree of the nodal functions.
        parts: integrations by parts. Twice is for fluxes affine in the gradients, with Legendre
            tests; no derivative of the network is then taken but in sources.
        quadrature: polynomials integrated exactly, 2 tests + 2 by default (+ 4 for twice).
        batch: cells that a step sees, drawn anew each `resample` steps; None for all.
        distances: the distance to the boundary, where values hold exactly by it, is an input of
            the network beside the place, for boundaries with many corners.
        The others as for `PINN`; weights of "equation u", "boundary left u", ….

    Raises:
        NotApplicable: problems in time, fluxes that can't be integrated twice.

    Source: Kharazmi, Zhang and Karniadakis (2021); Anandh, Ghose, Jain and Ganesan (2024).
    """

    network: Any = None
    optimizer: Any = None
    mesh: Mesh | None = eqx.field(static=True, default=None)
    cells: int | None = eqx.field(static=True, default=None)
    cell_shape: str | None = eqx.field(static=True, default=None)
    functions: str = eqx.field(static=True, default="legendre")
    tests: int = eqx.field(static=True, default=3)
    parts: int = eqx.field(static=True, default=1)
    quadrature: int | None = eqx.field(static=True, default=None)
    batch: int | None = eqx.field(static=True, default=None)
    boundary_points: int = eqx.field(static=True, default=200)
    constraints: str = eqx.field(static=True, default="auto")
    resample: int = eqx.field(static=True, default=5)
    weights: Mapping[str, float] | None = None
    distances: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")

    def __check_init__(self):
        if self.functions not in ("legendre", "nodal"):
            raise ValueError(f"functions is 'legendre' or 'nodal', got {self.functions!r}")
        if self.parts not in (1, 2) or (self.parts == 2 and self.functions == "nodal"):
            raise ValueError(
                f"parts is 1, or 2 with functions='legendre' whose tests are smooth enough, got "
                f"{self.parts!r} with {self.functions!r}"
            )
        for name in ("tests", "batch", "resample", "cells"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if self.batch is not None and self.functions == "nodal":
            raise ValueError(
                "batch draws single cells, but the rows of nodal tests gather several: use "
                "functions='legendre', or batch=None"
            )

    @property
    def name(self) -> str:
        return "VPINN on a mesh"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        reason = unsupported_on_meshes(problem)
        if reason is not None or self.parts == 1:
            return reason
        for name, form in problem.forms().items():
            for term in form.equation.flux:
                dependence = form.dependence(term)
                if dependence.gradients and not dependence.affine:
                    return (
                        f"the flux of {name!r} is not affine in the fields, so that it can't be "
                        "integrated by parts twice; use parts=1"
                    )
        return None

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(self, problem: Problem, seed: int) -> Setup:
        """The objective, its parameters and its cells."""
        self.check(problem)
        dtype = check_precision(self.dtype)
        mesh = mesh_of(problem, self.mesh, self.cells or _CELLS[problem.dim], self.cell_shape)
        conditions, own, params = mesh_conditions(self, problem, seed, dtype)
        degree = self.quadrature or 2 * self.tests + 2 * self.parts
        if self.functions == "nodal":
            tests = nodal_tests(mesh, self.tests, degree)
            batch, rows = nodal_batch(conditions, mesh, tests, degree)
            objective = MeshVariational(
                conditions,
                weights=own,
                sizes={name: int(r.max()) + 1 for name, r in rows.items()},
                scales=row_scales(tests.masses(), rows, mesh.volume),
                chunk=chunk_of(batch, params, mesh.dim),
            )
            note = f"{tests.size} nodal tests of degree {self.tests}"
        else:
            twice = self.parts == 2
            batch = {"cells": local_batch(conditions, mesh, self.tests, degree, twice=twice)}
            objective = MeshVariational(
                conditions, weights=own, twice=twice, chunk=chunk_of(batch, params, mesh.dim)
            )
            note = f"{count_of_tests(mesh.shape, mesh.dim, self.tests)} tests in each"
        points = batch["cells"]["tests"].shape[2]
        note = f"{len(mesh.cells)} {mesh.shape} cells, {note}, {points} quadrature points"
        hard = conditions_notes(conditions, problem, self.constraints)
        return Setup(
            objective,
            params,
            self._sampler(conditions, batch),
            lambda p: represent(conditions, p),
            notes=(note, *hard),
        )

    def _sampler(self, conditions: Collocation, batch: Any) -> Callable[[Any, Any, int], Any]:
        around = {"boundary": self.boundary_points, "initial": self.boundary_points}
        count, chosen = len(batch["cells"]["tests"]), self.batch

        def sample(key: Any, params: Any, step: int) -> Any:
            found = stacked(conditions.sample(around, sampler_seed(key))) | batch
            if chosen is not None and chosen < count:
                cells = jax.random.choice(key, count, (chosen,), replace=False)
                part = jax.tree.map(lambda leaf: leaf[cells], batch["cells"])
                # The mean square over these cells stands for that over all.
                part["tests"] = part["tests"] * (count / chosen) ** 0.5
                found["cells"] = part
            return found

        return sample

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        since = time.perf_counter()
        setup = self.setup(problem, run.seed)
        soft = isinstance(setup.objective, MeshVariational) and setup.objective.conditions
        fixed = self.batch is None and not (soft and soft.soft_parts())
        return train_setup(
            self,
            problem,
            setup,
            run,
            optimizer=self.optimizer,
            seconds=self.seconds,
            # Without new cells or points there is nothing to draw again.
            resample=None if fixed else self.resample,
            tolerance=self.tolerance,
            since=since,
        )


_CELLS = {1: 16, 2: 8, 3: 4}
# Bytes of the integrand's derivatives on all cells beyond which they are taken in parts.
_MEMORY = 2e8


def unsupported_on_meshes(problem: Problem) -> str | None:
    """Why weak residuals on a mesh of space do not apply."""
    if not problem.steady:
        return "its tests are functions of space; use pm.VPINN on boxes, or pm.PINN"
    if problem.dim > 3:
        return f"meshes exist in 1 to 3 dimensions, the domain has {problem.dim}; use pm.PINN"
    return unsupported_regions(problem)


def mesh_conditions(
    method: Any, problem: Problem, seed: int, dtype: Any
) -> tuple[Collocation, dict[str, float], Any]:
    """The conditions with their trial function, the weights of equations, the parameters."""
    shapes = output_shapes(problem, mixed=True)
    hard = distance_constraints(problem, shapes, method.constraints)
    trial, network = one_network(
        problem, shapes, hard, method.network, seed, dtype, distances=method.distances
    )
    params, static = partition({"network": network, "pde": None})
    weights = dict(method.weights or {})
    own = {name: w for name, w in weights.items() if name.split()[0] == "equation"}
    others = {name: w for name, w in weights.items() if name not in own}
    return Collocation(problem, trial, static, hard, others), own, params


def conditions_notes(conditions: Collocation, problem: Problem, mode: str) -> tuple[str, ...]:
    """Which conditions hold exactly."""
    return exactness_notes(distance_constraints(problem, output_shapes(problem, mixed=True), mode))


def row_scales(masses: np.ndarray, rows: Mapping[str, np.ndarray], volume: float) -> dict[str, Any]:
    """1/√(∫v² |Ω|) of each row, so that Σ R² is about the mean square of the residual."""
    found = {}
    for name, numbers in rows.items():
        scale = np.zeros(int(numbers.max()) + 1)
        kept = numbers >= 0
        each = np.broadcast_to(1 / np.sqrt(masses * volume), numbers.T.shape).T
        scale[numbers[kept]] = each[kept]
        found[name] = jnp.asarray(scale)
    return found


def chunk_of(batch: Any, params: Any, dim: int) -> int | None:
    """Cells whose derivatives fit in memory at once; None for all."""
    cells, _, points, _ = batch["cells"]["tests"].shape
    each = 8 * points * (1 + dim) * count_parameters(params)
    return None if each * cells <= _MEMORY else max(int(_MEMORY // (4 * each)), 1)
