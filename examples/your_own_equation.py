"""An equation of one's own in twenty lines, solved by four methods that agree.

∂u/∂t = ∇·((1 + u) ∇u) + r u (1 − u): heat that conducts better where it is hot, and a reaction.
"""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp

import physml as pm


class HotRod(pm.PDE):
    """∂u/∂t = ∇·((1 + u) ∇u) + r u (1 − u)."""

    r: pm.Coefficient = pm.coefficient(2.0)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.conduction,), source=(self.reaction,))}

    def conduction(self, p):
        return -(1 + p.u) * p.grad.u

    def reaction(self, p):
        return self.r(p) * p.u * (1 - p.u)


problem = pm.Problem(
    HotRod(),
    pm.Interval(0.0, 1.0),
    time=(0.0, 0.2),
    initial={"u": lambda x: jnp.sin(jnp.pi * x[0])},
    boundary={"all": pm.Dirichlet(u=0.0)},
    name="hot rod",
)


def main(budget: float | None = 40.0, steps: int | None = None) -> float:
    """Largest difference of any method to the finite elements, relative to the solution.

    The neural methods get a budget in seconds, or in steps.
    """
    methods = [pm.FiniteElement(), pm.Chebyshev(), pm.PINN(), pm.VPINN()]
    solutions = [pm.solve(problem, method, budget=budget, steps=steps) for method in methods]
    x = jnp.linspace(0.0, 1.0, 101)[:, None]
    t = jnp.linspace(0.0, 0.2, 21)[:, None]
    fields = [solution["u"](x, t) for solution in solutions]
    scale = jnp.linalg.norm(fields[0])
    return max(float(jnp.linalg.norm(field - fields[0]) / scale) for field in fields[1:])


if __name__ == "__main__":
    difference = main()
    print(f"largest difference between the methods: {difference:.1e}")
    assert difference < 1e-3
