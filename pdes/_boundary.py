"""Boundary conditions by field, and what each prescribes: values, normal flux, or both.

Every condition is reduced, for one field on one part of the boundary, to a `FieldCondition`:
which components are essential and their values, and the normal flux F·n of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._data import Datum, as_datum
from pdes._pde import Form
from pdes._point import Point


class Condition:
    """What a user puts on a boundary; each kind prescribes some fields."""

    def __init__(self, **fields: Any):
        self.fields: dict[str, Any] = fields

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.fields.items())
        return f"{type(self).__name__}({inside})"


class Dirichlet(Condition):
    """u = g. Values are numbers, arrays or functions g(x, t).

    A tuple prescribes by component; `None` frees one, whose normal flux is then zero unless a
    Neumann or Robin condition beside this one gives it: `Dirichlet(u=(0.0, None))`.
    """

    def __init__(self, **fields: Any):
        if not fields:
            raise ValueError("Dirichlet needs a field: Dirichlet(u=0.0)")
        super().__init__(**fields)


class Neumann(Condition):
    """F·n = g, with n the outward normal and F the sum of the field's flux terms as written.

    For a diffusion flux F = −k∇u, `Neumann(u=g)` is −k ∂u/∂n = g: the flow out of the domain.
    `terms=("stress",)` prescribes these terms only; the others are evaluated from inside.
    """

    def __init__(self, *, terms: Sequence[str] | None = None, **fields: Any):
        if not fields:
            raise ValueError("Neumann needs a field: Neumann(u=0.0)")
        super().__init__(**fields)
        self.terms = None if terms is None else (terms,) if isinstance(terms, str) else tuple(terms)


class Robin(Condition):
    """F·n = g(p), with g a function of the point, which has its fields and its normal `p.n`.

    Heat transfer F·n = h (u − u∞): `Robin(u=lambda p: h * (p.u - u_ambient))`.
    """

    def __init__(self, **fields: Any):
        if not fields:
            raise ValueError("Robin needs a field: Robin(u=lambda p: p.u)")
        for name, g in fields.items():
            if not callable(g):
                raise TypeError(f"Robin({name}=…) takes a function of the point, got {g!r}")
        super().__init__(**fields)


class Outflow(Condition):
    """The flux terms that use gradients have no normal component (a fluid's stress, pressure
    included); the others, convection, are evaluated from inside. Names the fields it is for;
    by default every field that has a flux and no other condition there.
    """

    def __init__(self, *names: str):
        super().__init__(**{name: 0.0 for name in names})


class Traction(Condition):
    """σ·n = t for solids, where the flux is F = −σ: the same as `Neumann(u=-t)`."""

    def __init__(self, **fields: Any):
        if not fields:
            raise ValueError("Traction needs a field: Traction(u=(0.0, -1.0))")
        super().__init__(**fields)


class Slip(Condition):
    """u·n = 0 and no tangential part of F·n, for vector fields: `Slip("u")`."""

    def __init__(self, *names: str):
        if not names:
            raise ValueError('Slip needs a vector field: Slip("u")')
        super().__init__(**{name: 0.0 for name in names})


class Wall(Condition):
    """A wall that nothing passes and where everything slides: `Slip` for every vector field and
    F·n = 0 for every other field with a flux. Finite volumes mirror the state at it.
    """

    def __init__(self) -> None:
        super().__init__()


class Free(Condition):
    """Nothing is prescribed: F·n is evaluated from inside, `Free("w")`."""

    def __init__(self, *names: str):
        if not names:
            raise ValueError('Free needs a field: Free("w")')
        super().__init__(**{name: None for name in names})


class Pin(Condition):
    """The value at the mesh vertex or node nearest to one point: `Pin((0.0, 0.0), p=0.0)`."""

    def __init__(self, x: Any, **fields: Any):
        if not fields:
            raise ValueError("Pin needs a field: Pin((0.0, 0.0), p=0.0)")
        super().__init__(**fields)
        self.x = np.atleast_1d(np.asarray(x, dtype=float))


class ZeroMean:
    """Gauge: ∫ field = value (0 by default)."""

    def __init__(self, value: float = 0.0):
        self.value = float(value)

    def __repr__(self) -> str:
        return f"ZeroMean({self.value:g})"


class FieldCondition(eqx.Module):
    """One field on one part of the boundary, ready for a discretisation.

    Attributes:
        field: the field's name. kinds: names of the conditions that made it, for reports.
        essential: for each component (one for a scalar), whether its value is prescribed.
        normal_only: Slip: the normal component of a vector is prescribed (zero), the others not.
        value: g(x, t) of the field's shape; 0 on components that are not essential.
        natural: (form, point) -> F·n of the field's shape, to be used in ∮F·n v on components
            that are not essential. The point has fields, gradients and the normal.
        free: F·n is evaluated from inside (nothing prescribed).
        prescribed_terms: names of the flux terms whose normal part is prescribed; None = all.
    """

    field: str = eqx.field(static=True)
    kinds: tuple[str, ...] = eqx.field(static=True)
    essential: tuple[bool, ...] = eqx.field(static=True)
    normal_only: bool = eqx.field(static=True)
    value: Callable[..., Array]
    natural: Callable[[Form, Point], Array]
    free: bool = eqx.field(static=True)
    prescribed_terms: tuple[str, ...] | None = eqx.field(static=True)

    @property
    def all_essential(self) -> bool:
        return all(self.essential)

    @property
    def any_essential(self) -> bool:
        return any(self.essential)


class _ComponentValues(eqx.Module):
    """A tuple of numbers, functions and None as one function of the field's shape."""

    data: tuple[Datum | None, ...]

    def __call__(self, x: Array, t: Any = 0.0) -> Array:
        zero = jnp.zeros((), x.dtype)
        return jnp.stack([zero if d is None else d(x, t) for d in self.data])


