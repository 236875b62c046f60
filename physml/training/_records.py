"""The JSON-lines log and the progress bar."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


class Log:
    """A JSON-lines file; lines after the step a run resumes from are dropped."""

    def __init__(self, path: str | Path | None, resumed_step: int | None):
        self._file = None
        if path is None:
            return
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if resumed_step is None:
                path.write_text("")
            elif path.exists():
                _truncate(path, resumed_step)
            self._file = path.open("a")
        except OSError as error:
            raise OSError(
                f"the log {path} can't be written: {error.strerror or error}. Give a path that "
                "can be, or none."
            ) from error

    def write(self, **entry: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(_finite(entry)) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _finite(value: Any) -> Any:
    """JSON has no infinities: a number that is not finite is written as its name."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _truncate(path: Path, step: int) -> None:
    kept = []
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # The line that a killed process left unfinished.
            continue
        if entry.get("step", 0) <= step:
            kept.append(line + "\n")
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)


class ProgressBar:
    """A bar of rich where it was asked for, and nothing otherwise."""

    def __init__(self, shown: bool, steps: int | None, seconds: float | None):
        self._bar = None
        if not shown:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._in_steps = seconds is None
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("training", total=steps if self._in_steps else seconds)
        self._bar.start()

    def update(self, phase: str, step: int, seconds: float, loss: float) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=step if self._in_steps else seconds,
                description=f"{phase}  step {step}  loss {loss:.2e}",
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
