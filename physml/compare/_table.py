"""The table of a comparison: the same cells for a terminal, as text, and for the page."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from physml.compare._row import Row, Trial

if TYPE_CHECKING:
    from physml.compare._comparison import Comparison
    from physml.compare._yardstick import Yardstick


@dataclasses.dataclass(frozen=True)
class Line:
    """One method's cells; `message` stands in place of the figures when there are none."""

    label: str
    status: str
    cells: tuple[str, ...]
    message: str = ""


def columns(comparison: Comparison) -> tuple[str, ...]:
    """Headings of the figures, after the method's name."""
    names = measured_fields(comparison)
    several = len(names) > 1
    heads: list[str] = []
    for name in names:
        heads += [f"L2 error {name}" if several else "relative L2 error"]
        heads += [f"max {name}" if several else "max error"]
    if certified(comparison):
        heads += ["certificate", "effectivity"]
    return (*heads, "compile s", "run s", "unknowns", "peak memory")


def certified(comparison: Comparison) -> list[Trial]:
    """The trials that are shown and have a certificate."""
    shown = [row.median for row in comparison.rows]
    return [trial for trial in shown if trial is not None and trial.certificate is not None]


def measured_fields(comparison: Comparison) -> tuple[str, ...]:
    return comparison.yardstick.fields if comparison.yardstick is not None else ()


def lines(comparison: Comparison) -> list[Line]:
    """All rows, those that solved first in the order of their error."""
    rows = sorted(
        enumerate(comparison.rows),
        key=lambda pair: (
            {"solved": 0, "failed": 1, "skipped": 2}[pair[1].status],
            _order(pair[1]),
            pair[0],
        ),
    )
    return [_line(comparison, row) for _, row in rows]


def _order(row: Row) -> float:
    trial = row.median
    return math.inf if trial is None or math.isnan(trial.l2) else trial.l2


def _line(comparison: Comparison, row: Row) -> Line:
    trial = row.median
    label = row.label + (" (reference)" if row.reference else "")
    if trial is None:
        return Line(label, row.status, (), row.message)
    cells: list[str] = []
    yardstick = comparison.yardstick
    if yardstick is not None:
        for name in yardstick.fields:
            cells.append(_error(row, yardstick, name, "l2"))
            cells.append(_error(row, yardstick, name, "max"))
    if certified(comparison):
        cells += _certificate(trial)
    cells += [
        seconds(trial.compile_seconds),
        seconds(trial.run_seconds),
        f"{trial.unknowns:,}" if trial.unknowns else "–",
        memory(trial.peak_memory),
    ]
    failed = len(row.trials) - len(row.solved)
    message = f"{failed} of {len(row.trials)} seeds failed: {row.message}" if failed else ""
    return Line(label, row.status, tuple(cells), message)


def _certificate(trial: Trial) -> list[str]:
    """The relative estimate with its kind, and its effectivity."""
    found = trial.certificate
    if found is None or found["relative"] is None:
        return ["–", "–"]
    ratio = trial.effectivity
    return [
        f"{found['relative']:.2e} ({found['kind']})",
        "–" if math.isnan(ratio) else f"{ratio:.2f}",
    ]


def _error(row: Row, yardstick: Yardstick, name: str, kind: str) -> str:
    """An error, never below the reference's own; with several seeds the median and the range."""
    floor = yardstick.floor.get(name) if yardstick.floor is not None else None
    least = getattr(floor, kind) if floor is not None else 0.0
    if row.reference:
        return f"< {least:.1e}" if least else "reference"
    values = sorted(getattr(t.errors[name], kind) for t in row.solved if name in t.errors)
    if not values:
        return "–"
    shown = f"{values[len(values) // 2]:.2e}"
    if values[len(values) // 2] < least:
        shown = f"< {least:.1e}"
    if len(values) > 1:
        shown += f" ({max(values[0], least):.0e} … {max(values[-1], least):.0e})"
    return shown


def below_floor(row: Row, yardstick: Yardstick | None) -> bool:
    """Whether a row's error can't be told from the reference's own."""
    trial: Trial | None = row.median
    if trial is None or yardstick is None or yardstick.floor is None:
        return False
    floor = yardstick.floor
    return any(name in floor and e.l2 < floor[name].l2 for name, e in trial.errors.items())


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def memory(count: int) -> str:
    if count <= 0:
        return "–"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.2f} GiB"


