"""A step length that satisfies the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Trial(NamedTuple):
    """The loss φ(α), its slope φ'(α) along the direction, and what else the evaluation gave."""

    step: float
    value: float
    slope: float
    payload: Any


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    first_step: float,
    *,
    decrease: float = 1e-4,
    curvature: float = 0.9,
    evaluations: int = 25,
) -> tuple[Trial | None, int]:
    """A step α with φ(α) ≤ φ(0) + c₁ α φ'(0) and |φ'(α)| ≤ c₂ |φ'(0)|.

    Bracketing, then sectioning by cubic interpolation. If the evaluations run out, or no
    digits are left to tell two values apart, the best trial that satisfies the first condition
    is returned, or `None`. Also returns how many evaluations were made.

    Source: Nocedal and Wright, 2006, algorithms 3.5 and 3.6.
    """
    low, high, best = start, None, None
    step, count = first_step, 0
    while count < evaluations:
        trial = evaluate(step)
        count += 1
        finite = np.isfinite(trial.value) and np.isfinite(trial.slope)
        enough = finite and trial.value <= start.value + decrease * step * start.slope
        if enough and (best is None or trial.value < best.value):
            best = trial
        if enough and abs(trial.slope) <= -curvature * start.slope:
            return trial, count
        if not enough or (high is not None and trial.value >= low.value):
            high = trial
        elif high is None:
            if trial.slope >= 0:
                low, high = trial, low
            else:
                low, step = trial, 2.0 * step
                continue
        else:
            if trial.slope * (high.step - low.step) >= 0:
                high = low
            low = trial
        step = _between(low, high)
        if abs(high.step - low.step) <= 1e-12 * max(abs(high.step), abs(low.step)):
            break
    return best, count


def _between(low: Trial, high: Trial) -> float:
    """The minimiser of the cubic through both ends, kept 10 % of the interval away from them."""
    width = high.step - low.step
    if not (np.isfinite(high.value) and np.isfinite(high.slope)):
        return low.step + 0.1 * width
    average = low.slope + high.slope - 3 * (low.value - high.value) / (low.step - high.step)
    discriminant = average**2 - low.slope * high.slope
    if discriminant < 0:
        return low.step + 0.5 * width
    root = np.copysign(np.sqrt(discriminant), width)
    denominator = high.slope - low.slope + 2 * root
    if denominator == 0:
        return low.step + 0.5 * width
    fraction = 1 - (high.slope + root - average) / denominator
    return low.step + float(np.clip(fraction, 0.1, 0.9)) * width
