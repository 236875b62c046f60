"""A coefficient that is a network: the conductivity of a rod learned from its temperature.

−(k(u) u′)′ = f with an unknown law k(u); the network inside the equation is trained through the
finite element solver, by its adjoint.
"""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

import physml as pm


def rod(k) -> pm.Problem:
    """−∇·(k ∇u) = 10 on [0, 1], cooled at both ends."""
    return pm.Problem(
        pm.library.Poisson(k=k, f=10.0),
        pm.Interval(0.0, 1.0),
        boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=0.5)},
    )


def main() -> float:
    """Relative error of the learned law where the data cover it."""
    law = lambda u: 1.0 + u**2
    method = pm.FiniteElement(degree=2, cells=32)
    truth = pm.solve(rod(lambda p: law(p.u)), method)
    x = np.linspace(0.01, 0.99, 60)[:, None]
    data = pm.Observations(x, 0.0, truth["u"](x), "u", noise=1e-4)
    network = pm.networks.MLP(1, 1, width=8, depth=2, key=jax.random.key(0))
    unknown = pm.NetworkCoefficient(network, inputs=lambda p: p.u, transform=jax.nn.softplus)
    found = pm.fit(rod(unknown), data, method, lambda pde: pde.k)
    u = jnp.linspace(0.05, float(jnp.max(data.values)), 50)
    learned = jax.vmap(lambda v: jax.nn.softplus(found.value.network(v[None]))[0])(u)
    return float(jnp.linalg.norm(learned - law(u)) / jnp.linalg.norm(law(u)))


if __name__ == "__main__":
    error = main()
    print(f"the law k(u) is learned to {error:.2%}")
    assert error < 0.05
