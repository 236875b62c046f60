"""FiniteElement: continuous Galerkin on meshes, steady and in time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pdes import Domain, Mesh, MeshDomain, Problem
from solvers._method import Method, Run
from solvers._result import NotApplicable
from solvers._solution import Solution, Stats
from solvers.fem._build import (
    check_cells,
    make_integrals,
)
from solvers.fem._lattice import lattice_system, solve_on_lattice, unsuitable
from solvers.fem._locate import FEMRepresentation
from solvers.fem._memory import expected_cells, refuse_tables
from solvers.fem._peclet import locking_notes, peclet_notes
from solvers.fem._run import STEPPERS, evolve, solve_steady
from solvers.fem._setup import borders_of, linear_of, make_system
from solvers.fem._space import Space, make_space
from solvers.fem._system import FEMSystem
from solvers.linear import LinearSolver
from solvers.time import TimeSeries
from solvers.time._compiled import is_traced

_DEFAULT_CELLS = {1: 2048, 2: 32, 3: 10}


class FiniteElement(Method):
    """Continuous finite elements: find u with ∫ c₀·v + c₁:∇v + ∮ c·v = 0 for all v.

    Lagrange elements on intervals, triangles, quadrilaterals, tetrahedra and hexahedra. The
    multiplier of a constraint is one degree lower (Taylor–Hood). Prescribed values are condensed
    so that symmetric problems have symmetric matrices.

    Arguments:
        degree: of the elements. cells: of a mesh made from the domain, one number (for the
            longest side) or one a direction. cell_shape: "triangle", "quadrilateral", …
        mesh: a `Mesh` of the domain, instead of `cells` and `cell_shape`.
        quadrature_degree: polynomials integrated exactly, by default 2 degree + 1.
        stabilization: "supg" for transport that the mesh does not resolve: steady scalar balances
            by elements of degree 1. Layers along the lines of the mesh don't oscillate; where they
            are skew to it, and in corners of triangles, an overshoot stays.
        linear: "auto", a kind or a preconditioner of `LinearSolver` by name, or a `LinearSolver`.
            "geometric": matrix-free multigrid for −∇·(k∇u) = f on uniform meshes of boxes with
            degree=1 and quadrilaterals or hexahedra, k taken in the middle of each cell.
        newton_tolerance: estimated relative error left. newton_iterations: at most. line_search:
            of steady problems (in time a shorter step is the better remedy).
        load_steps: of steady nonlinear problems: prescribed values, sources and boundary data are
            raised from nothing in so many steps, halved where Newton's method fails.
        scheme: in time, "implicit_euler", "trapezoidal", "bdf2", "generalized_alpha", "sdirk2",
            "esdirk3", "esdirk4", "esdirk5" or any stepper of `solvers.time`.
        dt: fixed steps; without it steps adapt to errors of rtol |z| + atol each.
        max_steps, frames: see `solvers.time.integrate`.
        resolution: multiplies `cells`, or refines the mesh that the domain brings.

    Raises:
        NotApplicable: see `inapplicable`.
        SolverError: "newton_diverged", "singular_matrix", "not_finite", or what the stepper says.

    Source: Ern and Guermond (2021), Finite Elements I–III.
    """

    degree: int = eqx.field(static=True, default=2)
    cells: int | tuple[int, ...] | None = eqx.field(static=True, default=None)
    cell_shape: str | None = eqx.field(static=True, default=None)
    mesh: Mesh | None = eqx.field(static=True, default=None)
    quadrature_degree: int | None = eqx.field(static=True, default=None)
    stabilization: str | None = eqx.field(static=True, default=None)
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
            raise ValueError(f"FiniteElement: degree is 1 or more, got {self.degree}")
        if self.load_steps < 1:
            raise ValueError(f"FiniteElement: load_steps is 1 or more, got {self.load_steps}")
        if self.stabilization not in (None, "supg"):
            raise ValueError(f'stabilization={self.stabilization!r} is unknown: use None or "supg"')
        if isinstance(self.scheme, str) and self.scheme not in STEPPERS:
            raise ValueError(f"no scheme {self.scheme!r}: use one of {list(STEPPERS)}")
        if isinstance(self.linear, str):
            LinearSolver(self.linear)

    @property
    def name(self) -> str:
        letter = "Q" if self._shape() in ("quadrilateral", "hexahedron") else "P"
        return f"FEM {letter}{self.degree}"

    def _shape(self) -> str | None:
        return self.cell_shape if self.mesh is None else self.mesh.shape

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        if problem.dim > 3:
            return (
                f"meshes exist in 1 to 3 dimensions, the domain has {problem.dim}; "
                "use pm.PINN or random features"
            )
        order = self._degree(problem)
        if self.stabilization is not None:
            reason = _unstabilized(problem, order)
            if reason is not None:
                return reason
        if order < 1:
            return "the domain's own mesh can't be made coarser; give mesh=… or degree=2"
        if order < 2 and any(_is_multiplier(f) for f in problem.forms().values()):
            return "a constraint needs degree 2 or more (Taylor–Hood): its multiplier is one lower"
        if linear_of(self).kind == "geometric":
            return unsuitable(problem, order, self._shape(), self.mesh)
        return None

    def refined(self, factor: float) -> FiniteElement | None:
        if self.mesh is not None:
            return None
        return dataclasses.replace(
            self,
            resolution=self.resolution * factor,
            dt=None if self.dt is None else self.dt / factor,
            rtol=self.rtol / factor**4,
            atol=self.atol / factor**4,
        )

    def make_mesh(self, domain: Domain) -> Mesh:
        """The mesh that will be used."""
        if self.mesh is not None:
            return self.mesh
        if isinstance(domain, MeshDomain):
            return _cached_refinement(domain, self._levels(domain))
        curved = domain.is_curved and self.degree > 1 and self.cell_shape != "hexahedron"
        return _cached_mesh(domain, self._count(domain.dim), self.cell_shape, curved)

    def _levels(self, domain: MeshDomain) -> int:
        """How often the mesh of a domain that brings its own is refined."""
        shape = domain.mesh().shape
        if self.cell_shape not in (None, shape):
            raise ValueError(
                f"cell_shape={self.cell_shape!r}, but the domain brings a mesh of {shape} cells; "
                "leave it out"
            )
        if self.cells is not None:
            raise ValueError(
                f"cells={self.cells!r}, but the domain brings its own mesh; leave it out, or pass "
                "mesh=domain.mesh().refine()"
            )
        return max(0, int(np.ceil(np.log2(self.resolution) - 1e-9)))

    def _count(self, dim: int) -> Any:
        cells = _DEFAULT_CELLS[dim] if self.cells is None else self.cells
        scaled = tuple(max(1, round(n * self.resolution)) for n in np.atleast_1d(cells))
        return scaled[0] if len(scaled) == 1 else scaled

    def _degree(self, problem: Problem) -> int:
        """A mesh that the domain brings can't be made coarser: the degree is lowered instead."""
        lower = isinstance(problem.domain, MeshDomain) and self.resolution < 1.0
        return self.degree - 1 if lower else self.degree

    def discretize(self, problem: Problem) -> FEMSystem:
        self.check(problem)
        if linear_of(self).kind == "geometric":
            raise NotApplicable('linear="geometric" assembles nothing: use `solve`')
        forms = problem.forms()
        order = self._degree(problem)
        degrees = {n: order - 1 if _is_multiplier(f) else order for n, f in forms.items()}
        components = {n: max(int(np.prod(s, dtype=int)), 1) for n, s in problem.shapes.items()}
        domain = problem.domain
        if self.mesh is None and not isinstance(domain, MeshDomain):
            count = expected_cells(domain, self._count(domain.dim), self.cell_shape)
            refuse_tables(count, domain.dim, self.cell_shape, degrees, components)
        mesh = self.make_mesh(domain)
        refuse_tables(len(mesh.cells), mesh.dim, mesh.shape, degrees, components)
        space = _cached_space(mesh, tuple(degrees.items()), tuple(components.items()))
        degree = self.quadrature_degree or 2 * order + 1
        made = make_integrals(
            problem,
            space,
            degree,
            borders_of(problem, space),
            exact=degree >= 2 * order,
            stabilization=self.stabilization,
        )
        return make_system(self, problem, space, *made)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        if linear_of(self).kind == "geometric":
            return self._solve_on_lattice(problem)
        system = self.discretize(problem)
        system.pattern.journal.start()
        notes = [system.linear.describe(system.pattern)]
        if problem.steady:
            state, stats = solve_steady(system, problem)
        else:
            state, stats = evolve(self, system, problem)
        notes += [*stats.pop("notes", ()), *system.pattern.journal.events]
        representation = FEMRepresentation(system.space, system.points, state, problem.shapes)
        if problem.steady and not is_traced(system):
            notes += [] if self.stabilization else peclet_notes(system, representation)
            notes += locking_notes(system, representation)
        return Solution(
            problem,
            representation,
            self,
            Stats(unknowns=system.size, notes=tuple(dict.fromkeys(notes)), **stats),
        )

    def state(
        self, problem: Problem, system: FEMSystem, fields: Mapping[str, Callable]
    ) -> jax.Array:
        out = jnp.zeros(system.algebraic_rows.shape, system.points.dtype)
        rates = sum(system.slice(n).stop - system.slice(n).start for n in system.inertial)
        out = jnp.concatenate([out, jnp.zeros(rates, out.dtype)])
        for name, function in fields.items():
            x = jnp.asarray(system.space.padded_coordinates(name), out.dtype)
            out = out.at[system.slice(name)].set(jax.vmap(function)(x).reshape(-1))
        return out

    def functions(
        self, problem: Problem, system: FEMSystem, series: TimeSeries
    ) -> FEMRepresentation:
        state = series.states[0] if len(series.times) == 1 else series
        return FEMRepresentation(system.space, system.points, state, problem.shapes)

    def _solve_on_lattice(self, problem: Problem) -> Solution:
        self.check(problem)
        mesh = self.make_mesh(problem.domain)
        space = _cached_space(mesh, _each(problem, 1), _each(problem, 1))
        system = lattice_system(problem, space, linear_of(self), self.quadrature_degree or 3)
        state, stats = solve_on_lattice(system, problem.name)
        representation = FEMRepresentation(space, system.points, state, problem.shapes)
        return Solution(problem, representation, self, Stats(unknowns=system.size, **stats))


