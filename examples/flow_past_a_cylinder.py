"""Flow past a cylinder in a channel (DFG benchmarks 2D-1 and 2D-2) on a mesh made by Gmsh.

2D-1 is steady: drag 5.57953523384, lift 0.010618948146. 2D-2 sheds vortices; from rest to t = 8
it takes a few minutes: largest drag 3.22 to 3.24, lift 0.98 to 1.01, Strouhal number 0.295 to
0.305. Schäfer and Turek (1996). Forces are reactions, which converge twice as fast as stresses.
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)
import equinox as eqx
import jax.numpy as jnp
import numpy as np

import physml as pm
from pdes.library.fluids import cylinder_mesh

DRAG, LIFT = 5.57953523384, 0.010618948146


def fine_at_the_cylinder(x: np.ndarray) -> float:
    """The length of a cell's side at a point."""
    distance = np.hypot(x[0] - 0.2, x[1] - 0.2) - 0.05
    return min(0.004 + 0.12 * distance, 0.05)


def steady(mesher: str = "gmsh") -> tuple[float, float]:
    """Drag and lift coefficients of 2D-1, degree 3 and 2 on curved triangles."""
    problem = pm.library.cylinder_flow()
    mesh = problem.domain.mesh(size=fine_at_the_cylinder, mesher=mesher, curved=True)
    solution = pm.solve(problem, pm.FiniteElement(degree=3, mesh=mesh))
    print(f"{len(mesh.cells)} triangles, {solution.stats.unknowns} unknowns")
    drag, lift = 500.0 * solution.reaction("u", "cylinder")
    return float(drag), float(lift)


def street(end: float = 8.0, cells: int = 8, dt: float = 0.005) -> tuple[float, float, float]:
    """Largest drag and lift and the Strouhal number of 2D-2 in its last two seconds."""
    frames = round(end / dt) // 4 + 1
    method = pm.FiniteElement(
        degree=3, mesh=cylinder_mesh(cells), scheme="bdf2", dt=dt, frames=frames
    )
    solution = pm.solve(pm.library.cylinder_flow(peak=1.5, time=(0.0, end)), method)
    times = jnp.linspace(end - 2.0, end, 401)

    @jax.jit
    def force(state, t):
        # The state as an argument: as a constant it would be folded at length.
        at = eqx.tree_at(lambda s: s.representation.state, solution, state)
        return 20.0 * at.reaction("u", "cylinder", t=t)

    drag, lift = np.array([force(solution.representation.state, t) for t in times]).T
    up = np.flatnonzero((lift[:-1] < 0) & (lift[1:] >= 0))
    roots = times[up] - lift[up] * np.diff(times)[up] / np.diff(lift)[up]
    frequency = (len(roots) - 1) / float(roots[-1] - roots[0])
    return float(drag.max()), float(lift.max()), 0.1 * frequency


if __name__ == "__main__":
    drag, lift = steady()
    print(f"2D-1: drag {drag:.7f} ({drag / DRAG - 1:.1e} off), lift {lift:.8f}")
    assert abs(drag / DRAG - 1) < 1e-4
    if "street" in sys.argv[1:]:
        print("2D-2: drag {:.4f}, lift {:.4f}, Strouhal {:.4f}".format(*street()))
