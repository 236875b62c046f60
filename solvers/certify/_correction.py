"""Nonlinear or transporting problems: the equation of the error itself, solved numerically.

e = u − ũ solves ∂ₜ(m(ũ + e) − m(ũ)) + ∂ₜm(ũ) + ∇·F(ũ + e) = s(ũ + e) with the data that ũ misses.
It is solved by finite elements, in time by Radau IIA of order 3 with Newton's method in each step:
ũ + e_h is a numerical solution whose error goes by the size of e, not of u.
Sources: defect correction, Stetter (1978); Radau IIA, Hairer & Wanner (1996), section IV.5.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from pdes import Mesh, Problem
from solvers._result import SolverError
from solvers._solution import Solution
from solvers.certify._assemble import Assembly, assembly
from solvers.certify._certificate import Certificate
from solvers.certify._defect import defect_problem
from solvers.certify._difference import measured
from solvers.certify._energy import DEGREE, QUADRATURE, meshes

_STEPS = {1: 24, 2: 10, 3: 6}
_NODES = np.array([1.0 / 3.0, 1.0])
_RADAU = np.array([[5.0 / 12.0, -1.0 / 12.0], [3.0 / 4.0, 1.0 / 4.0]])
# Newton's method: the last update by the size of the error.
_ENOUGH, _ITERATIONS = 1e-2, 12
# More cells than an energy norm's mesh: what moves has layers.
_FINER = {1: 2, 2: 1, 3: 1}


def certify_correction(solution: Solution, tolerance: float, levels: int) -> Certificate:
    """Of kind "correction"; `seconds` is filled in by the caller.

    Raises:
        SolverError: Newton's method for the error did not converge.
    """
    problem = solution.problem
    defect = defect_problem(problem, solution.representation)
    last, change, size, parts, unknowns = math.nan, math.nan, 0.0, {}, 0
    steps = _STEPS[problem.dim]
    for mesh in meshes(problem, levels, _FINER[problem.dim]):
        found = assembly(defect, _graded(mesh, solution), DEGREE, QUADRATURE)
        gram, unknowns = found.gram(), found.space.size
        if problem.steady:
            squares = _by_field(found, gram, _steady(found))
        else:
            squares = _march(found, gram, problem, steps)
        parts = {name: math.sqrt(value) for name, value in squares.items()}
        estimate = math.sqrt(sum(squares.values()))
        change = abs(estimate - last) / estimate if estimate > 0 else 0.0
        last = estimate
        size = _size(found, gram, solution)
        if change <= tolerance:
            break
        steps *= 2
    time = "" if problem.steady else f" and {steps} steps in time"
    text = (
        f"the equation of the error, solved in finite elements ({unknowns} unknowns{time}) "
        "with its nonlinear terms"
    )
    if not change <= tolerance:
        text += f"; refined {levels - 1} times it still changed by {change:.0%}"
    return Certificate(
        last, last / size if size > 0 else math.inf,
        "in L² of the domain" + ("" if problem.steady else " and the time"),
        1.0, "correction", text, parts, change, 0.0, problem, measured(solution),
    )  # fmt: skip


def _graded(mesh: Mesh, solution: Solution) -> Mesh:
    """In one dimension, cells where the solution is steep: its arc length is equidistributed."""
    if mesh.dim != 1 or len(mesh.periodic_pairs):
        return mesh
    import jax
    import jax.numpy as jnp

    time = solution.problem.time
    order = np.argsort(mesh.points[:, 0])
    low, high = float(mesh.points[order[0], 0]), float(mesh.points[order[-1], 0])
    x = np.linspace(low, high, 1025)
    slope = np.zeros(1024)
    for t in np.zeros(1) if time is None else np.linspace(*time, 9):
        for name in solution.problem.shapes:
            times = jnp.full(len(x), float(t))
            u = np.asarray(jax.device_get(solution[name](jnp.asarray(x)[:, None], times)))
            u = u.reshape(len(x), -1)
            span = max(float(np.ptp(u)), 1e-300)
            slope = np.maximum(slope, np.abs(np.diff(u, axis=0)).max(axis=1) * 1024 / span)
    # Smoothed, so that neighbouring cells differ little, and never below a third of uniform.
    kernel = np.exp(-0.5 * (np.arange(-24, 25) / 8.0) ** 2)
    density = np.sqrt(1.0 + np.convolve(slope, kernel / kernel.sum(), mode="same") ** 2)
    density = np.minimum(density, 24.0) + 0.5 * density.mean()
    share = np.concatenate([[0.0], np.cumsum(density)])
    points = mesh.points.copy()
    points[order, 0] = np.interp(np.linspace(0.0, share[-1], len(order)), share, x)
    return dataclasses.replace(mesh, points=points)


def _steady(found: Assembly) -> np.ndarray:
    free = ~found.fixed
    for name in found.problem.zero_mean:
        first, count = found.space.offsets[name], found.space.components[name]
        free[first : first + count] = False
    free = np.flatnonzero(free)
    e = found.prescribed()[0]
    for _ in range(_ITERATIONS):
        matrix = found.stiffness(0.0, e)[free][:, free].tocsc()
        update = np.zeros_like(e)
        update[free] = _solved(matrix, -found.residual(0.0, e)[free])
        e = e + update
        if np.linalg.norm(update) <= _ENOUGH * np.linalg.norm(e):
            return e
    raise _failed(found.problem)


def _march(found: Assembly, gram: sp.csr_matrix, problem: Problem, steps: int) -> dict[str, float]:
    """∫ ‖e‖² dt of each field."""
    assert problem.time is not None
    start, end = problem.time
    h = (end - start) / steps
    initial = {name: found.problem.initial[name] for name in problem.evolving}
    e, _ = found.interpolate(lambda x, t: {n: u(x) for n, u in initial.items()}, start)
    total = dict.fromkeys(problem.shapes, 0.0)
    for step in range(steps):
        t = start + step * h
        stages = _step(found, e, t, h)
        for stage, weight in zip(stages, _RADAU[1], strict=True):
            for name, value in _by_field(found, gram, stage).items():
                total[name] += h * weight * value
        e = stages[1]
    return total


def _step(found: Assembly, e: np.ndarray, t: float, h: float) -> list[np.ndarray]:
    """The stages of one step of Radau IIA: m(eᵢ) − m(e) + h Σ aᵢⱼ R(eⱼ) = 0."""
    times = t + h * _NODES
    free = np.flatnonzero(~found.fixed)
    held = found.stored(t, e)
    z = [np.where(found.fixed, found.prescribed(s)[0], e) for s in times]
    count, lu = len(free), None
    before = math.inf
    for _ in range(_ITERATIONS):
        rates = [found.residual(s, v) for s, v in zip(times, z, strict=True)]
        stored = [found.stored(s, v) for s, v in zip(times, z, strict=True)]
        right = np.concatenate(
            [
                (stored[i] - held + h * sum(_RADAU[i, j] * rates[j] for j in range(2)))[free]
                for i in range(2)
            ]
        )
        if lu is None:
            tangents = [found.stiffness(s, v)[free][:, free] for s, v in zip(times, z, strict=True)]
            masses = [found.mass(s, v)[free][:, free] for s, v in zip(times, z, strict=True)]
            blocks = [
                [h * _RADAU[i, j] * tangents[j] + (masses[i] if i == j else 0 * masses[j])
                 for j in range(2)]
                for i in range(2)
            ]  # fmt: skip
            lu = sla.splu(sp.block_array(blocks).tocsc())
        update = lu.solve(-right)
        if not np.isfinite(update).all():
            raise _failed(found.problem)
        for i in range(2):
            z[i][free] += update[i * count : (i + 1) * count]
        moved, size = np.linalg.norm(update), np.linalg.norm(np.concatenate(z))
        if moved <= _ENOUGH * size:
            return z
        # A tangent is kept as long as it halves the updates.
        lu = lu if moved <= 0.5 * before else None
        before = moved
    raise _failed(found.problem)


def _solved(matrix: sp.csc_matrix, right: np.ndarray) -> np.ndarray:
    return sla.splu(matrix).solve(right)


def _failed(problem: Problem) -> SolverError:
    return SolverError(
        "error_equation",
        f"the equation of the error of {problem.name!r} was not solved: the solution is too far "
        'from the exact one, or its mesh too coarse; use kind="difference"',
    )


def _by_field(found: Assembly, gram: sp.csr_matrix, e: np.ndarray) -> dict[str, float]:
    out = {}
    product = gram @ e
    for name in found.space.scalars:
        where = found.space.slice(name)
        out[name] = max(float(e[where] @ product[where]), 0.0)
    return out


def _size(found: Assembly, gram: sp.csr_matrix, solution: Solution) -> float:
    """The norm of the solution itself, by eight times."""
    time = solution.problem.time
    times = np.zeros(1) if time is None else np.linspace(*time, 9)[:-1] + (time[1] - time[0]) / 16
    values = [found.interpolate(solution.representation.values, float(t))[0] for t in times]
    length = 1.0 if time is None else time[1] - time[0]
    return math.sqrt(length * float(np.mean([v @ (gram @ v) for v in values])))
