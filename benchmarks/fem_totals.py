"""Whole solves beside dolfinx (PETSc, hypre), scikit-fem (pyamg) and JAX-FEM, on one core.

Ours and the peer's run in processes of their own, in turn, pinned to one core. What a case solves
is said in `_dolfinx_totals.py`. Ratios are of wall seconds, medians of all repeats; CPU seconds,
which a busy machine disturbs less, are in the notes, and so is the time on all cores.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks._table import Checks, Row, missing, row
from benchmarks.fem_assembly import DOLFINX, HERE, pinned

# An interpreter that has jax_fem, petsc4py and numpy < 2: a virtual environment of Debian's Python
# with --system-site-packages, python3-petsc4py, and pip install jax-fem "jax<0.5" "numpy<2" meshio
# gmsh matplotlib pyfiglet.
JAXFEM = os.environ.get("JAXFEM_PYTHON", "")
ROUNDS = 2


def ours(case: str, cells: int, repeats: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks._fem_totals", case, str(cells), str(repeats)]


def dolfinx(case: str, cells: int, repeats: int, how: str) -> list[str]:
    script = str(HERE / "_dolfinx_totals.py")
    return [DOLFINX, script, case, str(cells), str(repeats), how]


def skfem(case: str, cells: int, repeats: int, how: str) -> list[str]:
    script = str(HERE / "_skfem_totals.py")
    return [sys.executable, "-W", "ignore", script, case, str(cells), str(repeats), how]


def jaxfem(case: str, cells: int, repeats: int, *how: str) -> list[str]:
    return [JAXFEM, str(HERE / "_jaxfem_totals.py"), case, str(cells), str(repeats), *how]


def in_turn(commands: dict[str, list[str]], rounds: int = ROUNDS) -> dict[str, list[dict] | str]:
    """What each command printed, round by round; the reason for one that fails."""
    out: dict[str, list[dict] | str] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            kept = out[name]
            if isinstance(kept, str):
                continue
            try:
                kept.append(pinned(command))
            except (RuntimeError, OSError) as error:
                out[name] = str(error) or type(error).__name__
    return out


def median(runs: list[dict], key: str = "seconds") -> float:
    return float(np.median([s for r in runs for s in r[key]]))


def best(found: dict[str, list[dict] | str], names: list[str], key: str = "seconds"):
    """The fastest of several ways of a peer, (name, runs), or why there is none."""
    done = {n: runs for n in names if not isinstance(runs := found[n], str)}
    if not done:
        return None, str(found[names[0]])
    name = min(done, key=lambda n: median(done[n], key))
    return name, done[name]


def two_cores(command: list[str]) -> float:
    """Median wall seconds without a pin."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=HERE.parent, env=environment, check=True
    )
    return float(np.median(json.loads(done.stdout.strip().splitlines()[-1])["seconds"]))


def beside(
    label: str, found: dict, names: list[str], peer: str, target: float | None, also: str = ""
) -> Iterator[Row]:
    """Ours against the fastest way of a peer."""
    check = f"{label}: ours / {peer}"
    mine = found["ours"]
    if isinstance(mine, str):
        raise RuntimeError(mine)
    name, runs = best(found, names)
    if name is None:
        yield missing(check, peer, str(runs))
        return
    wall, cpu = (median(mine, k) / median(runs, k) for k in ("seconds", "cpu"))
    note = (
        f"{name}; {median(mine):.3g} s against {median(runs):.3g} s; CPU seconds "
        f"{median(mine, 'cpu'):.3g} against {median(runs, 'cpu'):.3g}, ratio {cpu:.2f}"
    )
    version = f"{peer} {runs[0].get('version', '')}".strip()
    yield row(check, wall, target, peer=version, note=note + also)


def whole(
    case: str,
    cells: int,
    label: str,
    target: float | None,
    hows: tuple[str, ...],
    repeats: int = 3,
    rounds: int = ROUNDS,
    scikit: tuple[tuple[str, ...], float] | None = None,
    lattice: bool = False,
) -> Iterator[Row]:
    """Assembly, set-up and solve to 1e-8."""
    own = "lattice" if lattice else case
    commands = {"ours": ours(own, cells, repeats)}
    commands |= {how: dolfinx(case, cells, repeats, how) for how in hows}
    commands |= {how: skfem(case, cells, 1, how) for how in (scikit[0] if scikit else ())}
    found = in_turn(commands, rounds)
    mine = found["ours"]
    if isinstance(mine, str):
        raise RuntimeError(mine)
    first = mine[0]
    both = two_cores(ours(own, cells, repeats))
    note = (
        f"{first['unknowns']} unknowns, one core; all cores {both:.3g} s; "
        f"{'; '.join(first.get('notes', ())) or str(first['iterations']) + ' iterations'}; "
        f"set-up of the mesh's tables {first['setup']:.1f} s"
    )
    yield row(f"{label}: assembly, set-up and solve", median(mine), None, "s", note=note)
    yield row(f"{label}: compilation", first["compile"], 15.0, "s")
    also = _answers(first, best(found, list(hows))[1])
    yield from beside(label, found, list(hows), "dolfinx", target, also)
    if scikit:
        yield from beside(label, found, list(scikit[0]), "scikit-fem", scikit[1])


