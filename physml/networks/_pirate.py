"""PirateNet: residual blocks that start as the identity, and a last layer fitted to data."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ._dense import Dense, Factorisation
from ._network import Frozen, Network, activation_function, check_input, check_sizes


class _Block(eqx.Module):
    """x ↦ α h + (1 − α) x, where h is three dense layers, the first two gated."""

    layers: tuple[Dense, Dense, Dense]
    gate: Array

    def __call__(self, x: Array, a: Array, b: Array, activation: Callable) -> Array:
        first, second, third = self.layers
        z = b + activation(first(x)) * (a - b)
        z = b + activation(second(z)) * (a - b)
        return x + self.gate * (activation(third(z)) - x)


class PirateNet(Network):
    """Physics-informed residual adaptive network.

    φ = [cos Bx, sin Bx], B ~ N(0, σ²); a = ς(W_a φ + b_a), b = ς(W_b φ + b_b); in each block
    f = ς(W₁ x + b₁), z₁ = f⊙a + (1 − f)⊙b, g = ς(W₂ z₁ + b₂), z₂ = g⊙a + (1 − g)⊙b,
    h = ς(W₃ z₂ + b₃), x ← α h + (1 − α) x from x = φ; u = W x. Each gate α starts at 0, so that
    the network starts linear in φ, however deep; `fitted` chooses W by data.

    **Arguments**

    - `width`: size of φ and of each layer, even. `depth`: number of blocks (three layers each).
    - `sigma`: the deviation of B, in radians a unit of x.
    - `activation`, `factorisation`: as for `MLP`.

    Weights start Glorot normal, biases at zero; B is fixed.
    Source: Wang, Li, Chen and Perdikaris, 2024. Raises `ValueError` for an odd width or σ ≤ 0.
    """

    frequencies: Frozen
    encoders: tuple[Dense, Dense]
    blocks: tuple[_Block, ...]
    last: Array
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        width: int = 32,
        depth: int = 2,
        sigma: float = 2.0,
        activation: str | Callable[[Array], Array] = "tanh",
        factorisation: Factorisation = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, width=width, depth=depth)
        if width % 2:
            raise ValueError(f"width must be even, half cosines and half sines, got {width!r}.")
        if not sigma > 0:
            raise ValueError(f"sigma must be > 0, got {sigma!r}.")

        def dense(k: PRNGKeyArray) -> Dense:
            return Dense(width, width, factorisation=factorisation, key=k)

        frequency, first, second, last, *keys = jax.random.split(key, 4 + depth)
        self.frequencies = Frozen(sigma * jax.random.normal(frequency, (width // 2, in_size)))
        self.encoders = (dense(first), dense(second))
        blocks = []
        for k in keys:
            one, two, three = jax.random.split(k, 3)
            blocks.append(_Block((dense(one), dense(two), dense(three)), jnp.zeros(())))
        self.blocks = tuple(blocks)
        self.last = Dense(width, out_size, key=last).weight
        self.in_size = in_size
        self.out_size = out_size
        self.activation = activation_function(activation)

    def features(self, x: Array) -> Array:
        """What the last layer sees, (width,)."""
        check_input(self, x)
        angle = self.frequencies.value @ x
        z = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])
        a, b = (self.activation(encoder(z)) for encoder in self.encoders)
        for block in self.blocks:
            z = block(z, a, b, self.activation)
        return z

    def __call__(self, x: Array) -> Array:
        return self.last @ self.features(x)

    def fitted(self, x: Array, values: Array) -> PirateNet:
        """The same network, its last layer fitted to values by least squares.

        W minimises Σᵢ |W φ(xᵢ) − yᵢ|², of minimal norm.

        **Arguments**: `x` (n, in_size), for instance points at the start; `values` (n, out_size).
        """
        features = jax.vmap(self.features)(x)
        solution = jnp.linalg.lstsq(features, values)[0]
        return eqx.tree_at(lambda network: network.last, self, solution.T)
