"""The three kinds of equation: Balance, Definition, Constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdes._point import Point

Term = Callable[[Point], Any]


class _NoStorage:
    """Marks a balance without a time derivative (elliptic)."""

    def __repr__(self) -> str:
        return "NoStorage"


NoStorage = _NoStorage()


def term_name(term: Any) -> str:
    """The name under which errors, boundary conditions and plots know a term."""
    name = getattr(term, "__name__", None)
    return name if isinstance(name, str) else type(term).__name__


class Equation:
    """What the three kinds share: flux and source terms, each a function of the point."""

    kind: str = "equation"

    def __init__(self, flux: Any = (), source: Any = ()):
        self.flux: tuple[Term, ...] = _terms(flux, "flux", self.kind)
        self.source: tuple[Term, ...] = _terms(source, "source", self.kind)


class Balance(Equation):
    """Balance law of a field u: ∂ₜ(ρ ∂ₜu) + ∂ₜ m(u) + ∇·ΣF = Σs.

    Arguments:
        flux: terms F of shape (*u.shape, dim); the flux points where u is carried.
        source: terms s of the shape of u; they may use gradients.
        storage: m, a function of the point; by default the field itself. `NoStorage` makes the
            equation elliptic; it is the default beside an inertia.
        inertia: ρ, a number or a function of the point, for equations of second order in time.
    """

    kind = "Balance"

    def __init__(self, flux: Any = (), source: Any = (), storage: Any = None, inertia: Any = None):
        super().__init__(flux, source)
        if storage is not None and storage is not NoStorage and not callable(storage):
            raise TypeError(f"storage is a function of the point or NoStorage, got {storage!r}")
        self.inertia: Term | None
        if inertia is None or callable(inertia):
            self.inertia = inertia
        else:
            number = float(inertia)
            self.inertia = lambda p: number
        if storage is None and inertia is not None:
            storage = NoStorage
        self.storage: Any = storage


class Definition(Equation):
    """Auxiliary field: w = Σs + ∇·ΣF."""

    kind = "Definition"


class Constraint(Equation):
    """0 = ∇·ΣF − Σs; its own field is the multiplier (the pressure, with F = u)."""

    kind = "Constraint"


def _terms(terms: Any, what: str, kind: str) -> tuple[Term, ...]:
    if callable(terms):
        terms = (terms,)
    terms = tuple(terms)
    for term in terms:
        if not callable(term):
            raise TypeError(
                f"{kind}({what}=…) takes functions of the point, got {term!r}; "
                "write the term as a method: def name(self, p)"
            )
    return terms
