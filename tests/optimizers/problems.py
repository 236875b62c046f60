"""Small objectives for the tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physml.networks import MLP, Rescale, combine, partition
from physml.optimizers import LeastSquares, PointBlock, VectorBlock


class Linear(LeastSquares):
    """r = A θ − b."""

    matrix: jax.Array
    right: jax.Array

    def blocks(self, batch):
        def residual(params, data):
            return data[0] @ params["theta"] - data[1]

        return {"rows": VectorBlock(residual, (self.matrix, self.right))}


def linear(rows: int, columns: int, seed: int = 0):
    draw = np.random.default_rng(seed)
    matrix, right = draw.normal(size=(rows, columns)), draw.normal(size=rows)
    return Linear(jnp.asarray(matrix), jnp.asarray(right)), {"theta": jnp.zeros(columns)}


class Poisson(LeastSquares):
    """∇²u = −2π² sin πx sin πy on the unit square, u = 0 on its boundary."""

    static: Any

    def blocks(self, batch):
        inside, boundary = batch

        def u(params, x):
            return combine(params, self.static)(x)[0]

        def equation(params, x):
            total = 2 * jnp.pi**2 * jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1])
            for direction in jnp.eye(2):
                slope = lambda y: jax.jvp(lambda z: u(params, z), (y,), (direction,))[1]  # noqa: B023
                total += jax.jvp(slope, (x,), (direction,))[1]
            return total

        return {
            "equation": PointBlock(equation, inside, len(inside) ** -0.5),
            "boundary": PointBlock(u, boundary, 10 * len(boundary) ** -0.5),
        }


def poisson(width: int, count: int, seed: int = 0):
    """Objective, parameters and batch."""
    from functools import partial

    network = Rescale(
        2, 1, lower=0.0, upper=1.0, inner=partial(MLP, width=width, depth=2),
        key=jax.random.key(seed),
    )  # fmt: skip
    params, static = partition(network)
    side = (np.polynomial.legendre.leggauss(count)[0] + 1) / 2
    inside = jnp.asarray(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))
    zero, one = 0 * side, 0 * side + 1
    edges = [(side, zero), (side, one), (zero, side), (one, side)]
    boundary = jnp.asarray(np.concatenate([np.stack(edge, 1) for edge in edges]))
    return Poisson(static), params, (inside, boundary)