class _Prescribed(eqx.Module):
    """Neumann: g for the named terms, the others from inside."""

    datum: Datum
    terms: tuple[str, ...] | None = eqx.field(static=True)
    sign: float = eqx.field(static=True)

    def __call__(self, form: Form, p: Point) -> Array:
        g = self.sign * self.datum(p.x, p.t)
        if self.terms is None:
            return g
        rest = tuple(name for name in form.flux_names if name not in self.terms)
        return g + form.flux(p, rest) @ p.n


class _FromPoint(eqx.Module):
    """Robin: g(p)."""

    function: Callable

    def __call__(self, form: Form, p: Point) -> Array:
        return jnp.broadcast_to(jnp.asarray(self.function(p)), form.shape)


class _Inside(eqx.Module):
    """Free: F·n from the interior trace."""

    def __call__(self, form: Form, p: Point) -> Array:
        return form.flux(p) @ p.n


class _ZeroFlux(eqx.Module):
    """The flux of a component that Dirichlet left free, or of Slip's tangential part."""

    def __call__(self, form: Form, p: Point) -> Array:
        return jnp.zeros(form.shape, p.x.dtype)


def resolve(
    part: str, conditions: Sequence[Condition], forms: Mapping[str, Form]
) -> dict[str, FieldCondition]:
    """The conditions of one part of the boundary, by field.

    Raises:
        ValueError: an unknown field or term, a value of the wrong shape, two conditions for the
            same components.
    """
    essential: dict[str, tuple[Condition, tuple[bool, ...], Callable]] = {}
    natural: dict[str, tuple[Condition, Callable, bool, tuple[str, ...] | None]] = {}
    for condition in _without_walls(part, conditions, forms):
        if isinstance(condition, Pin):
            continue
        for name, value in _fields_of(condition, forms, essential, natural).items():
            where = f"{type(condition).__name__} on {part!r}, field {name!r}"
            if name not in forms:
                raise ValueError(f"{where}: no such field; the fields are {sorted(forms)}")
            form = forms[name]
            if isinstance(condition, (Dirichlet, Slip)):
                if name in essential:
                    raise ValueError(f"{where}: the value is prescribed twice; keep one")
                essential[name] = (condition, *_essential(condition, value, form, where))
            else:
                if name in natural:
                    raise ValueError(f"{where}: the flux is prescribed twice; keep one")
                natural[name] = (condition, *_natural(condition, value, form, where))
    return {
        name: _join(name, forms[name], essential.get(name), natural.get(name), part)
        for name in forms
        if name in essential or name in natural
    }


