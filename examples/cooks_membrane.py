"""Cook's membrane: a tapered plate sheared at its end, with its converged deflection 23.9677.

Linear quadrilaterals bend too stiffly, quadratic ones need a tenth of the unknowns. Nearly
incompressible, a displacement alone locks; with the pressure as a field of its own it does not.
"""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp

import physml as pm
from pdes.library.solids import cook_mesh

REFERENCE = 23.9677  # u_y at the middle of the loaded side, converged
TIP = jnp.array([48.0, 52.0])


def deflection(degree: int, cells: int) -> pm.Solution:
    return pm.solve(pm.library.cook(), pm.FiniteElement(degree=degree, mesh=cook_mesh(cells)))


def incompressible(cells: int) -> tuple[float, float]:
    """The tip at ν = 0.4999: displacements alone of degree 1, and with a pressure of its own."""
    mixed = pm.library.incompressible_cook()
    alone = pm.Problem(
        pm.library.Elasticity(young=mixed.pde.young, poisson=mixed.pde.poisson),
        mixed.domain,
        boundary={
            "all": pm.Traction(u=0.0),
            "edge1": pm.Traction(u=(0.0, 100.0 / 16.0)),
            "edge3": pm.Dirichlet(u=0.0),
        },
    )
    mesh = cook_mesh(cells)
    locked = pm.solve(alone, pm.FiniteElement(degree=1, mesh=mesh))
    print(*locked.stats.notes, sep="\n")  # the warning names the remedy
    free = pm.solve(mixed, pm.FiniteElement(degree=2, mesh=mesh))
    return float(locked["u"](TIP)[1]), float(free["u"](TIP)[1])


def main(path: Path | None = None) -> tuple[dict[tuple[int, int], float], tuple[float, float]]:
    """Relative errors of the tip by (degree, cells), and the tips of the incompressible plate."""
    errors = {}
    for degree, cells in ((1, 8), (1, 16), (1, 32), (2, 8), (2, 16)):
        solution = deflection(degree, cells)
        errors[degree, cells] = abs(float(solution["u"](TIP)[1]) / REFERENCE - 1)
    if path is not None:
        figure = solution.plot("u", deformed="u", edges=True, scale=1.0)
        figure.savefig(path, dpi=100)
    return errors, incompressible(8)


if __name__ == "__main__":
    errors, (locked, free) = main(Path("cooks_membrane.png"))
    for (degree, cells), error in errors.items():
        print(f"Q{degree}, {cells} x {cells}: {error:.2%} off")
    print(f"nu = 0.4999: tip {locked:.3f} by Q1, {free:.3f} by Q2-Q1; see cooks_membrane.png")
    assert errors[2, 16] < 3e-3
