"""Assembly, set-up and solve by dolfinx with PETSc, in an interpreter that has them: prints JSON.

    /usr/bin/python3 benchmarks/_dolfinx_totals.py CASE CELLS REPEATS [SOLVER]

CASE: "tetrahedron", "hexahedron", "triangle1", "triangle2" (−∇·(k∇u) = 1 with k by cell and u = 0
on the boundary), "elasticity" (a clamped cube) or "neo_hookean" (a stretched one, Newton). SOLVER:
"hypre" (BoomerAMG as it comes), "tuned" (BoomerAMG with PMIS-like aggressive settings for space)
or "gamg" (rigid modes). All conjugate gradients to 1e-8 of ‖b‖ in the true residual's norm; the
matrix is allocated beforehand, the preconditioner set up anew every time.
"""

import json
import resource
import sys
import time

import dolfinx
import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem.petsc import (
    apply_lifting,
    assemble_matrix,
    assemble_vector,
    create_matrix,
    set_bc,
)
from mpi4py import MPI
from petsc4py import PETSc

NATIVE = {"cffi_extra_compile_args": ["-O3", "-march=native"]}
OPTIONS = {
    "hypre": {"pc_type": "hypre", "pc_hypre_type": "boomeramg"},
    "tuned": {
        "pc_type": "hypre",
        "pc_hypre_type": "boomeramg",
        "pc_hypre_boomeramg_coarsen_type": "HMIS",
        "pc_hypre_boomeramg_interp_type": "ext+i",
        "pc_hypre_boomeramg_strong_threshold": 0.5,
        "pc_hypre_boomeramg_P_max": 4,
    },
    "gamg": {"pc_type": "gamg", "mg_levels_ksp_type": "chebyshev", "mg_levels_pc_type": "jacobi"},
}


def domain(case, cells):
    if case.startswith("triangle"):
        return mesh.create_unit_square(MPI.COMM_SELF, cells, cells)
    kind = mesh.CellType.tetrahedron if case == "tetrahedron" else mesh.CellType.hexahedron
    return mesh.create_unit_cube(MPI.COMM_SELF, cells, cells, cells, kind)


def clamp(space, where, value):
    box = space.mesh
    facets = mesh.locate_entities_boundary(box, box.topology.dim - 1, where)
    dofs = fem.locate_dofs_topological(space, box.topology.dim - 1, facets)
    return fem.dirichletbc(value, dofs, space)


def poisson(case, cells):
    box = domain(case, cells)
    space = fem.FunctionSpace(box, ("Lagrange", 2 if case == "triangle2" else 1))
    k = fem.Function(fem.FunctionSpace(box, ("DG", 0)))
    k.x.array[:] = 1.0 + 0.5 * np.random.default_rng(0).random(len(k.x.array))
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    one = fem.Constant(box, PETSc.ScalarType(1.0))
    zero = clamp(space, lambda x: np.ones(x.shape[1], bool), PETSc.ScalarType(0.0))
    return space, k * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx, one * v * ufl.dx, [zero]


def elasticity(cells):
    box = domain("hexahedron", cells)
    space = fem.VectorFunctionSpace(box, ("Lagrange", 1))
    young = fem.Function(fem.FunctionSpace(box, ("DG", 0)))
    young.x.array[:] = 10.0
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    nu = 0.3
    lam, mu = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
    strain = ufl.sym(ufl.grad(u))
    stress = lam * ufl.tr(strain) * ufl.Identity(3) + 2 * mu * strain
    force = fem.Constant(box, PETSc.ScalarType((0.0, 0.0, -0.1)))
    wall = clamp(space, lambda x: np.isclose(x[0], 0.0), np.zeros(3))
    form = ufl.inner(stress, ufl.sym(ufl.grad(v))) * ufl.dx
    return space, form, ufl.inner(force, v) * ufl.dx, [wall]


def rigid_modes(space):
    x = space.tabulate_dof_coordinates()
    n = len(x)
    modes = np.zeros((6, n, 3))
    for i in range(3):
        modes[i, :, i] = 1.0
    for m, (i, j) in enumerate(((0, 1), (1, 2), (2, 0))):
        modes[3 + m, :, i], modes[3 + m, :, j] = -x[:, j], x[:, i]
    q = np.linalg.qr(modes.reshape(6, -1).T)[0]
    vectors = [PETSc.Vec().createWithArray(q[:, i].copy(), comm=MPI.COMM_SELF) for i in range(6)]
    return PETSc.NullSpace().create(vectors=vectors, comm=MPI.COMM_SELF)


def krylov(matrix, name, tolerance=1e-8):
    ksp = PETSc.KSP().create(MPI.COMM_SELF)
    ksp.setOptionsPrefix(f"{name}_")
    options = PETSc.Options()
    for key, value in {"ksp_type": "cg", **OPTIONS[name]}.items():
        options[f"{name}_{key}"] = value
    ksp.setFromOptions()
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    ksp.setTolerances(rtol=tolerance, max_it=500)
    ksp.setOperators(matrix)
    return ksp


