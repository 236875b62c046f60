"""Heat in time by two steppers, against the exact solution: orders 2 and 4."""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm


def rod(end: float = 0.2) -> pm.Problem:
    """∂u/∂t = ∂²u/∂x² on [0, 1], u = e^{-π²t} sin πx + ½ e^{-4π²t} sin 2πx."""

    def exact(x, t):
        slow = jnp.exp(-(jnp.pi**2) * t) * jnp.sin(jnp.pi * x[0])
        return slow + 0.5 * jnp.exp(-4 * jnp.pi**2 * t) * jnp.sin(2 * jnp.pi * x[0])

    return pm.Problem(
        pm.library.Heat(kappa=1.0),
        pm.Interval(0.0, 1.0),
        time=(0.0, end),
        initial={"u": lambda x: exact(x, 0.0)},
        boundary={"all": pm.Dirichlet(u=0.0)},
        exact={"u": exact},
    )


def main() -> dict[str, float]:
    """The order observed from 20 to 40 steps."""
    problem, orders = rod(), {}
    x = jnp.linspace(0.0, 1.0, 41)[:, None]
    exact = jax.vmap(lambda y: problem.exact_value("u", y, 0.2))(x)
    for scheme in ("bdf2", "esdirk4"):
        errors = []
        for steps in (20, 40):
            method = pm.FiniteElement(degree=6, cells=8, scheme=scheme, dt=0.2 / steps)
            errors.append(float(jnp.abs(pm.solve(problem, method)["u"](x, 0.2) - exact).max()))
        orders[scheme] = float(np.log2(errors[0] / errors[1]))
    return orders


if __name__ == "__main__":
    orders = main()
    print(", ".join(f"{scheme}: {order:.2f}" for scheme, order in orders.items()))
    assert abs(orders["bdf2"] - 2.0) < 0.2
