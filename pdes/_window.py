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
    length: Any,
    initial: Mapping[str, Callable[[Array], Array]] | None = None,
    initial_rate: Mapping[str, Callable[[Array], Array]] | None = None,
    unit: bool = False,
) -> Problem:
    """The problem on [start, start + length], written in s = t − start ∈ [0, length].

    Terms, boundary data and pins see t = s + start. `start` is an array of the new problem, so
    that windows of one length are one compiled program. With `unit`, it is written in
    s = (t − start)/length ∈ [0, 1]: the length is an array as well, and windows of all lengths are
    one program. A balance is then ∂ₛ(ρ/length² ∂ₛu) + ∂ₛ(m/length) + ∇·ΣF = Σs.

    Arguments:
        initial, initial_rate: u and ∂ₜu at `start`, functions of x by field; the problem's own
            where None. unit: whether the new clock ends at 1.

    Raises:
        ValueError: a steady problem.
    """
    if problem.time is None:
        raise ValueError(f"the problem {problem.name!r} is steady: it has no window of time")
    real = jnp.result_type(float)
    clock = Clock(jnp.asarray(start, real), jnp.asarray(length, real) if unit else None)
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
        "time": (0.0, 1.0 if unit else float(length)),
        "initial": _data(problem, problem.initial, initial),
        "initial_rate": {
            name: datum if clock.pace is None else Datum(None, _Paced(datum, clock), 1, datum.shape)
            for name, datum in _data(problem, problem.initial_rate, initial_rate).items()
        },
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


class Clock(eqx.Module):
    """t = start + pace s; a pace of 1 where it is None."""

    start: Array
    pace: Array | None

    def later(self, s: Any, dtype: Any) -> Array:
        passed = jnp.asarray(s) if self.pace is None else self.pace.astype(dtype) * s
        return passed + self.start.astype(dtype)


class Delayed(PDE):
    """The equations of `inner` by another clock."""

    inner: PDE
    clock: Clock

    @property
    def fields(self):  # type: ignore[override]
        return self.inner.fields

    def equations(self) -> dict[str, Equation]:
        return {name: self._delayed(name, e) for name, e in self.inner.equations().items()}

    def _delayed(self, name: str, equation: Equation) -> Equation:
        flux = tuple(self._term(term) for term in equation.flux)
        source = tuple(self._term(term) for term in equation.source)
        if isinstance(equation, Definition):
            return Definition(flux, source)
        if isinstance(equation, Constraint):
            return Constraint(flux, source)
        assert isinstance(equation, Balance)
        storage = equation.storage
        if storage is None and self.clock.pace is not None:
            storage = _value_of(name)
        if storage is not None and storage is not NoStorage:
            storage = self._term(storage, rates=1)
        inertia = None if equation.inertia is None else self._term(equation.inertia, rates=2)
        return Balance(flux, source, storage, inertia)

    def _term(self, term: Callable[[Point], Any], rates: int = 0) -> Callable[[Point], Any]:
        """The term by this clock, divided by the pace for each rate that is taken of it."""
        pace = self.clock.pace

        def delayed(p: Point) -> Any:
            value = term(_later(p, self.clock))
            if pace is None or not rates:
                return value
            return value / pace.astype(p.x.dtype) ** rates

        delayed.__name__ = term_name(term)
        return delayed


def _value_of(name: str) -> Callable[[Point], Any]:
    def storage(p: Point) -> Any:
        return p.values[name]

    return storage


class _Paced(eqx.Module):
    """∂ₛu = pace ∂ₜu."""

    rate: Datum
    clock: Clock

    @property
    def smooth(self) -> bool:
        return getattr(self.rate.function, "smooth", False)

    def __call__(self, x: Array) -> Array:
        assert self.clock.pace is not None
        return self.rate(x) * self.clock.pace.astype(x.dtype)


class _DelayedDatum(eqx.Module):
    datum: Callable[..., Array]
    clock: Clock

    def __call__(self, x: Array, t: Any = 0.0) -> Array:
        return self.datum(x, self.clock.later(t, x.dtype))


class _DelayedFlux(eqx.Module):
    """F·n at the later time, by the form that knows no delay: its terms shall not add another."""

    natural: Callable[[Form, Point], Array]
    pde: PDE
    clock: Clock

    def __call__(self, form: Form, p: Point) -> Array:
        return self.natural(self.pde.forms(form.dim)[form.name], _later(p, self.clock))


def _later(p: Point, clock: Clock) -> Point:
    t = clock.later(p.t, p.x.dtype)
    return Point(p.x, t, p.values, p.gradients, p.n, p.region, p.cell)
