"""Finite elements: adaptive rates, effectivity of the estimates, quality of meshes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import pdes
from benchmarks._table import Checks, Row, missing, row
from pdes import library
from solvers.fem import AdaptiveFiniteElement, FiniteElement, estimate

CHANNEL = pdes.Rectangle((0.0, 0.0), (2.2, 0.41)) - pdes.Disk((0.2, 0.2), 0.05, "cylinder")
CUBE = pdes.Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def _h1_error(solution) -> float:
    """‖∇(u − u_h)‖."""
    problem = solution.problem
    exact = jax.grad(lambda x: problem.exact_value("u", x))
    square = solution.integrate(lambda p: jnp.sum((p.grad.u - exact(p.x)) ** 2), degree=8)
    return float(jnp.sqrt(square))


def lshape() -> Iterator[Row]:
    """‖∇(u − u_h)‖ against unknowns N; u = r^⅔ sin ⅔θ, so that uniform meshes have N^(−⅓)."""
    problem = library.poisson_lshape()
    for degree, target in ((1, -0.5), (2, -1.0)):
        counts, errors, note = [], [], ""
        for most in (500, 2000, 8000):
            method = FiniteElement(degree=degree, cells=4)
            solution = AdaptiveFiniteElement(method, max_unknowns=most).solve(problem)
            counts.append(solution.stats.unknowns)
            errors.append(_h1_error(solution))
            note = f"{solution.stats.iterations} levels, {counts[-1]} unknowns, {errors[-1]:.3g}"
            ratio = solution.stats.extra["estimate"][-1] / errors[-1]
            recovered = estimate(solution, "zz").total / errors[-1]
        slope = float(np.diff(np.log(errors))[-1] / np.diff(np.log(counts))[-1])
        yield row(
            f"L-shape, adaptive P{degree}: slope of the H1 error in unknowns",
            slope,
            within=(target - 0.1, target + 0.05),
            note=note,
        )
        yield row(f"L-shape, adaptive P{degree}: effectivity, residual", ratio)
        within = (0.9, 1.1) if degree == 1 else None
        yield row(f"L-shape, adaptive P{degree}: effectivity, zz", recovered, within=within)


def _angles(mesh: pdes.Mesh) -> np.ndarray:
    """Angles of triangles in degrees."""
    x = mesh.points[mesh.cells]
    u = np.roll(x, -1, axis=1) - x
    v = np.roll(x, 1, axis=1) - x
    cosine = np.sum(u * v, axis=2) / np.linalg.norm(u, axis=2) / np.linalg.norm(v, axis=2)
    return np.degrees(np.arccos(cosine))


def _radius_ratio(mesh: pdes.Mesh) -> np.ndarray:
    """Three inner radii over the outer one of tetrahedra, 1 for the regular one."""
    x = mesh.points[mesh.cells]
    a, b, c = (x[:, i] - x[:, 0] for i in (1, 2, 3))
    volume = np.abs(np.sum(a * np.cross(b, c), axis=1)) / 6
    faces = [np.cross(a, b), np.cross(b, c), np.cross(c, a), np.cross(b - a, c - a)]
    area = sum(np.linalg.norm(f, axis=1) for f in faces) / 2
    norms = [np.sum(e**2, axis=1)[:, None] for e in (a, b, c)]
    centre = norms[0] * np.cross(b, c) + norms[1] * np.cross(c, a) + norms[2] * np.cross(a, b)
    outer = np.linalg.norm(centre, axis=1) / (12 * volume)
    return 3 * (3 * volume / area) / outer


def _timed(make: Callable[[], pdes.Mesh]) -> tuple[pdes.Mesh, float]:
    start = time.perf_counter()
    mesh = make()
    return mesh, time.perf_counter() - start


def quality() -> Iterator[Row]:
    """Of meshes with about 20 000 cells."""
    what = "channel with a cylinder"
    mesh, seconds = _timed(lambda: CHANNEL.mesh(size=0.01, curved=True))
    note = f"{len(mesh.cells)} cells in {seconds:.2f} s"
    yield row(f"{what}: least angle", _angles(mesh).min(), 25, "degrees", at_least=True, note=note)
    yield row(f"{what}, curved: error of the area", abs(mesh.volume / CHANNEL.volume - 1), 1e-6)
    try:
        import gmsh
    except (ImportError, OSError) as error:
        yield missing(f"{what}, by gmsh", "gmsh", str(error))
        return
    peer = f"gmsh {gmsh.__version__}"
    mesh, seconds = _timed(lambda: CHANNEL.mesh(size=0.01, curved=True, mesher="gmsh"))
    note = f"{len(mesh.cells)} cells in {seconds:.2f} s"
    yield row(f"{what}: least angle", _angles(mesh).min(), unit="degrees", peer=peer, note=note)
    solid = CUBE - pdes.Ball((0.5, 0.5, 0.5), 0.3, "hole")
    mesh, seconds = _timed(lambda: solid.mesh(cells=16, curved=True))
    note = f"{len(mesh.cells)} cells in {seconds:.2f} s"
    least = _radius_ratio(mesh).min()
    yield row(
        "cube with a ball cut out: least 3 r/R", least, 0.15, at_least=True, peer=peer, note=note
    )
    exact = 1 - 4 / 3 * np.pi * 0.3**3
    yield row(
        "cube with a ball cut out, curved: error of the volume", abs(mesh.volume / exact - 1), 1e-4
    )


def bisection() -> Iterator[Row]:
    """Twelve rounds of local refinement at a point: quality is kept, nothing hangs."""
    for name, mesh, floor in (
        ("triangles", pdes.LShape().mesh(cells=4), 44.9),
        ("tetrahedra", CUBE.mesh(cells=2), 0.2),
    ):
        for _ in range(12):
            distance = np.linalg.norm(mesh.points[mesh.cells].mean(axis=1), axis=1)
            mesh = mesh.refine(np.argsort(distance)[: max(8, len(distance) // 20)])
        worst = (_angles(mesh) if mesh.dim == 2 else _radius_ratio(mesh)).min()
        unit = "degrees" if mesh.dim == 2 else "3 r/R"
        yield row(
            f"bisection of {name}: least quality",
            worst,
            floor,
            unit,
            at_least=True,
            note=f"{len(mesh.cells)} cells",
        )


CHECKS: Checks = {"lshape": lshape, "quality": quality, "bisection": bisection}
