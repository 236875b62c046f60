"""The report: one HTML page that a browser opens without a network; pictures are inside."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physml._folder import write_text
from physml.compare import _plots, _table

if TYPE_CHECKING:
    from physml.compare._comparison import Comparison

_STYLE = """
:root { --ink: #1b2733; --soft: #5b6b7a; --line: #d9e0e7; --tint: #f5f7fa; --accent: #0b5cad; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2.2rem 1.6rem 4rem; }
header { border-bottom: 2px solid var(--ink); padding-bottom: .9rem; margin-bottom: 1.4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .7rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); }
.lead { font-size: 1.05rem; margin-top: 1rem; }
pre { white-space: pre-wrap; background: var(--tint); border: 1px solid var(--line);
  border-radius: 6px; padding: .8rem 1rem; margin: .5rem 0 1rem;
  font: 14px/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .7rem; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
table.figures th { border-bottom: 1.5px solid var(--ink); font-weight: 600; white-space: nowrap; }
table.figures td, table.figures th { text-align: right; }
table.figures td:first-child, table.figures th:first-child { text-align: left; }
table.figures td { white-space: nowrap; }
table.figures td.message { text-align: left; white-space: normal; color: var(--soft); }
table.facts th { width: 11rem; font-weight: 600; color: var(--soft); }
tr.best td { background: #eef6ee; }
.tag { display: inline-block; border-radius: 4px; padding: 0 .45em; font-size: .85em;
  font-weight: 600; }
.failed { background: #fbe4e2; color: #96281b; } .skipped { background: #fdf1d6; color: #7a5606; }
figure { margin: 1rem 0 1.6rem; } figure img, figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .92rem; margin-top: .2rem; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .9rem; }
@media print { main { max-width: none; padding: 0; } body { font-size: 11px; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } table.figures td, table.figures th { padding: .3rem .35rem; }
  pre { border-color: #bbb; } }
"""

_CAPTIONS = {
    "fields": "The reference and each method's answer, on one colour scale.",
    "errors": "Pointwise distance to the reference, logarithmic, on one colour scale.",
    "progress": "Error of the worst field against wall time: a point for a method that gives its "
    "answer at once, a curve for one that improves it. Nothing can be seen within the shaded part: "
    "it lies below the reference's own error.",
}


def write(comparison: Comparison, path: Path) -> Path:
    """Writes the page whole or not at all."""
    return write_text(path, page(comparison))


def page(comparison: Comparison) -> str:
    """The page's text."""
    name = comparison.problem["name"]
    body = [
        _header(comparison),
        _results(comparison),
        *(_figure(comparison, kind) for kind in reversed(_plots.available(comparison))),
        _problem(comparison),
        _methods(comparison),
        _environment(comparison),
        _notes(comparison),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(name)}: methods compared</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _header(comparison: Comparison) -> str:
    rows = comparison.rows
    solved = sum(row.status == "solved" for row in rows)
    counts = [f"{solved} of {len(rows)} methods solved it"]
    for status in ("failed", "skipped"):
        number = sum(row.status == status for row in rows)
        if number:
            counts.append(f"{number} {status}")
    version = comparison.environment["versions"]["physml"]
    return (
        f"<header><h1>{_text(_title(comparison.problem['name']))}</h1>"
        f'<p class="soft">One definition, every method, the same points and clock · '
        f"{_text(comparison.settings['created'])} · physml {_text(version)}</p></header>\n"
        f'<p class="lead">{_text("; ".join(counts))}. {_text(_summary(comparison))}</p>\n'
    )


def _title(name: str) -> str:
    return name.replace("_", " ")[:1].upper() + name.replace("_", " ")[1:]


def _summary(comparison: Comparison) -> str:
    ranked = [
        row
        for row in comparison.rows
        if row.median is not None and row.median.errors and not row.reference
    ]
    if not ranked or comparison.yardstick is None:
        return ""
    best = min(ranked, key=lambda row: row.median.l2 if row.median else float("inf"))
    assert best.median is not None
    value = f"{best.median.l2:.1e}"
    if _table.below_floor(best, comparison.yardstick):
        value = "an error that can't be told from the reference's own"
    else:
        value = f"a relative L2 error of {value}"
    return f"Nearest to the reference: {best.label}, {value} in {best.median.seconds:.1f} s."


def _results(comparison: Comparison) -> str:
    heads = ("method", *_table.columns(comparison))
    out = ['<h2>Results</h2>\n<div class="scroll"><table class="figures"><thead><tr>']
    out += [f"<th>{_text(head)}</th>" for head in heads]
    out.append("</tr></thead><tbody>\n")
    first = True
    for line in _table.lines(comparison):
        if line.cells:
            kind = ' class="best"' if first and comparison.yardstick is not None else ""
            first = False
            cells = "".join(f"<td>{_text(cell)}</td>" for cell in line.cells)
            out.append(f"<tr{kind}><td>{_text(line.label)}</td>{cells}</tr>\n")
        if line.message:
            tag = line.status if not line.cells else "failed"
            start = "" if line.cells else _text(line.label)
            out.append(
                f'<tr><td>{start}</td><td class="message" colspan="{len(heads) - 1}">'
                f'<span class="tag {tag}">{tag}</span> {_text(line.message)}</td></tr>\n'
            )
    out.append("</tbody></table></div>\n")
    out += [
        f'<p class="soft">{_text(_sentence(text))}</p>\n' for text in _table.caption(comparison)
    ]
    return "".join(out)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "”")) else text + "."


def _figure(comparison: Comparison, kind: str) -> str:
    figure = _plots.plot(comparison, kind)
    if kind == "progress":
        picture = _svg(figure)
    else:
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=130)
        code = base64.b64encode(data.getvalue()).decode()
        picture = f'<img alt="{_text(_CAPTIONS[kind])}" src="data:image/png;base64,{code}">'
    heading = {"fields": "Fields", "errors": "Pointwise errors", "progress": "Error against time"}
    return (
        f"<h2>{heading[kind]}</h2>\n<figure>{picture}"
        f"<figcaption>{_text(_CAPTIONS[kind])}</figcaption></figure>\n"
    )


def _svg(figure: Any) -> str:
    """An SVG element to stand in a page: no prologue, no metadata, no addresses."""
    import matplotlib

    data = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "physml"}):
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(data, format="svg", metadata=nothing)
    text = data.getvalue()
    return text[text.index("<svg") :]


