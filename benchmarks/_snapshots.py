"""What a training of a budget of time hands over: its states at shares of the budget.

Imported by the scripts of the peers, so NumPy alone. Time is the processor's: on one core it is
the wall's where nothing else runs, and it does not favour anyone where something does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)


class Snapshots:
    """A clock that keeps the states of a training at shares of its budget.

    Attributes:
        kept: pairs of seconds and state.
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.kept: list[tuple[float, Any]] = []
        self._begin: float | None = None
        self._stopped: float | None = None

    def start(self) -> None:
        """Starts the clock, or lets it go on after `stop`."""
        now = time.process_time()
        if self._begin is None:
            self._begin = now
        elif self._stopped is not None:
            self._begin += now - self._stopped
        self._stopped = None

    def stop(self) -> None:
        """What follows does not count, as compilation does not."""
        if self._stopped is None:
            self._stopped = time.process_time()

    @property
    def seconds(self) -> float:
        if self._begin is None:
            return 0.0
        now = time.process_time() if self._stopped is None else self._stopped
        return now - self._begin

    def spent(self, state: Callable[[], Any]) -> bool:
        """Whether the budget is; keeps the state where the next share is."""
        seconds = self.seconds
        if len(self.kept) < len(SHARES) and seconds >= SHARES[len(self.kept)] * self.budget:
            self.kept.append((seconds, state()))
        return seconds >= self.budget

    def end(self, state: Any) -> None:
        """The last state takes the place of the one kept at the whole budget."""
        self.stop()
        self.kept = [*self.kept[: len(SHARES) - 1], (self.seconds, state)]

    def write(self, folder: str | Path, values: Callable[[Any], Any], told: str) -> None:
        """seconds.npy (k,) and values.npy (k, points), the values of each state at the points.

        And told.txt, last: who trained what, which tells that the files are whole.
        """
        folder = Path(folder)
        np.save(folder / "seconds.npy", np.array([seconds for seconds, _ in self.kept]))
        rows = [np.asarray(values(state), np.float64).reshape(-1) for _, state in self.kept]
        np.save(folder / "values.npy", np.stack(rows))
        (folder / "told.txt").write_text(told)