def caption(comparison: Comparison) -> list[str]:
    """What a reader must know of the figures."""
    settings, yardstick = comparison.settings, comparison.yardstick
    at = f"{settings['points']:,} points"
    if comparison.problem["time"] is not None:
        at += f" × {settings['times']} times"
    if yardstick is None:
        return [
            "no reference: neither an exact solution nor a numerical method; errors not measured"
        ]
    out = [f"errors against {_article(yardstick.label)}, at {at}, equally weighted"]
    if yardstick.floor is None:
        out.append(f"error of the reference: {yardstick.how}")
    else:
        floors = ", ".join(
            f"{n} {e.l2:.1e}" if len(yardstick.floor) > 1 else f"{e.l2:.1e}"
            for n, e in yardstick.floor.items()
        )
        out.append(f"estimated error of the reference, relative L2: {floors} ({yardstick.how})")
    if any(below_floor(row, yardstick) for row in comparison.rows):
        out.append("“<”: not told apart from the reference's own error")
    return out + _certificates(comparison)


def _certificates(comparison: Comparison) -> list[str]:
    """What the certificates are, and why some are missing."""
    trials = certified(comparison)
    if not trials:
        return []
    out = [
        "certificate: relative error as estimated without the reference; effectivity: estimated "
        "by true error in the same norm"
    ]
    kinds = {}
    for trial in trials:
        found = trial.certificate or {}
        text = found["norm"] or f"not made: {found['explanation']}"
        kinds.setdefault(f"“{found['kind']}”: {text}", None)
    return [*out, *kinds]


def _article(label: str) -> str:
    return f"the {label}" if label == "exact solution" else label


def rich_table(comparison: Comparison) -> Any:
    """A rich table with the caption below."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(comparison.problem["name"]),
        caption=escape("\n".join(caption(comparison))),
        caption_justify="left",
        title_justify="left",
    )
    table.add_column("method", overflow="fold")
    for head in columns(comparison):
        table.add_column(head, justify="right", overflow="fold")
    count = len(columns(comparison))
    rest = []
    for line in lines(comparison):
        if line.status == "solved":
            table.add_row(escape(line.label), *line.cells)
        else:
            colour = "red" if line.status == "failed" else "yellow"
            table.add_row(escape(line.label), f"[{colour}]{line.status}[/]", *[""] * (count - 1))
        if line.message:
            rest.append(line)
    if not rest:
        return table
    from rich.console import Group
    from rich.text import Text

    return Group(table, *[Text(f"{line.label}: {line.message}") for line in rest])


def plain(comparison: Comparison) -> str:
    """Aligned text."""
    head = ("method", *columns(comparison))
    body = [
        (line.label, *(line.cells or (line.status, *[""] * (len(head) - 2))))
        for line in lines(comparison)
    ]
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]

    def text(row: tuple[str, ...]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    out = [comparison.problem["name"], text(head), "  ".join("-" * width for width in widths)]
    out += [text(row) for row in body]
    out += [f"{line.label}: {line.message}" for line in lines(comparison) if line.message]
    return "\n".join([*out, *caption(comparison)])


def markdown(comparison: Comparison) -> str:
    """A Markdown table with the caption below."""
    head = ("method", *columns(comparison))

    def text(row: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    out = [text(head), "|---|" + "---:|" * (len(head) - 1)]
    for line in lines(comparison):
        cells = line.cells or (f"{line.status}: {line.message}", *[""] * (len(head) - 2))
        out.append(text((line.label, *cells)))
    return "\n".join([*out, "", *[f"{sentence}  " for sentence in caption(comparison)]])
