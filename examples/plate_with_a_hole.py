"""A plate with a hole under tension (Kirsch): the stress at the hole is three times that far away.

Curved quadratic cells follow the hole, and the stress is differentiated from the solution.
"""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm
from pdes.library.solids import plate_mesh

PROBLEM = pm.library.plate_with_hole()
ANGLES = np.linspace(0.0, np.pi / 2, 91)
HOLE = jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], axis=1)


def hoop(solution: pm.Solution) -> np.ndarray:
    """The stress along the hole's edge, which Kirsch has as 1 − 2 cos 2θ."""
    stress = -solution.evaluate(PROBLEM.pde.stress, HOLE)
    along = jnp.stack([-HOLE[:, 1], HOLE[:, 0]], axis=1)
    return np.asarray(jnp.einsum("pi,pij,pj->p", along, stress, along))


def picture(solution: pm.Solution, found: np.ndarray, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    degrees = np.degrees(ANGLES)
    axes.plot(degrees, 1 - 2 * np.cos(2 * ANGLES), "k", label="Kirsch (1898)")
    unknowns = solution.stats.unknowns
    axes.plot(degrees[::5], found[::5], "o", ms=4, label=f"FEM P2, {unknowns} unknowns")
    axes.set(xlabel="angle from the pull θ (degrees)", ylabel="hoop stress / tension")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def main(path: Path | None = None) -> tuple[float, float]:
    """The largest stress, and the rate at which the error of the hoop stress falls."""
    errors = []
    for cells in (4, 8, 16):
        solution = pm.solve(PROBLEM, pm.FiniteElement(degree=2, mesh=plate_mesh(cells)))
        found = hoop(solution)
        errors.append(float(np.abs(found - (1 - 2 * np.cos(2 * ANGLES))).max()))
    if path is not None:
        picture(solution, found, path)
    return float(found.max()), float(np.log2(errors[-2] / errors[-1]))


if __name__ == "__main__":
    largest, rate = main(Path("plate_with_a_hole.png"))
    print(f"stress concentration {largest:.4f}, rate {rate:.2f}; see plate_with_a_hole.png")
    assert abs(largest - 3.0) < 3e-3
