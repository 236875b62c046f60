"""Trial functions that ignore their network: known fields, for residuals that must vanish."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from physml.losses import SOFT, Collocation, TrialFunction
from physml.networks import partition


class Known(TrialFunction):
    """fields(x, t) given by functions; the parameter only keeps the optimizers' shapes."""

    functions: dict[str, Callable]
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    scales: tuple[float, ...] = eqx.field(static=True)
    shaping: dict[str, Any]

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        return {name: f(x, t) + 0.0 * network(x)[0] for name, f in self.functions.items()}


def known(problem, functions) -> Known:
    shapes = tuple((name, problem.shapes[name]) for name in functions)
    return Known(functions=functions, shapes=shapes, scales=(1.0,) * len(shapes), shaping={})


def exact_collocation(problem, functions=None, **options) -> tuple[Collocation, Any]:
    """The collocation of a problem's exact solution (or of `functions`), and its parameters."""
    chosen = functions or {
        name: (lambda x, t, name=name: problem.exact_value(name, x, t)) for name in problem.exact
    }
    network = eqx.nn.Linear(problem.dim, 1, key=jax.random.key(0))
    params, static = partition({"network": network, "pde": None})
    return Collocation(problem, known(problem, chosen), static, SOFT, **options), params


def largest(residuals: dict[str, Array]) -> dict[str, float]:
    return {name: float(jnp.abs(r).max()) for name, r in residuals.items()}
