"""Parabolic problems: the residual's dual norm in space, integrated in time.

With M ∂ₜw + K w = ρ and w = e − e_Γ, e_Γ the extension of least energy of the mismatch of
prescribed values, ρ = r − M ∂ₜe_Γ, the dual norm of ρ gives an identity, not only a bound:

    ∫ ‖ρ‖²_* dt + ‖w(0)‖² = ∫ ‖w‖²_a + ‖∂ₜw‖²_* dt + ‖w(T)‖²,

so that with ∫ ‖e_Γ‖²_a dt added it is the square of the error in the norm of
L²(0, T; V) ∩ H¹(0, T; V′), and a bound for that in L²(0, T; V).
Sources: Tantardini & Veeser (2016), theorem 2.1; Ern, Smears & Vohralík (2017).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from solvers._result import NotApplicable
from solvers._solution import Solution
from solvers.certify._certificate import Certificate, Fields
from solvers.certify._defect import defect_problem
from solvers.certify._energy import Form, difference_at_nodes, energy_form, energy_size, meshes

# Slabs of time with Gauss points in each, in one, two and three dimensions.
_SLABS = {1: 16, 2: 6, 3: 3}
_GAUSS = 4


def certify_parabolic(solution: Solution, tolerance: float, levels: int) -> Certificate:
    """Of kind "parabolic"; `seconds` is filled in by the caller."""
    problem = solution.problem
    assert problem.time is not None
    defect = defect_problem(problem, solution.representation)
    last, change, form, parts, slabs = math.nan, math.nan, None, {}, _SLABS[problem.dim]
    mass, times = None, ()
    for mesh in meshes(problem, levels):
        form = energy_form(defect, mesh)
        mass = form.assembly.mass(problem.time[0])
        _check_constant(form, mass, problem.time)
        times = _quadrature(problem.time, slabs)
        parts = _parts(form, mass, times)
        estimate = math.sqrt(sum(value**2 for value in parts.values()))
        change = abs(estimate - last) / estimate if estimate > 0 else 0.0
        last = estimate
        if change <= tolerance:
            break
        slabs *= 2
    assert form is not None and mass is not None
    size = math.sqrt(
        sum(w * energy_size(form, solution.representation.values, t) ** 2 for t, w in times)
    )
    explanation = (
        "the residual's dual norm at each time by its Riesz representer in finite elements "
        f"({form.assembly.space.size} unknowns, {len(times)} times), the initial error in L² and "
        "the mismatch of prescribed values; it bounds the error in L²(0, T; V) alone, too"
    )
    if not change <= tolerance:
        explanation += (
            f"; refined {levels - 1} times it still changed by {change:.0%}: take it as a lower "
            "estimate"
        )
    return Certificate(
        last, last / size if size > 0 else math.inf,
        "in the norm ‖e‖² = ∫ ‖e‖²_a + ‖∂ₜe‖²_* dt + ‖e(T)‖², with the energy ‖e‖²_a = ∫ κ|∇e|²",
        1.0, "parabolic", explanation, parts, change, 0.0, problem,
        lambda exact: _distance(form, mass, times, solution, exact),
    )  # fmt: skip


def _quadrature(time: tuple[float, float], slabs: int) -> tuple[tuple[float, float], ...]:
    nodes, weights = np.polynomial.legendre.leggauss(_GAUSS)
    edges = np.linspace(*time, slabs + 1)
    half = 0.5 * np.diff(edges)[:, None]
    at = edges[:-1, None] + half * (1 + nodes)
    return tuple(zip(at.ravel().tolist(), (half * weights).ravel().tolist(), strict=True))


def _check_constant(form: Form, mass: sp.csr_matrix, time: tuple[float, float]) -> None:
    """Raises NotApplicable where the forms depend on time, or M is not a scalar product."""
    later = form.assembly.stiffness(time[0] + 0.63 * (time[1] - time[0]))
    scale = float(np.abs(form.matrix.data).max())
    if abs(later - form.matrix).max() > 1e-9 * scale:
        raise NotApplicable("its coefficients depend on time")
    if abs(mass - mass.T).max() > 1e-9 * abs(mass).max() or mass.diagonal().min() < 0:
        raise NotApplicable("its storage is no scalar product")


def _parts(form: Form, mass: sp.csr_matrix, times) -> dict[str, float]:
    problem = form.assembly.problem
    assert problem.time is not None
    equation = boundary = 0.0
    at = np.array([t for t, _ in times])
    values, rates = form.assembly.prescribed(at)
    residuals = form.assembly.residuals(at)
    for (_, weight), value, rate, residual in zip(times, values, rates, residuals, strict=True):
        right = -residual - mass @ form.extension(rate)
        equation += weight * form.energy(form.representer(right))
        boundary += weight * form.energy(form.extension(value))
    start = problem.time[0]
    fields = {name: problem.initial[name] for name in problem.evolving}
    first, _ = form.assembly.interpolate(lambda x, t: {n: u(x) for n, u in fields.items()}, start)
    first = first - form.extension(form.assembly.prescribed(start)[0])
    return {
        "equation": math.sqrt(equation),
        "initial values": math.sqrt(max(first @ (mass @ first), 0.0)),
        "boundary values": math.sqrt(boundary),
    }


def _distance(form: Form, mass, times, solution: Solution, exact: Fields) -> float:
    assert solution.problem.time is not None
    total = 0.0
    fixed = form.assembly.fixed
    for t, weight in times:
        e, rate = difference_at_nodes(form, solution, exact, t)
        inner = rate - form.extension(np.where(fixed, rate, 0.0))
        total += weight * (form.energy(e) + form.energy(form.representer(mass @ inner)))
    e, _ = difference_at_nodes(form, solution, exact, solution.problem.time[1])
    e = e - form.extension(np.where(fixed, e, 0.0))
    return math.sqrt(total + max(float(e @ (mass @ e)), 0.0))
