"""Reassembly by physml, beside scikit-fem in turn, in a process of its own: prints JSON.

    python -m benchmarks._fem_reassembly CASE CELLS REPEATS

Run under `taskset -c 0` for one core. CASE as in `_dolfinx_peer.py`, or "neo_hookean" (tangent and
residual, no peer).
"""

import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pdes
from pdes import library
from solvers.fem import FiniteElement
from solvers.fem._system import _linearized


def ours(case, cells):
    """The function to time, compile seconds, unknowns."""
    domain = pdes.Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    shape = "tetrahedron" if case == "tetrahedron" else "hexahedron"
    mesh = domain.mesh(cells, shape)
    if case == "neo_hookean":
        pde = library.NeoHookean(young=10.0, poisson=0.3)
    elif case == "elasticity":
        pde = library.Elasticity(young=pdes.CellData(np.full(len(mesh.cells), 2.5)), poisson=0.25)
    else:
        pde = library.Poisson(k=pdes.CellData(np.full(len(mesh.cells), 1.5)))
    problem = pdes.Problem(pde, domain, boundary={"all": pdes.Dirichlet(u=0.0)})
    start = time.perf_counter()
    system = FiniteElement(degree=1, mesh=mesh).discretize(problem)
    setup = time.perf_counter() - start
    t, scales = jnp.zeros(()), system.scales(0.0, 1.0, 0.0)
    stiffness = eqx.filter_jit(lambda s, t, scales: s.stiffness(t, scales))
    if case == "neo_hookean":
        z = 1e-3 * jnp.sin(jnp.arange(system.length, dtype=float))

        def run():
            return jax.block_until_ready(_linearized(system, z, t))
    else:

        def run():
            return jax.block_until_ready(stiffness(system, t, scales))

    start = time.perf_counter()
    run()
    return run, time.perf_counter() - start, setup, system.size, mesh


def peer(case, mesh):
    """scikit-fem's assembly, or None."""
    if case == "neo_hookean":
        return None, ""
    try:
        import skfem
        from skfem.helpers import ddot, dot, eye, grad, sym_grad, trace
    except ImportError:
        return None, ""
    if case == "tetrahedron":
        basis = skfem.Basis(skfem.MeshTet(mesh.points.T, mesh.cells.T), skfem.ElementTetP1())
        constant = basis.with_element(skfem.ElementTetP0()).interpolate(
            np.full(len(mesh.cells), 1.5)
        )
    else:
        order = [0, 1, 2, 4, 3, 5, 6, 7]
        grid = skfem.MeshHex(mesh.points.T, mesh.cells.T[order])
        scalar = skfem.ElementHex1()
        element = skfem.ElementVector(scalar) if case == "elasticity" else scalar
        basis = skfem.Basis(grid, element, intorder=3)
        constant = basis.with_element(skfem.ElementHex0()).interpolate(
            np.full(len(mesh.cells), 1.5)
        )
    if case == "elasticity":

        @skfem.BilinearForm
        def form(u, v, w):
            strain = sym_grad(u)
            return w["k"] * ddot(2 * strain + eye(trace(strain), 3), sym_grad(v))
    else:

        @skfem.BilinearForm
        def form(u, v, w):
            return w["k"] * dot(grad(u), grad(v))

    return lambda: form.assemble(basis, k=constant), skfem.__version__


def main():
    jax.config.update("jax_enable_x64", True)
    case, cells, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    run, compiling, setup, unknowns, mesh = ours(case, cells)
    other, version = peer(case, mesh)
    seconds, theirs = [], []
    for _ in range(repeats):
        for function, kept in ((run, seconds), (other, theirs)):
            if function is not None:
                start = time.perf_counter()
                function()
                kept.append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "compile": compiling,
                "setup": setup,
                "unknowns": unknowns,
                "peer": theirs,
                "version": version,
            }
        )
    )


if __name__ == "__main__":
    main()
