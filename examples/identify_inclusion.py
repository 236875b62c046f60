"""Where an inclusion is, and how large, from voltages on the boundary (impedance tomography).

−∇·(k ∇u) = 0 with currents through the boundary; k = 4 in an unknown disk, 1 elsewhere. The disk
is found by gradients through the finite element solver. Data come from a finer mesh, with noise.
"""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

import physml as pm

TRUTH = np.array([0.62, 0.41, 0.17])  # centre and radius
SQUARE = pm.Rectangle()
SENSORS = jnp.asarray(SQUARE.sample_boundary(64, scheme="grid").points)


def voltages(disk, pattern, cells: int):
    """u at the sensors for a current that grows with x (pattern 1, 0) or y (0, 1)."""

    def conductivity(p):
        depth = disk[2] - jnp.sqrt(jnp.sum((p.x - disk[:2]) ** 2) + 1e-12)
        return 1.0 + 3.0 * jax.nn.sigmoid(depth / 0.02)

    problem = pm.Problem(
        pm.library.Poisson(k=conductivity),
        SQUARE,
        boundary={"all": pm.Neumann(u=lambda x, t: pattern @ (x - 0.5))},
        gauge={"u": pm.Pin((0.0, 0.0), u=0.0)},
    )
    u = pm.solve(problem, pm.FiniteElement(degree=1, cells=cells))["u"](SENSORS)
    return u - jnp.mean(u)


def main(noise: float = 1e-3) -> np.ndarray:
    """Centre and radius of the disk."""
    patterns = jnp.eye(2)

    def measured(disk, cells):
        return jnp.stack([voltages(disk, pattern, cells) for pattern in patterns])

    data = measured(jnp.asarray(TRUTH), 72)
    rng = np.random.default_rng(0)
    data = data + noise * float(jnp.abs(data).max()) * rng.standard_normal(data.shape)

    @jax.jit
    @jax.value_and_grad
    def misfit(disk):
        return jnp.sum((measured(disk, 24) - data) ** 2) / jnp.sum(data**2)

    found = minimize(
        lambda z: [np.asarray(v, float) for v in misfit(jnp.asarray(z))],
        x0=[0.5, 0.5, 0.25],
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.1, 0.9), (0.1, 0.9), (0.05, 0.45)],
        options={"ftol": 1e-12},
    )
    return found.x


if __name__ == "__main__":
    disk = main()
    error = float(np.abs(disk - TRUTH).max())
    print(f"centre ({disk[0]:.3f}, {disk[1]:.3f}), radius {disk[2]:.3f}: off by {error:.3f}")
    assert error < 0.02
