"""Neural methods against DeepXDE and jinns at equal time: Poisson, Burgers, Allen–Cahn.

Each trains in a process of its own, held to one core, for the same seconds of the processor after
compilation, seed 0. DeepXDE has its examples' settings (networks, points, weights, Adam and then
L-BFGS), in float32 as there and in float64, and is compared by the better of the two; jinns has
its natural gradient, in float64, with DeepXDE's points. Errors are relative L² on the grids of
`neural_steady.py` and `neural_time.py`, at shares of the budget and at its end.

PHYSML_DEEPXDE_PYTHON and PHYSML_JINNS_PYTHON name interpreters that have the peers.
PHYSML_PEERS_FOLDER names a folder where what they hand over is kept: a run that is found there is
not run again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import physml as pm
from benchmarks import neural_steady, neural_time
from benchmarks._table import Checks, Row, missing, row

ROOT = Path(__file__).resolve().parent.parent
SEED = 0
BUDGETS = {"poisson": 60.0, "burgers": 150.0, "allen-cahn": 240.0}
TITLES = {"poisson": "Poisson", "burgers": "Burgers", "allen-cahn": "Allen–Cahn"}
# Precision and conditions, see `_deepxde_training.py`: first as in its example.
DEEPXDE = {
    "poisson": (("float32", "soft"), ("float64", "soft")),
    "burgers": (("float32", "soft"), ("float64", "soft")),
    "allen-cahn": (("float32", "exact"), ("float64", "soft")),
}
INSTALL = {
    "DeepXDE": ("PHYSML_DEEPXDE_PYTHON", "deepxde and torch"),
    "jinns": ("PHYSML_JINNS_PYTHON", "jinns"),
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run handed over. errors: relative L² at `seconds`, the last at the budget's end."""

    seconds: np.ndarray
    errors: np.ndarray
    name: str
    told: str

    @property
    def note(self) -> str:
        pairs = zip(self.errors[:-1], self.seconds[:-1], strict=True)
        curve = ", ".join(f"{error:.1e} at {seconds:.0f} s" for error, seconds in pairs)
        return f"{self.told}, {self.seconds[-1]:.0f} s; {curve}"


@functools.cache
def grid(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and the reference's values there."""
    if case == "poisson":
        problem = pm.library.poisson()
        x = np.asarray(neural_steady.points_of(problem))
        return x, np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1])
    own = neural_time.CASES[case]
    x, t = own.grid(own.problem())
    return np.column_stack([x, t]), neural_time.reference(case)[0]


def trained(case: str, python: str, script: str, *options: str) -> Trained:
    """Runs a script of `benchmarks`, or finds what it handed over before.

    Raises:
        RuntimeError: if the script fails, with the last lines that it wrote.
    """
    points, expected = grid(case)
    budget, who = str(BUDGETS[case]), script.removeprefix("_").removesuffix("_training")
    with _folder("-".join((case, budget, str(SEED), who, *options))) as folder:
        told = folder / "told.txt"
        if not told.exists():
            np.save(folder / "points.npy", points)
            module = f"benchmarks.{script}"
            _run([python, "-m", module, case, *options, budget, str(SEED), str(folder)])
        if not np.array_equal(np.load(folder / "points.npy"), points):
            raise RuntimeError(f"{folder} holds a run on other points: delete it")
        values, seconds = np.load(folder / "values.npy"), np.load(folder / "seconds.npy")
        name, text = told.read_text().split("|")
    errors = np.linalg.norm(values - expected, axis=1) / np.linalg.norm(expected)
    return Trained(seconds, errors, name, text)


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    kept = os.environ.get("PHYSML_PEERS_FOLDER")
    if kept is not None:
        folder = Path(kept) / name
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def _run(command: list[str]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with _one_core():
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    output, _ = child.communicate()
    if child.returncode:
        tail = "\n".join(output.splitlines()[-10:])
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{tail}")


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """A child started here inherits one core, however many threads its libraries would start."""
    if sys.platform != "linux":
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def compared(case: str) -> Iterable[Row]:
    title, budget = TITLES[case], f"{BUDGETS[case]:g} s"
    ours = trained(case, sys.executable, "_own_training")
    own = ours.errors[-1]
    yield row(f"{title} on one core, {budget}", own, unit="rel. L2", note=ours.note)
    runs = []
    python = _installed("DeepXDE")
    for precision, conditions in DEEPXDE[case] if python else ():
        runs.append(trained(case, python, "_deepxde_training", precision, conditions))
        yield row(
            f"{title} by DeepXDE, {precision}, {conditions} conditions, {budget}",
            runs[-1].errors[-1], unit="rel. L2", peer=runs[-1].name, note=runs[-1].note,
        )  # fmt: skip
    yield from _ratio(title, budget, "DeepXDE", runs, own, target=100.0)
    runs = []
    if python := _installed("jinns"):
        runs = [trained(case, python, "_jinns_training", "ngd")]
        yield row(
            f"{title} by jinns, {budget}", runs[0].errors[-1], unit="rel. L2",
            peer=runs[0].name, note=runs[0].note,
        )  # fmt: skip
    yield from _ratio(title, budget, "jinns", runs, own)


def _installed(peer: str) -> str:
    return os.environ.get(INSTALL[peer][0], "")


def _ratio(
    title: str, budget: str, peer: str, runs: list[Trained], own: float, target: float | None = None
) -> Iterable[Row]:
    """The peer's best error at the end over ours."""
    check = f"{title}, {budget}: error of {peer} / ours"
    if not runs:
        variable, packages = INSTALL[peer]
        yield missing(check, peer, f"name an interpreter with {packages} by {variable}")
        return
    best = min(runs, key=lambda run: run.errors[-1])
    error = best.errors[-1]
    yield row(
        check, error / own, target, "ratio", at_least=target is not None, peer=best.name,
        note=f"{error:.1e} against {own:.1e}",
    )  # fmt: skip


CHECKS: Checks = {f"peers {case}": functools.partial(compared, case) for case in BUDGETS}
