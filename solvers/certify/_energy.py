"""Elliptic problems: the residual's dual norm by its Riesz representer in a finite element space.

For a symmetric positive definite form a and its weak residual r, the error e = u − ũ has
a(e, v) = r(v) for all v that vanish where values are prescribed, so that

    ‖e‖²_a = ‖r‖²_* + ‖e_Γ‖²_a,   ‖r‖_* = sup r(v)/‖v‖_a = ‖e₀‖_a,   a(e₀, v) = r(v),

with e_Γ the extension of least energy of the mismatch g − ũ at prescribed boundary values.
Sources: Babuška & Rheinboldt (1978); Ainsworth & Oden (2000), section 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from pdes import Box, Mesh, MeshDomain, Problem
from solvers._result import NotApplicable
from solvers._solution import Solution
from solvers.certify._assemble import Assembly, assembly
from solvers.certify._certificate import Certificate, Fields
from solvers.certify._defect import defect_problem

DEGREE = 2
QUADRATURE = 9
_CELLS = {1: 64, 2: 12, 3: 5}
_SHAPES = {1: "interval", 2: "quadrilateral", 3: "hexahedron"}


@dataclasses.dataclass(frozen=True)
class Form:
    """A symmetric positive definite form on the free degrees of freedom of an assembly.

    Attributes:
        assembly: of the error's problem. matrix: of all degrees of freedom. free: their places
        where nothing is prescribed. solve: with the block of these.
    """

    assembly: Assembly
    matrix: sp.csr_matrix
    free: np.ndarray
    solve: Callable[[np.ndarray], np.ndarray]

    def energy(self, e: np.ndarray) -> float:
        """a(e, e)."""
        return float(max(e @ (self.matrix @ e), 0.0))

    def representer(self, right: np.ndarray) -> np.ndarray:
        """e₀ with a(e₀, v) = right(v) for all v that vanish where values are prescribed."""
        e = np.zeros(len(right))
        e[self.free] = self.solve(right[self.free])
        return e

    def extension(self, prescribed: np.ndarray) -> np.ndarray:
        """Of least energy among those with the prescribed values."""
        if not prescribed.any():
            return prescribed
        return prescribed - self.representer(self.matrix @ prescribed)


def nonlinear(problem: Problem) -> str | None:
    """Which equation is not linear."""
    for name, form in problem.forms().items():
        if not form.is_affine:
            return f"the equation of {name!r} is not linear"
    return None


def unsuited(problem: Problem) -> str | None:
    """Why the error's weak form can't be made; None if it can."""
    if problem.dim > 3:
        return f"meshes exist in 1 to 3 dimensions, the domain has {problem.dim}"
    for name, form in problem.forms().items():
        if form.kind != "Balance" or form.has_inertia:
            return f"the equation of {name!r} is no balance of first order in time"
    if problem.time is not None and set(problem.evolving) != set(problem.shapes):
        return "some equations have no storage"
    for part, conditions in problem.conditions.items():
        for condition in conditions.values():
            if condition.normal_only or condition.free:
                return f"{' and '.join(condition.kinds)} on {part!r} has no variational form"
    return None


def energy_form(problem: Problem, mesh: Mesh) -> Form:
    """The energy's form of a problem that `defect_problem` made, on a mesh.

    Raises:
        NotApplicable: it is not symmetric, or not positive definite.
    """
    found = assembly(problem, mesh, DEGREE, QUADRATURE)
    matrix = found.stiffness(0.0 if problem.time is None else problem.time[0])
    largest = float(np.abs(matrix.data).max(initial=0.0))
    if not np.isfinite(largest):
        raise ValueError("the residual is not finite somewhere: the solution or a term is NaN")
    if abs(matrix - matrix.T).max() > 1e-9 * largest:
        raise NotApplicable("its weak form is not symmetric (transport)")
    free = ~found.fixed
    for name in problem.zero_mean:
        # The energy does not see the constant that a mean value fixes.
        first, count = found.space.offsets[name], found.space.components[name]
        free[first : first + count] = False
    free = np.flatnonzero(free)
    block = matrix[free][:, free].tocsc()
    lu = sla.splu(
        block, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    # Without exchanges of rows the pivots have the signs of the eigenvalues (Sylvester).
    if not (lu.U.diagonal() > 0).all():
        raise NotApplicable("its weak form is not positive definite")
    return Form(found, matrix, free, lu.solve)


def meshes(problem: Problem, levels: int, finer: int = 1) -> Iterator[Mesh]:
    """Meshes of the domain, each twice as fine as the last."""
    domain, dim = problem.domain, problem.dim
    options: dict[str, Any] = {"shape": _SHAPES[dim]} if isinstance(domain, Box) else {}
    if domain.is_curved:
        options = {"curved": True}
    for level in range(levels):
        if isinstance(domain, MeshDomain):
            mesh = domain.mesh()
            for _ in range(level):
                mesh = mesh.refine()
            yield mesh
        else:
            yield domain.mesh(cells=_CELLS[dim] * finer * 2**level, **options)


def certify_energy(solution: Solution, tolerance: float, levels: int) -> Certificate:
    """Of kind "energy"; `seconds` is filled in by the caller."""
    problem = solution.problem
    defect = defect_problem(problem, solution.representation)
    last, change, form, parts = math.nan, math.nan, None, {}
    for mesh in meshes(problem, levels):
        form = energy_form(defect, mesh)
        interior = form.representer(-form.assembly.residual())
        boundary = form.extension(form.assembly.prescribed()[0])
        squares = form.energy(interior), form.energy(boundary)
        parts = {"equation": math.sqrt(squares[0]), "boundary values": math.sqrt(squares[1])}
        estimate = math.sqrt(sum(squares))
        change = abs(estimate - last) / estimate if estimate > 0 else 0.0
        last = estimate
        if change <= tolerance:
            break
    assert form is not None
    size = energy_size(form, solution.representation.values)
    explanation = (
        "the residual's dual norm: its Riesz representer in finite elements of degree "
        f"{DEGREE}, {form.assembly.space.size} unknowns; the mismatch of prescribed values by its "
        "extension of least energy"
    )
    if not change <= tolerance:
        explanation += (
            f"; refined {levels - 1} times it still changed by {change:.0%}: take it as a lower "
            "estimate"
        )
    return Certificate(
        last, last / size if size > 0 else math.inf,
        "in the energy norm ‖e‖² = a(e, e), for Poisson’s equation ∫ k|∇e|²",
        1.0, "energy", explanation, parts, change, 0.0, problem,
        lambda exact: math.sqrt(_energy_distance(form, solution, exact)),
    )  # fmt: skip


def energy_size(form: Form, fields: Fields, t: float = 0.0) -> float:
    """‖u‖_a of functions, interpolated."""
    return math.sqrt(form.energy(form.assembly.interpolate(fields, t)[0]))


def _energy_distance(form: Form, solution: Solution, exact: Fields) -> float:
    return form.energy(difference_at_nodes(form, solution, exact, 0.0)[0])


def difference_at_nodes(
    form: Form, solution: Solution, exact: Fields, t: float
) -> tuple[np.ndarray, np.ndarray]:
    """u − ũ at the nodes, and its rate."""
    there = form.assembly.interpolate(exact, t)
    here = form.assembly.interpolate(solution.representation.values, t)
    return there[0] - here[0], there[1] - here[1]
