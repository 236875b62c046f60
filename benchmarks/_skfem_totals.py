"""Assembly, set-up and solve by scikit-fem with pyamg or SciPy: prints JSON.

    python benchmarks/_skfem_totals.py CASE CELLS REPEATS SOLVER

CASE: "tetrahedron", "triangle1", "triangle2" as in `_dolfinx_totals.py`. SOLVER: "sa" (smoothed
aggregation), "rs" (Ruge–Stüben) or "lu" (SuperLU).
"""

import json
import resource
import sys
import time

import numpy as np
import pyamg
import scipy.sparse.linalg as spla
import skfem
from skfem.helpers import dot, grad


def bases(case, cells):
    line = np.linspace(0.0, 1.0, cells + 1)
    if case == "tetrahedron":
        mesh, element = skfem.MeshTet.init_tensor(line, line, line), skfem.ElementTetP1()
        constant = skfem.ElementTetP0()
    else:
        mesh = skfem.MeshTri.init_tensor(line, line)
        element = skfem.ElementTriP2() if case == "triangle2" else skfem.ElementTriP1()
        constant = skfem.ElementTriP0()
    basis = skfem.Basis(mesh, element)
    k = 1.0 + 0.5 * np.random.default_rng(0).random(mesh.nelements)
    return basis, basis.with_element(constant).interpolate(k)


@skfem.BilinearForm
def stiffness(u, v, w):
    return w["k"] * dot(grad(u), grad(v))


@skfem.LinearForm
def load(v, w):
    return 1.0 * v


def solved(basis, k, how):
    a, b = stiffness.assemble(basis, k=k), load.assemble(basis)
    matrix, right, x, inner = skfem.condense(a, b, D=basis.get_dofs())
    if how == "lu":
        x[inner] = spla.splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(right)
        return x, 0
    make = {"sa": pyamg.smoothed_aggregation_solver, "rs": pyamg.ruge_stuben_solver}[how]
    history: list[float] = []
    found = make(matrix.tocsr()).solve(right, tol=1e-8, accel="cg", residuals=history, maxiter=300)
    x[inner] = found
    return x, len(history) - 1


def main():
    case, cells, repeats, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    basis, k = bases(case, cells)
    out = {"seconds": [], "cpu": [], "version": skfem.__version__}
    x = np.zeros(1)
    for _ in range(repeats):
        start, ticks = time.perf_counter(), time.process_time()
        x, count = solved(basis, k, how)
        out["seconds"].append(time.perf_counter() - start)
        out["cpu"].append(time.process_time() - ticks)
        out["iterations"] = count
    out["rms"] = float(np.sqrt(np.mean(x**2)))
    out["unknowns"] = len(x)
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(out))


main()
