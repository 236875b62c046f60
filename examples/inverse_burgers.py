"""The viscosity of Burgers' equation from 100 noisy points, by the adjoint and by a network."""

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np

import physml as pm

TRUTH = 0.05


def measurements(noise: float = 0.01) -> pm.Observations:
    """100 points of the exact solution with Gaussian noise of 1 % of the largest value."""
    rng = np.random.default_rng(0)
    x, t = rng.uniform(-1.0, 1.0, (100, 1)), rng.uniform(0.1, 1.0, 100)
    exact = pm.library.burgers(nu=TRUTH).exact["u"]
    values = np.asarray(jax.vmap(exact)(x, t)) + noise * rng.standard_normal(100)
    return pm.Observations(x, t, values, "u", noise=noise)


def main(budget: float | None = 40.0, steps: int | None = None) -> tuple[float, float]:
    """ν by finite elements and their adjoint, and by a PINN within a budget of seconds or steps."""
    guess = pm.library.burgers(nu=0.1)
    data = measurements()
    classical = pm.fit(
        guess, data, pm.FiniteElement(cells=64, dt=0.02), lambda pde: pde.nu, positive=True
    )
    # The equation is exact and the data are not: with weight 1 the network would follow the noise.
    network = pm.PINN(weights={"equation": 1e4})
    neural = pm.fit(guess, data, network, lambda pde: pde.nu, budget=budget, steps=steps)
    return classical.number, neural.number


if __name__ == "__main__":
    for name, nu in zip(("adjoint of the FEM", "PINN"), main(), strict=True):
        print(f"{name}: ν = {nu:.5f}, off by {abs(nu / TRUTH - 1):.1%}")
        assert abs(nu / TRUTH - 1) < 0.05
