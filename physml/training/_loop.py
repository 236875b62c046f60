"""What changes from step to step of a training: what a checkpoint keeps."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class Loop:
    """What changes from step to step.

    `ahead` is the next step where it was made already, by the compilation. `mean` is the weighted
    mean of the parameters of this phase, where one is wanted.
    """

    params: Any
    state: Any
    batch: Any
    phase: int = 0
    step: int = 0
    phase_step: int = 0
    seconds: float = 0.0
    phase_seconds: float = 0.0
    compile_seconds: float = 0.0
    lowest: float = float("inf")
    lowest_step: int = 0
    rejections: int = 0
    loss: float = float("nan")
    best: Any = None
    best_loss: float = float("inf")
    best_step: int = 0
    history: list[tuple[float, int, float]] = dataclasses.field(default_factory=list)
    monitored: list[dict[str, float]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    ahead: Any = None
    mean: Any = None

    # Saved as JSON; the trees are saved as arrays.
    RECORDED = (
        "phase", "step", "phase_step", "seconds", "phase_seconds", "compile_seconds",
        "lowest", "lowest_step", "rejections", "loss", "best_loss", "best_step",
        "monitored", "notes",
    )  # fmt: skip
