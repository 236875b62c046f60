"""Manufactured solutions: the source that makes given fields exact, by differentiation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from pdes._boundary import Dirichlet
from pdes._equation import Balance, Constraint, Definition, Equation
from pdes._pde import PDE
from pdes._point import Point
from pdes._problem import Problem
from pdes._strong import strong_residual
from pdes.domain._base import Domain


class Manufactured(PDE):
    """A PDE with one more source in each equation, such that given functions solve it.

    Arguments:
        base: the equations. exact: from each field, definitions excepted, to u(x, t).
        steady: whether the problem has no time derivative.
    """

    base: PDE
    exact: dict[str, Callable]
    steady: bool

    @property
    def fields(self):  # type: ignore[override]
        return self.base.fields

    def equations(self) -> dict[str, Equation]:
        return {name: self._with_source(name, eq) for name, eq in self.base.equations().items()}

    def _with_source(self, name: str, equation: Equation) -> Equation:
        if name not in self.exact:
            return equation  # a definition that is substituted holds as it is

        def manufactured(p: Point) -> Array:
            forms = self.base.forms(p.x.shape[0])
            fields = _functions(self.exact)
            return strong_residual(forms, fields, p.x, p.t, steady=self.steady, region=p.region)[
                name
            ]

        source = (*equation.source, manufactured)
        if isinstance(equation, Balance):
            return Balance(equation.flux, source, equation.storage, equation.inertia)
        kind = Definition if isinstance(equation, Definition) else Constraint
        return kind(equation.flux, source)


def _functions(exact: Mapping[str, Callable]) -> Callable[[Array, Array], dict[str, Array]]:
    def fields(x: Array, t: Array) -> dict[str, Array]:
        return {name: jnp.asarray(u(x, t), x.dtype) for name, u in exact.items()}

    return fields


def manufactured(
    pde: PDE,
    domain: Domain,
    exact: Mapping[str, Callable],
    time: tuple[float, float] | None = None,
    boundary: Mapping[str, Any] | None = None,
    gauge: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Problem:
    """The problem that `exact` solves: sources, initial and boundary data are made from it.

    Arguments:
        exact: from each field to u(x, t), smooth; definitions may be left out.
        boundary: by default Dirichlet data from `exact` for every field of a balance with a flux.

    Raises:
        ValueError: a field without an exact function; whatever `Problem` raises.
    """
    equations = pde.equations()
    for field, equation in equations.items():
        if field not in exact and not isinstance(equation, Definition):
            raise ValueError(f"manufactured: give an exact function for field {field!r}")
    exact = dict(exact)
    start = 0.0 if time is None else float(time[0])
    wrapped = Manufactured(pde, exact, time is None)
    forms = pde.forms(domain.dim)
    evolving = [n for n, f in forms.items() if time and (f.has_storage or f.has_inertia)]
    inertial = [n for n, f in forms.items() if time and f.has_inertia]
    if boundary is None:
        flux = [n for n, f in forms.items() if f.kind != "Constraint" and f.equation.flux]
        missing = [n for n in flux if n not in exact]
        if missing and domain.boundary_names:
            raise ValueError(
                f"manufactured: give exact[{missing[0]!r}] as well, or boundary conditions for it"
            )
        boundary = {"all": Dirichlet(**{n: exact[n] for n in flux})} if flux else {}
        boundary = boundary if domain.boundary_names else {}
    return Problem(
        wrapped,
        domain,
        time=time,
        initial={n: _at(exact[n], start) for n in evolving},
        initial_rate={n: _rate_at(exact[n], start) for n in inertial},
        boundary=boundary,
        gauge=gauge,
        exact=exact,
        name=name or f"manufactured {type(pde).__name__}",
    )


def _at(u: Callable, start: float) -> Callable:
    return lambda x: u(x, jnp.asarray(start, x.dtype))


def _rate_at(u: Callable, start: float) -> Callable:
    import jax

    def rate(x: Array) -> Array:
        t = jnp.asarray(start, x.dtype)
        return jax.jvp(lambda s: jnp.asarray(u(x, s), x.dtype), (t,), (jnp.ones_like(t),))[1]

    return rate
