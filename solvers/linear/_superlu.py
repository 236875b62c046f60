"""SuperLU whose factors are made and dropped by one thread.

SciPy keeps SuperLU's allocations in a table of the thread that made them, and gives back only what
it finds in the table of the thread that drops them. Compiled programs call the host from many
threads: a factor that one of them makes and another drops would stay in memory for good, megabytes
a time step.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from numpy.typing import NDArray


class _Worker:
    """A thread that runs what it is given, in turn."""

    def __init__(self):
        self.process = os.getpid()
        # A simple queue may be fed from a destructor, whatever that interrupts.
        self.tasks: queue.SimpleQueue = queue.SimpleQueue()
        # What lives; used in that thread only.
        self.factors: dict[int, list[Any]] = {}
        threading.Thread(target=_serve, args=(self.tasks,), daemon=True, name="superlu").start()

    def factorize(self, held: list[Any], matrix: Any, options: dict[str, Any]) -> NDArray:
        held.append(spla.splu(matrix, **options))
        self.factors[id(held)] = held
        return np.abs(held[0].U.diagonal())

    def drop(self, held: list[Any]) -> None:
        self.factors.pop(id(held), None)
        held.clear()

    def drop_all(self) -> None:
        for held in list(self.factors.values()):
            self.drop(held)

    def call(self, function: Callable, *arguments: Any) -> Any:
        reply: queue.SimpleQueue = queue.SimpleQueue()
        self.tasks.put((function, arguments, reply))
        value, error = reply.get()
        if error is not None:
            raise error
        return value


def _serve(tasks: queue.SimpleQueue) -> None:
    while True:
        _run(*tasks.get())


def _run(function: Callable, arguments: tuple, reply: queue.SimpleQueue | None) -> None:
    try:
        answer: Any = (function(*arguments), None)
    except BaseException as error:
        answer = (None, error)
    if reply is not None:
        reply.put(answer)


_lock = threading.Lock()
_workers: list[_Worker] = []


def _worker() -> _Worker:
    """The one of this process: a fork has no threads but its own."""
    with _lock:
        if not _workers or _workers[-1].process != os.getpid():
            _workers[:] = [_Worker()]
        return _workers[-1]


@atexit.register
def _drop_all() -> None:
    """At exit too another thread would drop them, with an error that nobody expects."""
    if _workers and _workers[-1].process == os.getpid():
        _workers[-1].call(_workers[-1].drop_all)


class SparseLU:
    """Sparse LU factors, P A Q = L U.

    Attributes:
        pivots: |diag(U)|.

    Arguments:
        matrix: compressed by columns. options: as `scipy.sparse.linalg.splu` has them.

    Raises:
        RuntimeError: exactly singular.
    """

    def __init__(self, matrix: Any, **options: Any):
        worker = _worker()
        # The factors lie in a list that the worker empties: this thread never drops the last
        # reference.
        self._held: list[Any] = []
        self.pivots: NDArray = worker.call(worker.factorize, self._held, matrix, options)
        task = (worker.drop, (self._held,), None)
        weakref.finalize(self, worker.tasks.put, task).atexit = False

    def solve(self, b: NDArray, trans: str = "N") -> NDArray:
        """A⁻¹b, or with trans "T" A⁻ᵀb."""
        return self._held[0].solve(b, trans=trans)
