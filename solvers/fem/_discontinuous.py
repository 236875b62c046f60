"""DiscontinuousGalerkin: elements without continuity, joined by numerical fluxes."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import equinox as eqx
import numpy as np

from pdes import Domain, Form, Mesh, Problem
from solvers._method import Method, Run
from solvers._solution import Solution, Stats
from solvers.fem._build import check_cells
from solvers.fem._facets import make_broken_integrals
from solvers.fem._jumps import is_quasilinear, jumping_sources, with_gradients
from solvers.fem._locate import FEMRepresentation
from solvers.fem._method import FiniteElement
from solvers.fem._run import evolve, solve_steady
from solvers.fem._setup import borders_of, make_system
from solvers.fem._space import Space, make_space
from solvers.fem._system import FEMSystem


class DiscontinuousGalerkin(Method):
    """Discontinuous elements: find u with ∫ (∂ₜm − s)v − F·∇v + ∮ F̂·n [v] = 0 for all v.

    The numerical flux F̂ comes from the terms as they are written. Those that use no gradients are
    upwind, {F·n} + ½ λ[u] with λ the fastest wave (exact upwinding for one linear equation); those
    that do get a symmetric interior penalty (SIPG), whose constant follows from the trace
    inequality of each cell. So write convection and diffusion as two terms. A source that uses
    gradients, such as −a·∇u, is transport as well: it jumps with the field, and is upwind.
    Conditions are weak: Dirichlet and Slip by Nitsche's method with the data as the outer state,
    the others as for `FiniteElement`. What leaves a cell enters its neighbour.

    Lagrange polynomials of degree 1 and more on intervals, triangles, quadrilaterals, tetrahedra
    and hexahedra, straight or curved, periodic or not. No limiter: shocks oscillate; no weighted
    means: where coefficients jump by orders of magnitude, the error grows with their ratio. Not
    yet: degree 0, definitions and constraints (`FiniteElement` has them), `solution.reaction`,
    other preconditioners than the general ones of `LinearSolver`.

    Arguments:
        degree: of the polynomials. cells, cell_shape, mesh, quadrature_degree, linear: as of
            `FiniteElement`, without "geometric".
        penalty: of jumps, in multiples of the least one for which the form is proved coercive.
        newton_tolerance, newton_iterations, line_search, load_steps: as of `FiniteElement`.
        scheme, dt, rtol, atol, max_steps, frames, resolution: likewise.

    Raises:
        NotApplicable: see `inapplicable`.
        SolverError: "newton_diverged", "singular_matrix", "not_finite", or what the stepper says.

    Source: Arnold (1982); Cockburn and Shu (1998); Di Pietro and Ern (2012).
    """

    degree: int = eqx.field(static=True, default=2)
    cells: int | tuple[int, ...] | None = eqx.field(static=True, default=None)
    cell_shape: str | None = eqx.field(static=True, default=None)
    mesh: Mesh | None = eqx.field(static=True, default=None)
    quadrature_degree: int | None = eqx.field(static=True, default=None)
    penalty: float = eqx.field(static=True, default=2.0)
    linear: Any = eqx.field(static=True, default="auto")
    newton_tolerance: float = eqx.field(static=True, default=1e-10)
    newton_iterations: int = eqx.field(static=True, default=30)
    line_search: bool = eqx.field(static=True, default=True)
    load_steps: int = eqx.field(static=True, default=1)
    scheme: Any = eqx.field(static=True, default="esdirk4")
    dt: float | None = eqx.field(static=True, default=None)
    rtol: float = eqx.field(static=True, default=1e-7)
    atol: float = eqx.field(static=True, default=1e-9)
    max_steps: int = eqx.field(static=True, default=4096)
    frames: Any = eqx.field(static=True, default=None)
    resolution: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if self.degree < 1:
            raise ValueError(
                f"DiscontinuousGalerkin: degree is 1 or more, got {self.degree}; for constants in "
                "cells use pm.FiniteVolume"
            )
        if not self.penalty >= 1.0:
            raise ValueError(
                f"DiscontinuousGalerkin: penalty is 1 or more, got {self.penalty}: below, the form "
                "need not be coercive"
            )
        if getattr(self.linear, "kind", self.linear) == "geometric":
            raise ValueError(
                'DiscontinuousGalerkin: linear="geometric" is for continuous elements of degree 1; '
                'leave it at "auto"'
            )
        _ = self.options

    @property
    def options(self) -> FiniteElement:
        """What continuous elements with the same options would be: they share mesh and solvers."""
        names = {f.name for f in dataclasses.fields(FiniteElement)}
        mine = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return FiniteElement(**{name: value for name, value in mine.items() if name in names})

    @property
    def name(self) -> str:
        return self.options.name.replace("FEM", "DG")

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        if problem.dim > 3:
            return (
                f"meshes exist in 1 to 3 dimensions, the domain has {problem.dim}; "
                "use pm.PINN or random features"
            )
        forms = problem.forms()
        for name, form in forms.items():
            if form.kind != "Balance":
                return (
                    f"{name!r} has a {form.kind.lower()}, and discontinuous elements take balances "
                    "only; use pm.FiniteElement"
                )
        undefined = [_undefined(name, form) for name, form in forms.items()]
        reason = next((reason for reason in undefined if reason is not None), None)
        if reason is not None:
            return reason
        if self.options._degree(problem) < 1:
            return "the domain's own mesh can't be made coarser; give mesh=… or degree=2"
        return None

    def refined(self, factor: float) -> DiscontinuousGalerkin | None:
        if self.mesh is not None:
            return None
        finer = self.options.refined(factor)
        assert finer is not None
        changed = ("resolution", "dt", "rtol", "atol")
        return dataclasses.replace(self, **{name: getattr(finer, name) for name in changed})

    def make_mesh(self, domain: Domain) -> Mesh:
        """The mesh that will be used."""
        return self.options.make_mesh(domain)

    def discretize(self, problem: Problem) -> FEMSystem:
        self.check(problem)
        options = self.options
        order = options._degree(problem)
        components = {n: max(int(np.prod(s, dtype=int)), 1) for n, s in problem.shapes.items()}
        space = _cached_space(self.make_mesh(problem.domain), order, tuple(components.items()))
        degree = self.quadrature_degree or 2 * order + 1
        made = make_broken_integrals(
            problem,
            space,
            degree,
            borders_of(problem, space),
            self.penalty,
            exact=degree >= 2 * order,
        )
        return make_system(options, problem, space, *made)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        system = self.discretize(problem)
        system.pattern.journal.start()
        notes = [system.linear.describe(system.pattern)]
        if problem.steady:
            state, stats = solve_steady(system, problem)
        else:
            state, stats = evolve(self.options, system, problem)
        notes += [*stats.pop("notes", ()), *system.pattern.journal.events]
        return Solution(
            problem,
            FEMRepresentation(system.space, system.points, state, problem.shapes),
            self,
            Stats(unknowns=system.size, notes=tuple(dict.fromkeys(notes)), **stats),
        )


def _undefined(name: str, form: Form) -> str | None:
    """Why a source has no meaning where the field jumps: a product of gradients, undiffused."""
    if with_gradients(form):
        return None
    for label, term in zip(form.source_names, form.equation.source, strict=True):
        if label in jumping_sources(form) and not is_quasilinear(form, term):
            return (
                f"the source {label!r} of {name!r} is nonlinear in gradients, which have no "
                "meaning where the field jumps and nothing diffuses it: write it as a flux, or use "
                "pm.FiniteElement"
            )
    return None


@functools.lru_cache(maxsize=8)
def _cached_space(mesh: Mesh, degree: int, components: tuple[tuple[str, int], ...]) -> Space:
    check_cells(mesh)
    names = [name for name, _ in components]
    return make_space(mesh, dict.fromkeys(names, degree), dict(components), broken=True)
