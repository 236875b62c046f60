"""Every optimizer trains: a small Poisson problem to an error, for three seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physml.networks import MLP, combine, partition
from physml.optimizers import (
    DSGNAR,
    FOOF,
    KFAC,
    SOAP,
    EnergyNaturalGradient,
    HessianFree,
    JetBlock,
    LeastSquares,
    SelfScaledBFGS,
    SelfScaledBroyden,
)

POINTS = jnp.linspace(0.0, 1.0, 25)[:, None]


class Poisson(LeastSquares):
    """−u'' = π² sin πx on (0, 1) with u = 0 at both ends, by the Taylor components of a network."""

    static: MLP

    def blocks(self, batch):
        equation = lambda jet, x: jet.laplacian[0] + jnp.pi**2 * jnp.sin(jnp.pi * x[0])
        ends = jnp.array([[0.0], [1.0]])
        return {
            "equation": JetBlock(equation, batch, self.static, len(batch) ** -0.5),
            "ends": JetBlock(lambda jet, x: 3.0 * jet.value[0], ends, self.static, order=0),
        }


def relative_error(params, static):
    x = jnp.linspace(0.0, 1.0, 101)
    exact = jnp.sin(jnp.pi * x)
    found = jax.vmap(combine(params, static))(x[:, None])[:, 0]
    return float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))


def trained(optimizer, seed, count):
    params, static = partition(MLP(1, 1, width=10, depth=1, key=jax.random.key(seed)))
    objective = Poisson(static)
    state = optimizer.init(objective, params, POINTS)
    for _ in range(count):
        params, state, info = optimizer.step(objective, params, state, POINTS)
    assert np.isfinite(info.loss) and np.isfinite(ravel_pytree(params)[0]).all()
    return relative_error(params, static)


@pytest.mark.parametrize(
    ("optimizer", "count", "bound"),
    [
        (SelfScaledBFGS(), 150, 2e-3),
        (SelfScaledBroyden(), 150, 1e-3),
        (EnergyNaturalGradient(), 60, 3e-2),
        (DSGNAR(size=20), 60, 3e-3),
        (HessianFree(rank=10), 40, 3e-3),
        (KFAC(), 100, 5e-3),
        (FOOF(), 150, 3e-2),
        (SOAP(1e-2), 300, 3e-2),
    ],
    ids=lambda value: str(value) if isinstance(value, int | float) else type(value).__name__,
)
def test_poisson(optimizer, count, bound):
    errors = [trained(optimizer, seed, count) for seed in (0, 1, 2)]
    assert max(errors) < bound, errors
