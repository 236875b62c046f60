"""The lid-driven cavity at Reynolds numbers 100, 400 and 1000, with streamlines.

Taylor–Hood elements of degree 3 and 2 on quadrilaterals that are finer at the walls; the load, here
the lid's motion, is raised in steps. The extremes of the velocity along the middle lines are those
of Marchi et al. (2009), Ghia et al. (1982) and Botella and Peyret (1998).
"""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm
from pdes.library.fluids import cavity_mesh

# Least u on the vertical, largest and least v on the horizontal line through the middle. Ghia's are
# read on a grid of 129 × 129, to about 1 %; the others to six digits.
PUBLISHED = {
    100: (-0.2140417, 0.1795728, -0.2538030),
    400: (-0.32726, 0.30203, -0.44993),
    1000: (-0.3885698, 0.3769447, -0.5270771),
}


def extreme(values: np.ndarray, index: int) -> float:
    """The vertex of the parabola through an extreme value and its neighbours."""
    a, b, c = values[index - 1 : index + 2]
    return float(b - (a - c) ** 2 / (8 * (a - 2 * b + c)))


def extremes(solution: pm.Solution) -> tuple[float, float, float]:
    line = jnp.linspace(0.0, 1.0, 401)[1:-1]
    middle = jnp.full_like(line, 0.5)
    u = np.asarray(solution["u"](jnp.stack([middle, line], 1))[:, 0])
    v = np.asarray(solution["u"](jnp.stack([line, middle], 1))[:, 1])
    return extreme(u, u.argmin()), extreme(v, v.argmax()), extreme(v, v.argmin())


def main(cells: int = 16, path: Path | None = None) -> dict[int, float]:
    """The largest relative difference from the published values, by Reynolds number."""
    method = pm.FiniteElement(degree=3, mesh=cavity_mesh(cells), load_steps=3)
    off = {}
    for reynolds, known in PUBLISHED.items():
        solution = pm.solve(pm.library.cavity(reynolds), method)
        found = extremes(solution)
        off[reynolds] = max(abs(a / b - 1) for a, b in zip(found, known, strict=True))
    if path is not None:
        solution.plot("u", streamlines="u").savefig(path, dpi=100)
    return off


if __name__ == "__main__":
    off = main(path=Path("lid_driven_cavity.png"))
    for reynolds, value in off.items():
        print(f"Re {reynolds}: within {value:.2%} of the published extremes")
    assert off[100] < 3e-3 and off[400] < 1e-2 and off[1000] < 3e-3
