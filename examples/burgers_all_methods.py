"""Burgers' equation by every method that applies, compared with the exact solution."""

import jax

jax.config.update("jax_enable_x64", True)
import physml as pm


def main(
    budget: float | None = 40.0, methods: list | None = None, steps: int | None = None
) -> dict[str, float]:
    """Relative L2 error of each method; the neural ones get a budget in seconds, or in steps."""
    problem = pm.library.burgers()
    if methods is None:
        methods = [
            pm.FiniteElement(),
            pm.Chebyshev(),
            pm.FiniteVolume(),
            pm.Fourier(),  # needs a periodic domain: the table says so
            pm.PINN(),
            pm.CPINN(),
            pm.VPINN(),
        ]
    comparison = pm.compare(problem, methods, budget=budget, steps=steps)
    print(comparison)
    return {row.label: row.median.l2 for row in comparison.rows if row.median is not None}


if __name__ == "__main__":
    errors = main()
    assert min(errors.values()) < 1e-5
