"""Arguments of a problem, checked and resolved: time, initial data, conditions, gauges, exact
solutions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pdes._boundary import Condition, Pin, ZeroMean, resolve
from pdes._coefficient import ByRegion
from pdes._data import Datum, as_datum
from pdes._pde import PDE, Form
from pdes.domain._base import Domain


def takes(forms: dict[str, Form], time: Any, label: str, name: str) -> bool:
    """Whether a field has data of the start."""
    form = forms.get(name)
    if time is None or form is None:
        return False
    return form.has_inertia or (label == "initial" and form.has_storage)


def check_time(time: Any) -> tuple[float, float] | None:
    if time is None:
        return None
    try:
        start, end = (float(value) for value in time)
    except (TypeError, ValueError):
        raise ValueError(f"time is (start, end) or None, got {time!r}") from None
    if not (np.isfinite([start, end]).all() and end > start):
        raise ValueError(f"time needs a finite start before the end, got {time!r}")
    return start, end


def bind_regions(pde: PDE, domain: Domain) -> PDE:
    def is_table(node: Any) -> bool:
        return isinstance(node, ByRegion)

    def bind(node: Any) -> Any:
        if not is_table(node):
            return node
        if not domain.regions:
            raise ValueError(
                f"ByRegion({list(node.names)}) needs a domain with named materials; "
                "this one has none"
            )
        return node.bind(domain.regions)

    return jax.tree.map(bind, pde, is_leaf=is_table)


def initial_data(forms, domain, time, initial, initial_rate):
    evolving = [n for n in forms if takes(forms, time, "initial", n)]
    inertial = [n for n in forms if takes(forms, time, "initial_rate", n)]
    for label, given, wanted in (
        ("initial", initial, evolving),
        ("initial_rate", initial_rate, inertial),
    ):
        for name in given:
            if name not in forms:
                raise ValueError(f"{label}: no field {name!r}; the fields are {sorted(forms)}")
            if name not in wanted:
                reason = (
                    "the problem is steady (time=None)"
                    if time is None
                    else ("its equation has no such time derivative")
                )
                raise ValueError(f"{label}: field {name!r} takes no such data: {reason}")
        for name in wanted:
            if name not in given:
                raise ValueError(
                    f"{label} is missing for field {name!r}: give {label}={{{name!r}: lambda x: …}}"
                )

    def data(given, wanted, label):
        return {
            name: as_datum(
                given[name], forms[name].shape, domain.dim, f"{label}[{name!r}]", time=False
            )
            for name in wanted
        }

    return data(initial, evolving, "initial"), data(initial_rate, inertial, "initial_rate")


def boundary_data(forms, domain: Domain, boundary):
    pins: list[Pin] = []
    lists: dict[str, Sequence[Condition]] = {}
    known = domain.boundary_names
    for part, given in boundary.items():
        conditions = [given] if isinstance(given, Condition) else list(given)
        for condition in conditions:
            if not isinstance(condition, Condition):
                raise TypeError(
                    f"boundary[{part!r}]: expected conditions such as pm.Dirichlet(u=0.0), "
                    f"got {condition!r}"
                )
        if part != "all" and part not in known:
            raise ValueError(
                f"no boundary {part!r}; this domain has {list(known)}. "
                "Name a part with domain.name(label, predicate)."
            )
        pins += [c for c in conditions if isinstance(c, Pin)]
        lists[part] = [c for c in conditions if not isinstance(c, Pin)]
    # The order of the user's entries is kept: at a shared corner the later entry wins.
    order = [part for part in lists if part != "all"]
    rest = [part for part in known if part not in order]
    if "all" in lists:
        keys = list(lists)
        before = keys[: keys.index("all")]
        order = [p for p in before if p in order] + rest + [p for p in order if p not in before]
        # "all" is the default, so a specific entry wins at a corner wherever it stands.
        order = rest + [p for p in order if p not in rest]
    else:
        order = order + rest
    resolved = {}
    for part in order:
        conditions = lists.get(part, lists.get("all", ()))
        resolved[part] = resolve(part, conditions, forms)
        for name, form in forms.items():
            if form.kind != "Constraint" and form.equation.flux and name not in resolved[part]:
                raise ValueError(
                    f"no condition for field {name!r} on boundary {part!r}: give one in "
                    f"boundary={{{part!r}: pm.Dirichlet({name}=…)}}, or Neumann, Robin, "
                    f'Outflow, pm.Free("{name}")'
                )
    return resolved, pins


def gauges(forms, gauge):
    zero_mean, pins = {}, []
    for name, given in gauge.items():
        if name not in forms:
            raise ValueError(f"gauge: no field {name!r}; the fields are {sorted(forms)}")
        if isinstance(given, ZeroMean):
            zero_mean[name] = given.value
        elif isinstance(given, Pin):
            pins.append(given)
        else:
            raise TypeError(f"gauge[{name!r}] is pm.ZeroMean() or pm.Pin(x, …), got {given!r}")
    return zero_mean, pins


def pinned(pin: Pin, forms, domain: Domain):
    if pin.x.shape != (domain.dim,):
        raise ValueError(f"Pin: the point has shape {pin.x.shape}, expected ({domain.dim},)")
    if not domain.contains(pin.x[None], 1e-9)[0]:
        raise ValueError(f"Pin: the point {pin.x.tolist()} lies outside the domain")
    if len(pin.fields) != 1 or next(iter(pin.fields)) not in forms:
        raise ValueError(f"Pin takes one of the fields {sorted(forms)}, got {list(pin.fields)}")
    name, value = next(iter(pin.fields.items()))
    return (
        name,
        tuple(pin.x.tolist()),
        as_datum(value, forms[name].shape, domain.dim, f"Pin {name}"),
    )


def exact_solutions(forms, domain: Domain, exact: Mapping[str, Callable]) -> dict[str, Datum]:
    for name in exact:
        if name not in forms:
            raise ValueError(f"exact: no field {name!r}; the fields are {sorted(forms)}")
    return {
        name: as_datum(value, forms[name].shape, domain.dim, f"exact[{name!r}]")
        for name, value in exact.items()
    }