def _answers(mine: dict, theirs: list[dict] | str) -> str:
    """How close two answers are: coefficients by cell are the same numbers in another order."""
    if isinstance(theirs, str):
        return ""
    return f"; root mean squares of u {mine['rms']:.6g}, {theirs[0]['rms']:.6g}"


def memory(cells: int) -> Iterator[Row]:
    """Peak memory of a process that makes the mesh, assembles and solves once."""
    label = "1M tetrahedra: peak memory" if cells == 99 else f"{cells}³ × 6 tetrahedra: memory"
    found = in_turn(
        {
            "ours": ours("tetrahedron", cells, 1),
            "hypre": dolfinx("tetrahedron", cells, 1, "hypre"),
            "sa": skfem("tetrahedron", cells, 1, "sa"),
        },
        1,
    )
    mine = found["ours"]
    if isinstance(mine, str):
        raise RuntimeError(mine)
    used = mine[0]["memory"]
    yield row(label, used / 1e9, None, "GB", note=f"{mine[0]['unknowns']} unknowns, whole process")
    yield row(
        f"{label}: the same solve",
        median(mine),
        None,
        "s",
        note=f"assembly, set-up and solve; tables {mine[0]['setup']:.1f} s",
    )
    for name, peer, target in (("sa", "scikit-fem", 0.5), ("hypre", "dolfinx", 1.5)):
        check, runs = f"{label}, ours / {peer}", found[name]
        if isinstance(runs, str):
            yield missing(check, peer, runs)
            continue
        theirs = runs[0]["memory"]
        note = f"{used / 1e9:.2f} GB against {theirs / 1e9:.2f} GB; it took {median(runs):.1f} s"
        yield row(check, used / theirs, target, peer=f"{peer} {runs[0]['version']}", note=note)


def neo_hookean() -> Iterator[Row]:
    """A stretched block by Newton's method: dolfinx to a relative residual of 1e-9, ours until the
    estimated error is."""
    label = "Neo-Hookean Q1 47k"
    hows = ["gamg", "hypre"]
    commands = {"ours": ours("neo_hookean", 24, 3)}
    found = in_turn(commands | {how: dolfinx("neo_hookean", 24, 2, how) for how in hows})
    mine = found["ours"]
    if isinstance(mine, str):
        raise RuntimeError(mine)
    first = mine[0]
    left = first["history"][-1] / first["history"][0]
    note = f"{first['iterations']} steps, residual {left:.0e} before the last; {first['notes'][-1]}"
    yield row(f"{label}: Newton to 1e-9", median(mine), None, "s", note=note)
    yield row(f"{label}: compilation", first["compile"], 15.0, "s")
    name, runs = best(found, hows)
    if name is None:
        yield missing(f"{label}: tangent, ours / dolfinx", "dolfinx", str(runs))
    else:
        a, b = median(mine, "tangent"), median(runs, "tangent")
        note = f"with the residual; {a:.3f} s against {b:.3f} s"
        peer = f"dolfinx {runs[0]['version']}"
        yield row(f"{label}: tangent, ours / dolfinx", a / b, 1.0, peer=peer, note=note)
    yield from beside(f"{label}: Newton", found, hows, "dolfinx", 1.5, _answers(first, runs))


def gradients() -> Iterator[Row]:
    for case, cells, label in (
        ("gradient", 46, "P1 tetrahedra 104k"),
        ("lattice_gradient", 47, "matrix-free lattice 111k"),
    ):
        runs = [pinned(ours(case, cells, 4)) for _ in range(ROUNDS)]
        alone, both = median(runs, "forward"), median(runs, "both")
        note = f"{runs[0]['unknowns']} coefficients; CPU {both:.3f} s against {alone:.3f} s"
        check = f"value and gradient by cell, {label}: in forward solves"
        yield row(check, both / alone, 2.2, note=note)
        yield row(f"value and gradient, {label}: compilation", runs[0]["compile"], 15.0, "s")
    for case in ("taylor", "lattice_taylor"):
        slopes = pinned(ours(case, 20, 1))["slopes"]
        worst = max(slopes, key=lambda s: abs(s - 2.0))
        check = f"gradient by cell, {case}: slope of the remainder"
        yield row(check, worst, 2.0, within=(1.95, 2.05), note="solves to 1e-12")