def linear(case, cells, repeats, name):
    space, a, b, conditions = elasticity(cells) if case == "elasticity" else poisson(case, cells)
    # Debian's dolfinx calls what are now jit_options jit_params.
    a, b = fem.form(a, jit_params=NATIVE), fem.form(b, jit_params=NATIVE)
    matrix = create_matrix(a)
    if case == "elasticity":
        matrix.setNearNullSpace(rigid_modes(space))
    out = {"seconds": [], "cpu": [], "parts": []}
    for _ in range(repeats + 1):
        start, cpu = time.perf_counter(), time.process_time()
        matrix.zeroEntries()
        assemble_matrix(matrix, a, bcs=conditions)
        matrix.assemble()
        right = assemble_vector(b)
        apply_lifting(right, [a], [conditions])
        right.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        set_bc(right, conditions)
        assembled = time.perf_counter()
        ksp = krylov(matrix, name)
        ksp.setUp()
        ready = time.perf_counter()
        x = right.duplicate()
        ksp.solve(right, x)
        end = time.perf_counter()
        assert ksp.getConvergedReason() > 0, ksp.getConvergedReason()
        out["seconds"].append(end - start)
        out["cpu"].append(time.process_time() - cpu)
        out["parts"].append([assembled - start, ready - assembled, end - ready])
        out["iterations"] = ksp.getIterationNumber()
        ksp.destroy()
    out["rms"] = float(np.sqrt(np.mean(x.array**2)))
    return out, space


def neo_hookean(cells, repeats, name):
    box = domain("hexahedron", cells)
    space = fem.VectorFunctionSpace(box, ("Lagrange", 1))
    u, v, du = fem.Function(space), ufl.TestFunction(space), ufl.TrialFunction(space)
    young, nu = 10.0, 0.3
    lam, mu = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
    f = ufl.Identity(3) + ufl.grad(u)
    j = ufl.det(f)
    energy = 0.5 * mu * (ufl.inner(f, f) - 3 - 2 * ufl.ln(j)) + 0.5 * lam * (j - 1) ** 2
    # Trilinear elements with three points a direction, as physml has.
    dx = ufl.dx(metadata={"quadrature_degree": 3})
    residual = ufl.derivative(energy * dx, u, v)
    tangent = fem.form(ufl.derivative(residual, u, du), jit_params=NATIVE)
    residual = fem.form(residual, jit_params=NATIVE)
    walls = [
        clamp(space, lambda x: np.isclose(x[0], 0.0), np.zeros(3)),
        clamp(space, lambda x: np.isclose(x[0], 1.0), np.array([0.1, 0.0, 0.0])),
    ]
    matrix = create_matrix(tangent)
    matrix.setNearNullSpace(rigid_modes(space))
    out = {"seconds": [], "cpu": [], "tangent": []}
    for _ in range(repeats + 1):
        u.x.array[:] = 0.0
        start, cpu = time.perf_counter(), time.process_time()
        first, iterations = None, 0
        while iterations < 20:
            begin = time.perf_counter()
            matrix.zeroEntries()
            assemble_matrix(matrix, tangent, bcs=walls)
            matrix.assemble()
            right = assemble_vector(residual)
            out["tangent"].append(time.perf_counter() - begin)
            apply_lifting(right, [tangent], [walls], x0=[u.vector], scale=-1.0)
            set_bc(right, walls, u.vector, -1.0)
            size = right.norm()
            first = size if first is None else first
            if size <= 1e-9 * first:
                break
            ksp = krylov(matrix, name)
            change = right.duplicate()
            ksp.solve(right, change)
            u.vector.axpy(-1.0, change)
            ksp.destroy()
            iterations += 1
        out["seconds"].append(time.perf_counter() - start)
        out["cpu"].append(time.process_time() - cpu)
        out["iterations"] = iterations
    out["rms"] = float(np.sqrt(3 * np.mean(u.x.array**2)))
    return out, space


def main():
    case, cells, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    name = sys.argv[4] if len(sys.argv) > 4 else "hypre"
    if case == "neo_hookean":
        out, space = neo_hookean(cells, repeats, name)
    else:
        out, space = linear(case, cells, repeats, name)
    for key in ("seconds", "cpu", "parts", "tangent"):
        if key in out:
            out[key] = out[key][1:]
    out["unknowns"] = space.dofmap.index_map.size_global * space.dofmap.index_map_bs
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out["version"] = f"{dolfinx.__version__}, PETSc {'.'.join(map(str, PETSc.Sys.getVersion()))}"
    print(json.dumps(out))


main()
