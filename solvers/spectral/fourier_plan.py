"""What a Fourier discretisation will do, decided once from the structure of the equations.

Which terms go into the symbol and which are evaluated pointwise, from which fields and
gradients, with how many transforms; which entries of each small matrix are zero, one or real.
Everything here is static: numbers enter later, so that gradients in them can be taken.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdes import Box, Form, Problem
from solvers._result import NotApplicable
from solvers.spectral._dealias import ExponentialFilter, fraction_for
from solvers.spectral._symbol import (
    Layout,
    Maps,
    concrete,
    make_layout,
)
from solvers.spectral.fourier_pattern import Pattern, Sample, check_closure, sample_maps
from solvers.spectral.fourier_terms import (
    Slot,
    Term,
    degree_of,
    distinct_sums,
    has_data,
    slots_of,
    value_at_zero,
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One pass to the grid and back.

    Attributes:
        terms: evaluated at each grid point. quantities: what is transformed to the grid.
        outputs: for each transform back, the (row, direction) it feeds, with its sign.
        sums: the (row, direction) slots in the order in which the pointwise function sums them.
        picked: for each transform back, which of `sums` it is.
        inputs, extra, rate, fields: patterns of the maps state → quantities, transforms of the
            stage before → quantities, transforms → rate of the state, and → all fields.
            Where the state is projected, `rate` is that from rows of the equations.
        space: whether a term uses the position.
    """

    terms: tuple[Term, ...]
    quantities: tuple[Slot, ...]
    sums: tuple[Slot, ...]
    picked: tuple[int, ...]
    outputs: tuple[tuple[tuple[Slot, float], ...], ...]
    inputs: Pattern
    extra: Pattern
    rate: Pattern
    fields: Pattern
    space: bool

    @property
    def transforms(self) -> int:
        return len(self.quantities) + len(self.outputs)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything static about a Fourier discretisation.

    Attributes:
        linear: pattern of L; diagonal where it can be. projected: the state is projected.
        commuting: L commutes with the projection, so that it needs none itself.
        uniform: L is diagonal and the same for all components.
        data: terms whose value at zero fields is a source that does not change in time.
        filter: in place of the sharp cut at `fraction` of the modes.
    """

    layout: Layout
    points: tuple[int, ...]
    lower: tuple[float, ...]
    lengths: tuple[float, ...]
    kinds: tuple[str, ...]
    fraction: float
    stages: tuple[Stage, ...]
    data: tuple[Term, ...]
    data_sums: tuple[Slot, ...]
    data_rate: Pattern
    data_fields: Pattern
    linear: Pattern
    fields: Pattern
    projection: Pattern
    projected: bool
    commuting: bool
    uniform: bool
    filter: ExponentialFilter | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of a real transform."""
        return (*self.points[:-1], self.points[-1] // 2 + 1)

    @property
    def diagonal(self) -> bool:
        return all(i == j for i, j, _ in self.linear)


def obstacle(problem: Problem) -> str | None:
    """Why no Fourier discretisation of the problem is possible; None if one may be."""
    domain = problem.domain
    if not isinstance(domain, Box):
        return (
            f"the domain {type(domain).__name__} is no periodic box; pm.FiniteElement takes any "
            "domain"
        )
    if not all(domain.periodic):
        return (
            "the domain is not periodic in every direction; pm.Chebyshev or pm.FiniteElement take "
            "boundaries, Box(…, periodic=True) has none"
        )
    if domain.dim > 3:
        return f"the domain has {domain.dim} dimensions, of at most 3"
    for name, form in problem.forms().items():
        if problem.steady:
            if not form.is_constant:
                return (
                    f"the problem is steady and the equation of {name!r} is not affine with "
                    "constant coefficients; use pm.FiniteElement"
                )
            continue
        if form.has_storage and callable(form.equation.storage):  # type: ignore[attr-defined]
            dependence = form.dependence(form.equation.storage)  # type: ignore[attr-defined]
            if not dependence.constant or dependence.fields != {name}:
                return (
                    f"the storage of {name!r} is not linear in {name!r} with constant "
                    "coefficients; use pm.FiniteElement"
                )
        if form.has_inertia and not form.dependence(form._momentum).constant:
            return f"the inertia of {name!r} is not constant; use pm.FiniteElement"
        if form.kind == "Constraint":
            if form.has_inertia or any(f.has_inertia for f in problem.forms().values()):
                return "constraints beside an inertia are not supported; use pm.FiniteElement"
            if not form.is_constant or has_data(form):
                return (
                    f"the constraint of {name!r} is not linear with constant coefficients and "
                    "without a source; use pm.FiniteElement"
                )
    return None


def make_plan(
    problem: Problem,
    points: tuple[int, ...],
    fraction: float | None,
    smooth: ExponentialFilter | None = None,
) -> Plan:
    """Decides how the problem is discretised.

    Arguments:
        points: in each direction. fraction: of the modes that pointwise terms may use; None
            chooses by their degree. smooth: a filter instead.

    Raises:
        NotApplicable: the equations have a structure that no elimination handles.
    """
    domain = problem.domain
    assert isinstance(domain, Box)
    low, high = domain.bounds
    gauged = set(problem.zero_mean) | {pin[0] for pin in problem.pins}
    with jax.ensure_compile_time_eval():
        pde = concrete(problem.pde)
        forms = pde.forms(problem.dim)
        layout = make_layout(forms, problem.dim, problem.steady, gauged)
        kinds = tuple(forms[name].kind for name in layout.names for _ in layout.components(name))
    sample = sample_maps(pde, layout)
    with jax.ensure_compile_time_eval():
        if not problem.steady:
            check_closure(sample, layout)
        pointwise, data = _sort_terms(forms)
        if fraction is None:
            degrees = [degree_of(term, forms, layout) for term in pointwise]
            fraction = fraction_for(max(degrees, default=0.0))
        groups = _group(pointwise, forms, layout, sample)
        stages: list[Stage] = []
        for group in groups:
            stages.append(_stage(group, forms, layout, kinds, sample, stages))
        data_sums = slots_of(data, layout)
        columns = tuple(((slot, 1.0),) for slot in data_sums)
        return Plan(
            layout=layout,
            points=points,
            lower=tuple(float(v) for v in low),
            lengths=tuple(float(v) for v in high - low),
            kinds=kinds,
            fraction=fraction,
            stages=tuple(stages),
            data=data,
            data_sums=data_sums,
            data_rate=sample.pattern(lambda m, k: m.rate, columns, kinds),
            data_fields=sample.pattern(lambda m, k: m.corrections, columns, kinds),
            linear=sample.plain(lambda m: m.unprojected if sample.commuting else m.linear),
            fields=sample.plain(lambda m: m.fields),
            projection=sample.plain(lambda m: m.projection),
            projected=bool(layout.multipliers),
            commuting=sample.commuting,
            uniform=sample.uniform(),
            filter=smooth,
        )


def _sort_terms(forms: dict[str, Form]) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Terms for the grid at each evaluation, and those whose data are transformed once."""
    pointwise, data = [], []
    for name, form in forms.items():
        for kind in ("flux", "source"):
            for i, term in enumerate(getattr(form.equation, kind)):
                dependence = form.dependence(term)
                if not dependence.constant:
                    pointwise.append(Term(name, kind, i))
                    continue
                varies = dependence.space or dependence.time
                if not varies and not value_at_zero(term, form.shapes, form.dim):
                    continue
                # A definition's data may be needed on the grid, so they go the same way.
                if dependence.time or form.kind == "Definition":
                    pointwise.append(Term(name, kind, i, data=True))
                else:
                    data.append(Term(name, kind, i, data=True))
    return tuple(pointwise), tuple(data)


def _uses(term: Term, forms: dict[str, Form], layout: Layout) -> set[int]:
    if term.data:
        return set()
    dependence = forms[term.field].dependence(term.function(forms))
    return {i for name in dependence.fields for i in layout.components(name)}


def _group(terms, forms, layout: Layout, sample: Sample) -> list[tuple[Term, ...]]:
    """One stage, or two where terms of evolving rows need fields that have pointwise parts."""
    if not terms:
        return []
    late = {*layout.algebraic, *layout.multipliers}
    first = tuple(t for t in terms if late & set(layout.components(t.field)))
    second = tuple(t for t in terms if t not in first)

    def touched(group: tuple[Term, ...]) -> set[int]:
        """Components that the group's right-hand sides change at once."""
        rows = [i for t in group for i in layout.components(t.field)]
        if sample.maps is None:
            return late if rows else set()
        c = np.abs(sample.maps.corrections)
        return {i for i in late if rows and c[i, rows].max() > 0}

    for term in second:
        circular = _uses(term, forms, layout) & touched(second)
        if circular:
            raise NotApplicable(_circle(term, circular, layout))
    for term in first:
        circular = _uses(term, forms, layout) & (touched(first) | touched(second))
        if circular:
            raise NotApplicable(_circle(term, circular, layout))
    needed = {i for t in second for i in _uses(t, forms, layout)}
    if first and second and needed & touched(first):
        return [first, second]
    return [terms]


def _circle(term: Term, circular: set[int], layout: Layout) -> str:
    names = [n for n in layout.names if circular & set(layout.components(n))]
    return (
        f"the {term.kind} of {term.field!r} is nonlinear in {names}, which depend on it in turn at "
        "the same time; use pm.FiniteElement"
    )


def _stage(terms, forms, layout: Layout, kinds, sample: Sample, before: list[Stage]) -> Stage:
    quantities: dict[Slot, None] = {}
    space, polynomial = False, True
    for term in terms:
        dependence = forms[term.field].dependence(term.function(forms))
        space |= dependence.space
        polynomial &= not (dependence.space or dependence.time)
        polynomial &= np.isfinite(degree_of(term, forms, layout))
        if term.data:
            continue
        for name in sorted(dependence.values):
            quantities.update({(i, -1): None for i in layout.components(name)})
        for name in sorted(dependence.gradients):
            for i in layout.components(name):
                quantities.update({(i, d): None for d in range(layout.dim)})
    slots = tuple(quantities)
    sums = slots_of(terms, layout)
    picked, outputs = distinct_sums(terms, forms, layout, slots, sums, polynomial)

    def inputs(m: Maps) -> Any:
        return quantity_map(m.fields, slots, sample.k)

    extra: Pattern = ()
    if before:
        extra = sample.pattern(
            lambda m, k: quantity_map(m.corrections, slots, sample.k),
            before[-1].outputs,
            kinds,
        )
    return Stage(
        terms=tuple(terms),
        quantities=slots,
        sums=sums,
        picked=picked,
        outputs=outputs,
        inputs=sample.plain(inputs) if slots else (),
        extra=extra,
        rate=sample.plain(lambda m: m.rate)
        if layout.multipliers
        else sample.pattern(lambda m, k: m.rate, outputs, kinds),
        fields=sample.pattern(lambda m, k: m.corrections, outputs, kinds),
        space=space,
    )


def quantity_map(fields: Any, slots: tuple[Slot, ...], k: Any) -> Any:
    """Rows of `fields` (n, columns, *grid) for each slot, times ik for gradients."""
    rows = [fields[i] if d < 0 else 1j * k[d] * fields[i] for i, d in slots]
    return np.stack(rows) if isinstance(fields, np.ndarray) else jnp.stack(rows)
