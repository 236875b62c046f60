"""A problem on a part of its time, with initial data of its own and a clock that starts at 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pdes._data import Datum
from pdes._equation import Balance, Constraint, Definition, Equation, NoStorage, term_name
from pdes._pde import PDE, Form
from pdes._point import Point
from pdes._problem import Problem


def window(
    problem: Problem,
    start: Any,
    length: float,
    initial: Mapping[str, Callable[[Array], Array]] | None = None,
    initial_rate: Mapping[str, Callable[[Array], Array]] | None = None,
) -> Problem:
    """The problem on [start, start + length], written in s = t − start ∈ [0, length].

    Terms, boundary data and pins see t = s + start. `start` is an array of the new problem, so
    that windows of one length are one compiled program.

    Arguments:
        initial, initial_rate: u and ∂ₜu at `start`, functions of x by field; the problem's own
            where None.

    Raises:
        ValueError: a steady problem.
    """
    if problem.time is None:
        raise ValueError(f"the problem {problem.name!r} is steady: it has no window of time")
    clock = jnp.asarray(start, jnp.result_type(float))
    pde = Delayed(problem.pde, clock)
    conditions = tuple(
        {
            name: dataclasses.replace(
                condition,
                value=_DelayedDatum(condition.value, clock),
                natural=_DelayedFlux(condition.natural, problem.pde, clock),
            )
            for name, condition in by_field.items()
        }
        for by_field in problem.conditions.values()
    )
    own = {
        "pde": pde,
        "time": (0.0, float(length)),
        "initial": _data(problem, problem.initial, initial),
        "initial_rate": _data(problem, problem.initial_rate, initial_rate),
        "_by_part": conditions,
        "pins": tuple((name, x, _DelayedDatum(datum, clock)) for name, x, datum in problem.pins),
        "exact": {
            name: Datum(None, _DelayedDatum(datum, clock), 2, datum.shape)
            for name, datum in problem.exact.items()
        },
    }
    # All of it has been checked when the problem was made: nothing is resolved again.
    return problem._copied(**own)


def _data(problem: Problem, given: dict[str, Datum], new: Mapping[str, Callable] | None):
    if new is None:
        return given
    return {name: Datum(None, new[name], 1, problem.shapes[name]) for name in given}


class Delayed(PDE):
    """The equations of `inner` with t replaced by t + start."""

    inner: PDE
    start: Array

    @property
    def fields(self):  # type: ignore[override]
        return self.inner.fields

    def equations(self) -> dict[str, Equation]:
        return {name: self._delayed(e) for name, e in self.inner.equations().items()}

    def _delayed(self, equation: Equation) -> Equation:
        flux = tuple(self._term(term) for term in equation.flux)
        source = tuple(self._term(term) for term in equation.source)
        if isinstance(equation, Definition):
            return Definition(flux, source)
        if isinstance(equation, Constraint):
            return Constraint(flux, source)
        assert isinstance(equation, Balance)
        storage = equation.storage
        if storage is not None and storage is not NoStorage:
            storage = self._term(storage)
        inertia = None if equation.inertia is None else self._term(equation.inertia)
        return Balance(flux, source, storage, inertia)

    def _term(self, term: Callable[[Point], Any]) -> Callable[[Point], Any]:
        def delayed(p: Point) -> Any:
            return term(_later(p, self.start))

        delayed.__name__ = term_name(term)
        return delayed


class _DelayedDatum(eqx.Module):
    datum: Callable[..., Array]
    start: Array

    def __call__(self, x: Array, t: Any = 0.0) -> Array:
        return self.datum(x, jnp.asarray(t) + self.start.astype(x.dtype))


class _DelayedFlux(eqx.Module):
    """F·n at the later time, by the form that knows no delay: its terms shall not add another."""

    natural: Callable[[Form, Point], Array]
    pde: PDE
    start: Array

    def __call__(self, form: Form, p: Point) -> Array:
        return self.natural(self.pde.forms(form.dim)[form.name], _later(p, self.start))


def _later(p: Point, start: Array) -> Point:
    return Point(p.x, p.t + start.astype(p.x.dtype), p.values, p.gradients, p.n, p.region, p.cell)
