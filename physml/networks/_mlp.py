"""Multilayer perceptrons: plain, with adaptive activations, and modified."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ._dense import Dense, Factorisation
from ._network import Network, activation_function, check_input, check_sizes


class MLP(Network):
    """Multilayer perceptron, z₀ = x, zₖ = σ(Wₖ zₖ₋₁ + bₖ) for k = 1…depth, u = W z + b.

    **Arguments**

    - `in_size`, `out_size`: numbers of inputs and outputs.
    - `width`, `depth`: units of a hidden layer, and number of hidden layers.
    - `activation`: a name ("tanh", "sin", "gelu", "swish", "softplus", "sigmoid") or a function.
    - `adaptive`: n of the adaptive activation σ(n aₖ z), with one trained slope aₖ a hidden
      layer that starts at 1/n (Jagtap, Kawaguchi and Karniadakis, 2020); `None` for none.
    - `factorisation`: mean and deviation of the weights' random factors, see `Dense`; `None`
      for plain weights.
    - `key`: random key of the initial weights.

    Weights start Glorot normal, biases at zero (Glorot and Bengio, 2010).
    Raises `ValueError` for a size below 1 or an unknown activation.
    """

    layers: tuple[Dense, ...]
    slopes: Array | None
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)
    adaptive: float | None = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        width: int = 32,
        depth: int = 3,
        activation: str | Callable[[Array], Array] = "tanh",
        adaptive: float | None = None,
        factorisation: Factorisation = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, width=width, depth=depth)
        if adaptive is not None and not adaptive > 0:
            raise ValueError(f"adaptive, the factor n of σ(n a z), must be > 0, got {adaptive!r}.")
        sizes = [in_size, *[width] * depth, out_size]
        keys = jax.random.split(key, depth + 1)
        self.layers = tuple(
            Dense(n, m, factorisation=factorisation, key=k)
            for n, m, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.slopes = None if adaptive is None else jnp.full(depth, 1.0 / adaptive)
        self.in_size = in_size
        self.out_size = out_size
        self.activation = activation_function(activation)
        self.adaptive = adaptive

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        z = x
        for k, layer in enumerate(self.layers[:-1]):
            z = layer(z)
            if self.slopes is not None and self.adaptive is not None:
                z = self.adaptive * self.slopes[k] * z
            z = self.activation(z)
        return self.layers[-1](z)


class ModifiedMLP(Network):
    """Perceptron gated by two encodings of the input.

    a = σ(W_a x + b_a), b = σ(W_b x + b_b); zₖ = σ(Wₖ hₖ₋₁ + bₖ), hₖ = (1 − zₖ)⊙a + zₖ⊙b,
    h₀ = x, u = W h + b. Arguments as `MLP`. Weights start Glorot normal, biases at zero.

    Source: Wang, Teng and Perdikaris, 2021, equations 43–47.
    """

    encoders: tuple[Dense, Dense]
    layers: tuple[Dense, ...]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        width: int = 32,
        depth: int = 3,
        activation: str | Callable[[Array], Array] = "tanh",
        factorisation: Factorisation = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, width=width, depth=depth)
        sizes = [in_size, *[width] * depth, out_size]
        first, second, *keys = jax.random.split(key, depth + 3)
        self.encoders = (
            Dense(in_size, width, factorisation=factorisation, key=first),
            Dense(in_size, width, factorisation=factorisation, key=second),
        )
        self.layers = tuple(
            Dense(n, m, factorisation=factorisation, key=k)
            for n, m, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.in_size = in_size
        self.out_size = out_size
        self.activation = activation_function(activation)

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        a, b = (self.activation(encoder(x)) for encoder in self.encoders)
        h = x
        for layer in self.layers[:-1]:
            h = a + self.activation(layer(h)) * (b - a)
        return self.layers[-1](h)


class SIREN(Network):
    """Sinusoidal network, zₖ = sin(ω (Wₖ zₖ₋₁ + bₖ)), u = W z + b.

    **Arguments** as `MLP`, with `frequency` ω of every hidden layer in place of an activation.

    Initial weights: W₁ ~ U(−1/n, 1/n), the others W ~ U(−√(6/n)/ω, √(6/n)/ω) with n the inputs
    of the layer, biases U(−1/√n, 1/√n). Source: Sitzmann et al., 2020, section 3.2.
    """

    layers: tuple[Dense, ...]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    frequency: float = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        width: int = 32,
        depth: int = 3,
        frequency: float = 30.0,
        factorisation: Factorisation = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, width=width, depth=depth)
        if not frequency > 0:
            raise ValueError(f"frequency must be > 0, got {frequency!r}.")
        sizes = [in_size, *[width] * depth, out_size]
        layers = []
        keys = jax.random.split(key, depth + 1)
        for k, (n, m) in enumerate(itertools.pairwise(sizes)):
            spread = 1.0 / n if k == 0 else (6.0 / n) ** 0.5 / frequency
            weights, biases = jax.random.split(keys[k])
            layer = Dense(
                n,
                m,
                weight=jax.random.uniform(weights, (m, n), minval=-spread, maxval=spread),
                factorisation=factorisation,
                key=keys[k],
            )
            bias = jax.random.uniform(biases, (m,), minval=-(n**-0.5), maxval=n**-0.5)
            layers.append(eqx.tree_at(lambda d: d.bias, layer, bias))
        self.layers = tuple(layers)
        self.in_size = in_size
        self.out_size = out_size
        self.frequency = frequency

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        z = x
        for layer in self.layers[:-1]:
            z = jnp.sin(self.frequency * layer(z))
        return self.layers[-1](z)
