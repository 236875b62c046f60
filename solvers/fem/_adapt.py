"""AdaptiveFiniteElement: solve, estimate, mark, refine, until the estimate is small enough."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax

from pdes import CellData, Mesh, Problem
from pdes._arrays import on_device
from pdes.domain._bisect import bisect
from pdes.domain._curved import on_boundary
from solvers._method import Method, Run
from solvers._solution import Solution
from solvers.fem._estimate import Estimate, estimate
from solvers.fem._method import FiniteElement
from solvers.time._compiled import is_traced


class AdaptiveFiniteElement(Method):
    """Finite elements on a mesh that is refined where the estimated error is largest.

    Each level solves the problem, estimates η_K in every cell, marks the fewest cells that hold
    the fraction `marking` of Σ η_K² and bisects them. At corners where solutions are singular the
    error falls as fast, in unknowns, as on smooth ones: ‖∇(u − u_h)‖ ~ N^{−p/d}.

    Arguments:
        method: the finite elements; its `cells`, or `mesh`, make the coarsest mesh, of intervals,
            triangles or tetrahedra.
        tolerance: of the estimate √Σ η_K², or None. max_unknowns: no level above this is started.
        marking: θ in (0, 1]; smaller ones refine more selectively, in more levels.
        estimator: "residual" or "zz", see `estimate`. max_levels: meshes at most.

    The solution's `stats.extra` has "unknowns" and "estimate" of all levels, and "cells";
    `stats.history` has (seconds, level, estimate).

    Raises:
        NotApplicable: a problem in time, or with other cells. SolverError: as the method.
        ValueError: options out of range.

    Source: Dörfler (1996), A convergent adaptive algorithm for Poisson's equation; Stevenson
    (2007), Optimality of a standard adaptive finite element method.
    """

    method: FiniteElement = eqx.field(default_factory=lambda: FiniteElement(cells=8))
    tolerance: float | None = eqx.field(static=True, default=None)
    max_unknowns: int = eqx.field(static=True, default=20_000)
    marking: float = eqx.field(static=True, default=0.5)
    estimator: str = eqx.field(static=True, default="residual")
    max_levels: int = eqx.field(static=True, default=40)

    def __check_init__(self):
        if not isinstance(self.method, FiniteElement):
            raise TypeError(f"AdaptiveFiniteElement wraps a FiniteElement, got {self.method!r}")
        if not 0 < self.marking <= 1:
            raise ValueError(f"marking is a fraction in (0, 1], got {self.marking}")
        if self.estimator not in ("residual", "zz"):
            raise ValueError(f'the estimator is "residual" or "zz", got {self.estimator!r}')
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(f"the tolerance is positive or None, got {self.tolerance}")
        if self.max_unknowns < 1 or self.max_levels < 1:
            raise ValueError("max_unknowns and max_levels are positive")

    @property
    def name(self) -> str:
        return f"adaptive {self.method.name}"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        reason = self.method.inapplicable(problem)
        if reason is not None:
            return reason
        if not problem.steady:
            return (
                "meshes are adapted for steady problems; use pm.FiniteElement, and "
                "pm.estimate(solution, t=…) to see where its mesh is too coarse"
            )
        shape = self.method.make_mesh(problem.domain).shape
        if shape not in ("interval", "triangle", "tetrahedron"):
            return (
                f"{shape} cells can't be refined one by one without hanging nodes; give "
                'cell_shape="triangle" or "tetrahedron"'
            )
        return None

    def refined(self, factor: float) -> AdaptiveFiniteElement | None:
        tolerance = None if self.tolerance is None else self.tolerance / factor
        count = max(1, round(self.max_unknowns * factor**2))
        return dataclasses.replace(self, tolerance=tolerance, max_unknowns=count)

    def discretize(self, problem: Problem) -> Any:
        """The system on the coarsest mesh."""
        self.check(problem)
        return self.method.discretize(problem)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        self.check(problem)
        if is_traced(problem):
            raise ValueError(
                "an adaptive solve chooses its mesh from the numbers, so that it can't be traced; "
                "adapt first, then differentiate pm.FiniteElement(mesh=solution.method.mesh)"
            )
        start = time.perf_counter()
        mesh = self.method.make_mesh(problem.domain)
        history: list[tuple[float, int, float]] = []
        levels: list[tuple[int, int]] = []
        compiling = 0.0
        while True:
            method = dataclasses.replace(self.method, mesh=mesh, cells=None, cell_shape=None)
            solution = method.solve(problem)
            found = estimate(solution, self.estimator)
            levels.append((solution.stats.unknowns, len(mesh.cells)))
            compiling += solution.stats.compile_seconds
            history.append((time.perf_counter() - start, len(levels), found.total))
            why = self._finished(levels, found)
            if why is not None:
                break
            mesh, problem = _refined(problem, found, self.marking)
        seconds = time.perf_counter() - start
        stats = dataclasses.replace(
            solution.stats,
            compile_seconds=compiling,
            run_seconds=max(seconds - compiling, 0.0),
            iterations=len(levels),
            history=tuple(history),
            notes=(*solution.stats.notes, why),
            extra={
                **solution.stats.extra,
                "unknowns": [n for n, _ in levels],
                "cells": [n for _, n in levels],
                "estimate": [e for _, _, e in history],
            },
        )
        return dataclasses.replace(solution, stats=stats)

    def _finished(self, levels: list[tuple[int, int]], found: Estimate) -> str | None:
        """Why no further level is solved."""
        unknowns, _ = levels[-1]
        done = f"{len(levels)} levels, estimate {found.total:.3g}"
        if self.tolerance is not None and found.total <= self.tolerance:
            return f"{done}: within the tolerance {self.tolerance:g}"
        if found.total == 0.0:
            return f"{done}: nothing is left to refine"
        short = "" if self.tolerance is None else f", above the tolerance {self.tolerance:g}"
        if len(levels) >= self.max_levels:
            return f"{done}{short}: max_levels={self.max_levels} is reached"
        growth = unknowns / levels[-2][0] if len(levels) > 1 else 1.0
        if unknowns * growth > self.max_unknowns:
            return f"{done}{short}: max_unknowns={self.max_unknowns} is reached"
        return None


def _refined(problem: Problem, found: Estimate, marking: float) -> tuple[Mesh, Problem]:
    """The next mesh, and the problem with values by cell handed on to the children."""
    mesh, parents = bisect(found.mesh, found.mark(marking))
    rows = on_device(parents)

    def by_cell(node: Any) -> bool:
        return isinstance(node, CellData)

    if any(by_cell(node) for node in jax.tree.leaves(problem.pde, is_leaf=by_cell)):
        problem = problem._copied(
            pde=jax.tree.map(
                lambda node: CellData(node.values[rows]) if by_cell(node) else node,
                problem.pde,
                is_leaf=by_cell,
            )
        )
    return on_boundary(problem.domain, mesh), problem
