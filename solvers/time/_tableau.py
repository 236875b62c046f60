"""Tableaux of diagonally implicit Runge–Kutta methods that are stiffly accurate."""

from __future__ import annotations

import dataclasses
from typing import Any

import diffrax
import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, eq=False)
class DIRKTableau:
    """Coefficients (a, c) of a DIRK method, with the difference to its embedded method.

    The method is stiffly accurate: the last row of `a` is b, so the last stage is the step.
    Every stage is implicit, but for the first when a[0, 0] = 0 (ESDIRK).

    Attributes:
        a: lower triangular, (stages, stages). c: abscissae, (stages,).
        b_error: b − b̂, (stages,); None without an embedded method.
        order: of the method; the embedded one has one less.

    Raises:
        ValueError: rows that do not add up to c, an implicit stage with a zero diagonal.
    """

    a: NDArray[np.floating]
    c: NDArray[np.floating]
    b_error: NDArray[np.floating] | None
    order: int

    def __post_init__(self):
        a = self.a
        if a.shape != (len(self.c), len(self.c)) or np.any(np.triu(a, 1)):
            raise ValueError(f"a must be lower triangular with {len(self.c)} rows, got {a!r}")
        if not np.allclose(a.sum(axis=1), self.c, atol=1e-9):
            raise ValueError("each row of a must add up to its abscissa c")
        if np.any(np.diag(a)[1:] <= 0) or a[0, 0] < 0:
            raise ValueError("only the first stage may be explicit; the others need a[i, i] > 0")

    @property
    def stages(self) -> int:
        return len(self.c)

    @property
    def explicit_first(self) -> bool:
        return bool(self.a[0, 0] == 0.0)

    @property
    def stability_at_infinity(self) -> float:
        """R(∞): 0 for L-stable methods, −1 for the trapezoidal rule."""
        first = int(self.explicit_first)
        if not first:
            return 0.0
        return float(-np.linalg.solve(self.a[1:, 1:], self.a[1:, 0])[-1])

    def __hash__(self) -> int:
        return hash((self.a.tobytes(), self.c.tobytes(), self.order, self.b_error is None))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DIRKTableau)
            and self.order == other.order
            and np.array_equal(self.a, other.a)
            and (self.b_error is None) == (other.b_error is None)
            and (
                self.b_error is None
                or other.b_error is None
                or np.array_equal(self.b_error, other.b_error)
            )
        )


def _implicit_part(pair: Any, order: int) -> DIRKTableau:
    """The implicit half of an implicit–explicit pair as diffrax tabulates it."""
    source = pair.tableau.tableaus[1]
    stages = len(source.b_sol)
    a = np.zeros((stages, stages))
    for i, row in enumerate(source.a_lower, start=1):
        a[i, :i] = row
    a += np.diag(source.a_diagonal)
    return DIRKTableau(a, a.sum(axis=1), np.asarray(source.b_error), order)


IMPLICIT_EULER = DIRKTableau(np.array([[1.0]]), np.array([1.0]), None, 1)

TRAPEZOIDAL = DIRKTableau(
    np.array([[0.0, 0.0], [0.5, 0.5]]), np.array([0.0, 1.0]), np.array([-0.5, 0.5]), 2
)

_G = 1.0 - np.sqrt(0.5)
# γ = 1 − 1/√2; embedded: one stage, first order (Alexander, 1977).
ALEXANDER2 = DIRKTableau(
    np.array([[_G, 0.0], [1.0 - _G, _G]]), np.array([_G, 1.0]), np.array([-_G, _G]), 2
)

# L-stable, stage order 2 (Kennedy & Carpenter, Appl. Numer. Math. 44 (2003) 139–181).
ESDIRK32 = _implicit_part(diffrax.KenCarp3, 3)
ESDIRK43 = _implicit_part(diffrax.KenCarp4, 4)
ESDIRK54 = _implicit_part(diffrax.KenCarp5, 5)
