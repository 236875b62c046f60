"""`physml list` and `physml show`."""

from __future__ import annotations

import inspect

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from physml.cli import _methods, _problems


def list_all() -> None:
    """Two tables: problems, methods."""
    from pdes.library import PROBLEMS

    console = Console()
    table = Table(title="problems", title_justify="left", box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("")
    for name, maker in PROBLEMS.items():
        table.add_row(name, escape((inspect.getdoc(maker) or "").partition("\n")[0]))
    console.print(table)
    table = Table(title="\nmethods", title_justify="left", box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("")
    for name, entry in _methods.METHODS.items():
        table.add_row(name, f"pm.{entry.public}", entry.title)
    console.print(table)


def show(name: str) -> None:
    """A problem in words."""
    from physml.compare._statement import statement

    problem, _ = _problems.load(name)
    said = statement(problem)
    console = Console(highlight=False)
    console.print(f"[bold]{escape(said['name'])}[/bold]")
    console.print(escape(said["equation"]) + "\n")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    facts = [("domain", said["domain"]), ("time", said["time"] or "steady")]
    facts += [(f"equation of {n}", text) for n, text in said["terms"].items()]
    facts += [(f"parameter {n}", text) for n, text in said["parameters"].items()]
    facts += [(f"initial {n}", text) for n, text in said["initial"].items()]
    facts += [(f"initial rate of {n}", text) for n, text in said["initial_rate"].items()]
    for part, conditions in said["boundary"].items():
        facts.append((f"boundary {part}", "; ".join(f"{n}: {c}" for n, c in conditions.items())))
    facts.append(("exact solution", ", ".join(said["exact"]) or "not known"))
    for short, method in _methods.chosen(None, problem.dim).items():
        reason = method.inapplicable(problem)
        facts.append((f"method {short}", "applies" if reason is None else f"no: {reason}"))
    for label, text in facts:
        table.add_row(label, escape(str(text)))
    console.print(table)
