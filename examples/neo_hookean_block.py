"""A Neo-Hookean block pulled to twice its length in load steps, against the exact solution.

Free to contract, the block stretches evenly: λ along the pull, λₜ across with P_t(λ, λₜ) = 0, and
the force is P(λ, λₜ). The same block clamped at its ends bulges inwards and is stiffer.
"""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

import physml as pm

YOUNG, POISSON = 10.0, 0.3
LAMBDA = YOUNG * POISSON / ((1 + POISSON) * (1 - 2 * POISSON))
MU = YOUNG / (2 * (1 + POISSON))


def exact(stretch: float) -> tuple[float, float]:
    """Stretch across, and force per undeformed area, of W = ½μ(F:F − 3 − 2 ln J) + ½λ(J − 1)².

    Along a principal axis with stretch a the stress is μ(a − 1/a) + λ(J − 1) J/a.
    """

    def stress(a, volume):
        return MU * (a - 1 / a) + LAMBDA * (volume - 1) * volume / a

    across = brentq(lambda a: stress(a, stretch * a**2), 0.3, 1.5, xtol=1e-14)
    return across, stress(stretch, stretch * across**2)


def pulled(stretch: float, clamped: bool) -> pm.Problem:
    block = pm.Box((0.0,) * 3, (1.0,) * 3)
    free = {name: pm.Traction(u=0.0) for name in block.boundary_names}
    if clamped:
        ends = {"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=(stretch - 1, 0.0, 0.0))}
    else:
        # Three planes of symmetry, and a face that is moved along x only.
        ends = {"left": pm.Dirichlet(u=(0.0, None, None))}
        ends |= {"bottom": pm.Dirichlet(u=(None, 0.0, None))}
        ends |= {"back": pm.Dirichlet(u=(None, None, 0.0))}
        ends |= {"right": pm.Dirichlet(u=(stretch - 1, None, None))}
    return pm.Problem(
        pm.library.NeoHookean(young=YOUNG, poisson=POISSON), block, boundary=free | ends
    )


def main(stretch: float = 2.0, cells: int = 4) -> dict[str, float]:
    """Relative errors of the force and of the contraction, and the clamped block's extra force."""
    method = pm.FiniteElement(degree=1, cells=cells, cell_shape="hexahedron", load_steps=4)
    across, force = exact(stretch)
    even = pm.solve(pulled(stretch, False), method)
    clamped = pm.solve(pulled(stretch, True), method)
    corner = even["u"](jnp.array([1.0, 1.0, 1.0]))
    pull = -even.reaction("u", "right")[0], -clamped.reaction("u", "right")[0]
    return {
        "force": float(abs(pull[0] / force - 1)),
        "contraction": float(np.abs(corner[1:] - (across - 1)).max()),
        "clamped": float(pull[1] / force - 1),
    }


if __name__ == "__main__":
    found = main()
    print(", ".join(f"{name}: {value:.2e}" for name, value in found.items()))
    assert found["force"] < 1e-8
