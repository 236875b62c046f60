"""A-posteriori estimates of the error of a finite element solution, cell by cell.

The residual estimator weighs what is left of each equation, as the problem states it,

    η_K² = h_K² ‖R‖²_K + ½ Σ h_F ‖[F·n]‖²_F + Σ_{∂K ∩ Γ_N} h_F ‖F·n − g‖²_F,

with the strong residual R of balances and definitions, and ‖R‖²_K for a constraint without
gradients such as ∇·u = 0 (Babuška & Rheinboldt 1978; Verfürth, A Posteriori Error Estimation
Techniques for Finite Element Methods, 2013, sections 1.4 and 4.10).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Form, Mesh, Problem, point_of, strong_residual
from solvers._result import NotApplicable
from solvers._solution import Solution
from solvers.fem._element import cell_quadrature
from solvers.fem._local import Cells, CellTable, Facets, Layout, boundary, interior, layout_of
from solvers.fem._locate import FEMRepresentation, solve_small
from solvers.fem._recovery import recovered_difference

# One program serves every mesh: cells and facets come in pieces of this size.
_CHUNK = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """Indicators η_K of the error in each cell.

    Attributes:
        indicators: (cells,). by_field: η_K² of each field's equation, (cells,). kind: "residual"
        or "zz". mesh: whose cells these are.
    """

    indicators: np.ndarray
    by_field: dict[str, np.ndarray]
    kind: str
    mesh: Mesh

    @property
    def total(self) -> float:
        """√Σ η_K²."""
        return float(np.linalg.norm(self.indicators))

    def mark(self, fraction: float = 0.5) -> np.ndarray:
        """The fewest cells that hold this fraction of Σ η_K² (Dörfler 1996), their numbers."""
        if not 0 < fraction <= 1:
            raise ValueError(f"marking takes a fraction in (0, 1], got {fraction}")
        squares = self.indicators**2
        order = np.argsort(-squares, kind="stable")
        held = np.cumsum(squares[order])
        count = int(np.searchsorted(held, fraction * held[-1] * (1 - 1e-12))) + 1
        return np.sort(order[:count]) if held[-1] > 0 else order[:0]

    def plot(self) -> Any:
        """A matplotlib Figure of a plane mesh, its cells coloured by η_K."""
        from solvers.output._mesh_plot import cells_picture
        from solvers.output._plot import new_figure

        figure = new_figure(6.0, 4.8)
        cells_picture(figure.subplots(), self.mesh, self.indicators, "η", log=True)
        figure.suptitle(f"{len(self.mesh.cells)} cells, estimate {self.total:.3g}")
        return figure


def estimate(
    solution: Solution, kind: str = "residual", t: float | None = None, degree: int | None = None
) -> Estimate:
    """Estimates where and how large the error of a finite element solution is.

    Arguments:
        kind: "residual", or "zz" for the distance ‖G − ∇u‖ to a recovered gradient (Zienkiewicz &
            Zhu 1987), which for degree 1 tends to the error in H¹ itself where the solution is
            smooth; for degree 2 it is about half of it.
        t: the time, by default the end. degree: of the quadrature, by default twice the elements'.

    Raises:
        NotApplicable: the solution is not one of finite elements; "zz" without a field whose
            gradient enters a flux. ValueError: another kind.
    """
    representation = solution.representation
    if not isinstance(representation, FEMRepresentation):
        raise NotApplicable(
            "estimates are of finite element solutions, this one is by "
            f"{getattr(solution.method, 'name', type(solution.method).__name__)}: "
            "use pm.FiniteElement"
        )
    if representation.space.broken:
        raise NotApplicable(
            "estimates are of continuous finite elements, whose fields don't jump: "
            "use pm.FiniteElement"
        )
    problem = solution.problem
    if t is None:
        t = 0.0 if problem.time is None else problem.time[1]
    highest = max(s.element.degree for s in representation.space.scalars.values())
    degree = 2 * highest if degree is None else degree
    mesh = representation.space.mesh
    table = CellTable(representation, float(t))
    if kind == "residual":
        squares = _residuals(problem, representation, table, degree)
    elif kind == "zz":
        squares = recovered_difference(problem, representation.space, table)
    else:
        raise ValueError(f'an estimate is of kind "residual" or "zz", got {kind!r}')
    total = np.sum(list(squares.values()), axis=0)
    if not np.isfinite(total).all():
        worst = int(np.argmax(~np.isfinite(total)))
        raise ValueError(
            f"the estimate is not finite in cell {worst} near "
            f"{mesh.points[mesh.cells[worst]].mean(axis=0).round(6).tolist()}: a term or its "
            "derivative is not finite there"
        )
    return Estimate(np.sqrt(total), squares, kind, mesh)


def _residuals(
    problem: Problem, representation: FEMRepresentation, table: CellTable, degree: int
) -> dict[str, np.ndarray]:
    """η_K² of every equation."""
    mesh, layout = table.mesh, layout_of(representation)
    count = len(mesh.cells)
    xi, weights = cell_quadrature(mesh.shape, degree)
    squares = _in_chunks(
        count, lambda rows: _cells(problem, layout, table.take(rows), _real(xi), _real(weights))
    )
    inner = interior(mesh, degree)
    sides = [(inner, "", 0.5)]
    sides += [
        (boundary(mesh, degree, part), part, 1.0)
        for part, conditions in problem.conditions.items()
        if part in mesh.boundary_names and any(_leaves_defect(c) for c in conditions.values())
    ]
    for facets, part, share in sides:
        if not len(facets.cells):
            continue
        jumps = _in_chunks(
            len(facets.cells),
            lambda rows, f=facets, part=part: _facets(
                problem, layout, *_sides(table, f, rows), part=part
            ),
        )
        for name, values in jumps.items():
            for side in range(2 if part == "" else 1):
                np.add.at(squares[name], facets.cells[:, side], share * values)
    return squares


def _real(array: np.ndarray) -> Array:
    return jnp.asarray(array, jnp.result_type(float))


def _in_chunks(count: int, function: Any) -> dict[str, np.ndarray]:
    """Results for rows 0 … count − 1, a piece at a time, the last one filled up."""
    pieces = []
    for start in range(0, count, _CHUNK):
        rows = np.minimum(np.arange(start, start + _CHUNK), count - 1)
        found = function(rows)
        pieces.append({n: np.asarray(v)[: min(_CHUNK, count - start)] for n, v in found.items()})
    return {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}


def _sides(table: CellTable, facets: Facets, rows: np.ndarray) -> tuple:
    return (
        table.take(facets.cells[rows, 0]),
        table.take(facets.cells[rows, 1]),
        _real(facets.points[rows]),
        _real(facets.normals[rows]),
        _real(facets.weights[rows]),
        _real(facets.size[rows]),
    )


def _has_gradient_flux(form: Form) -> bool:
    return any(form.dependence(term).gradients for term in form.equation.flux)


@eqx.filter_jit
def _cells(
    problem: Problem, layout: Layout, cells: Cells, xi: Array, weights: Array
) -> dict[str, Array]:
    """h² ‖R‖² in each cell, by field."""
    forms = problem.forms()

    def at(cell: Cells, y: Array, w: Array) -> dict[str, Array]:
        x, jacobian = cell.place(layout, y)
        found = strong_residual(
            forms,
            cell.fields(layout, y),
            x,
            cell.t,
            steady=problem.steady,
            region=cell.region,
            cell=cell.cell,
        )
        measure = w * jnp.abs(jnp.linalg.det(jacobian))
        return {name: measure * jnp.sum(r**2) for name, r in found.items()}

    def of(cell: Cells) -> dict[str, Array]:
        parts = jax.vmap(lambda y, w: at(cell, y, w))(xi, weights)
        out = {}
        for name, values in parts.items():
            plain = forms[name].kind == "Constraint" and not _has_gradient_flux(forms[name])
            out[name] = jnp.sum(values) * (1.0 if plain else cell.size**2)
        return out

    return jax.vmap(of)(cells)


@eqx.filter_jit
def _facets(
    problem: Problem,
    layout: Layout,
    first: Cells,
    second: Cells,
    points: Array,
    normals: Array,
    weights: Array,
    size: Array,
    *,
    part: str,
) -> dict[str, Array]:
    """h ‖[F·n]‖² on each facet, by field; on a part of the boundary h ‖F·n − g‖²."""
    forms = {n: f for n, f in problem.forms().items() if f.equation.flux}
    conditions = problem.conditions.get(part, {})

    def at(one: Cells, two: Cells, xi: Array, normal: Array, w: Array) -> dict[str, Array]:
        x, jacobian = one.place(layout, xi[0])
        pulled = solve_small(jacobian.T, normal)
        length = jnp.linalg.norm(pulled)
        n = pulled / length
        measure = w * jnp.abs(jnp.linalg.det(jacobian)) * length
        p = point_of(
            one.fields(layout, xi[0]), x, one.t, n=n if part else None, region=one.region,
            cell=one.cell,
        )  # fmt: skip
        out = {}
        for name, form in forms.items():
            if part:
                if name not in conditions or form.kind == "Constraint":
                    continue
                jump = _boundary_defect(form, conditions[name], p)
            else:
                if form.kind == "Constraint" and not _has_gradient_flux(form):
                    continue
                # Across a periodic side the other point is the image of this one.
                y = two.place(layout, xi[1])[0]
                q = point_of(two.fields(layout, xi[1]), y, two.t, region=two.region, cell=two.cell)
                jump = form.flux(p) @ n - form.flux(q) @ n
            out[name] = measure * jnp.sum(jump**2)
        return out

    def of(one, two, xi, normal, w, h):
        by_point = jax.vmap(lambda y, v: at(one, two, y, normal, v), in_axes=(1, 0))(xi, w)
        return {name: h * jnp.sum(values) for name, values in by_point.items()}

    return jax.vmap(of)(first, second, points, normals, weights, size)


def _leaves_defect(condition: Any) -> bool:
    """Whether a boundary condition says something about F·n."""
    return not (condition.all_essential or condition.free)


def _boundary_defect(form: Form, condition: Any, p: Any) -> Array:
    """F·n − g on the components whose value is not prescribed."""
    defect = form.flux(p) @ p.n - condition.natural(form, p)
    if condition.normal_only:
        return defect - (defect @ p.n) * p.n
    mask = jnp.array([0.0 if e else 1.0 for e in condition.essential], p.x.dtype)
    return defect * mask.reshape(form.shape)