JAXFEM_CASES = (
    ("tetrahedron", 46, "Poisson P1 tetrahedra 104k", 0.12, None),
    ("elasticity", 32, "elasticity Q1 108k", None, 0.25),
    ("neo_hookean", 24, "Neo-Hookean Q1 47k", 1 / 20, 1 / 8),
    ("gradient", 46, "value and gradient by cell, P1 104k", None, 1 / 7),
)


def beside_jaxfem() -> Iterator[Row]:
    """Reassembly and whole solves; of JAX-FEM's solvers the fastest that was found to converge."""
    for case, cells, label, assembly, total in JAXFEM_CASES:
        how = ("bcgsl", "ilu") if case in ("elasticity", "neo_hookean") else ("bcgsl", "hypre")
        if not JAXFEM:
            why = "JAXFEM_PYTHON names no interpreter that has it (see benchmarks/fem_totals.py)"
            yield missing(f"{label}: ours / JAX-FEM", "JAX-FEM", why)
            continue
        found = in_turn(
            {"ours": ours(case, cells, 2), "jaxfem": jaxfem(case, cells, 2, *how)}, rounds=1
        )
        mine, theirs = found["ours"], found["jaxfem"]
        if isinstance(mine, str) or isinstance(theirs, str):
            yield missing(f"{label}: ours / JAX-FEM", "JAX-FEM", str(theirs))
            continue
        yield from _beside_jaxfem(case, cells, label, (assembly, total), mine, theirs, how)


def _beside_jaxfem(case, cells, label, targets, mine, theirs, how) -> Iterator[Row]:
    assembly, total = targets
    peer = f"JAX-FEM 0.0.11, PETSc {'+'.join(how)}"
    if assembly:
        if case == "neo_hookean":
            a = median(mine, "tangent")
        else:
            command = [sys.executable, "-m", "benchmarks._fem_reassembly", case, str(cells), "7"]
            a = median([pinned(command)])
        b = median(theirs, "assembly")
        note = f"{a:.3f} s against {b:.3f} s"
        yield row(f"{label}: reassembly, ours / JAX-FEM", a / b, assembly, peer=peer, note=note)
    key = "both" if case == "gradient" else "seconds"
    a, b = median(mine, key), median(theirs, key)
    note = f"{a:.3g} s against {b:.3g} s"
    yield row(f"{label}: total, ours / JAX-FEM", a / b, total, peer=peer, note=note)


_POISSON = ("hypre", "tuned")
_LABEL = "Poisson P1 tetrahedra"
_partial = functools.partial

CHECKS: Checks = {
    "totals tetrahedra 104k": _partial(whole, "tetrahedron", 46, f"{_LABEL} 104k", 1.25, _POISSON),
    "totals hexahedra 104k": _partial(
        whole, "hexahedron", 46, "Poisson Q1 hexahedra 104k", 0.75, _POISSON
    ),
    "totals elasticity": _partial(
        whole, "elasticity", 32, "elasticity Q1 108k", 1.25, ("gamg", "hypre"), 2
    ),
    "totals neo-hookean": neo_hookean,
    "totals plane P1": _partial(
        whole,
        "triangle1",
        708,
        "Poisson P1 triangles 503k",
        1.25,
        _POISSON,
        scikit=(("rs", "sa"), 0.7),
    ),
    "totals plane P2": _partial(
        whole,
        "triangle2",
        353,
        "Poisson P2 triangles 500k",
        1.25,
        _POISSON,
        scikit=(("sa",), 0.7),
    ),
    "totals lattice 111k": _partial(
        whole, "hexahedron", 47, "structured, matrix-free, 111k", 0.3, _POISSON, lattice=True
    ),
    "totals gradients": gradients,
    "totals jax-fem": beside_jaxfem,
    "totals memory 1M": _partial(memory, 99),
    "totals 1M lattice": _partial(
        whole,
        "hexahedron",
        99,
        "structured, matrix-free, 1M",
        0.15,
        ("tuned",),
        1,
        1,
        lattice=True,
    ),
    "totals 1M tetrahedra": _partial(
        whole, "tetrahedron", 99, f"{_LABEL} 1M", None, _POISSON, 1, 1
    ),
    "totals 1M hexahedra": _partial(
        whole, "hexahedron", 99, "Poisson Q1 hexahedra 1M", None, ("tuned",), 1, 1
    ),
}
