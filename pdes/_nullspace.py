"""Fields that an equation fixes only up to a constant, found before anything is solved."""

from __future__ import annotations

from collections.abc import Mapping

from pdes._boundary import FieldCondition
from pdes._pde import Form


def undetermined_fields(
    forms: Mapping[str, Form],
    conditions: Mapping[str, Mapping[str, FieldCondition]],
    fixed: set[str],
    steady: bool,
) -> list[str]:
    """Names of the fields to which a constant may be added without changing any equation.

    Arguments:
        conditions: by boundary part, then field. fixed: fields with a gauge or a pin.
        steady: no time derivative acts.
    """
    return [
        name
        for name in forms
        if name not in fixed
        and not any(name in part and _fixes(part[name]) for part in conditions.values())
        and all(_blind(form, name, conditions, steady) for form in forms.values())
    ]


def _fixes(condition: FieldCondition) -> bool:
    return condition.any_essential or "Robin" in condition.kinds


def _blind(form: Form, name: str, conditions, steady: bool) -> bool:
    """Whether the equation `form` does not notice a constant added to the field `name`."""
    if form.kind == "Definition" and form.name == name:
        return False
    if form.kind == "Balance" and not steady:
        if form.has_storage:
            storage = form.equation.storage  # type: ignore[attr-defined]
            if name == form.name if storage is None else name in form.dependence(storage).values:
                return False
        if form.has_inertia and form.name == name:
            return False
    for term in form.equation.source:
        if name in form.dependence(term).values:
            return False
    for term in form.equation.flux:
        dependence = form.dependence(term)
        if name not in dependence.values:
            continue
        if not dependence.constant:
            return False
        if form.kind == "Constraint":
            continue
        for part in conditions.values():
            condition = part.get(form.name)
            if condition is not None and not (condition.all_essential or condition.free):
                # Slip and None components: the flux of free components is prescribed, but a
                # pressure's normal part acts on the essential one only.
                if condition.normal_only:
                    continue
                return False
    return True
