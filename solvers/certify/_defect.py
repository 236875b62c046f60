"""The problem that the error of given functions solves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pdes import PDE, Balance, Form, NoStorage, Point, Problem
from pdes._equation import Equation
from pdes._strong import gradients, time_terms
from solvers._solution import Representation


class Defect(PDE):
    """The equations of e = u − ũ, for given ũ: every term of `base` at the point of ũ + e.

    Its weak residual at e = 0 is that of ũ, in which only first derivatives of ũ appear, and
    ∂ₜm(ũ) where there is a time.

    Arguments:
        base: balances without inertia. known: ũ. steady: there is no time derivative.
    """

    base: PDE
    known: Representation
    steady: bool = eqx.field(static=True)

    @property
    def fields(self):  # type: ignore[override]
        return self.base.fields

    def equations(self) -> dict[str, Equation]:
        return {name: self._moved(name, eq) for name, eq in self.base.equations().items()}

    def _moved(self, name: str, equation: Equation) -> Equation:
        assert isinstance(equation, Balance)
        flux = tuple(self._term(term) for term in equation.flux)
        source = tuple(self._term(term) for term in equation.source)
        if self.steady or equation.storage is NoStorage:
            return Balance(flux, source, NoStorage)

        def rate(p: Point) -> Array:
            form = self.base.forms(p.x.shape[0])[name]
            return -time_terms(form, self.known.values, p.x, p.t, p.region, p.cell)

        def storage(p: Point) -> Array:
            form = self.base.forms(p.x.shape[0])[name]
            values = self.known.values(p.x, p.t)
            there = Point(p.x, p.t, values, None, None, p.region, p.cell)
            return form.storage(shift(self.known, p)) - form.storage(there)

        return Balance(flux, (*source, rate), storage)

    def _term(self, term: Callable) -> Callable:
        @functools.wraps(term)
        def moved(p: Point) -> Any:
            return term(shift(self.known, p))

        return moved


def shift(known: Representation, p: Point) -> Point:
    """The point whose fields are those of `p` and of ũ together."""
    if p.gradients is None:
        values = known.values(p.x, p.t)
        slopes = None
    else:
        values, grads = gradients(known.values, p.x, p.t)
        slopes = {name: p.gradients[name] + grads[name] for name in p.values}
    total = {name: p.values[name] + values[name] for name in p.values}
    return Point(p.x, p.t, total, slopes, p.n, p.region, p.cell)


class _Gap(eqx.Module):
    """g − ũ: a prescribed value less what is there."""

    value: Callable
    known: Representation
    field: str = eqx.field(static=True)

    def __call__(self, x: Array, t: Any = 0.0) -> Array:
        t = jnp.asarray(t, x.dtype)
        return self.value(x, t) - self.known.values(x, t)[self.field]


class _Start(eqx.Module):
    """u₀ − ũ at the start."""

    value: Callable
    known: Representation
    field: str = eqx.field(static=True)
    start: float = eqx.field(static=True)

    def __call__(self, x: Array, t: Any = 0.0) -> Array:
        there = self.known.values(x, jnp.asarray(self.start, x.dtype))[self.field]
        return self.value(x) - there


class _Natural(eqx.Module):
    """F·n as the condition prescribes it for ũ + e."""

    natural: Callable
    base: PDE
    known: Representation

    def __call__(self, form: Form, p: Point) -> Array:
        return self.natural(self.base.forms(form.dim)[form.name], shift(self.known, p))


def defect_problem(problem: Problem, known: Representation) -> Problem:
    """The problem whose solution is u − ũ: homogeneous where ũ satisfies its data."""
    start = 0.0 if problem.time is None else problem.time[0]

    def condition(c: Any) -> Any:
        moved = (_Gap(c.value, known, c.field), _Natural(c.natural, problem.pde, known))
        return eqx.tree_at(lambda q: (q.value, q.natural), c, moved)

    parts = tuple({n: condition(c) for n, c in by.items()} for by in problem._by_part)
    pins = tuple((n, x, _Gap(datum, known, n)) for n, x, datum in problem.pins)
    initial = {n: _Start(u, known, n, start) for n, u in problem.initial.items()}
    return problem._copied(
        pde=Defect(problem.pde, known, problem.steady),
        _by_part=parts,
        pins=pins,
        initial=initial,
    )
