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


def seconds(function: Callable[[], Any]) -> float:
    """Wall seconds of one call, its result awaited."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def interleaved(ours: Callable[[], Any], theirs: Callable[[], Any], pairs: int = 11) -> Pair:
    """Calls both in turn after one call each that compiles."""
    seconds(ours), seconds(theirs)
    times = np.array([(seconds(ours), seconds(theirs)) for _ in range(pairs)])
    return Pair(float(np.median(times[:, 0] / times[:, 1])), *np.median(times, axis=0).tolist())
