"""What changes from step to step of a training, what a checkpoint keeps of it, and how it ended."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from ._run import Status


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
    evaluations: int = 0

    # Saved as JSON; the trees are saved as arrays.
    RECORDED = (
        "phase", "step", "phase_step", "seconds", "phase_seconds", "compile_seconds",
        "lowest", "lowest_step", "rejections", "loss", "best_loss", "best_step",
        "monitored", "notes", "evaluations",
    )  # fmt: skip

    def average(self) -> None:
        """Takes the latest step into the mean, of which it is the share 4/(k + 3)."""
        before = self.params if self.mean is None else self.mean
        self.mean = _mixed(before, self.params, 4.0 / (self.phase_step + 3.0))


@jax.jit
def _mixed(before: Any, latest: Any, share: float) -> Any:
    return jax.tree.map(lambda a, b: a + share * (b - a), before, latest)


def outcome(status: Status, loop: Loop, place: str) -> str:
    """The end of a training in words, with the remedy where there is one."""
    at = f"after {loop.step} steps and {loop.seconds:.1f} s"
    return {
        "steps": f"the budget of steps was used up {at}",
        "seconds": f"the budget of seconds was used up {at}",
        "target": f"the target loss was reached {at}",
        "plateau": f"the loss no longer fell {at}",
        "stalled": f"no step lowers the loss any more {at}: it is at a minimum, to "
        "round-off, or the points should be drawn again (resample_every)",
        "non_finite": f"the loss became non-finite {at}, because of {place}; the parameters are "
        "those of the last good step. Try a smaller learning rate, or restrict the domain of "
        "what is not defined everywhere (a root, a logarithm, a quotient)",
    }[status]
