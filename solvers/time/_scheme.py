"""Which stepper advances d/dt z = L z + N(z, t), by its family's name and its order."""

from __future__ import annotations

import dataclasses
from typing import Any

from solvers.time._exponential import ETDRK
from solvers.time._imex import IMEX, TABLEAUX
from solvers.time._sbdf import SBDF

_FAMILIES: dict[str, Any] = {"etdrk": ETDRK, "imex": IMEX, "sbdf": SBDF}


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A family and an order.

    Raises:
        ValueError: an unknown family, an order out of range.
    """

    family: str = "etdrk"
    order: int = 4

    def __post_init__(self):
        if self.family not in _FAMILIES:
            raise ValueError(f"scheme is one of {list(_FAMILIES)}, got {self.family!r}")
        if self.order not in (1, 2, 3, 4):
            raise ValueError(f"order is 1, 2, 3 or 4, got {self.order!r}")

    def stepper(self, linear: Any, dt: Any) -> Any:
        """For the fixed step dt: a diffrax solver with `begin` and `proceed`."""
        return _FAMILIES[self.family](linear, dt, self.order)

    @property
    def label(self) -> str:
        if self.family == "imex":
            return TABLEAUX[self.order].name
        return f"{self.family.upper()}{self.order}"
