"""Any problem: the distance to a numerical solution whose own error is known to be smaller."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pdes import Problem
from solvers._method import Method
from solvers._result import NotApplicable, SolverError
from solvers._solution import KnownTimes, Representation, Solution
from solvers.certify._certificate import Certificate, Fields

# Times and points of the quadrature, by dimension of space.
_TIMES = 48
_POINTS = {1: 1600, 2: 4096, 3: 8192}
# The reference's own error, by the difference that it measures, that is small enough.
SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Quadrature:
    """Points of space and time with weights, (n, dim), (n,), (n,)."""

    x: Any
    t: Any
    weights: np.ndarray

    def values(self, representation: Any) -> dict[str, np.ndarray]:
        """Every field of a representation, or of functions (x, t), at the points."""
        found = _evaluate(representation, self.x, self.t)
        return {name: np.asarray(value) for name, value in found.items()}

    def norms(self, values: dict[str, np.ndarray]) -> dict[str, float]:
        """The L² norm of each field."""
        return {
            name: math.sqrt(float(self.weights @ (v.reshape(len(v), -1) ** 2).sum(axis=1)))
            for name, v in values.items()
        }


@eqx.filter_jit
def _evaluate(fields: Any, x: Any, t: Any) -> Any:
    function = fields.values if isinstance(fields, Representation) else fields
    return jax.vmap(function)(x, t)


def certify_difference(
    solution: Solution, references: Sequence[Any], candidates: Sequence[Method]
) -> Certificate:
    """Of kind "difference"; `seconds` is filled in by the caller.

    Arguments:
        references: solutions or methods from coarse to fine; each is compared with the one before
            until its own error is small enough. candidates: what to take where there are none.

    Raises:
        NotApplicable: no numerical method solves the problem.
    """
    problem = solution.problem
    chain = list(references) or _default_chain(problem, candidates)
    finest, before, quadrature = None, None, None
    share, label = math.nan, ""
    mine: dict[str, np.ndarray] = {}
    distances: dict[str, float] = {}
    for item in chain:
        reference = _solved(problem, item)
        if quadrature is None:
            quadrature = _quadrature(problem, reference, solution)
        here = quadrature.values(reference.representation)
        if finest is None:
            mine = quadrature.values(solution.representation)
        gaps = {n: here[n] - mine[n] for n in problem.shapes if n in here}
        distances = quadrature.norms(gaps)
        label = getattr(reference.method, "name", "a given solution")
        before, finest = finest, here
        if before is not None:
            own = quadrature.norms({n: here[n] - before[n] for n in gaps})
            share = _total(own) / max(_total(distances), 1e-300)
            if share <= SHARE:
                break
    assert quadrature is not None and finest is not None
    estimate = _total(distances)
    size = _total(quadrature.norms({n: finest[n] for n in distances}))
    kept = quadrature
    return Certificate(
        estimate, estimate / size if size > 0 else math.inf,
        "in L² of the domain" + ("" if problem.steady else " and the time"),
        _constant(share), "difference", _explanation(label, share), distances, share, 0.0, problem,
        lambda exact: _distance(kept, solution, exact),
    )  # fmt: skip


def _total(norms: dict[str, float]) -> float:
    return math.sqrt(sum(value**2 for value in norms.values()))


def _constant(share: float) -> float | None:
    """‖u − ũ‖ ≤ ‖u_h − ũ‖ + ‖u − u_h‖."""
    return 1.0 + share if share <= 1.0 else None


def _explanation(label: str, share: float) -> str:
    text = f"the distance to a numerical solution ({label})"
    if math.isnan(share):
        return f"{text}, whose own error is not known"
    text += f", whose own error, by one of another resolution, is {share:.2g} of it at most"
    if share > SHARE:
        text += f": more than {SHARE}, so take the estimate as its order of magnitude"
    return text


def measured(solution: Solution) -> Callable[[Fields], float]:
    """The distance in L² of a solution to given functions."""
    quadrature = _quadrature(solution.problem, solution, solution)
    return lambda exact: _distance(quadrature, solution, exact)


def _distance(quadrature: Quadrature, solution: Solution, exact: Fields) -> float:
    mine = quadrature.values(solution.representation)
    there = quadrature.values(exact)
    return _total(quadrature.norms({n: there[n] - mine[n] for n in there}))


def _solved(problem: Problem, item: Any) -> Solution:
    if isinstance(item, Solution):
        return item
    item.check(problem)
    return item.solve(problem)


def _default_chain(problem: Problem, candidates: Sequence[Method]) -> list[Any]:
    reasons = []
    for method in candidates:
        reason = method.inapplicable(problem)
        if reason is None:
            levels = [method]
            for factor in (2.0, 4.0):
                finer = method.refined(factor)
                levels += [] if finer is None else [finer]
            return levels
        reasons.append(f"{method.name}: {reason}")
    raise NotApplicable(
        f"no numerical method solves {problem.name!r} for a certificate ({'; '.join(reasons)}); "
        "give reference=…, a method or a solution"
    )


def _quadrature(problem: Problem, reference: Solution, solution: Solution) -> Quadrature:
    """Gauss points on a mesh, by Gauss points in time or the times at which both answer."""
    x, w = _in_space(problem)
    times, wt = _in_time(problem, (reference.representation, solution.representation))
    points = np.tile(x, (len(times), 1))
    return Quadrature(
        jnp.asarray(points, jnp.result_type(float)),
        jnp.asarray(np.repeat(times, len(x)), jnp.result_type(float)),
        (wt[:, None] * w).ravel(),
    )


def _in_space(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    from solvers.fem._functionals import quadrature

    domain, dim = problem.domain, problem.dim
    if dim > 3:
        x = domain.sample_interior(8192, seed=0, scheme="sobol")
        return np.asarray(x), np.full(len(x), domain.volume / len(x))
    per_cell = {1: 4, 2: 9, 3: 8}[dim]
    cells = max(int((_POINTS[dim] / per_cell) ** (1 / dim)), 2)
    degree = {1: 7, 2: 4, 3: 3}[dim]
    x, w, _, _ = quadrature(domain.mesh(cells=cells), degree)
    return x, w


def _in_time(problem: Problem, answers: Sequence[Representation]) -> tuple[np.ndarray, np.ndarray]:
    if problem.time is None:
        return np.zeros(1), np.ones(1)
    known = None
    for answer in answers:
        at = answer.known_times() if isinstance(answer, KnownTimes) else None
        if at is not None:
            at = np.asarray(at, float)
            known = at if known is None else known[np.isclose(known[:, None], at).any(axis=1)]
    if known is None:
        nodes, weights = np.polynomial.legendre.leggauss(4)
        edges = np.linspace(*problem.time, _TIMES // 4 + 1)
        half = 0.5 * np.diff(edges)[:, None]
        return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
    if not len(known):
        raise SolverError("no_common_times", "the solutions answer at no common times")
    if len(known) == 1:
        return known, np.ones(1)
    widths = np.diff(known)
    weights = np.zeros(len(known))
    weights[:-1] += 0.5 * widths
    weights[1:] += 0.5 * widths
    return known, weights
