"""Implicit–explicit Runge–Kutta steps of d/dt z = L z + N(z, t): L implicit, N explicit.

    zᵢ = (1 − hγL)⁻¹ (z + h Σⱼ (aᵢⱼ L zⱼ + âᵢⱼ Nⱼ)),   z' = z + h Σ (bᵢ L zᵢ + b̂ᵢ Nᵢ)

Every implicit stage has the same γ: one inverse a step size, which for a diagonal or block
diagonal L is known.

Sources: Ascher, Ruuth & Spiteri (1997), sections 2.1, 2.6 and 2.8; Kennedy & Carpenter (2003),
ARK4(3)6L[2]SA, as in diffrax.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from solvers._system import SplitSystem
from solvers.time._split import SplitInterpolation, SplitTerm, fitting, once, system_of


@dataclasses.dataclass(frozen=True, eq=False)
class ImexTableau:
    """Coefficients of an implicit–explicit method whose first stage is explicit.

    The implicit part is stiffly accurate: the last row of `implicit` is b.

    Attributes:
        implicit, explicit: (stages, stages), lower triangular; the diagonal of `implicit` is
            0, γ, …, γ, that of `explicit` is zero. weights: b̂, (stages,).
        error: b̂ − those of the embedded method, for both parts; None without one.

    Raises:
        ValueError: rows of both parts that do not add up to the same time, or another diagonal.
    """

    name: str
    order: int
    implicit: NDArray[np.floating]
    explicit: NDArray[np.floating]
    weights: NDArray[np.floating]
    error: NDArray[np.floating] | None = None

    def __post_init__(self):
        diagonal = np.diag(self.implicit)
        if diagonal[0] != 0 or not np.allclose(diagonal[1:], diagonal[-1]):
            raise ValueError(f"the diagonal must be 0, γ, …, γ, got {diagonal}")
        if np.triu(self.explicit).any() or np.triu(self.implicit, 1).any():
            raise ValueError("the tableaux must be lower triangular")
        if not np.allclose(self.implicit.sum(1), self.explicit.sum(1), atol=1e-12):
            raise ValueError("the rows of both parts must add up to the same times")

    @property
    def gamma(self) -> float:
        return float(self.implicit[-1, -1])

    @property
    def times(self) -> NDArray[np.floating]:
        return self.implicit.sum(1)


def _square(rows: list[list[float]]) -> NDArray[np.floating]:
    out = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def _ars222() -> ImexTableau:
    g = 1.0 - 0.5**0.5
    d = 1.0 - 1.0 / (2.0 * g)
    return ImexTableau(
        "ARS(2,2,2)",
        2,
        _square([[], [0.0, g], [0.0, 1.0 - g, g]]),
        _square([[], [g], [d, 1.0 - d]]),
        np.array([d, 1.0 - d, 0.0]),
    )


def _ars443() -> ImexTableau:
    return ImexTableau(
        "ARS(4,4,3)",
        3,
        _square(
            [
                [],
                [0.0, 1 / 2],
                [0.0, 1 / 6, 1 / 2],
                [0.0, -1 / 2, 1 / 2, 1 / 2],
                [0.0, 3 / 2, -3 / 2, 1 / 2, 1 / 2],
            ]
        ),
        _square(
            [[], [1 / 2], [11 / 18, 1 / 18], [5 / 6, -5 / 6, 1 / 2], [1 / 4, 7 / 4, 3 / 4, -7 / 4]]
        ),
        np.array([1 / 4, 7 / 4, 3 / 4, -7 / 4, 0.0]),
    )


def _from_diffrax(name: str, order: int, solver: Any) -> ImexTableau:
    explicit, implicit = solver.tableau.tableaus
    a = _square([[], *[list(row) for row in explicit.a_lower]])
    b = _square([[], *[list(row) for row in implicit.a_lower]]) + np.diag(implicit.a_diagonal)
    return ImexTableau(name, order, b, a, np.asarray(explicit.b_sol), np.asarray(explicit.b_error))


TABLEAUX: dict[int, ImexTableau] = {
    1: ImexTableau(
        "ARS(1,1,1)", 1, _square([[], [0.0, 1.0]]), _square([[], [1.0]]), np.array([1.0, 0.0])
    ),
    2: _ars222(),
    3: _ars443(),
    4: _from_diffrax("ARK4(3)6L[2]SA", 4, diffrax.KenCarp4),
}


class IMEX(diffrax.AbstractAdaptiveSolver):
    """Implicit–explicit Runge–Kutta: (1,1,1), (2,2,2) and (4,4,3) of Ascher, Ruuth & Spiteri, and
    ARK4(3)6L[2]SA of Kennedy & Carpenter, of order 1 to 4.

    Arguments:
        linear: L, a `Diagonal` or `Blocks`.
        dt: a fixed step, whose inverse is kept; None inverts anew in each step, of any length.
        order: 1 to 4; order 4 has an embedded method, so that steps can be adaptive.
    """

    dt: Array | None
    linear: Any
    inverse: Any
    number: int = eqx.field(static=True)

    term_structure: ClassVar = SplitTerm
    interpolation_cls: ClassVar = SplitInterpolation

    def __init__(self, linear: Any, dt: Any = None, order: int = 4):
        if order not in TABLEAUX:
            raise ValueError(f"order is 1, 2, 3 or 4, got {order!r}")
        self.dt = None if dt is None else jnp.asarray(dt)
        self.linear = linear
        self.number = order
        self.inverse = None if dt is None else linear.resolvent(dt * TABLEAUX[order].gamma)

    def order(self, terms: Any) -> int:
        return self.number

    def begin(self, system: SplitSystem, t: Any, z: Array) -> None:
        return None

    def proceed(self, system, t, z, memory, n=None) -> tuple[Array, None]:
        assert self.dt is not None
        return self._stages(system, t, z, self.dt, n)[0], None

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Array:
        return once(system_of(terms).nonlinear)(y0, jnp.asarray(t0))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        system, n0, h = system_of(terms), solver_state, t1 - t0
        y1, error = self._stages(system, t0, y0, h, n0)
        n1 = once(system.nonlinear)(y1, jnp.asarray(t1))
        dense = {"y0": y0, "y1": y1, "n0": n0, "n1": n1, "linear": self.linear}
        result = diffrax.RESULTS.successful if self.dt is None else fitting(h, self.dt)
        return y1, error, dense, n1, result

    def _stages(self, system, t, z, h, n0) -> tuple[Array, Array | None]:
        tableau = TABLEAUX[self.number]
        inverse = self.inverse
        if inverse is None:
            inverse = self.linear.resolvent(h * tableau.gamma)
        slopes, sources = [], []
        stage = z
        for i, (a, b, c) in enumerate(
            zip(tableau.implicit, tableau.explicit, tableau.times, strict=True)
        ):
            if i:
                stage = inverse(z + h * _sum([*a[:i], *b[:i]], [*slopes, *sources]))
            needed_later = (
                tableau.explicit[:, i].any() or tableau.weights[i] or tableau.error is not None
            )
            known = i == 0 and n0 is not None
            value = (
                n0 if known else once(system.nonlinear)(stage, t + c * h) if needed_later else None
            )
            sources.append(value)
            slopes.append(self.linear(stage))
        # Stiffly accurate: the last stage has L's part of the step already, without cancellation.
        rest = _sum(tableau.weights - tableau.explicit[-1], sources)
        end = stage if rest is None else stage + h * rest
        if tableau.error is None:
            return end, None
        total = [slope + source for slope, source in zip(slopes, sources, strict=True)]
        # An error of stiff modes is damped as they are (Shampine): else it limits every step.
        return end, inverse(h * _sum(tableau.error, total))


def _sum(weights: Any, parts: list[Any]) -> Any:
    """Σ weights · parts over weights that are not zero; None where none is left."""
    total = None
    for weight, part in zip(weights, parts, strict=True):
        if weight:
            term = float(weight) * part
            total = term if total is None else total + term
    return total
