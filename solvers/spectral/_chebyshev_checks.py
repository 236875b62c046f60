"""What Chebyshev collocation can't take, and why."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdes import Box, Problem
from pdes._nullspace import undetermined_fields
from solvers.spectral._chebyshev_parts import is_multiplier


def need_double() -> None:
    """Raises ValueError in 32-bit mode."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            "Chebyshev collocation needs double precision: call "
            'jax.config.update("jax_enable_x64", True) first'
        )


def obstacle(problem: Problem, panels: Any) -> str | None:
    """Why collocation does not apply, with what does."""
    domain = problem.domain
    if not isinstance(domain, Box):
        return (
            f"the domain {type(domain).__name__} is no interval, rectangle or box; "
            "pm.FiniteElement takes any domain"
        )
    if domain.dim > 3:
        return f"the domain has {domain.dim} dimensions, of at most 3"
    if all(domain.periodic):
        return "the domain is periodic; pm.Fourier is made for it, pm.FiniteElement takes it"
    reason = _constraint_trouble(problem) or _gauge_trouble(problem)
    if reason is not None:
        return reason
    if problem.dim == 1 and panels not in (None, 1) and odd_order(problem):
        return (
            "a third derivative has no stable joint between panels: use Chebyshev(panels=1), "
            "or pm.Fourier on a periodic domain"
        )
    return _inertia_trouble(problem, panels)


def explicit_trouble(problem: Problem) -> str | None:
    """Why no splitting into affine and other terms will do."""
    if problem.dim == 1:
        return "it is for tensor grids in 2-D and 3-D; panels in 1-D have implicit steppers"
    for name, form in problem.forms().items():
        if form.has_inertia:
            return f"{name!r} is of second order in time; use an implicit stepper"
        if form.has_storage and form.equation.storage is not None:  # type: ignore[attr-defined]
            storage = form.equation.storage  # type: ignore[attr-defined]
            if not form.dependence(storage).constant:
                return f"the storage of {name!r} varies; use an implicit stepper"
        if not form.has_storage and not form.is_affine:
            return (
                f"the equation of {name!r} has no time derivative and is not affine; use an "
                "implicit stepper"
            )
    return None


def check_periodic_data(problem: Problem) -> None:
    """Raises ValueError where initial data do not continue across a periodic direction."""
    low, high = problem.domain.bounds
    for d, periodic in enumerate(problem.domain.periodic):
        if not periodic:
            continue
        x = problem.domain.sample_interior(32, seed=0)
        ends = [jnp.asarray(np.insert(np.delete(x, d, 1), d, v[d], 1)) for v in (low, high)]
        for name, datum in problem.initial.items():
            first, last = (np.asarray(jax.vmap(datum)(y)) for y in ends)
            size = max(np.abs(first).max(), np.abs(last).max(), 1e-12)
            jump = np.abs(first - last).max() / size
            if jump > 1e-6:
                raise ValueError(
                    f"the direction {d} of the domain is periodic, and the initial {name!r} "
                    f"jumps across it by {jump:.1e} of its size: make it periodic, or the domain "
                    "not periodic there"
                )


def _constraint_trouble(problem: Problem) -> str | None:
    for name, form in problem.forms().items():
        if form.kind != "Constraint" or not form.equation.flux:
            continue
        if problem.dim == 1:
            return (
                f"the constraint of {name!r} is on a divergence, for which panels in 1-D have no "
                "stable pair of spaces; pm.FiniteElement has (Taylor–Hood)"
            )
        if not is_multiplier(form):
            return (
                f"the constraint of {name!r} uses gradients of {name!r}, and so needs conditions "
                "that a constraint does not take: write it as a balance with storage=pm.NoStorage"
            )
        for part, conditions in problem.conditions.items():
            if name in conditions and not conditions[name].free:
                return (
                    f"{name!r} is the multiplier of a constraint, which has no collocation points "
                    f"on the boundary, and it is prescribed on {part!r}: use pm.Outflow() there, "
                    "or pm.FiniteElement"
                )
    return None


def _gauge_trouble(problem: Problem) -> str | None:
    """A gauge takes the place of a null space; where there is none it is one equation too many."""
    names = set(problem.zero_mean) | {pin[0] for pin in problem.pins}
    if not names:
        return None
    if problem.dim == 1:
        return "a field is fixed by a gauge, which has no row on panels; use pm.FiniteElement"
    free = undetermined_fields(problem.forms(), problem.conditions, set(), problem.steady)
    for name in sorted(names):
        if name not in free:
            return (
                f"{name!r} has a gauge and is determined without: collocation has no row for "
                "that; leave the gauge out, or use pm.FiniteElement"
            )
    return None


def odd_order(problem: Problem) -> bool:
    """Whether a flux without gradients carries a second derivative, as in Korteweg–de Vries."""
    forms = problem.forms()

    def uses_gradients(name: str) -> bool:
        form = forms[name]
        return any(form.dependence(term).gradients for term in form.equation.flux)

    second = {name for name in forms if forms[name].kind == "Definition" and uses_gradients(name)}
    return any(
        forms[name].kind == "Balance"
        and not uses_gradients(name)
        and any(forms[name].dependence(term).values & second for term in forms[name].equation.flux)
        for name in forms
    )


def _inertia_trouble(problem: Problem, panels: Any) -> str | None:
    """A flux row of ∂ₜu is the time derivative of that of u, which must be known."""
    if problem.steady:
        return None
    forms = problem.forms()
    inertial = {name for name, form in forms.items() if form.has_inertia}
    one_panel = problem.dim > 1 or panels == 1
    for name in inertial:
        used = set().union(
            *(forms[name].dependence(term).fields for term in forms[name].equation.flux), set()
        )
        essential = all(c[name].all_essential for c in problem.conditions.values() if name in c)
        if used <= inertial or (essential and one_panel):
            continue
        return (
            f"{name!r} has inertia and its flux uses {sorted(used - inertial)}, which have none; "
            "in 1-D Chebyshev(panels=1) takes this with Dirichlet conditions, else use "
            "pm.FiniteElement"
        )
    return None
