"""Poisson on an L-shape: u ~ r^⅔ at the corner, where adaptive meshes win back the optimal rate."""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm

PROBLEM = pm.library.poisson_lshape()


def h1_error(solution: pm.Solution) -> float:
    """‖∇(u − u_h)‖."""
    exact = jax.grad(lambda x: PROBLEM.exact_value("u", x))
    square = solution.integrate(lambda p: jnp.sum((p.grad.u - exact(p.x)) ** 2), degree=6)
    return float(jnp.sqrt(square))


def slope(unknowns, errors) -> float:
    """Of log error against log unknowns, over the levels of the finer half."""
    n, e = np.log(unknowns), np.log(errors)
    finer = n >= 0.5 * (n[0] + n[-1])
    return float(np.polyfit(n[finer], e[finer], 1)[0])


def picture(levels: dict, uniform: tuple, solution: pm.Solution, path: Path) -> None:
    """The last mesh, and how the estimates fall."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    mesh = solution.method.mesh
    left.triplot(*mesh.points.T, mesh.cells, color="black", linewidth=0.4)
    left.set(aspect="equal", title=f"{len(mesh.cells)} cells, degree 2", xlabel="x", ylabel="y")
    right.loglog(*uniform, "k--", marker="x", label=f"P2, uniform: N^{slope(*uniform):.2f}")
    for degree, (n, eta) in levels.items():
        right.loglog(n, eta, "o-", ms=4, label=f"P{degree}, adaptive: N^{slope(n, eta):.2f}")
    right.set(xlabel="unknowns N", ylabel="estimate η")
    right.grid(alpha=0.3, which="both")
    right.legend()
    figure.savefig(path, dpi=100)


def main(most: int = 4000, path: Path | None = None) -> tuple[dict[int, float], float]:
    """Slope of the estimate for degrees 1 and 2, and η/‖∇(u − u_h)‖ for degree 1."""
    levels, effectivity = {}, 0.0
    for degree in (1, 2):
        method = pm.FiniteElement(degree=degree, cells=4)
        solution = pm.solve(PROBLEM, pm.AdaptiveFiniteElement(method, max_unknowns=most))
        found = solution.stats.extra
        levels[degree] = found["unknowns"], found["estimate"]
        if degree == 1:
            effectivity = found["estimate"][-1] / h1_error(solution)
    if path is not None:
        meshes = [pm.solve(PROBLEM, pm.FiniteElement(cells=n)) for n in (4, 8, 16, 32)]
        uniform = [s.stats.unknowns for s in meshes], [pm.estimate(s).total for s in meshes]
        picture(levels, uniform, solution, path)
    return {degree: slope(*found) for degree, found in levels.items()}, effectivity


if __name__ == "__main__":
    slopes, effectivity = main(path=Path("adaptive_lshape.png"))
    print(f"slopes {slopes}, effectivity {effectivity:.2f}; see adaptive_lshape.png")
    assert abs(slopes[1] + 0.5) < 0.05
