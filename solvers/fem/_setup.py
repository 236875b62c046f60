"""From a problem, a space and their integrals to a system of equations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from pdes import Problem
from pdes._arrays import on_device
from solvers._newton import NewtonOptions
from solvers._same import Hidden
from solvers.fem._build import padded_points, uncondensed
from solvers.fem._constraints import essential_values
from solvers.fem._coupling import Coupling
from solvers.fem._layout import layout_of
from solvers.fem._means import initial_data, mean_values
from solvers.fem._space import Space
from solvers.fem._system import FEMSystem
from solvers.linear import LinearSolver, places_of

if TYPE_CHECKING:
    from solvers.fem._method import FiniteElement


def linear_of(method: FiniteElement) -> LinearSolver:
    """The solver that its option names."""
    return LinearSolver(method.linear) if isinstance(method.linear, str) else method.linear


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
    linear = linear_of(method)
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
        fixed=on_device(fixed),
        kept=on_device(uncondensed(pattern, fixed, places.count)),
        diagonal=on_device(coupling.diagonal),
        algebraic_rows=on_device(algebraic),
        given=on_device(given),
        start_time=on_device(np.asarray(problem.time[0] if problem.time else 0.0, dtype)),
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
