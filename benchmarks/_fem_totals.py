"""Assembly, set-up and solve by physml, in a process of its own: prints JSON.

    python -m benchmarks._fem_totals CASE CELLS REPEATS

Run under `taskset -c 0` for one core. CASE as in `_dolfinx_totals.py`, or "lattice" (matrix-free),
"gradient" and "lattice_gradient" (value and gradient by a coefficient per cell beside the value
alone), "taylor" and "lattice_taylor" (their remainders). The sparsity pattern is kept, as
dolfinx's is; factors and preconditioners are forgotten before every repeat.
"""

import json
import resource
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pdes
from pdes import library
from solvers.fem import FiniteElement
from solvers.fem._lattice import _run, lattice_system
from solvers.fem._method import _cached_space
from solvers.fem._run import run_steady
from solvers.fem._system import _linearized
from solvers.linear import LinearSolver

SHAPES = {"tetrahedron": "tetrahedron", "triangle1": "triangle", "triangle2": "triangle"}


def poisson(k, dim):
    domain = pdes.Box((0.0,) * dim, (1.0,) * dim)
    pde = library.Poisson(k=pdes.CellData(k), f=1.0)
    return pdes.Problem(pde, domain, boundary={"all": pdes.Dirichlet(u=0.0)})


def stated(case, cells):
    """Problem, method and coefficient by cell of a linear case."""
    dim = 2 if case.startswith("triangle") else 3
    mesh = pdes.Box((0.0,) * dim, (1.0,) * dim).mesh(cells, SHAPES.get(case, "hexahedron"))
    degree = 2 if case == "triangle2" else 1
    if case in ("elasticity", "neo_hookean"):
        known = library.clamped_cube() if case == "elasticity" else library.stretched_block()
        linear = LinearSolver("cg", "amg", tolerance=1e-8)
        options = {"linear": linear, "newton_tolerance": 1e-9}
        return known, FiniteElement(degree=1, mesh=mesh, **options), None
    k = 1.0 + 0.5 * np.random.default_rng(0).random(len(mesh.cells))
    linear = (
        LinearSolver("auto", tolerance=1e-8) if dim == 2 else LinearSolver("amg", tolerance=1e-8)
    )
    return poisson(k, dim), FiniteElement(degree=degree, mesh=mesh, linear=linear), k


def timed(function, before, repeats):
    """Wall and CPU seconds of each call, and what the last one gave."""
    wall, cpu, out = [], [], None
    for _ in range(repeats):
        before()
        start, ticks = time.perf_counter(), time.process_time()
        out = jax.block_until_ready(function())
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - ticks)
    return {"seconds": wall, "cpu": cpu}, out


def assembled(case, cells, repeats):
    problem, method, _ = stated(case, cells)
    start = time.perf_counter()
    system = method.discretize(problem)
    middle = time.perf_counter()
    solve = eqx.filter_jit(run_steady).lower(system).compile()
    end = time.perf_counter()
    jax.block_until_ready(solve(system).z)

    def before():
        system.pattern.forget()
        system.pattern.journal.start()

    out, result = timed(lambda: solve(system), before, repeats)
    z = np.asarray(result.z)[system.real]
    scale = 3 if system.slices and len(z) % 3 == 0 and case == "neo_hookean" else 1
    out |= {"rms": float(np.sqrt(scale * np.mean(z**2))), "unknowns": system.size}
    out |= {"setup": middle - start, "compile": end - middle}
    out["iterations"] = int(result.iterations)
    out["notes"] = list(system.pattern.journal.events)
    out["history"] = [float(v) for v in np.asarray(result.history) if v >= 0]
    if case == "neo_hookean":
        t = jnp.zeros(())
        jax.block_until_ready(_linearized(system, result.z, t))
        found, _ = timed(lambda: _linearized(system, result.z, t), lambda: None, 3 * repeats)
        out["tangent"] = found["seconds"]
    return out


