"""FiniteVolume: balance laws by cell averages, on boxes and on triangles."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx

from pdes import Box, Domain, Mesh, MeshDomain, Problem
from solvers._method import Method, Run
from solvers._solution import Solution
from solvers._traced import with_programs
from solvers.fv._grid import are_equal, box_edges
from solvers.fv._law import Law, chosen_flux
from solvers.fv._limiter import LIMITERS
from solvers.fv._reconstruction import REACH
from solvers.fv._riemann import RIEMANN
from solvers.fv._run import evolve
from solvers.fv._system import VolumeSystem
from solvers.fv._triangles import TriangleSystem

TRIANGLE_LIMITERS = ("barth_jespersen", "venkatakrishnan")


class FiniteVolume(Method):
    """Finite volumes for ∂u/∂t + ∇·F = s on boxes in one to three dimensions and on triangles,
    conservative to round-off.

    Flux terms that do not use ∇u get a Riemann flux from the states at both sides of a face, the
    others a central one. Explicit: a step obeys the CFL condition of waves and diffusion, and one
    that makes a density negative is taken again at half the length. Directions are treated one by
    one, with one flux at the middle of a face and sources at averages: `weno5` is of fifth order in
    one dimension, and in more for linear fluxes with constant coefficients; otherwise of second
    order, with far smaller errors than `muscl`. Terms with gradients are of second order.

    On triangles: gradients by least squares over the cells that share a corner, limited slot by
    slot, second order where the solution is smooth.

    Arguments:
        cells: number of equal cells (in several dimensions of the longest side), or for each
            direction a number or the edges; in one dimension edges.
        reconstruction: "muscl" (van Leer 1979: second order where the solution is smooth, first at
            extrema and shocks), "weno5" (Jiang & Shu 1996, equal cells) or "constant" (first
            order). Of waves where the PDE gives `characteristics`, else of each slot.
        limiter: of muscl, "mc" (default), "van_leer" or "minmod"; on triangles "barth_jespersen"
            (1989, default) or "venkatakrishnan" (1993: smooth, but it may overshoot a little).
        cell_shape: "triangle" for domains of the plane that are no rectangles, with `cells` for the
            longest side. mesh: a mesh of triangles, instead of both.
        riemann: "rusanov", "hll", "hllc" (where the PDE gives `star_states`), or "auto": hllc
            where it can be, else rusanov.
        courant: share of a cell that the fastest wave may cross in a step.
        stepper: an explicit solver of diffrax, SSPRK3 by default. dt: fixed steps instead of the
            CFL condition; one beyond the stability limit is an error.
        frames: how many states to keep, evenly spaced in time; by default 257 where they fit in
            256 MiB.
        positive: fields that must not become negative, beside what the PDE calls `admissible`.

    Raises:
        NotApplicable: see `inapplicable`.
        SolverError: "not_finite", "negative", "unstable_step", "max_steps".

    Source: LeVeque (2002); Toro (2009); Zhang & Shu (2010).
    """

    cells: Any = None
    reconstruction: str = eqx.field(static=True, default="muscl")
    limiter: str | None = eqx.field(static=True, default=None)
    riemann: str = eqx.field(static=True, default="auto")
    courant: float = eqx.field(static=True, default=0.45)
    stepper: diffrax.AbstractSolver | None = None
    dt: float | None = eqx.field(static=True, default=None)
    frames: int | None = eqx.field(static=True, default=None)
    positive: tuple[str, ...] = eqx.field(static=True, default=())
    cell_shape: str | None = eqx.field(static=True, default=None)
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        for what, got, known in (
            ("reconstruction", self.reconstruction, tuple(REACH)),
            (
                "limiter",
                self._limiter(),
                TRIANGLE_LIMITERS if self._triangles() else tuple(LIMITERS),
            ),
            ("cell_shape", self.cell_shape, (None, "triangle")),
            ("riemann", self.riemann, ("auto", *RIEMANN)),
        ):
            if got not in known:
                raise ValueError(f"{what} is one of {list(known)}, got {got!r}")
        if not 0 < self.courant <= 1:
            raise ValueError(f"courant lies in (0, 1], got {self.courant!r}")
        if self.frames is not None and self.frames < 2:
            raise ValueError(f"frames is at least 2, start and end, got {self.frames!r}")

        if self._triangles() and self.reconstruction == "weno5":
            raise ValueError("weno5 is made for boxes; on triangles use reconstruction='muscl'")

    def _triangles(self) -> bool:
        return self.mesh is not None or self.cell_shape == "triangle"

    def _limiter(self) -> str:
        default = "barth_jespersen" if self._triangles() else "mc"
        return default if self.limiter is None else self.limiter

    @property
    def name(self) -> str:
        return "Finite volumes"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        domain = problem.domain
        if self._triangles():
            if domain.dim != 2:
                return (
                    f"triangles cover the plane, the domain {domain!r} has {domain.dim} dimensions"
                )
            return _unsuitable(problem)
        if not isinstance(domain, Box) or domain.dim > 3:
            remedy = (
                "cover it by triangles, pm.FiniteVolume(cell_shape='triangle')"
                if domain.dim == 2
                else "pm.FiniteElement and pm.DiscontinuousGalerkin take other domains"
            )
            return (
                f"the domain {domain!r} is not a box of one to three dimensions, which a "
                f"structured grid covers; {remedy}"
            )
        return _unsuitable(problem)

    def discretize(self, problem: Problem) -> VolumeSystem | TriangleSystem:
        self.check(problem)
        law = Law(problem)
        riemann = chosen_flux(law, self.riemann)
        if self._triangles():
            options = (self.reconstruction, self._limiter(), riemann, self.courant)
            return TriangleSystem(law, self._mesh(problem.domain), *options)
        assert isinstance(problem.domain, Box)
        edges = box_edges(problem.domain, self.cells)
        if self.reconstruction == "weno5" and not all(are_equal(e) for e in edges):
            raise ValueError(
                "weno5 is made for equal cells: give their number, or use reconstruction='muscl'"
            )
        options = (self.reconstruction, self._limiter(), riemann, self.courant)
        return VolumeSystem(law, edges, *options)

    def _mesh(self, domain: Domain) -> Mesh:
        if self.mesh is not None:
            return self.mesh
        if isinstance(domain, MeshDomain):
            return domain.mesh()
        cells = 32 if self.cells is None else self.cells
        options: dict[str, Any] = {"shape": "triangle"} if isinstance(domain, Box) else {}
        return domain.mesh(cells=cells, **options)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        return evolve(self, problem, self.discretize(with_programs(problem)))


def _unsuitable(problem: Problem) -> str | None:
    """What no finite volume takes."""
    if problem.steady:
        return "the problem is steady; pm.FiniteElement or pm.Chebyshev solves it"
    for name, form in problem.forms().items():
        if form.kind != "Balance":
            return (
                f"{name!r} has a {form.kind.lower()}, not a balance law; pm.FiniteElement or "
                "pm.Chebyshev takes it"
            )
        if form.has_inertia:
            return (
                f"{name!r} has inertia: write it as two balance laws of first order, or use "
                "pm.FiniteElement or pm.Chebyshev"
            )
        if not form.has_storage or form.equation.storage is not None:  # type: ignore[attr-defined]
            return (
                f"{name!r} is not stored as it is (∂u/∂t alone); pm.FiniteElement or "
                "pm.Chebyshev takes other storage"
            )
        for term, label in zip(form.equation.source, form.source_names, strict=True):
            if form.dependence(term).gradients:
                return (
                    f"non-conservative: the source term {label!r} of {name!r} uses a gradient; "
                    "write it as a flux, or use pm.FiniteElement or pm.Chebyshev"
                )
    if problem.zero_mean or problem.pins:
        return "a field is fixed by a gauge, which cell averages don't take"
    return None
