"""Problem: an equation on a domain, with data; checked when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pdes._arguments import (
    bind_regions,
    boundary_data,
    check_time,
    exact_solutions,
    gauges,
    initial_data,
    pinned,
    takes,
)
from pdes._boundary import FieldCondition
from pdes._data import Datum, check_finite
from pdes._nullspace import undetermined_fields
from pdes._pde import PDE, Form
from pdes._strong import Fields, strong_residual
from pdes.domain._base import Domain


class Problem(eqx.Module):
    """A PDE on a domain with initial and boundary data: what every method takes.

    Arguments:
        pde: the equations. domain: where they hold.
        time: (start, end), or None for a steady problem.
        initial: for each field with storage or inertia, u₀(x), a number or an array.
        initial_rate: for each field with inertia, ∂ₜu at the start.
        boundary: from the name of a part of the boundary, or "all", to a condition or a list.
            A specific name overrides "all" as a whole; at a shared corner the later entry wins.
        gauge: from a field to `ZeroMean()` or `Pin(x, field=value)`, for null spaces.
        exact: for known solutions, from a field to u(x, t).
        name: for reports.

    A method works with `forms()`, `conditions`, `initial_value` and `domain`; it never looks
    at the user's spelling.

    Raises:
        ValueError: a term of the wrong shape, an unknown boundary name, a missing initial or
            boundary condition, data that are not finite, a null space without a gauge.
    """

    pde: PDE
    domain: Domain = eqx.field(static=True)
    time: tuple[float, float] | None = eqx.field(static=True)
    initial: dict[str, Datum]
    initial_rate: dict[str, Datum]
    # Names beside values, since a dictionary comes back from jit with its keys sorted.
    _parts: tuple[str, ...] = eqx.field(static=True)
    _by_part: tuple[dict[str, FieldCondition], ...]
    pins: tuple[tuple[str, Any, Datum], ...]
    # The last ones are the gauge's; those before are boundary conditions.
    _gauge_pins: int = eqx.field(static=True)
    zero_mean: dict[str, float] = eqx.field(static=True)
    exact: dict[str, Datum]
    name: str = eqx.field(static=True)

    def __init__(
        self,
        pde: PDE,
        domain: Domain,
        time: tuple[float, float] | None = None,
        initial: Mapping[str, Any] | None = None,
        initial_rate: Mapping[str, Any] | None = None,
        boundary: Mapping[str, Any] | None = None,
        gauge: Mapping[str, Any] | None = None,
        exact: Mapping[str, Any] | None = None,
        name: str | None = None,
    ):
        if not isinstance(pde, PDE):
            hint = " (call the class: Burgers())" if isinstance(pde, type) else ""
            raise TypeError(f"Problem needs a pm.PDE, got {pde!r}{hint}")
        if not isinstance(domain, Domain):
            raise TypeError(f"Problem needs a domain such as pm.Interval(0, 1), got {domain!r}")
        self.pde = bind_regions(pde, domain)
        self.domain = domain
        self.time = check_time(time)
        self.name = name or type(pde).__name__
        forms = self.pde.forms(domain.dim)
        for form in forms.values():
            form.check_shapes()
        self.initial, self.initial_rate = initial_data(
            forms, domain, self.time, initial or {}, initial_rate or {}
        )
        conditions, pins = boundary_data(forms, domain, boundary or {})
        self._parts, self._by_part = tuple(conditions), tuple(conditions.values())
        self.zero_mean, gauge_pins = gauges(forms, gauge or {})
        self.pins = tuple(pinned(pin, forms, domain) for pin in (*pins, *gauge_pins))
        self._gauge_pins = len(gauge_pins)
        self.exact = exact_solutions(forms, domain, exact or {})
        self._check(forms)

    def _check(self, forms: dict[str, Form]) -> None:
        self._check_data()
        fixed = set(self.zero_mean) | {pin[0] for pin in self.pins}
        free = undetermined_fields(forms, self.conditions, fixed, self.time is None)
        if free:
            raise ValueError(
                f"the field {free[0]!r} is fixed only up to a constant: no condition prescribes "
                f"its value. Give gauge={{{free[0]!r}: pm.ZeroMean()}} or pin one point, "
                f"gauge={{{free[0]!r}: pm.Pin(x, {free[0]}=0.0)}}"
            )

    def forms(self) -> dict[str, Form]:
        """Each field's equation, ready to evaluate at a point."""
        return self.pde.forms(self.domain.dim)

    @property
    def conditions(self) -> dict[str, dict[str, FieldCondition]]:
        """Each part's condition on each field; at a shared corner the later part wins."""
        return dict(zip(self._parts, self._by_part, strict=True))

    @property
    def dim(self) -> int:
        return self.domain.dim

    @property
    def steady(self) -> bool:
        return self.time is None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each field's value."""
        return {name: kind.shape(self.dim) for name, kind in self.pde.fields.items()}

    @property
    def evolving(self) -> tuple[str, ...]:
        """Fields that take initial data: balances with storage or inertia, in time."""
        if self.steady:
            return ()
        return tuple(n for n, f in self.forms().items() if f.has_storage or f.has_inertia)

    def initial_value(self, field: str, x: Array) -> Array:
        """u₀ at one point."""
        return self.initial[field](x)

    def residual(self, fields: Fields, x: Array, t: Any = 0.0) -> dict[str, Array]:
        """Strong residual of each equation at one point, for fields(x, t) -> dict of values."""
        t = jnp.asarray(t, x.dtype)
        return strong_residual(self.forms(), fields, x, t, steady=self.steady)

    def exact_value(self, field: str, x: Array, t: Any = 0.0) -> Array:
        """The known solution at one point.

        Raises:
            ValueError: none is known for this field.
        """
        if field not in self.exact:
            raise ValueError(f"no exact solution of {field!r} is known for {self.name!r}")
        return self.exact[field](x, jnp.asarray(t, x.dtype))

    def replace(self, **changes: Any) -> Problem:
        """A copy with other arguments of the constructor, checked as there.

        Arguments:
            changes: any of pde, time, initial, initial_rate, boundary, gauge, exact, name, spelled
                as for `Problem`; what is given replaces the old as a whole. The known solution is
                left out where the equations, the data or their time change, unless a new one is
                given; another end of time keeps it.

        Raises:
            ValueError: another domain, whose parts and regions the data would have to name anew; an
                unknown argument; equations of other fields without their boundary conditions; or
                what `Problem` refuses.
        """
        self._check_changes(changes)
        pde = changes.get("pde", self.pde)
        if not isinstance(pde, PDE):
            raise TypeError(f"replace(pde=…) needs a pm.PDE, got {pde!r}")
        pde = bind_regions(pde, self.domain) if "pde" in changes else pde
        forms = pde.forms(self.dim)
        if "pde" in changes:
            for form in forms.values():
                form.check_shapes()
        time = check_time(changes["time"]) if "time" in changes else self.time
        # A field that does not evolve any more takes no data of the start.
        starts = [
            changes[label] or {}
            if label in changes
            else {n: u for n, u in getattr(self, label).items() if takes(forms, time, label, n)}
            for label in ("initial", "initial_rate")
        ]
        new: dict[str, Any] = {"pde": pde, "time": time, "name": changes.get("name") or self.name}
        new["initial"], new["initial_rate"] = initial_data(forms, self.domain, time, *starts)
        kept = len(self.pins) - self._gauge_pins
        pins, gauge_pins = self.pins[:kept], self.pins[kept:]
        if "boundary" in changes:
            conditions, found = boundary_data(forms, self.domain, changes["boundary"] or {})
            new["_parts"], new["_by_part"] = tuple(conditions), tuple(conditions.values())
            pins = tuple(pinned(pin, forms, self.domain) for pin in found)
        if "gauge" in changes:
            new["zero_mean"], found = gauges(forms, changes["gauge"] or {})
            gauge_pins = tuple(pinned(pin, forms, self.domain) for pin in found)
        new["pins"], new["_gauge_pins"] = (*pins, *gauge_pins), len(gauge_pins)
        if "exact" in changes:
            new["exact"] = exact_solutions(forms, self.domain, changes["exact"] or {})
        elif _start(time) != _start(self.time) or changes.keys() & _DATA:
            new["exact"] = {}
        made = self._copied(**new)
        made._check(forms)
        return made

    def _check_changes(self, changes: dict[str, Any]) -> None:
        if "domain" in changes:
            raise ValueError(
                "replace takes no domain, since conditions and materials are by the names of the "
                "old one: make a new Problem"
            )
        unknown = sorted(changes.keys() - set(_REPLACEABLE))
        if unknown:
            raise ValueError(
                f"replace: a problem has no argument {unknown[0]!r}; it takes "
                f"{', '.join(_REPLACEABLE)}"
            )
        fields = getattr(changes.get("pde"), "fields", None)
        if isinstance(changes.get("pde"), PDE) and fields is not None and "boundary" not in changes:
            old, new = sorted(self.pde.fields), sorted(fields)
            if old != new:
                raise ValueError(
                    f"replace: the new equations are of {new}, the conditions of {old}; give "
                    "boundary= as well"
                )

    def _copied(self, **values: Any) -> Problem:
        """A copy with attributes that have been checked already, or need no check."""
        made = object.__new__(Problem)
        for field in dataclasses.fields(Problem):
            value = values[field.name] if field.name in values else getattr(self, field.name)
            object.__setattr__(made, field.name, value)
        return made

    def _check_data(self) -> None:
        """Samples all data and refuses values that are not finite; skipped while tracing."""
        leaves = jax.tree.leaves(eqx.filter(self, eqx.is_array))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return
        with jax.ensure_compile_time_eval():
            interior = self.domain.sample_interior(64, seed=0)
            start = np.full(64, 0.0 if self.time is None else self.time[0])
            for label, data in (("initial", self.initial), ("initial_rate", self.initial_rate)):
                for name, datum in data.items():
                    check_finite(datum, interior, start, f"{label}[{name!r}]")
            for part, by_field in self.conditions.items():
                sample = self.domain.sample_boundary(16, seed=0, part=part)
                times = np.linspace(*(self.time or (0.0, 0.0)), len(sample.points))
                for name, condition in by_field.items():
                    if isinstance(condition.value, Datum) and condition.any_essential:
                        what = f"{condition.kinds[0]} on {part!r}, field {name!r}"
                        check_finite(condition.value, sample.points, times, what)


# What a known solution depends on, besides the time of the initial data.
_DATA = {"pde", "initial", "initial_rate", "boundary", "gauge"}
_REPLACEABLE = ("pde", "time", "initial", "initial_rate", "boundary", "gauge", "exact", "name")


def _start(time: tuple[float, float] | None) -> float | None:
    return None if time is None else time[0]
