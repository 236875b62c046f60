"""Timing side by side: ours and the peer's in turn, medians of the ratios."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Pair(NamedTuple):
    """Medians: of ours/theirs, and of each in seconds."""

    ratio: float
    ours: float
    theirs: float


def seconds(function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call, its result awaited; of the wall, unless by another clock."""
    start = clock()
    jax.block_until_ready(function())
    return clock() - start


def interleaved(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    pairs: int = 11,
    clock: Callable[[], float] = time.perf_counter,
) -> Pair:
    """Calls both in turn after one call each that compiles.

    Arguments:
        clock: `time.process_time` counts what the process did, on all its cores, and not what it
            waited for others: short runs beside long ones need it where a core is shared.
    """
    seconds(ours), seconds(theirs)
    times = np.array([(seconds(ours, clock), seconds(theirs, clock)) for _ in range(pairs)])
    return Pair(float(np.median(times[:, 0] / times[:, 1])), *np.median(times, axis=0).tolist())
