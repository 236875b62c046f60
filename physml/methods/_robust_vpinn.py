"""Robust VPINN: the residual in the dual norm of a finite-element space of tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from pdes import Mesh, Problem
from physml.losses import (
    MeshVariational,
    NodalTests,
    coarse_tests,
    mesh_of,
    nodal_batch,
    nodal_tests,
    stacked,
    whitening,
)
from physml.methods._mesh_vpinn import (
    chunk_of,
    conditions_notes,
    mesh_conditions,
    unsupported_on_meshes,
)
from physml.methods._neural import Setup, check_precision, sampler_seed, train_setup
from physml.methods._pinn import represent
from solvers import Method, Run, Solution


class RobustVPINN(Method):
    """Minimises rᵀG⁻¹r = sup_v R(v)²/‖v‖², the residual's dual norm on a space of tests.

    rᵢ = R(vᵢ) for the nodal functions vᵢ of finite elements that vanish where values are
    prescribed, and G = (∇vᵢ, ∇vⱼ) + mass (vᵢ, vⱼ) their Gram matrix. Where the equation is
    symmetric with this inner product, as Poisson's with mass 0, the loss is the square of the
    energy norm of the error, projected on the tests: unlike other losses it says how wrong the
    network is. `stats.extra["dual_norm"]` gives √loss by field.

    Arguments:
        degree: of the nodal functions. mass: 0 by default, 1 where no value is prescribed.
        tests: where a field has more nodal functions, they are joined to about as many smooth
            ones, whose dual norm is taken: corners and fine cells then do not govern the loss.
        The others as for `MeshVPINN`.

    Raises:
        NotApplicable: problems in time.

    Source: Rojas, Maczuga, Muñoz-Matute, Pardo and Paszyński (2024).
    """

    network: Any = None
    optimizer: Any = None
    mesh: Mesh | None = eqx.field(static=True, default=None)
    cells: int | None = eqx.field(static=True, default=None)
    cell_shape: str | None = eqx.field(static=True, default=None)
    degree: int = eqx.field(static=True, default=3)
    tests: int = eqx.field(static=True, default=3000)
    mass: float | None = eqx.field(static=True, default=None)
    quadrature: int | None = eqx.field(static=True, default=None)
    boundary_points: int = eqx.field(static=True, default=200)
    constraints: str = eqx.field(static=True, default="auto")
    resample: int = eqx.field(static=True, default=5)
    weights: Mapping[str, float] | None = None
    distances: bool = eqx.field(static=True, default=False)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")

    def __check_init__(self):
        for name in ("degree", "tests", "resample", "cells"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if self.mass is not None and not self.mass >= 0:
            raise ValueError(f"mass, a weight in a norm, is not negative, got {self.mass!r}")

    @property
    def name(self) -> str:
        return "Robust VPINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return unsupported_on_meshes(problem)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(self, problem: Problem, seed: int) -> Setup:
        """The objective, its parameters and its tests."""
        self.check(problem)
        dtype = check_precision(self.dtype)
        cells = self.cells or {1: 16, 2: 8, 3: 3}[problem.dim]
        mesh = mesh_of(problem, self.mesh, cells, self.cell_shape)
        conditions, own, params = mesh_conditions(self, problem, seed, dtype)
        quadrature = self.quadrature or 2 * self.degree + 2
        tests = nodal_tests(mesh, self.degree, quadrature)
        batch, rows = nodal_batch(conditions, mesh, tests, quadrature)
        objective = MeshVariational(
            conditions,
            weights=own,
            sizes={name: int(r.max()) + 1 for name, r in rows.items()},
            whitening={name: self._whitening(tests, r) for name, r in rows.items()},
            chunk=chunk_of(batch, params, mesh.dim),
        )
        around = {"boundary": self.boundary_points, "initial": self.boundary_points}

        def sample(key: Any, params: Any, step: int) -> Any:
            return stacked(conditions.sample(around, sampler_seed(key))) | batch

        def norms(params: Any) -> dict[str, Any]:
            found = dual_norms(objective, params, batch)
            return {"dual_norm": {name: float(value) for name, value in found.items()}}

        return Setup(
            objective,
            params,
            sample,
            lambda p: represent(conditions, p),
            notes=(
                f"dual norm on {_rows(objective)} tests of {tests.size} nodal functions of degree "
                f"{self.degree}",
                *conditions_notes(conditions, problem, self.constraints),
            ),
            report=norms,
        )

    def _whitening(self, tests: NodalTests, rows: np.ndarray) -> Any:
        """L⁻¹Tᵀ with L Lᵀ = TᵀGT on the rows that are kept, the tests T being few and smooth."""
        mass = self.mass if self.mass is not None else float((rows >= 0).all())
        gram = tests.gram(mass)
        found = []
        for component in rows.T:
            kept = np.flatnonzero(component >= 0)
            own = gram[kept][:, kept]
            few = len(kept) <= self.tests
            places = tests.space.coordinates[kept]
            combined = np.eye(len(kept)) if few else coarse_tests(own, places, self.tests)
            part = whitening(own, combined)
            whole = np.zeros((len(part), int(rows.max()) + 1))
            whole[:, component[kept]] = part
            found.append(whole)
        return jnp.asarray(np.concatenate(found))

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        since = time.perf_counter()
        setup = self.setup(problem, run.seed)
        assert isinstance(setup.objective, MeshVariational)
        return train_setup(
            self,
            problem,
            setup,
            run,
            optimizer=self.optimizer,
            seconds=self.seconds,
            # Without soft conditions there is nothing to draw again.
            resample=self.resample if setup.objective.conditions.soft_parts() else None,
            tolerance=self.tolerance,
            since=since,
        )


def _rows(objective: MeshVariational) -> int:
    return sum(len(matrix) for matrix in objective.whitening.values())


@eqx.filter_jit
def dual_norms(objective: MeshVariational, params: Any, batch: Any) -> dict[str, Any]:
    """√(rᵀG⁻¹r) of each equation."""
    blocks = objective.equation_blocks(batch)
    return {
        name.removeprefix("equation "): jnp.linalg.norm(block.residual(params))
        for name, block in blocks.items()
    }
