"""Sod's shock tube by MUSCL and WENO5 beside the exact solution, with a picture of it."""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm


def main(cells: int = 100) -> tuple[dict[str, float], dict[str, pm.Solution]]:
    """L1 errors of the density at t = 0.2, and the solutions."""
    problem = pm.library.sod()
    x = jnp.linspace(0.0, 1.0, 2001)[:, None]
    exact = jax.vmap(lambda y: problem.exact_value("rho", y, 0.2))(x)
    errors, solutions = {}, {}
    for kind in ("muscl", "weno5"):
        method = pm.FiniteVolume(cells=cells, reconstruction=kind, frames=9)
        solutions[kind] = pm.solve(problem, method)
        errors[kind] = float(jnp.abs(solutions[kind]["rho"](x, 0.2) - exact).mean())
    return errors, solutions


def draw(solutions: dict[str, pm.Solution], path: Path) -> None:
    """Density, velocity and pressure at the end."""
    from matplotlib.figure import Figure

    problem = solutions["muscl"].problem
    fine, points = np.linspace(0.0, 1.0, 1001)[:, None], (np.arange(100)[:, None] + 0.5) / 100

    def primitive(fields):
        rho, m, energy = fields["rho"], fields["m"][:, 0], fields["E"]
        return rho, m / rho, 0.4 * (energy - 0.5 * m**2 / rho)

    def exact(name):
        return jax.vmap(lambda y: problem.exact_value(name, y, 0.2))(jnp.asarray(fine))

    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots(1, 3)
    truth = primitive({name: exact(name) for name in problem.shapes})
    for ax, name, curve in zip(axes, ("density", "velocity", "pressure"), truth, strict=True):
        ax.plot(fine, curve, color="0.6", label="exact")
        ax.set(title=name, xlabel="x")
    for (kind, solution), marker in zip(solutions.items(), (".", "+"), strict=True):
        found = primitive({name: solution[name](points, 0.2) for name in problem.shapes})
        for ax, values in zip(axes, found, strict=True):
            ax.plot(points, values, marker, markersize=4, label=f"{kind}, 100 cells")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    errors, solutions = main()
    print(", ".join(f"{kind}: {error:.2e}" for kind, error in errors.items()))
    assert errors["weno5"] < errors["muscl"] < 1e-2
    draw(solutions, Path("shock_tube.png"))
