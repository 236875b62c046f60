"""Pictures of a comparison: fields, pointwise errors, error against time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from physml.compare._row import Row
from physml.compare._yardstick import matching
from solvers.output import Sample
from solvers.output._plot import (
    check_field,
    component,
    component_names,
    limits,
    new_figure,
    nice_ticks,
    plane,
    space_time,
)

if TYPE_CHECKING:
    from physml.compare._comparison import Comparison

KINDS = ("fields", "errors", "progress")
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#666666")
# Not as many as colours, so that a pair comes again only after all of them.
_MARKERS = "osD^vPXp*"
_DECADES = 8


def available(comparison: Comparison) -> tuple[str, ...]:
    """Which pictures there is something to draw for."""
    solved = [row for row in comparison.rows if _sample(row) is not None]
    if not solved:
        return ()
    if comparison.yardstick is None:
        return ("fields",)
    timed = any(_points(row) for row in comparison.rows)
    return KINDS if timed else KINDS[:2]


def plot(comparison: Comparison, what: str = "all", field: str | None = None) -> Any:
    """See `Comparison.plot`."""
    if what not in (*KINDS, "all"):
        raise ValueError(f"what is 'fields', 'errors', 'progress' or 'all', got {what!r}")
    name = check_field(comparison.problem["fields"], field)
    kinds = available(comparison)
    if not kinds:
        raise ValueError("nothing to draw: no method solved the problem")
    if what != "all" and what not in kinds:
        raise ValueError(f"no picture of {what}: there is no reference, or no run with an error")
    if what == "all":
        heights = [_size(comparison, kind)[1] for kind in kinds]
        width = max(_size(comparison, kind)[0] for kind in kinds)
        figure = new_figure(width, sum(heights))
        parts = figure.subfigures(len(kinds), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, kind in zip(parts, kinds, strict=True):
            _DRAW[kind](comparison, name, part)
        return figure
    figure = new_figure(*_size(comparison, what))
    _DRAW[what](comparison, name, figure)
    return figure


def _sample(row: Row) -> Sample | None:
    return row.median.sample if row.median is not None else None


def _panels(comparison: Comparison) -> list[tuple[str, Sample]]:
    """The reference first, then every method that solved and is not the reference itself."""
    panels = []
    if comparison.yardstick is not None:
        panels.append((comparison.yardstick.label, comparison.yardstick.sample))
    for row in comparison.rows:
        taken = _sample(row)
        if taken is not None and not row.reference:
            panels.append((row.label, taken))
    return panels


def _shape(comparison: Comparison, kind: str) -> tuple[int, int]:
    """Rows and columns of panels."""
    count = len(_panels(comparison))
    if kind == "errors":
        count -= 1
    columns = min(max(count, 1), 4)
    return -(-max(count, 1) // columns), columns


def _size(comparison: Comparison, kind: str) -> tuple[float, float]:
    panels = _panels(comparison)
    if kind == "progress":
        return 9.0, 4.6
    if len(panels[0][1].lattice.axes) == 1 and panels[0][1].steady:
        return 9.0, 4.0
    rows, columns = _shape(comparison, kind)
    return max(2.9 * columns + 1.0, 5.5), 2.6 * rows + 0.5


def _fields(comparison: Comparison, name: str, figure: Any) -> None:
    panels = [(label, s) for label, s in _panels(comparison) if name in s.values]
    label, index = component_names(name, comparison.problem["fields"][name])[0]
    values = [component(s.values[name], index, s) for _, s in panels]
    figure.suptitle(f"{label}, by method" + _when(panels[0][1]))
    if _is_line(panels[0][1]):
        _lines(figure.subplots(), panels, values, label)
        return
    low, high, colours = limits(values[0])
    grid = figure.subplots(*_shape(comparison, "fields"), sharex=True, sharey=True, squeeze=False)
    _fill(figure, grid, panels, values, {"vmin": low, "vmax": high, "cmap": colours}, label)


def _errors(comparison: Comparison, name: str, figure: Any) -> None:
    from matplotlib.colors import LogNorm

    assert comparison.yardstick is not None
    label, index = component_names(name, comparison.problem["fields"][name])[0]
    reference = comparison.yardstick.sample
    if name not in reference.values:
        figure.suptitle(f"no reference for {label}")
        return
    against = component(reference.values[name], index, reference)
    panels = [(text, s) for text, s in _panels(comparison)[1:] if name in s.values]
    values = [
        np.abs(component(s.values[name], index, s) - against[matching(reference.times, s.times)])
        for _, s in panels
    ]
    figure.suptitle(f"|{label} − reference|" + _when(reference))
    if not panels:
        return
    if _is_line(reference):
        ax = figure.subplots()
        _lines(ax, panels, [np.maximum(v, 1e-17) for v in values], f"error of {label}")
        ax.set_yscale("log")
        return
    high = max(float(np.nanmax(v)) for v in values) or 1.0
    least = min(float(np.nanmedian(v)) for v in values)
    low = min(max(least / 10, high * 10.0**-_DECADES), high / 100)
    grid = figure.subplots(*_shape(comparison, "errors"), sharex=True, sharey=True, squeeze=False)
    scale = {"norm": LogNorm(low, high), "cmap": "magma"}
    _fill(figure, grid, panels, [np.maximum(v, low) for v in values], scale, "absolute error")


def _is_line(taken: Sample) -> bool:
    return len(taken.lattice.axes) == 1 and taken.steady


def _when(taken: Sample) -> str:
    if taken.steady or len(taken.lattice.axes) == 1:
        return ""
    return f", at t = {taken.times[-1]:.4g}"


def _lines(ax: Any, panels: Any, values: Any, label: str) -> None:
    for i, ((text, taken), value) in enumerate(zip(panels, values, strict=True)):
        ax.plot(
            taken.lattice.axes[0],
            value[0],
            color=PALETTE[i % len(PALETTE)],
            ls=("-", "--", "-.", ":")[i % 4],
            lw=1.5,
            label=text,
        )
    ax.set(xlabel="x", ylabel=label)
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")


def _fill(figure: Any, grid: Any, panels: Any, values: Any, scale: Any, label: str) -> None:
    """One map a panel, on a common colour scale."""
    axes = grid.ravel()
    image = None
    for i, (ax, (text, taken), value) in enumerate(zip(axes, panels, values, strict=False)):
        if len(taken.lattice.axes) == 1:
            image = space_time(ax, taken, value, label, scale, bar=False)
        else:
            low, high = scale.get("vmin", 0.0), scale.get("vmax", 1.0)
            norm, colours = scale.get("norm"), scale["cmap"]
            image = plane(ax, taken, value[-1], low, high, colours, norm=norm, extend="both")
        ax.set_title(text, fontsize=10)
        across = ax.get_xlabel()
        ax.label_outer()
        if i + grid.shape[1] >= len(panels):
            # Nothing is drawn below, though the grid goes on.
            ax.set_xlabel(across)
            ax.tick_params(labelbottom=True)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    if image is not None:
        options = {"extend": "min"} if "norm" in scale else {}
        bar = figure.colorbar(image, ax=list(axes), label=label, shrink=0.95, **options)
        if "norm" not in scale and len(panels[0][1].lattice.axes) > 1:
            nice_ticks(bar)


def _points(row: Row) -> list[tuple[float, float]]:
    """(seconds, error) of every solved trial."""
    return [
        (t.seconds, t.l2) for t in row.solved if t.errors and math.isfinite(t.l2) and t.seconds > 0
    ]


def _progress(comparison: Comparison, name: str, figure: Any) -> None:
    """Error of the worst field against wall time: a curve for an iterative method, a point for a
    direct one; never below the reference's own error, which is shaded."""
    ax = figure.subplots()
    figure.suptitle("Error against time")
    yardstick = comparison.yardstick
    floor = 0.0
    if yardstick is not None and yardstick.floor:
        floor = max(e.l2 for e in yardstick.floor.values())
    found = [(row, [] if row.reference else _points(row)) for row in comparison.rows]
    drawn = [(row, points) for row, points in found if points or any(t.curve for t in row.trials)]
    for i, (row, points) in enumerate(drawn):
        colour, marker = PALETTE[i % len(PALETTE)], _MARKERS[i % len(_MARKERS)]
        for trial in row.trials:
            # All of the compilation is set before the first point, though some comes later.
            late = trial.compile_seconds
            curve = [(s + late, max(e, floor)) for s, e in trial.curve if math.isfinite(e)]
            curve = [(s, e) for s, e in curve if s > 0]
            if curve:
                ax.plot(*zip(*curve, strict=True), color=colour, lw=1.4, alpha=0.85)
        label = row.label + ("" if points else " (failed)")
        if points:
            at = [(s, max(e, floor)) for s, e in points]
            ax.plot(*zip(*at, strict=True), marker, color=colour, ms=8, label=label, mec="white")
        else:
            ax.plot([], [], color=colour, label=label)
    ax.set(xscale="log", yscale="log", xlabel="time, s (compilation included)")
    ax.set_ylabel("relative L2 error")
    if floor > 0:
        low, high = ax.get_ylim()
        if floor > low / 10:
            ax.axhspan(min(low, floor / 3), floor, color="0.85", zorder=0, lw=0)
            ax.set_ylim(min(low, floor / 3), high)
    ax.grid(alpha=0.3, which="both", lw=0.5)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


_DRAW = {"fields": _fields, "errors": _errors, "progress": _progress}