def on_lattice(cells, repeats):
    domain = pdes.Box((0.0,) * 3, (1.0,) * 3)
    start = time.perf_counter()
    k = 1.0 + 0.5 * np.random.default_rng(0).random(cells**3)
    linear = LinearSolver("geometric", tolerance=1e-8)
    method = FiniteElement(degree=1, cells=cells, cell_shape="hexahedron", linear=linear)
    space = _cached_space(method.make_mesh(domain), (("u", 1),), (("u", 1),))
    system = lattice_system(poisson(k, 3), space, linear, 3)
    middle = time.perf_counter()
    solve = eqx.filter_jit(_run).lower(system).compile()
    end = time.perf_counter()
    jax.block_until_ready(solve(system))
    out, (z, count, _, _) = timed(lambda: solve(system), lambda: None, repeats)
    z = np.asarray(z)[: system.size]
    out |= {"rms": float(np.sqrt(np.mean(z**2))), "unknowns": system.size}
    return out | {"setup": middle - start, "compile": end - middle, "iterations": int(count)}


def functional(cells, lattice, tolerance):
    """J(k) = ½ Σ u², compiled, with what forgets the factors, and k."""
    shape = "hexahedron" if lattice else "tetrahedron"
    domain = pdes.Box((0.0,) * 3, (1.0,) * 3)
    linear = LinearSolver("geometric" if lattice else "amg", tolerance=tolerance)
    if lattice:
        method = FiniteElement(degree=1, cells=cells, cell_shape=shape, linear=linear)
    else:
        method = FiniteElement(degree=1, mesh=domain.mesh(cells, shape), linear=linear)
    count = len(method.make_mesh(domain).cells)
    patterns = []

    def value(k):
        problem = poisson(k, 3)
        if lattice:
            return 0.5 * jnp.sum(method.solve(problem).representation.state ** 2)
        system = method.discretize(problem)
        patterns.append(system.pattern)
        return 0.5 * jnp.sum(run_steady(system).z ** 2)

    def forget():
        for pattern in patterns:
            pattern.forget()

    k = jnp.asarray(1.0 + 0.5 * np.random.default_rng(0).random(count))
    return value, forget, k


def gradient(cells, repeats, lattice):
    value, forget, k = functional(cells, lattice, 1e-8)
    start = time.perf_counter()
    forward, both = jax.jit(value), jax.jit(jax.value_and_grad(value))
    jax.block_until_ready((forward(k), both(k)))
    compiling = time.perf_counter() - start
    alone, together = [], []
    for _ in range(repeats):
        alone += timed(lambda: forward(k), forget, 1)[0]["cpu"]
        together += timed(lambda: both(k), forget, 1)[0]["cpu"]
    return {"forward": alone, "both": together, "compile": compiling, "unknowns": len(k)}


def taylor(cells, lattice):
    """Remainders |J(k + εd) − J(k) − ε J′(k) d| for halved ε."""
    value, _, k = functional(cells, lattice, 1e-12)
    forward, both = jax.jit(value), jax.jit(jax.value_and_grad(value))
    d = jnp.asarray(np.random.default_rng(1).standard_normal(len(k)) * 0.2)
    j, slope = both(k)
    steps = [0.5**n for n in range(4, 9)]
    rest = [abs(float(forward(k + e * d) - j - e * jnp.vdot(slope, d))) for e in steps]
    slopes = np.diff(np.log(rest)) / np.diff(np.log(steps))
    return {"slopes": slopes.tolist(), "remainders": rest, "unknowns": len(k)}


def main():
    jax.config.update("jax_enable_x64", True)
    case, cells, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lattice = case.startswith("lattice")
    if case == "lattice":
        out = on_lattice(cells, repeats)
    elif case.endswith("gradient"):
        out = gradient(cells, repeats, lattice)
    elif case.endswith("taylor"):
        out = taylor(cells, lattice)
    else:
        out = assembled(case, cells, repeats)
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(out))


if __name__ == "__main__":
    main()
