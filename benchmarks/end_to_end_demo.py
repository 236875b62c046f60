"""The demonstration of the README, and its equation by four methods."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks._table import Checks, Row, row

ROOT = Path(__file__).resolve().parent.parent


def demo() -> Iterable[Row]:
    """`physml compare burgers` in a process of its own, as `make demo` runs it."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "physml", "compare", "burgers", "--out", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        seconds = time.perf_counter() - start
        yield row("make demo, after installation", seconds, 240.0, "s")
        if done.returncode != 0:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        rows = _rows(Path(folder))
    errors = {
        r["label"]: max(error["l2"] for error in trial["errors"].values())
        for r in rows
        for trial in r["trials"]
        if trial["status"] == "solved"
    }
    yield row(
        "make demo: applicable methods with an error in the table",
        len(errors),
        6.0,
        "methods",
        at_least=True,
        note=", ".join(f"{name} {error:.1e}" for name, error in errors.items()),
    )


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of the saved comparison."""
    path = next(iter(sorted(folder.rglob("comparison.json"))))
    return json.loads(path.read_text())["rows"]


def own_equation() -> Iterable[Row]:
    """The equation of the README by FEM, Chebyshev, PINN and VPINN."""
    spec = importlib.util.spec_from_file_location(
        "your_own_equation", ROOT / "examples" / "your_own_equation.py"
    )
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    yield row(
        "README's own equation: largest difference of FEM, Chebyshev, PINN, VPINN",
        example.main(),
        1e-3,
        "rel. L2",
        note="40 s for each neural method",
    )


CHECKS: Checks = {"demo": demo, "own equation": own_equation}
