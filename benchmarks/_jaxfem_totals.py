"""Reassembly and solves by JAX-FEM, in an interpreter that has it: prints JSON.

    JAXFEM_PYTHON benchmarks/_jaxfem_totals.py CASE CELLS REPEATS KSP PC

CASE: "tetrahedron", "hexahedron", "elasticity", "neo_hookean" or "gradient" (½ Σ u² by a
coefficient per cell). KSP and PC name PETSc's solver, or are "jax", "jax" for JAX-FEM's default.
"""

import json
import logging
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax_fem import logger
from jax_fem.generate_mesh import Mesh, box_mesh
from jax_fem.problem import Problem
from jax_fem.solver import ad_wrapper, get_A, solver

logger.setLevel(logging.ERROR)
jax.config.update("jax_enable_x64", True)
# Kuhn's six tetrahedra of a cube, whose corners count with x fastest.
KUHN = [(0, 1, 3, 7), (0, 1, 5, 7), (0, 2, 3, 7), (0, 2, 6, 7), (0, 4, 5, 7), (0, 4, 6, 7)]


def grid(case, cells):
    hexahedra = box_mesh(cells, cells, cells, 1.0, 1.0, 1.0)
    points, cubes = np.asarray(hexahedra.points), np.asarray(hexahedra.cells_dict["hexahedron"])
    if case not in ("tetrahedron", "gradient"):
        return Mesh(points, cubes), "HEX8"
    corners = cubes[:, [0, 1, 3, 2, 4, 5, 7, 6]]
    tetrahedra = np.concatenate([corners[:, list(k)] for k in KUHN])
    sides = points[tetrahedra[:, 1:]] - points[tetrahedra[:, :1]]
    turned = np.linalg.det(sides) < 0
    tetrahedra[turned] = tetrahedra[turned][:, [0, 1, 3, 2]]
    return Mesh(points, tetrahedra), "TET4"


class Poisson(Problem):
    def get_tensor_map(self):
        return lambda gradient, k: k * gradient

    def get_mass_map(self):
        return lambda u, x, k: -jnp.ones_like(u)

    def set_params(self, k):
        self.internal_vars = [jnp.repeat(k[:, None], self.fes[0].num_quads, axis=1)]


class Elasticity(Problem):
    def get_tensor_map(self):
        lam, mu = 10.0 * 0.3 / (1.3 * 0.4), 10.0 / 2.6

        def stress(gradient):
            strain = 0.5 * (gradient + gradient.T)
            return lam * jnp.trace(strain) * jnp.eye(3) + 2 * mu * strain

        return stress

    def get_mass_map(self):
        return lambda u, x: jnp.array([0.0, 0.0, 0.1])


class NeoHookean(Problem):
    def get_tensor_map(self):
        lam, mu = 10.0 * 0.3 / (1.3 * 0.4), 10.0 / 2.6

        def energy(f):
            j = jnp.linalg.det(f)
            return 0.5 * mu * (jnp.sum(f**2) - 3 - 2 * jnp.log(j)) + 0.5 * lam * (j - 1) ** 2

        return lambda gradient: jax.grad(energy)(gradient + jnp.eye(3))


def at(axis, value):
    return lambda x: jnp.isclose(x[axis], value, atol=1e-8)


def made(case, cells):
    mesh, kind = grid(case, cells)
    if case in ("elasticity", "neo_hookean"):
        walls = [[at(0, 0.0)] * 3, [0, 1, 2], [lambda x: 0.0] * 3]
        if case == "neo_hookean":
            walls[0] += [at(0, 1.0)] * 3
            walls[1] += [0, 1, 2]
            walls[2] += [lambda x: 0.1, lambda x: 0.0, lambda x: 0.0]
        known = Elasticity if case == "elasticity" else NeoHookean
        return known(mesh, vec=3, dim=3, ele_type=kind, dirichlet_bc_info=walls), None
    sides = [at(axis, value) for axis in range(3) for value in (0.0, 1.0)]
    walls = [sides, [0] * 6, [lambda x: 0.0] * 6]
    problem = Poisson(mesh, vec=1, dim=3, ele_type=kind, dirichlet_bc_info=walls)
    k = jnp.asarray(1.0 + 0.5 * np.random.default_rng(0).random(len(mesh.cells)))
    problem.set_params(k)
    return problem, k


def clocked(function):
    start, ticks = time.perf_counter(), time.process_time()
    jax.block_until_ready(function())
    return time.perf_counter() - start, time.process_time() - ticks


def main():
    case, cells, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ksp, pc = sys.argv[4], sys.argv[5]
    options = {"jax_solver": {}}
    if ksp != "jax":
        from petsc4py import PETSc

        PETSc.Options()["ksp_rtol"] = 1e-8
        options = {"petsc_solver": {"ksp_type": ksp, "pc_type": pc}}
    options |= {"tol": 1e-14, "rel_tol": 1e-9 if case == "neo_hookean" else 1e-7}
    problem, k = made(case, cells)
    guess = [jnp.zeros((fe.num_total_nodes, fe.vec)) for fe in problem.fes]

    def assembly():
        problem.newton_update(guess)
        return get_A(problem) and 0

    out = {"unknowns": int(problem.num_total_dofs_all_vars), "assembly": [], "seconds": []}
    clocked(assembly)
    out["assembly"] = [clocked(assembly)[0] for _ in range(repeats)]
    # Warm: what it compiles on the way is not counted.
    first = solver(problem, options)[0]
    for _ in range(repeats):
        found = clocked(lambda: solver(problem, options))
        out["seconds"].append(found[0])
        out.setdefault("cpu", []).append(found[1])
    out["rms"] = float(jnp.sqrt(jnp.mean(first**2)))
    if case == "gradient":
        value = ad_wrapper(problem, options, options)
        both = jax.value_and_grad(lambda k: 0.5 * jnp.sum(value(k)[0] ** 2))
        clocked(lambda: both(k))
        out["both"] = [clocked(lambda: both(k))[0] for _ in range(repeats)]
    print(json.dumps(out))


main()
