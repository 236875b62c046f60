"""Reassembly beside scikit-fem and dolfinx on one core, and programs compiled for new meshes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import pdes
from benchmarks._table import Checks, Row, missing, row
from pdes import library
from solvers.fem import FiniteElement

HERE = Path(__file__).resolve().parent
# An interpreter that has dolfinx; Debian's package python3-dolfinx gives it to this one.
DOLFINX = os.environ.get("DOLFINX_PYTHON", "/usr/bin/python3")
COMPILED = "/jax/core/compile/backend_compile_duration"


def pinned(command: list[str]) -> dict:
    """JSON that a command prints, run on one core.

    Raises:
        RuntimeError: it failed, with the end of what it said.
    """
    if shutil.which("taskset"):
        core = str(min(os.sched_getaffinity(0)))
        command = ["taskset", "-c", core, *command]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=HERE.parent, env={**os.environ, **single}
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def reassembly(case: str, cells: int, label: str, targets: dict[str, float]) -> Iterator[Row]:
    repeats = 9
    runs, peers = [], {"default": [], "native": []}
    version = reason = ""
    # In turn, so that a change of the machine's speed meets all of them.
    for _ in range(2):
        runs.append(
            pinned(
                [sys.executable, "-m", "benchmarks._fem_reassembly", case, str(cells), str(repeats)]
            )
        )
        for flags, found in peers.items():
            if reason or case == "neo_hookean":
                continue
            script = str(HERE / "_dolfinx_peer.py")
            try:
                out = pinned([DOLFINX, script, case, str(cells), flags, str(repeats)])
            except (RuntimeError, OSError) as error:
                reason = str(error)
                continue
            found += out["seconds"]
            version = out["version"]
    ours = float(np.median([s for r in runs for s in r["seconds"]]))
    first = runs[0]
    yield row(
        f"{label}: reassembly",
        ours,
        targets.get("seconds"),
        "s",
        note=f"{first['unknowns']} unknowns, one core; set-up {first['setup']:.1f} s",
    )
    yield row(f"{label}: first call, compilation", first["compile"], 15.0, "s")
    theirs = [s for r in runs for s in r["peer"]]
    if theirs:
        median = float(np.median(theirs))
        name = f"scikit-fem {first['version']}"
        target = targets.get("scikit-fem")
        note = f"{ours:.3f} s against {median:.3f} s"
        yield row(f"{label}: reassembly, ours / peer", ours / median, target, peer=name, note=note)
    elif case != "neo_hookean":
        yield missing(f"{label}: reassembly, ours / peer", "scikit-fem", "not installed")
    if case == "neo_hookean":
        return
    for flags, found in peers.items():
        check = f"{label}: reassembly, ours / peer, {flags} flags"
        if not found:
            why = f"{reason}; apt-get install python3-dolfinx, or DOLFINX_PYTHON=…"
            yield missing(check, "dolfinx", why)
            continue
        median = float(np.median(found))
        target = targets.get(flags)
        note = f"{ours:.3f} s against {median:.3f} s, one core"
        yield row(check, ours / median, target, peer=f"dolfinx {version}", note=note)


def tetrahedra() -> Iterator[Row]:
    targets = {"default": 0.5, "native": 0.8, "scikit-fem": 0.2}
    yield from reassembly("tetrahedron", 46, "Poisson P1 tetrahedra 104k", targets)


def hexahedra() -> Iterator[Row]:
    yield from reassembly("hexahedron", 46, "Poisson Q1 hexahedra 104k", {"default": 0.5})


def elasticity() -> Iterator[Row]:
    yield from reassembly("elasticity", 32, "elasticity Q1 108k", {"default": 1.0, "native": 1.0})


def neo_hookean() -> Iterator[Row]:
    yield from reassembly("neo_hookean", 24, "Neo-Hookean Q1 47k, tangent and residual", {})


def new_meshes() -> Iterator[Row]:
    """Programs compiled by a solve and its evaluation on a mesh that differs by 5 %."""
    compiled: list[float] = []

    def listen(event: str, seconds: float, **_) -> None:
        if event == COMPILED:
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    domain = pdes.Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    x = jnp.asarray(domain.sample_interior(9, seed=0))
    for linear in ("direct", "cg", "auto"):

        def solve(counts, k, linear=linear):
            problem = pdes.Problem(
                library.Poisson(k=k, f=1.0), domain, boundary={"all": pdes.Dirichlet(u=0.0)}
            )
            start, before = time.perf_counter(), len(compiled)
            mesh = domain.mesh(counts, "tetrahedron")
            FiniteElement(degree=1, mesh=mesh, linear=linear).solve(problem)["u"](x)
            return len(compiled) - before, time.perf_counter() - start

        _, first = solve((16, 16, 16), 1.0)
        more, second = solve((16, 16, 17), 1.0)
        less, _ = solve((16, 16, 15), 2.0)
        yield row(
            f"programs compiled for meshes 6 % larger and smaller, linear={linear}",
            more + less,
            0,
            note=f"first solve {first:.1f} s, the next {second:.1f} s",
        )


CHECKS: Checks = {
    "assembly tetrahedra": tetrahedra,
    "assembly hexahedra": hexahedra,
    "assembly elasticity": elasticity,
    "assembly neo-hookean": neo_hookean,
    "assembly new meshes": new_meshes,
}
