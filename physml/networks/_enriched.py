"""A network with a few known functions beside it, each with a coefficient that is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ._network import Network, check_input, check_sizes


class Enriched(Network):
    """N(x) + C s(x), with s = (s₁, …, s_k) known functions and C (out_size, k) trained.

    For what a smooth network can't follow and theory knows up to its size: the singular function
    r^{2/3} sin(2θ/3) of a re-entrant corner, a layer e^{−x/ε}. With such functions the conditions
    are residuals (`constraints="soft"`), unless each function satisfies them.

    Arguments:
        functions: of the network's inputs (in_size,), each a number. network: a factory.

    C starts at 0.

    Source: Strang and Fix (1973), chapter 8, for finite elements.

    Raises:
        ValueError: no function, or one that is not a number at a point.
    """

    network: Network
    coefficients: Array
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    functions: tuple[Callable[[Array], Any], ...] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        key: PRNGKeyArray,
        network: Callable[..., Network],
        functions: Sequence[Callable[[Array], Any]],
    ):
        check_sizes(in_size, out_size)
        self.functions = tuple(functions)
        if not self.functions:
            raise ValueError("functions: give at least one, of the network's inputs")
        for i, function in enumerate(self.functions):
            shape = jnp.shape(function(jnp.full(in_size, 0.3)))
            if shape != ():
                raise ValueError(f"functions[{i}] must give a number at a point, got shape {shape}")
        self.in_size, self.out_size = in_size, out_size
        self.network = network(in_size, out_size, key=key)
        self.coefficients = jnp.zeros((out_size, len(self.functions)))

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        known = jnp.stack([jnp.asarray(s(x), x.dtype) for s in self.functions])
        return self.network(x) + self.coefficients.astype(x.dtype) @ known
