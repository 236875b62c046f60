"""Runs a benchmark and prints its table as it goes.

A check fails by itself: the others go on. With `--jobs` each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks._table import Checks, Row

HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Benchmarks that exist: the stems of the modules, by their first part."""
    return sorted(_prefixes())


def _prefixes() -> set[str]:
    stems = [path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")]
    known = ("end_to_end", "fem", "spectral", "neural")
    return {next((k for k in known if stem.startswith(k)), stem) for stem in stems}


def load(name: str) -> Checks:
    """All checks of a benchmark, in the order of its modules."""
    checks: Checks = {}
    for path in sorted(HERE.glob(f"{name}*.py")):
        module = importlib.import_module(f"benchmarks.{path.stem}")
        checks.update(module.CHECKS)
    return checks


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=names(), help="which benchmark")
    parser.add_argument("--only", action="append", help="checks whose name contains this text")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--jobs", type=int, default=1, help="checks at once, for an accelerator")
    parser.add_argument("--exactly", action="append", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="only list the checks")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be positive, got {options.jobs}")
    import jax

    jax.config.update("jax_enable_x64", True)
    checks = load(options.name)
    chosen = {
        key: function
        for key, function in checks.items()
        if (not options.only or any(text in key for text in options.only))
        and (not options.exactly or key in options.exactly)
    }
    if not chosen:
        print(f"no check matches {options.only}; there are: {', '.join(checks)}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(chosen))
        return 0
    if options.jobs == 1:
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, {jax.default_backend()}, "
            f"Python {platform.python_version()}, JAX {jax.__version__}",
            flush=True,
        )
    print(f"{'check':58s} {'value':>11s} {'target':>11s} {'unit':8s} holds  seconds  peer, note")
    if options.jobs > 1:
        found = at_once(options.name, list(chosen), options.jobs)
    else:
        found = (r for key, function in chosen.items() for r in run(key, function))
    rows: list[Row] = []
    for r in found:
        rows.append(r)
        # After each: a run that is cut off keeps what it has.
        if options.json:
            options.json.write_text(json.dumps([_plain(r) for r in rows], indent=1) + "\n")
    short = [r for r in rows if r.holds is False]
    print(f"{len(rows)} rows, {len(short)} short")
    return 0


def at_once(name: str, keys: list[str], jobs: int) -> Iterator[Row]:
    """The rows of all checks, each check in a process of its own, printed as they end."""
    with tempfile.TemporaryDirectory() as folder:

        def one(item: tuple[int, str]) -> list[Row]:
            number, key = item
            path = Path(folder, f"{number}.json")
            command = [sys.executable, "-m", "benchmarks", name, "--exactly", key]
            done = subprocess.run(
                [*command, "--json", str(path)], capture_output=True, text=True, cwd=HERE.parent
            )
            rows = json.loads(path.read_text()) if path.exists() else []
            if done.returncode or not rows:
                said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
                note = f"failed with status {done.returncode}: {said}"
                return [*map(_row, rows), Row(key, None, holds=False, note=note)]
            return [_row(r) for r in rows]

        with ThreadPoolExecutor(jobs) as pool:
            for future in as_completed([pool.submit(one, item) for item in enumerate(keys)]):
                for r in future.result():
                    show(r)
                    yield r


def run(key, function):
    """The rows of one check, printed; an exception is a row."""
    start = time.perf_counter()
    try:
        for found in function():
            now = time.perf_counter()
            done = dataclasses.replace(found, seconds=now - start)
            show(done)
            yield done
            start = time.perf_counter()
    except Exception as error:
        traceback.print_exc()
        failed = Row(
            key,
            None,
            holds=False,
            seconds=time.perf_counter() - start,
            note=f"failed: {type(error).__name__}: {error}",
        )
        show(failed)
        yield failed


def show(r: Row) -> None:
    value = "–" if r.value is None else f"{r.value:.4g}"
    target = "" if r.target is None else f"{r.target:.4g}"
    holds = {True: "yes", False: "NO", None: ""}[r.holds]
    tail = ", ".join(text for text in (r.peer, r.note) if text)
    print(
        f"{r.check:58s} {value:>11s} {target:>11s} {r.unit:8s} {holds:5s} {r.seconds:8.1f}  {tail}",
        flush=True,
    )


def _plain(r: Row) -> dict:
    out = dataclasses.asdict(r)
    if r.value is not None and not math.isfinite(r.value):
        out["value"] = repr(r.value)
    return out


def _row(plain: dict[str, Any]) -> Row:
    """Of `_plain`."""
    value = plain["value"]
    return Row(**{**plain, "value": float(value) if isinstance(value, str) else value})


if __name__ == "__main__":
    sys.exit(main())
