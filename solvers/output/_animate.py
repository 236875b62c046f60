"""Films of one field over time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from solvers._result import NotApplicable
from solvers.output._plot import (
    check_field,
    component,
    component_names,
    edge,
    limits,
    new_figure,
    nice_ticks,
    plane,
)
from solvers.output._sample import sample


def animate(solution: Any, path: str | Path, field: str | None = None, frames: int = 60) -> Path:
    """Writes a film (.gif, or .mp4 where ffmpeg is installed); returns its path.

    Raises:
        NotApplicable: the problem is steady.
        ValueError: an unknown field or suffix, or fewer than two frames.
        OSError: no ffmpeg, or a path that can't be written.
    """
    path = Path(path)
    problem = solution.problem
    if problem.time is None:
        raise NotApplicable(f"{problem.name!r} is steady: there is nothing to animate; use plot()")
    if frames < 2:
        raise ValueError(f"a film needs at least 2 frames, got {frames}")
    writer = _writer(path)
    name = check_field(problem.shapes, field)
    count = {1: 1001, 2: 121**2}.get(problem.dim, 41**3)
    taken = sample(solution, count, frames=frames)
    label, index = component_names(name, problem.shapes[name])[0]
    values = component(taken.values[name], index, taken)
    figure = new_figure(6.4, 4.4)
    low, high, colours = limits(values)
    outside = edge(problem.domain, taken)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer.saving(figure, str(path), dpi=100):
        for frame, t in enumerate(taken.times):
            figure.clear()
            ax = figure.subplots()
            if problem.dim == 1:
                ax.plot(taken.lattice.axes[0], values[frame], lw=1.6)
                pad = 0.05 * (high - low)
                ax.set(xlabel="x", ylabel=label, ylim=(low - pad, high + pad))
                ax.grid(alpha=0.3)
            else:
                image = plane(ax, taken, values[frame], low, high, colours, outside=outside)
                nice_ticks(figure.colorbar(image, ax=ax, label=label))
            ax.set_title(f"{problem.name}, {taken.method}, t = {t:.3f}")
            writer.grab_frame()
    return path


def _writer(path: Path) -> Any:
    from matplotlib import animation

    if path.suffix == ".gif":
        return animation.PillowWriter(fps=12)
    if path.suffix == ".mp4":
        if shutil.which("ffmpeg") is None:
            raise OSError("an .mp4 needs the program ffmpeg, which is not installed; write a .gif")
        return animation.FFMpegWriter(fps=24)
    raise ValueError(f"a film is .gif or .mp4, got {str(path)!r}")