def _facts(pairs: list[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{_text(k)}</th><td>{v}</td></tr>\n" for k, v in pairs if v)
    return f'<table class="facts">{rows}</table>\n'


def _problem(comparison: Comparison) -> str:
    problem = comparison.problem
    pairs = [
        ("Domain", _text(problem["domain"])),
        ("Time", _text(problem["time"] or "steady")),
        ("Fields", _text(", ".join(_field(n, s) for n, s in problem["fields"].items()))),
    ]
    pairs += [(f"Equation of {n}", _text(text)) for n, text in problem["terms"].items()]
    pairs += [(f"Parameter {n}", _code(text)) for n, text in problem["parameters"].items()]
    pairs += [(f"Initial {n}", _code(text)) for n, text in problem["initial"].items()]
    pairs += [(f"Initial rate of {n}", _code(text)) for n, text in problem["initial_rate"].items()]
    for part, conditions in problem["boundary"].items():
        text = "; ".join(f"{_text(n)}: {_code(c)}" for n, c in conditions.items())
        pairs.append((f"Boundary {part}", text))
    return f"<h2>Problem</h2>\n<pre>{_text(problem['equation'])}</pre>\n{_facts(pairs)}"


def _field(name: str, shape: list[int]) -> str:
    return f"{name} (scalar)" if not shape else f"{name} ({' × '.join(map(str, shape))} components)"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _methods(comparison: Comparison) -> str:
    pairs = []
    for row in comparison.rows:
        text = _code(row.options)
        notes = row.median.notes if row.median is not None else ()
        if notes:
            text += '<br><span class="soft">' + _text("; ".join(notes)) + "</span>"
        pairs.append((row.label, text))
    return f"<h2>Methods</h2>\n{_facts(pairs)}"


def _environment(comparison: Comparison) -> str:
    place, settings = comparison.environment, comparison.settings
    versions = ", ".join(f"{name} {value}" for name, value in place["versions"].items())
    budget = settings["budget"]
    pairs = [
        ("Device", f"{place['device']}, {place['cores']} cores"),
        ("Precision", place["precision"]),
        ("Seeds", ", ".join(map(str, settings["seeds"]))),
        ("Budget", f"{budget:g} s for each neural method" if budget else "each method's own"),
        ("Versions", f"Python {place['python']}, {versions}"),
        ("System", place["system"]),
        ("Command", place["command"]),
        ("Date", settings["created"]),
    ]
    return f"<h2>Environment</h2>\n{_facts([(k, _text(v)) for k, v in pairs])}"


def _notes(comparison: Comparison) -> str:
    notes = [
        "Times are wall seconds on the device named above; other work on it makes them longer.",
        "Peak memory is the growth of the process's resident set while the method ran; memory kept "
        "from an earlier method and used again is not counted.",
        "Each method ran with the options shown, which are not tuned to this problem beyond them; "
        "another resolution or budget moves its point.",
    ]
    if any(len(row.trials) > 1 for row in comparison.rows):
        notes.append("With several seeds the median is shown, with the least and the largest.")
    if any(row.neural for row in comparison.rows) and len(comparison.settings["seeds"]) == 1:
        notes.append("Neural methods ran with one seed; another seed gives another error.")
    items = "".join(f"<li>{_text(note)}</li>\n" for note in notes)
    return (
        f"<h2>Notes</h2>\n<ul>{items}</ul>\n"
        "<footer>Data behind this page: comparison.json and fields.h5 beside it.</footer>\n"
    )
