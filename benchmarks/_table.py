"""Rows of a benchmark: measured, never asserted.

A benchmark NAME is the set of modules `benchmarks/NAME*.py`; each has

    CHECKS: dict[str, Callable[[], Iterable[Row]]]

from the name of a check to a function that yields rows as it measures them. A function gives
rows made by `row(...)`; the runner adds the seconds it took since the last one. A peer that is
not installed is a row made by `missing(...)`. An exception becomes a row that does not hold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        check: what is measured. value: the figure, None where nothing could be measured.
        target: the number to reach, None for figures that are only printed. unit: of both.
        holds: whether it is reached; None where there is no target or no value.
        seconds: how long the measurement took. peer: name and version of the peer, if any.
        note: anything that a reader needs.
    """

    check: str
    value: float | None
    target: float | None = None
    unit: str = ""
    holds: bool | None = None
    seconds: float = 0.0
    peer: str = ""
    note: str = ""


def row(
    check: str,
    value: float,
    target: float | None = None,
    unit: str = "",
    *,
    at_least: bool = False,
    within: tuple[float, float] | None = None,
    peer: str = "",
    note: str = "",
) -> Row:
    """A measured figure against its target.

    Arguments:
        at_least: the value must not be below the target (by default: not above).
        within: (low, high) that the value must lie in; the target is then only printed.
    """
    value = float(value)
    holds: bool | None = None
    if within is not None:
        holds = within[0] <= value <= within[1]
        note = f"in [{within[0]:g}, {within[1]:g}]" + (f"; {note}" if note else "")
    elif target is not None:
        holds = value >= target if at_least else value <= target
        if at_least:
            note = "at least" + (f"; {note}" if note else "")
    if not math.isfinite(value):
        holds = False
    return Row(check, value, target, unit, holds, peer=peer, note=note)


def missing(check: str, peer: str, why: str) -> Row:
    """A row for a peer that is not there."""
    return Row(check, None, peer=peer, note=why)


Checks = dict[str, Callable[[], Iterable[Row]]]
