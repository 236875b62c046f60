"""Phase separation (Cahn and Hilliard 1958): a mixture at rest falls apart into two phases.

∂u/∂t = ∇²μ, μ = u³ − u − ε²∇²u: mass is kept to rounding and the energy only falls. The series
is written for ParaView.
"""

import tempfile
from pathlib import Path

import equinox as eqx
import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm

EPSILON = 0.1


def mixture(end: float) -> pm.Problem:
    """Little waves about u = 0 on a periodic square of side 2π."""

    def start(x):
        waves = jnp.cos(3 * x[0] + 1) * jnp.cos(2 * x[1]) + jnp.cos(x[0] - 4 * x[1])
        return 0.05 * waves

    side = 2 * np.pi
    return pm.Problem(
        pm.library.CahnHilliard(epsilon=EPSILON),
        pm.Rectangle((0.0, 0.0), (side, side), periodic=(True, True)),
        time=(0.0, end),
        initial={"u": start},
    )


def energies(solution: pm.Solution) -> tuple[np.ndarray, np.ndarray]:
    """∫ u and ∫ ¼(u² − 1)² + ½ε²|∇u|² at the saved times."""
    series = solution.representation.state

    @jax.jit
    def both(state, t):
        # The state as an argument: as a constant it would be folded at length.
        at = eqx.tree_at(lambda s: s.representation.state, solution, state)
        mass = at.integrate(lambda p: p.u, t=t, degree=3)
        energy = at.integrate(
            lambda p: 0.25 * (p.u**2 - 1) ** 2 + 0.5 * EPSILON**2 * jnp.sum(p.grad.u**2),
            t=t,
            degree=3,
        )
        return mass, energy

    found = np.array([both(series, t) for t in series.times])
    return found[:, 0], found[:, 1]


def main(folder: Path, end: float = 8.0, cells: int = 48) -> tuple[float, np.ndarray]:
    """The change of the mass beside ∫|u|, and the energies."""
    method = pm.FiniteElement(
        degree=1, cells=cells, cell_shape="quadrilateral", scheme="bdf2", rtol=1e-3, atol=1e-3
    )
    solution = pm.solve(mixture(end), method)
    mass, energy = energies(solution)
    solution.save(folder / "cahn_hilliard.xdmf", frames=9)
    solution.plot("u", t=end).savefig(folder / "cahn_hilliard.png", dpi=100)
    print(f"{solution.stats.iterations} steps, energy {energy[0]:.3f} to {energy[-1]:.3f}")
    return float(np.ptp(mass) / (4 * np.pi**2)), energy


if __name__ == "__main__":
    change, energy = main(Path(tempfile.mkdtemp()))
    print(f"mass changed by {change:.1e} of the area")
    assert change < 1e-12 and np.diff(energy).max() < 0
