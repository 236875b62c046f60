"""A small regression with a sampler, run by the tests here and in their subprocesses."""

from typing import Any

import jax
import jax.numpy as jnp

from physml.networks import MLP, combine, partition
from physml.optimizers import LBFGS, Adam, GaussNewton, LeastSquares, PointBlock
from physml.training import Phase


class Fit(LeastSquares):
    """u(x) = sin 3x at the points of the batch."""

    static: Any

    def blocks(self, batch):
        def misfit(params, x):
            return combine(params, self.static)(x)[0] - jnp.sin(3 * x[0])

        return {"misfit": PointBlock(misfit, batch, len(batch) ** -0.5)}


PARAMS, STATIC = partition(MLP(1, 1, width=6, depth=1, key=jax.random.key(0)))
OBJECTIVE = Fit(STATIC)
PHASES = (Phase(Adam(1e-2), steps=10), Phase(LBFGS(memory=5), steps=10), GaussNewton())


def draw(key, params, step):
    return jax.random.uniform(key, (32, 1), minval=-1.0, maxval=1.0)


POINTS = jnp.linspace(-1.0, 1.0, 32)[:, None]
