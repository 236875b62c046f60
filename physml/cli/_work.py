"""What the commands do, with a run's folder: config.json says how to repeat or resume it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from physml._folder import append_json, writable_folder, write_json
from physml.cli import _methods, _problems
from physml.cli._setup import configure

CONFIG = "config.json"
SCHEMA, VERSION = "physml.run", 1


def prepare(
    command: str, name: str, out: Path | None, options: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """The run's folder with its config.json.

    Raises:
        OSError: it can't be written.
    """
    folder = writable_folder(out or Path("runs") / _problems.short_name(name))
    if _problems.is_file(name):
        name = str(Path(name).expanduser().resolve())
    config = {
        "schema": SCHEMA,
        "version": VERSION,
        "command": command,
        "problem": name,
        **options,
        "finished": False,
    }
    return folder, config


def read_config(folder: Path) -> dict[str, Any]:
    """What `prepare` made.

    Raises:
        FileNotFoundError, ValueError: not a run's folder.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise FileNotFoundError(f"{str(folder)!r} is not a run's folder: it has no {CONFIG}")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    if config.get("schema") != SCHEMA or config.get("version") != VERSION:
        raise ValueError(f"{file}: not the configuration of a run that this physml can read")
    return config


def finish(folder: Path, config: dict[str, Any]) -> None:
    write_json(folder / CONFIG, {**config, "finished": True})


def run(folder: Path, config: dict[str, Any], resume: bool) -> Path:
    """Carries a run out, or goes on with it; the file to look at."""
    configure(config["precision"], config["device"], config["cache"])
    problem, namespace = _problems.load(config["problem"])
    work = {"compare": _compare, "solve": _solve}[config["command"]]
    write_json(folder / CONFIG, config)
    result = work(folder, config, problem, namespace, resume)
    finish(folder, config)
    return result


def _compare(folder: Path, config: dict[str, Any], problem: Any, namespace: Any, resume: bool):
    from rich.console import Console

    from physml.compare import compare

    if config["methods"] is None and "methods" in namespace:
        methods = list(namespace["methods"])
    else:
        methods = list(_methods.chosen(config["methods"], problem.dim).values())
    reference = namespace.get("reference")
    if config["reference"] is not None:
        reference = _methods.make_method(config["reference"], problem.dim)
    comparison = compare(
        problem,
        methods,
        reference,
        budget=config["budget"],
        steps=config["steps"],
        seeds=tuple(config["seeds"]),
        out=folder,
        resume=resume,
        progress=True,
        resolution=config["resolution"],
    )
    report = comparison.save(folder)
    console = Console()
    # A file or a pipe has no width of its own: no cell is folded.
    (console if console.is_terminal else Console(width=160)).print(comparison)
    return report


def _solve(folder: Path, config: dict[str, Any], problem: Any, namespace: Any, resume: bool):
    from rich.console import Console

    from physml._solve import solve

    method = _methods.make_method(config["method"], problem.dim)
    append_json(folder / "log.jsonl", {"event": "start", "method": method.name, "at": time.time()})
    solution = solve(
        problem,
        method,
        seed=config["seeds"][0],
        budget=config["budget"],
        steps=config["steps"],
        out=folder,
        resume=resume,
        progress=True,
    )
    solution.save(folder / "solution.h5")
    if problem.dim in (2, 3):
        solution.save(folder / "solution.vtu")
    for name in problem.shapes:
        solution.plot(name).savefig(folder / f"{name}.png", dpi=130)
    stats = solution.stats
    append_json(folder / "log.jsonl", {"event": "end", "run_seconds": stats.run_seconds})
    Console().print(
        f"{method.name}: {stats.unknowns:,} unknowns, compiled in {stats.compile_seconds:.2f} s, "
        f"ran in {stats.run_seconds:.2f} s",
        highlight=False,
    )
    return folder / f"{next(iter(problem.shapes))}.png"
