"""A problem in words: equation, domain, data, for reports."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import equinox as eqx
import jax
import numpy as np

from pdes import PDE, FieldCondition, Problem
from pdes._data import Datum


def statement(problem: Problem) -> dict[str, Any]:
    """The problem as plain text by heading."""
    return {
        "name": problem.name,
        "equation": _equation(problem.pde),
        "terms": _terms(problem),
        "parameters": _parameters(problem.pde),
        "domain": _domain(problem),
        "time": None if problem.time is None else f"t ∈ [{problem.time[0]:g}, {problem.time[1]:g}]",
        "fields": {name: list(shape) for name, shape in problem.shapes.items()},
        "initial": {name: _datum(datum) for name, datum in problem.initial.items()},
        "initial_rate": {name: _datum(datum) for name, datum in problem.initial_rate.items()},
        "boundary": {
            part: {name: _condition(c) for name, c in by_field.items()}
            for part, by_field in problem.conditions.items()
        },
        "exact": sorted(problem.exact),
    }


def _equation(pde: PDE) -> str:
    for cls in type(pde).__mro__:
        if cls is PDE or cls is eqx.Module:
            break
        # A dataclass without a docstring is given its signature as one.
        doc = cls.__dict__.get("__doc__")
        if doc and not doc.startswith(f"{cls.__name__}("):
            return inspect.cleandoc(doc)
    return type(pde).__name__


def _terms(problem: Problem) -> dict[str, str]:
    out = {}
    for name, form in problem.forms().items():
        parts = []
        if form.flux_names:
            parts.append("flux " + " + ".join(form.flux_names))
        if form.source_names:
            parts.append("source " + " + ".join(form.source_names))
        linear = (
            "constant coefficients"
            if form.is_constant
            else "affine"
            if form.is_affine
            else ("nonlinear")
        )
        out[name] = f"{form.kind}: {', '.join(parts) or 'no terms'}; {linear}"
    return out


def _parameters(pde: PDE) -> dict[str, str]:
    out = {}
    for name, value in vars(pde).items():
        leaves = [leaf for leaf in jax.tree.leaves(value) if eqx.is_array(leaf)]
        if len(leaves) == 1 and leaves[0].size == 1:
            out[name] = f"{float(np.ravel(leaves[0])[0]):.6g}"
        elif len(leaves) == 1 and leaves[0].size <= 16:
            out[name] = np.array2string(np.asarray(leaves[0]), precision=5, separator=", ")
        elif leaves:
            out[name] = f"{type(value).__name__}, {sum(leaf.size for leaf in leaves)} values"
        else:
            out[name] = _function_text(getattr(value, "function", value))
    return out


def _domain(problem: Problem) -> str:
    domain = problem.domain
    text = repr(domain)
    if " at 0x" in text:
        low, high = domain.bounds
        box = " × ".join(f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True))
        text = f"{type(domain).__name__} within {box}"
    parts = ", ".join(domain.boundary_names)
    return text + (f"; boundary: {parts}" if parts else "")


def _condition(condition: FieldCondition) -> str:
    kinds = " and ".join(condition.kinds)
    if condition.any_essential and isinstance(condition.value, Datum):
        return f"{kinds}, {_datum(condition.value)}"
    return kinds


def _datum(datum: Datum) -> str:
    if datum.value is not None and np.ndim(datum.value) == 0:
        return f"{float(datum.value):g}"
    if datum.value is not None:
        return np.array2string(np.asarray(datum.value), precision=6, separator=", ")
    return _function_text(datum.function)


def _function_text(function: Any) -> str:
    """Source of a short function where it can be read, else its name."""
    try:
        source = textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        source = ""
    if "lambda" in source and source.count("\n") == 0 and source.count("lambda") == 1:
        return "lambda" + _balanced(source.split("lambda", 1)[1])
    return getattr(function, "__name__", type(function).__name__)


def _balanced(text: str) -> str:
    """Text up to the first bracket or comma that closes what the lambda stands in."""
    depth = 0
    seen_colon = False
    for i, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth < 0:
                return text[:i].rstrip()
        elif character == ":":
            seen_colon = True
        elif character == "," and depth == 0 and seen_colon:
            return text[:i].rstrip()
    return text.rstrip()
