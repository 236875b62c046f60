"""Reassembly by dolfinx, run by an interpreter that has it: prints JSON.

    /usr/bin/python3 benchmarks/_dolfinx_peer.py CASE CELLS FLAGS REPEATS

CASE is "tetrahedron", "hexahedron" or "elasticity"; FLAGS "default" or "native".
"""

import inspect
import json
import sys
import time

import dolfinx
import ufl
from dolfinx import fem, mesh
from dolfinx.fem.petsc import assemble_matrix, create_matrix
from mpi4py import MPI


def bilinear(case, cells):
    kind = mesh.CellType.tetrahedron if case == "tetrahedron" else mesh.CellType.hexahedron
    box = mesh.create_unit_cube(MPI.COMM_SELF, cells, cells, cells, kind)
    if case == "elasticity":
        space = fem.VectorFunctionSpace(box, ("Lagrange", 1))
    else:
        space = fem.FunctionSpace(box, ("Lagrange", 1))
    constant = fem.Function(fem.FunctionSpace(box, ("DG", 0)))
    constant.x.array[:] = 1.5
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    if case == "elasticity":
        strain = ufl.sym(ufl.grad(u))
        stress = constant * (2 * strain + ufl.tr(strain) * ufl.Identity(3))
        return ufl.inner(stress, ufl.sym(ufl.grad(v))) * ufl.dx, space
    return constant * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx, space


def main():
    case, cells, flags, repeats = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    form, space = bilinear(case, cells)
    options = {}
    if flags == "native":
        names = inspect.signature(fem.form).parameters
        name = "jit_options" if "jit_options" in names else "jit_params"
        options[name] = {"cffi_extra_compile_args": ["-O3", "-march=native"]}
    form = fem.form(form, **options)
    matrix = create_matrix(form)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        matrix.zeroEntries()
        assemble_matrix(matrix, form)
        matrix.assemble()
        seconds.append(time.perf_counter() - start)
    size = space.dofmap.index_map.size_global * space.dofmap.index_map_bs
    print(json.dumps({"version": dolfinx.__version__, "seconds": seconds[1:], "unknowns": size}))


main()