def _each(problem: Problem, value: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, value) for name in problem.shapes)


def _unstabilized(problem: Problem, degree: int) -> str | None:
    """Why SUPG is not for this problem."""
    if degree != 1:
        return f'stabilization="supg" is for elements of degree 1, not {degree}'
    if not problem.steady:
        return 'stabilization="supg" is for steady problems; in time, refine or use finite volumes'
    if any(f.kind != "Balance" or f.shape != () for f in problem.forms().values()):
        return 'stabilization="supg" is for scalar balances alone'
    return None


def _is_multiplier(form: Any) -> bool:
    """Whether a field is a constraint's multiplier without derivatives of its own."""
    if form.kind != "Constraint":
        return False
    return not any(form.name in form.dependence(term).gradients for term in form.equation.flux)


@functools.lru_cache(maxsize=8)
def _cached_mesh(domain: Domain, cells: Any, shape: str | None, curved: bool) -> Mesh:
    if curved:
        return domain.mesh(cells=cells, shape=shape, curved=True)
    return domain.mesh(cells=cells, shape=shape)


@functools.lru_cache(maxsize=8)
def _cached_refinement(domain: MeshDomain, levels: int) -> Mesh:
    mesh = domain.mesh()
    for _ in range(levels):
        mesh = mesh.refine()
    return mesh


@functools.lru_cache(maxsize=8)
def _cached_space(mesh: Mesh, degrees: tuple, components: tuple) -> Space:
    check_cells(mesh)
    return make_space(mesh, dict(degrees), dict(components))
