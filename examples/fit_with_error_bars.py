"""The conductivity of a cooling rod from 40 noisy readings: how well it is known, and how well the
network that was trained with it solves the equation.

∂u/∂t = κ ∂²u/∂x². The posterior is that of the data on solutions of the equation; its deviation is
that of the Cramér–Rao bound. The certificate estimates the network's error without the exact one.
"""

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np

import physml as pm

TRUTH, NOISE = 0.25, 0.01


def readings(count: int = 40) -> pm.Observations:
    """The exact solution at random places and times, with noise."""
    rng = np.random.default_rng(0)
    x, t = rng.uniform(0.0, 1.0, (count, 1)), rng.uniform(0.0, 1.0, count)
    exact = np.exp(-TRUTH * np.pi**2 * t) * np.sin(np.pi * x[:, 0])
    return pm.Observations(x, t, exact + NOISE * rng.standard_normal(count), "u", noise=NOISE)


def main(budget: float | None = 30.0, steps: int | None = None) -> dict[str, float]:
    """Distance from the truth in deviations, deviation by the bound, effectivity."""
    data = readings()
    found = pm.fit(
        pm.library.heat(kappa=0.4),
        data,
        pm.PINN(points=1000),
        lambda pde: pde.kappa,
        budget=budget,
        steps=steps,
    )
    posterior = found.posterior()
    certificate = found.solution.certify()
    print(posterior, certificate, sep="\n")
    # Both have closed forms here: ∂u/∂κ = −π²t u, and u for the κ that was found.
    slope = np.pi**2 * data.t * np.exp(-TRUTH * np.pi**2 * data.t) * np.sin(np.pi * data.x[:, 0])
    deviation = float(posterior.deviations[0])
    exact = pm.library.heat(found.number).exact
    return {
        "off": abs(found.number - TRUTH) / deviation,
        "bound": deviation * float(np.linalg.norm(slope)) / NOISE,
        "effectivity": certificate.effectivity(exact),
    }


if __name__ == "__main__":
    numbers = main()
    print(", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
    assert numbers["off"] < 3.0
    assert abs(numbers["bound"] - 1.0) < 0.05
    assert 0.5 < numbers["effectivity"] < 5.0
