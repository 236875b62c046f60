"""Networks of several parts: a product over directions, a shared trunk over scales, stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ._dense import Dense, Factorisation
from ._inputs import PerDirection
from ._mlp import MLP
from ._network import (
    Frozen,
    Network,
    NetworkFactory,
    activation_function,
    check_input,
    check_sizes,
)


class SeparableNetwork(Network):
    """Sum of products of functions of one input each, u_c(x) = Σ_r Πᵢ f_{i,c,r}(xᵢ).

    **Arguments**

    - `rank`: R, the number of products in each output.
    - `inner`: the architecture of each fᵢ, from one input to out_size · rank outputs; all inputs
      have the same one, with weights of their own.

    Source: Cho, Nam, Yang, Yun, Hong and Park, 2023 (SPINN).
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        rank: int = 16,
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, rank=rank)
        keys = jax.random.split(key, in_size)
        # One module whose arrays have a leading axis of inputs.
        self.inner = eqx.filter_vmap(lambda k: inner(1, out_size * rank, key=k))(keys)
        self.in_size = in_size
        self.out_size = out_size
        self.rank = rank

    def factors(self, x: Array) -> Array:
        """f (in_size, out_size, rank)."""
        check_input(self, x)
        found = eqx.filter_vmap(lambda network, value: network(value[None]))(self.inner, x)
        return found.reshape(self.in_size, self.out_size, self.rank)

    def __call__(self, x: Array) -> Array:
        product = jnp.ones((self.out_size, self.rank), x.dtype)
        for factor in self.factors(x):
            product = product * factor
        return product.sum(axis=1)


class MultiscaleFourier(Network):
    """One perceptron for Fourier features of several scales, joined by the last layer.

    φₛ = [cos 2πBₛx, sin 2πBₛx], Bₛ ~ N(0, σₛ²); hₛ = the hidden layers of φₛ, the same for
    every s; u = W [h₁, …, h_S] + b.

    **Arguments**

    - `sigma`: σₛ, in cycles a unit of x. `features`: rows of each Bₛ.
    - `width`, `depth`, `activation`, `factorisation`: of the hidden layers, as for `MLP`.

    The Bₛ are fixed; weights start Glorot normal, biases at zero. Source: Wang, Wang and
    Perdikaris, 2021, equations 3.22–3.26. Raises `ValueError` unless each σ > 0.
    """

    frequencies: Frozen
    layers: tuple[Dense, ...]
    last: Dense
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        sigma: PerDirection = (1.0, 10.0),
        features: int = 16,
        width: int = 32,
        depth: int = 2,
        activation: str | Callable[[Array], Array] = "tanh",
        factorisation: Factorisation = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, features=features, width=width, depth=depth)
        scales = np.atleast_1d(np.asarray(sigma, dtype=float))
        if scales.ndim != 1 or not np.all(scales > 0):
            raise ValueError(f"sigma must be a positive number or several, got {sigma!r}.")
        frequency, last, *keys = jax.random.split(key, 2 + depth)
        unit = jax.random.normal(frequency, (len(scales), features, in_size))
        self.frequencies = Frozen(unit * jnp.asarray(scales, unit.dtype)[:, None, None])
        sizes = [2 * features, *[width] * depth]
        self.layers = tuple(
            Dense(n, m, factorisation=factorisation, key=k)
            for n, m, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.last = Dense(width * len(scales), out_size, factorisation=factorisation, key=last)
        self.in_size = in_size
        self.out_size = out_size
        self.activation = activation_function(activation)

    def _hidden(self, frequencies: Array, x: Array) -> Array:
        angle = 2 * jnp.pi * (frequencies @ x)
        z = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])
        for layer in self.layers:
            z = self.activation(layer(z))
        return z

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        hidden = [self._hidden(frequencies, x) for frequencies in self.frequencies.value]
        return self.last(jnp.concatenate(hidden))


class Scaled(Network):
    """x ↦ ε N(κ x): a network that is small and varies fast.

    **Arguments**: `size` ε; `frequency` κ, a number or one for each input; `inner`, the
    architecture of N. Both are fixed.
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    size: float = eqx.field(static=True)
    frequency: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        size: float = 1.0,
        frequency: PerDirection = 1.0,
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size)
        if not size > 0:
            raise ValueError(f"size must be > 0, got {size!r}.")
        self.frequency = tuple(np.broadcast_to(np.asarray(frequency, float), (in_size,)).tolist())
        self.inner = inner(in_size, out_size, key=key)
        self.in_size = in_size
        self.out_size = out_size
        self.size = float(size)

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        return self.size * self.inner(jnp.asarray(self.frequency, x.dtype) * x)


class MultiStage(Network):
    """u(x) = Σₖ Nₖ(x), of which the last stage is trained and those before it are fixed.

    Stage k + 1, a `Scaled` network of the size and the frequency of what stage k leaves, learns the
    remainder to as many digits as the first stage learnt the solution.
    `pm.PINN(stages=2)` trains one stage after another.

    **Arguments**: `stages`, the networks, first to last.

    Source: Wang and Lai, 2024. Raises `ValueError` if they differ in size.
    """

    earlier: tuple[Any, ...]
    last: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)

    def __init__(self, stages: Sequence[Network]):
        *earlier, last = stages
        sizes = {(stage.in_size, stage.out_size) for stage in stages}
        if len(sizes) != 1:
            raise ValueError(f"stages must be of the same size, got {sorted(sizes)}.")
        self.earlier = tuple(
            jax.tree.map(lambda leaf: Frozen(leaf) if eqx.is_inexact_array(leaf) else leaf, stage)
            for stage in earlier
        )
        self.last = last
        ((self.in_size, self.out_size),) = sizes

    @property
    def stages(self) -> tuple[Network, ...]:
        """All networks, first to last."""
        return (*(_thawed(stage) for stage in self.earlier), self.last)

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        first, *rest = (stage(x) for stage in self.stages)
        return sum(rest, start=first)


def _thawed(stage: Any) -> Any:
    def is_frozen(node: Any) -> bool:
        return isinstance(node, Frozen)

    return jax.tree.map(
        lambda node: node.value if is_frozen(node) else node, stage, is_leaf=is_frozen
    )
