"""certify: the error of a solution without the exact one, by what suits the problem."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np

from pdes import Problem
from solvers._method import Method
from solvers._result import NotApplicable, SolverError
from solvers._solution import Solution
from solvers.certify._certificate import Certificate
from solvers.certify._correction import certify_correction
from solvers.certify._difference import certify_difference
from solvers.certify._energy import certify_energy, nonlinear, unsuited
from solvers.certify._parabolic import certify_parabolic

KINDS = ("auto", "energy", "parabolic", "correction", "difference", "residual", "zz")


def certify(
    solution: Solution,
    kind: str = "auto",
    *,
    reference: Any = None,
    tolerance: float = 0.05,
    levels: int = 3,
) -> Certificate:
    """Estimates how far a solution is from the exact one; see `Solution.certify`."""
    if kind not in KINDS:
        raise ValueError(f"kind is one of {KINDS}, got {kind!r}")
    if not tolerance > 0 or levels < 1:
        raise ValueError(
            f"a certificate needs tolerance > 0 and levels ≥ 1, got {tolerance!r}, {levels!r}"
        )
    start = time.perf_counter()
    chosen, why = _choose(solution, kind, reference)
    if chosen in ("residual", "zz"):
        found = _by_estimator(solution, chosen)
    elif chosen == "difference":
        found = _by_difference(solution, reference)
    else:
        found, why = _by_defect(solution, chosen, kind == "auto", why, tolerance, levels)
    if why:
        found = dataclasses.replace(found, explanation=f"{found.explanation} ({why})")
    if not math.isfinite(found.estimate):
        raise ValueError(
            f"the certificate of {solution.problem.name!r} is not finite: the solution is not, "
            "or its derivatives are not, somewhere in the domain"
        )
    return dataclasses.replace(found, seconds=time.perf_counter() - start)


_DEFECTS = {
    "energy": certify_energy,
    "parabolic": certify_parabolic,
    "correction": certify_correction,
}


def _by_defect(
    solution: Solution, chosen: str, free: bool, why: str, tolerance: float, levels: int
) -> tuple[Certificate, str]:
    """By the equation of the error; where the choice is free, by the next kind that can."""
    try:
        return _DEFECTS[chosen](solution, tolerance, levels), why
    except NotApplicable as error:
        if not free:
            raise NotApplicable(
                f"no certificate of kind {chosen!r} for {solution.problem.name!r}: {error}; "
                'use kind="correction" or "difference"'
            ) from error
        why = f"no energy norm: {error}"
        return _by_defect(solution, "correction", free, why, tolerance, levels)
    except SolverError as error:
        if not free:
            raise
        return _by_difference(solution, None), f"{why}; {error}" if why else str(error)


def _choose(solution: Solution, kind: str, reference: Any) -> tuple[str, str]:
    """The kind, and why it is not that of an energy norm."""
    from solvers.fem._locate import FEMRepresentation

    problem = solution.problem
    reason = unsuited(problem)
    if reason is None and not solution.representation.continuous:
        reason = "the solution jumps between subdomains"
    bent = reason or nonlinear(problem)
    if kind in _DEFECTS:
        why = reason if kind == "correction" else bent
        if why is None and kind != "correction" and (kind == "energy") != problem.steady:
            why = f"the problem is {'steady' if problem.steady else 'in time'}"
        if why is not None:
            raise NotApplicable(
                f"no certificate of kind {kind!r} for {problem.name!r}: {why}; use another kind, "
                '"difference" suits every problem that a numerical method solves'
            )
        return kind, ""
    if kind != "auto":
        return kind, ""
    if reference is not None:
        return "difference", ""
    representation = solution.representation
    if isinstance(representation, FEMRepresentation) and not representation.space.broken:
        return "residual", ""
    if not getattr(solution.method, "neural", False):
        return "difference", ""
    if reason is not None:
        return "difference", f"no equation of the error: {reason}"
    if bent is not None:
        return "correction", f"no energy norm: {bent}"
    return ("energy" if problem.steady else "parabolic"), ""


def _by_difference(solution: Solution, reference: Any) -> Certificate:
    method = solution.method
    if reference is not None:
        items = list(reference) if isinstance(reference, list | tuple) else [reference]
        if len(items) == 1 and isinstance(items[0], Method):
            coarser = items[0].refined(0.5)
            items = ([] if coarser is None else [coarser]) + items
        return certify_difference(solution, items, ())
    if isinstance(method, Method) and not method.neural:
        finer = method.refined(2.0)
        if finer is not None:
            return _refined(solution, finer)
    return certify_difference(solution, (), reference_methods(solution.problem))


def _refined(solution: Solution, finer: Method) -> Certificate:
    found = certify_difference(solution, [finer], ())
    text = (
        "the distance to the same method at twice the resolution: about the error where the "
        "method converges at order 2 or more"
    )
    return dataclasses.replace(found, explanation=text, constant=None)


def reference_methods(problem: Problem) -> list[Method]:
    """Numerical methods for a reference, the preferred one first, coarse."""
    from solvers.fem import FiniteElement
    from solvers.spectral import Fourier

    degree, cells = {1: (4, 64), 2: (3, 8), 3: (2, 5)}.get(problem.dim, (2, 5))
    element = FiniteElement(degree=degree, cells=cells, rtol=1e-6, atol=1e-8)
    periodic = all(problem.domain.periodic) and problem.dim <= 3
    return [Fourier(), element] if periodic else [element]


def _by_estimator(solution: Solution, kind: str) -> Certificate:
    from solvers.fem import estimate

    found = estimate(solution, kind)
    parts = {name: float(np.sqrt(v.sum())) for name, v in found.by_field.items()}
    total = found.total
    end = "" if solution.problem.time is None else f" at t = {solution.problem.time[1]:g}"
    text = {
        "residual": "residuals of cells and jumps of the flux; the constant depends on the shape "
        "of the cells and on the coefficients, the order of convergence does not",
        "zz": "the distance of the gradient to a recovered one, exact in the limit for degree 1",
    }[kind]
    size = _h1_size(solution)
    return Certificate(
        total, total / size if size > 0 else math.inf, f"in the H¹ seminorm{end}", None, kind,
        text, parts, math.nan, 0.0, solution.problem,
    )  # fmt: skip


def _h1_size(solution: Solution) -> float:
    import jax.numpy as jnp

    def square(p: Any) -> Any:
        return sum(jnp.sum(g**2) for g in p.gradients.values())

    return math.sqrt(float(solution.integrate(square)))
