"""Layerwise curvature on the Poisson equation in two dimensions, network 2-32-32-1, tanh.

∇²u = −2π² sin πx sin πy on the unit square, u = 0 on its boundary, u = sin πx sin πy. 900 points
inside and 120 on the boundary, uniform, the same in all steps; both blocks have weight 1, no
condition is built in. Error: relative L2 on 101 × 101 points.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._table import Checks, Row, row
from physml.networks import MLP, Dense, combine, partition
from physml.optimizers import (
    FOOF,
    KFAC,
    SOAP,
    Adam,
    GaussNewton,
    JetBlock,
    LeastSquares,
    Optimizer,
    PointBlock,
    SelfScaledBroyden,
)

SEEDS = (0, 1, 2)


class Poisson(LeastSquares):
    """The two blocks of residuals, of the Taylor components of the network."""

    static: Any

    def blocks(self, batch):
        def equation(jet, x):
            return jet.laplacian[0] + 2 * jnp.pi**2 * exact(x)

        inside, around = batch
        return {
            "equation": JetBlock(equation, inside, self.static, len(inside) ** -0.5),
            "boundary": JetBlock(
                lambda jet, x: jet.value[0], around, self.static, len(around) ** -0.5, order=0
            ),
        }


def exact(x):
    return jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1])


def points(seed: int, inside: int = 900, side: int = 30):
    """Uniform points inside and on the four sides."""
    draw = np.random.default_rng(seed)
    s = draw.random((4, side))
    zero, one = np.zeros(side), np.ones(side)
    edges = [(s[0], zero), (s[1], one), (zero, s[2]), (one, s[3])]
    around = np.concatenate([np.stack(edge, 1) for edge in edges])
    return jnp.asarray(draw.random((inside, 2))), jnp.asarray(around)


def error(params: Any, static: Any) -> float:
    side = jnp.linspace(0.0, 1.0, 101)
    grid = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    truth = jax.vmap(exact)(grid)
    found = jax.vmap(combine(params, static))(grid)[:, 0]
    return float(jnp.linalg.norm(found - truth) / jnp.linalg.norm(truth))


def poisson(
    optimizer: Optimizer,
    label: str,
    steps: int,
    target: float | None,
    seeds: Sequence[int] = SEEDS,
) -> Iterable[Row]:
    for seed in seeds:
        network = MLP(2, 1, width=32, depth=2, key=jax.random.key(seed))
        params, static = partition(network)
        objective, batch = Poisson(static), points(seed)
        state = optimizer.init(objective, params, batch)
        # Compiled before the clock starts.
        optimizer.step(objective, params, state, batch)
        begun = time.perf_counter()
        for _ in range(steps):
            params, state, info = optimizer.step(objective, params, state, batch)
        seconds = time.perf_counter() - begun
        yield row(
            f"Poisson 2-32-32-1 by {label}, {steps} steps, seed {seed}",
            error(params, static),
            target,
            "rel. L2",
            note=f"{seconds:.1f} s, loss {info.loss:.1e}",
        )


def kfac(seeds: Sequence[int] = SEEDS) -> Iterable[Row]:
    yield from poisson(KFAC(), "K-FAC", 400, 6e-4, seeds)


def foof() -> Iterable[Row]:
    yield from poisson(FOOF(), "FOOF", 400, None)


def others() -> Iterable[Row]:
    yield from poisson(Adam(1e-3), "Adam", 2000, None)
    yield from poisson(SOAP(3e-3), "SOAP", 2000, None)
    yield from poisson(SelfScaledBroyden(), "self-scaled Broyden", 400, None)
    yield from poisson(GaussNewton(), "Gauss–Newton", 20, None)


class Regression(LeastSquares):
    """One linear layer, W x + b = y."""

    def blocks(self, batch):
        fn = lambda params, point: params(point[0]) - point[1]
        return {"fit": PointBlock(fn, batch, len(batch[0]) ** -0.5)}


def one_layer() -> Iterable[Row]:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(200, 10)), draw.normal(size=(200, 4))
    exact = np.linalg.lstsq(np.concatenate([x, np.ones((200, 1))], 1), y, rcond=None)[0].T
    for optimizer in (KFAC(damping=0.0), FOOF(damping=0.0)):
        layer, batch = Dense(10, 4, key=jax.random.key(0)), (jnp.asarray(x), jnp.asarray(y))
        state = optimizer.init(Regression(), layer, batch)
        found, _, _ = optimizer.step(Regression(), layer, state, batch)
        gap = np.abs(np.concatenate([found.weight, found.bias[:, None]], axis=1) - exact).max()
        name = type(optimizer).__name__
        yield row(f"one step of {name} on a linear layer, against Newton", gap, 1e-10, "max")


CHECKS: Checks = {
    "kfac poisson": kfac,
    "foof poisson": foof,
    "kfac others": others,
    "kfac one layer": one_layer,
}
