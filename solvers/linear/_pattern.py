"""SparsePattern: the places of a sparse matrix, on the host, with the factors kept of late."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.linear._journal import Journal
from solvers.linear._layout import Layout

Integers = NDArray[np.integer]

_KEPT = 3
_MANY = 2_000_000


class SparsePattern:
    """Rows and columns of the values of a matrix, in compressed rows.

    Attributes:
        size: rows and columns. indptr, indices: as in scipy.sparse.csr_matrix, sorted.
        journal: what solvers remarked of late. layout: what the unknowns mean, where that is known.

    Two patterns are equal only if they are the same object, so a pattern may be static under jit.
    """

    def __init__(self, size: int, indptr: Integers, indices: Integers):
        self.size = int(size)
        self.indptr = np.asarray(indptr, np.int32)
        self.indices = np.asarray(indices, np.int32)
        self._factors: list[tuple[str, NDArray, Any]] = []
        self._lock = threading.Lock()
        self._latest: dict[str, Any] = {}
        self.journal = Journal()
        self.layout: Layout | None = None
        self._analyses: dict[str, Any] = {}

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.indices)

    @functools.cached_property
    def rows(self) -> Integers:
        """Row of each value."""
        return np.repeat(np.arange(self.size, dtype=np.int32), np.diff(self.indptr))

    def matrix(self, values: Any) -> sp.csr_matrix:
        """The SciPy matrix with these values."""
        data = np.asarray(values)
        return sp.csr_matrix((data, self.indices, self.indptr), shape=(self.size, self.size))

    def factor(self, kind: str, values: NDArray, make: Callable[[NDArray], Any]) -> Any:
        """The factor of the matrix with these very values, made only if it is not at hand.

        `make` gets a copy of the values, in float64, that it may keep. Values are compared one by
        one, never by a hash: a wrong factor would be a wrong answer.
        """
        with self._lock:
            for entry in self._factors:
                if entry[0] == kind and np.array_equal(entry[1], values):
                    return entry[2]
        kept = np.array(values, np.float64)
        made = make(kept)
        with self._lock:
            self._factors.append((kind, kept, made))
            # One is enough for a value and its gradient; more serve the stages of a time step.
            del self._factors[: -(_KEPT if self.count < _MANY else 1)]
        return made

    def forget(self) -> None:
        """Drops factors and preconditioners, and keeps what is known of the places."""
        with self._lock:
            self._factors.clear()
        structure = self.peek("structure")
        self._latest = {} if structure is None else {"structure": structure}

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """What was found out about the places alone, such as an ordering; made once."""
        if key not in self._analyses:
            self._analyses[key] = make()
        return self._analyses[key]

    def latest(self, key: str, fits: Callable[[Any], bool], make: Callable[[], Any]) -> Any:
        """What was made last under this key, if it fits; else it is made anew."""
        known = self._latest.get(key)
        if known is None or not fits(known):
            known = self._latest[key] = make()
        return known

    def peek(self, key: str) -> Any:
        """What was kept or made last under this key, or None."""
        return self._latest.get(key)

    def keep(self, key: str, thing: Any) -> None:
        """What `latest` finds from now on."""
        self._latest[key] = thing


def pattern_of(rows: Integers, columns: Integers, size: int) -> tuple[SparsePattern, Integers]:
    """The pattern that holds all places (row, column), and the slot of each in its values."""
    keys = rows.astype(np.int64) * size + columns
    unique, slots = np.unique(keys, return_inverse=True)
    counts = np.bincount(unique // size, minlength=size)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return SparsePattern(size, indptr, unique % size), slots.astype(np.int32)
