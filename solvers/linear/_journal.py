"""Journal: what linear solvers chose, how they fared, and why they failed."""

from __future__ import annotations

import dataclasses
import threading


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a linear system was not solved.

    Attributes:
        reason: "singular_matrix", "linear_not_converged" or "too_large". text: one sentence.
        history: relative residuals.
    """

    reason: str
    text: str
    history: tuple[float, ...] = ()


class Journal:
    """Remarks of the solvers of one pattern, from any thread, since the last `start`."""

    def __init__(self):
        self._lock = threading.Lock()
        self.start()

    def start(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._events: list[str] = []
            self._iterations: dict[str, list[int]] = {}
            self.failure: Failure | None = None

    def record(self, event: str) -> None:
        """Keeps a remark for the report, once."""
        with self._lock:
            if event not in self._events:
                self._events.append(event)

    def count(self, solver: str, iterations: int) -> None:
        """One solve of an iterative solver."""
        with self._lock:
            self._iterations.setdefault(solver, []).append(iterations)

    def fail(self, failure: Failure) -> None:
        """The last failure is the one that is reported."""
        with self._lock:
            self.failure = failure

    @property
    def events(self) -> tuple[str, ...]:
        """The remarks, and the iterations used."""
        used = []
        with self._lock:
            for solver, counts in self._iterations.items():
                low, high = min(counts), max(counts)
                each = f"{high}" if low == high else f"{low} to {high}"
                solves = "1 solve" if len(counts) == 1 else f"{len(counts)} solves"
                used.append(f"{solver}: {solves}, {each} iterations")
            return (*self._events, *used)