def _without_walls(part: str, conditions, forms) -> list[Condition]:
    """Walls written as the conditions that they stand for."""
    out: list[Condition] = []
    for condition in conditions:
        if not isinstance(condition, Wall):
            out.append(condition)
            continue
        vectors = [n for n, f in forms.items() if f.shape == (f.dim,) and f.kind == "Balance"]
        if not vectors:
            raise ValueError(
                f"Wall on {part!r} turns vector fields, and there is none among {sorted(forms)}: "
                "write the momentum as pm.Vector(), or give the conditions field by field"
            )
        others = [
            n
            for n, f in forms.items()
            if n not in vectors and f.kind != "Constraint" and f.equation.flux
        ]
        out.append(Slip(*vectors))
        if others:
            out.append(Neumann(terms=None, **dict.fromkeys(others, 0.0)))
    return out


def _fields_of(condition, forms, essential, natural) -> dict[str, Any]:
    if isinstance(condition, Outflow) and not condition.fields:
        return {
            name: 0.0
            for name, form in forms.items()
            if form.kind != "Constraint"
            and form.equation.flux
            and name not in essential
            and name not in natural
        }
    return condition.fields


def _essential(condition, value, form: Form, where: str) -> tuple[tuple[bool, ...], Callable]:
    if isinstance(condition, Slip):
        if form.shape != (form.dim,):
            raise ValueError(f"{where}: Slip is for vector fields, this one has shape {form.shape}")
        return (False,) * form.dim, as_datum(0.0, form.shape, form.dim, where)
    size = int(np.prod(form.shape, dtype=int))
    if isinstance(value, (tuple, list)) and form.shape:
        if len(value) != size:
            raise ValueError(f"{where}: got {len(value)} components, expected {size}")
        data = tuple(
            None if v is None else as_datum(v, (), form.dim, f"{where}, component {i}")
            for i, v in enumerate(value)
        )
        if all(d is None for d in data):
            raise ValueError(f"{where}: every component is None; drop the condition or use Free")
        return tuple(d is not None for d in data), _ComponentValues(data)
    return (True,) * max(size, 1), as_datum(value, form.shape, form.dim, where)


def _natural(
    condition: Condition, value: Any, form: Form, where: str
) -> tuple[Callable, bool, tuple[str, ...] | None]:
    if not form.equation.flux and not isinstance(condition, Free):
        raise ValueError(f"{where}: the equation of {form.name!r} has no flux to prescribe")
    if form.kind == "Constraint" and not isinstance(condition, Free):
        raise ValueError(f"{where}: a constraint takes no flux condition")
    if isinstance(condition, Free):
        return _Inside(), True, ()
    if isinstance(condition, Robin):
        return _FromPoint(value), False, None
    if isinstance(condition, Outflow):
        terms = tuple(
            name
            for name, term in zip(form.flux_names, form.equation.flux, strict=True)
            if form.dependence(term).gradients
        )
        return _Prescribed(as_datum(0.0, form.shape, form.dim, where), terms, 1.0), False, terms
    sign = -1.0 if isinstance(condition, Traction) else 1.0
    terms = getattr(condition, "terms", None)
    if terms is not None:
        unknown = [name for name in terms if name not in form.flux_names]
        if unknown:
            raise ValueError(
                f"{where}: no flux term {unknown[0]!r}; the terms are {list(form.flux_names)}"
            )
    return _Prescribed(as_datum(value, form.shape, form.dim, where), terms, sign), False, terms


def _join(name, form: Form, essential, natural, part: str) -> FieldCondition:
    size = max(int(np.prod(form.shape, dtype=int)), 1)
    kinds = tuple(type(c[0]).__name__ for c in (essential, natural) if c is not None)
    mask: tuple[bool, ...] = (False,) * size
    value: Callable = as_datum(0.0, form.shape, form.dim, part)
    normal_only = False
    if essential is not None:
        condition, mask, value = essential
        normal_only = isinstance(condition, Slip)
    if natural is None:
        return FieldCondition(name, kinds, mask, normal_only, value, _ZeroFlux(), False, None)
    if all(mask):
        raise ValueError(
            f"{' and '.join(kinds)} on {part!r} both prescribe field {name!r}: keep one, or free "
            "components of Dirichlet with None"
        )
    _, flux, free, terms = natural
    return FieldCondition(name, kinds, mask, normal_only, value, flux, free, terms)
