"""Deep Ritz: the energy of a problem minimised over networks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from pdes import Mesh, Problem
from physml.losses import (
    Energy,
    MeshVariational,
    cell_map,
    facet_measures,
    mesh_of,
    natural_conditions,
    no_energy,
    points_of,
    stacked,
)
from physml.methods._mesh_vpinn import conditions_notes, mesh_conditions, unsupported_on_meshes
from physml.methods._neural import Setup, check_precision, sampler_seed, train_setup
from physml.methods._pinn import represent
from physml.optimizers._energy_newton import EnergyNewton
from solvers import Method, Run, Solution


class DeepRitz(Method):
    """Minimises E(u) = ∫ ψ(x, u, ∇u) dx + ∮ β(x, u) ds, whose variation is the weak form.

    The energy is derived from the problem: ψ(z) = ∫₀¹ c(s z)·z ds for the weak densities c of
    finite elements in the jet z = (u, ∇u), where their tangent is symmetric. Prescribed fluxes
    are natural; prescribed values hold exactly where the domain has a distance function, by a
    penalty elsewhere. Integrals are by Gauss quadrature on a mesh.

    Arguments:
        mesh, cells, cell_shape: as for `MeshVPINN`; quadrature: polynomials integrated exactly.
        optimizer: `EnergyNewton` (the energy natural gradient) by default.
        penalty: w of w ∮ |u − g|² (as a mean) where values are not exact.
        distances: as for `MeshVPINN`.
        The others as for `PINN`. The loss that is reported is the energy, which may be negative.

    Raises:
        NotApplicable: no energy has this weak form as its variation, with the reason.

    Source: E and Yu (2018); Müller and Zeinhofer (2023) for the optimizer.
    """

    network: Any = None
    optimizer: Any = None
    mesh: Mesh | None = eqx.field(static=True, default=None)
    cells: int | None = eqx.field(static=True, default=None)
    cell_shape: str | None = eqx.field(static=True, default=None)
    quadrature: int = eqx.field(static=True, default=7)
    penalty: float = eqx.field(static=True, default=500.0)
    boundary_points: int = eqx.field(static=True, default=200)
    constraints: str = eqx.field(static=True, default="auto")
    weights: Mapping[str, float] | None = None
    distances: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    dtype: str = eqx.field(static=True, default="float64")

    @property
    def name(self) -> str:
        return "Deep Ritz"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return no_energy(problem) or unsupported_on_meshes(problem)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(self, problem: Problem, seed: int) -> Setup:
        """The energy, its parameters and its quadrature."""
        self.check(problem)
        dtype = check_precision(self.dtype)
        cells = self.cells or {1: 32, 2: 12, 3: 5}[problem.dim]
        shape = self.cell_shape
        mesh = mesh_of(problem, self.mesh, cells, shape)
        conditions, _, params = mesh_conditions(self, problem, seed, dtype)
        _, place = cell_map(mesh, self.quadrature)
        batch: dict[str, Any] = {
            "cells": {
                "points": points_of(conditions, mesh, place.x, np.arange(len(mesh.cells))),
                "weights": jnp.asarray(place.measure),
            }
        }
        for part in sorted({part for part, _ in natural_conditions(problem)}):
            x, normals, measure, numbers = facet_measures(mesh, part, self.quadrature)
            points = points_of(conditions, mesh, x, numbers) | {"n": jnp.asarray(normals)}
            batch[f"facets {part}"] = {"points": points, "weights": jnp.asarray(measure)}
        objective = Energy(MeshVariational(conditions), self.penalty)
        around = {"boundary": self.boundary_points, "initial": self.boundary_points}

        def sample(key: Any, params: Any, step: int) -> Any:
            return stacked(conditions.sample(around, sampler_seed(key))) | batch

        return Setup(
            objective,
            params,
            sample,
            lambda p: represent(conditions, p),
            notes=(
                f"energy by {place.measure.size} quadrature points",
                *conditions_notes(conditions, problem, self.constraints),
            ),
        )

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        since = time.perf_counter()
        return train_setup(
            self,
            problem,
            self.setup(problem, run.seed),
            run,
            optimizer=EnergyNewton() if self.optimizer is None else self.optimizer,
            seconds=self.seconds,
            resample=None,
            # An energy has no zero to reach: no loss ends the training.
            tolerance=float("-inf"),
            since=since,
        )
