"""FiniteElement: continuous Galerkin on meshes, steady and in time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Domain, Mesh, MeshDomain, Problem
from solvers._method import Method, Run
from solvers._newton import NewtonOptions, check_newton, residual_history
from solvers._result import NotApplicable, SolverError
from solvers._same import Hidden
from solvers._solution import Solution, Stats
from solvers.fem._build import (
    check_cells,
    make_integrals,
    padded_points,
    uncondensed,
)
from solvers.fem._constraints import essential_values
from solvers.fem._coupling import Coupling
from solvers.fem._lattice import lattice_system, solve_on_lattice, unsuitable
from solvers.fem._layout import layout_of
from solvers.fem._locate import FEMRepresentation
from solvers.fem._means import initial_data, mean_values
from solvers.fem._peclet import locking_notes, peclet_notes
from solvers.fem._space import Space, make_space
from solvers.fem._system import FEMSystem
from solvers.linear import LinearSolver, places_of
from solvers.time import (
    bdf2,
    esdirk3,
    esdirk4,
    esdirk5,
    generalized_alpha,
    implicit_euler,
    integrate,
    sdirk2,
    trapezoidal,
)
from solvers.time._compiled import is_traced, timed_call

STEPPERS = {
    "implicit_euler": implicit_euler,
    "trapezoidal": trapezoidal,
    "bdf2": bdf2,
    "generalized_alpha": generalized_alpha,
    "sdirk2": sdirk2,
    "esdirk3": esdirk3,
    "esdirk4": esdirk4,
    "esdirk5": esdirk5,
}
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
        if _linear(self).kind == "geometric":
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
        if _linear(self).kind == "geometric":
            raise NotApplicable('linear="geometric" assembles nothing: use `solve`')
        mesh = self.make_mesh(problem.domain)
        forms = problem.forms()
        order = self._degree(problem)
        degrees = {n: order - 1 if _is_multiplier(f) else order for n, f in forms.items()}
        components = {n: max(int(np.prod(s, dtype=int)), 1) for n, s in problem.shapes.items()}
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
        if _linear(self).kind == "geometric":
            return self._solve_on_lattice(problem)
        system = self.discretize(problem)
        system.pattern.journal.start()
        notes = [system.linear.describe(system.pattern)]
        if problem.steady:
            state, stats = solve_steady(system, problem)
        else:
            state, stats = self.evolve(system, problem)
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

    def _solve_on_lattice(self, problem: Problem) -> Solution:
        self.check(problem)
        mesh = self.make_mesh(problem.domain)
        space = _cached_space(mesh, _each(problem, 1), _each(problem, 1))
        system = lattice_system(problem, space, _linear(self), self.quadrature_degree or 3)
        state, stats = solve_on_lattice(system, problem.name)
        representation = FEMRepresentation(space, system.points, state, problem.shapes)
        return Solution(problem, representation, self, Stats(unknowns=system.size, **stats))

    def evolve(self, system: FEMSystem, problem: Problem) -> tuple[Any, dict]:
        """The series of states, and statistics."""
        assert problem.time is not None
        stepper = STEPPERS[self.scheme]() if isinstance(self.scheme, str) else self.scheme
        traced = is_traced(system)
        start = system.initial_state() if traced else _initial_state(system)
        try:
            evolution = integrate(
                system,
                problem.time,
                stepper=stepper,
                dt=self.dt,
                rtol=self.rtol,
                atol=self.atol,
                max_steps=self.max_steps,
                frames=self.frames,
                start=start,
            )
        except SolverError as error:
            failure = system.pattern.journal.failure
            if failure is None:
                raise
            text = f"{problem.name}: in time, {failure.text}"
            raise SolverError(failure.reason, text, failure.history) from error
        return evolution.series, {
            "compile_seconds": evolution.compile_seconds,
            "run_seconds": evolution.run_seconds,
            "iterations": 0 if traced else evolution.steps,
            "peak_memory": evolution.memory,
            "notes": evolution.notes,
            "extra": {} if traced else {"rejected_steps": evolution.rejected},
        }


def _linear(method: FiniteElement) -> LinearSolver:
    return LinearSolver(method.linear) if isinstance(method.linear, str) else method.linear


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


def borders_of(problem: Problem, space: Space) -> tuple[str, ...]:
    """A multiplier for each component whose mean is prescribed."""
    return tuple(f"{n}|{c}" for n in problem.zero_mean for c in range(space.components[n]))


def make_system(
    method: FiniteElement, problem: Problem, space: Space, coupling: Coupling, integrals, storage
) -> FEMSystem:
    """The system of these integrals."""
    dtype = jnp.result_type(float)
    forms = problem.forms()
    borders = borders_of(problem, space)
    pattern = coupling.pattern
    groups, fixed = essential_values(problem, space)
    fixed = np.concatenate([fixed, np.zeros(len(borders), bool)])
    evolving = problem.evolving
    algebraic = np.ones(len(fixed), bool)
    for name in evolving:
        algebraic[space.slice(name)] = False
    given = ~algebraic
    exists = np.concatenate([space.real, space.length + np.arange(len(borders))])
    algebraic |= fixed
    definite = not borders and all(form.kind == "Balance" for form in forms.values())
    linear = _linear(method)
    pattern.layout = layout_of(
        space, frozenset(n for n, form in forms.items() if form.kind == "Constraint")
    )
    linear = linear.chosen(pattern, problem.dim, definite)
    options = NewtonOptions(
        method.newton_tolerance,
        method.newton_iterations if problem.steady else min(method.newton_iterations, 15),
        method.line_search and problem.steady,
        affine=all(integral.affine for integral in integrals),
        predictor=problem.steady and bool(groups),
        reuse=not problem.steady,
        load_steps=method.load_steps if problem.steady else 1,
    )
    places = places_of(pattern, linear.tables(pattern))
    return FEMSystem(
        points=jnp.asarray(padded_points(space.mesh), dtype),
        integrals=tuple(integrals),
        storages=storage,
        essential=tuple(groups),
        means=mean_values(problem, space, coupling, borders),
        initial=initial_data(problem, space),
        fixed=jnp.asarray(fixed),
        kept=jnp.asarray(uncondensed(pattern, fixed, places.count)),
        diagonal=jnp.asarray(coupling.diagonal),
        algebraic_rows=jnp.asarray(algebraic),
        given=jnp.asarray(given),
        start_time=jnp.asarray(np.asarray(problem.time[0] if problem.time else 0.0, dtype)),
        places=places,
        hidden_space=Hidden(space),
        slices=tuple((n, space.slice(n).start, space.slice(n).stop) for n in space.scalars),
        inertial=tuple(n for n in evolving if forms[n].has_inertia),
        linear=linear,
        options=options,
        horizon=1.0 if problem.time is None else problem.time[1] - problem.time[0],
        constrained=any(form.kind == "Constraint" for form in forms.values()),
        incomplete=not bool(given[exists].all()),
    )


def _run_steady(system: FEMSystem) -> Any:
    guess = jnp.zeros(system.length, system.points.dtype)
    return system.solve_steady(guess, system.start_time)


_initial_state = eqx.filter_jit(FEMSystem.initial_state)


def solve_steady(system: FEMSystem, problem: Problem) -> tuple[Array, dict]:
    """The state, and statistics."""
    if is_traced(system):
        result = _run_steady(system)
        z = eqx.error_if(
            result.z,
            ~result.converged,
            "[newton_diverged] a steady finite element solve under jit or grad did not converge; "
            "solve once without them to see the history",
        )
        return z, {}
    result, compiling, running, memory = timed_call(_run_steady, system)
    check_newton(result, problem.name, system.pattern.journal.failure)
    return result.z, {
        "compile_seconds": compiling,
        "run_seconds": running,
        "iterations": int(result.iterations),
        "peak_memory": memory,
        "extra": {
            "residuals": residual_history(result),
            "load_increments": int(result.increments),
        },
    }
