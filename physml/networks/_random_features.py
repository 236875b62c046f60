"""Random features: a fixed random layer and a linear one."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ._inputs import PerDirection, _bounds, _to_unit
from ._network import Frozen, Network, check_input, check_sizes


class RandomFeatures(Network):
    """u(x) = C φ(x), φⱼ(x) = σ(wⱼ·ξ + bⱼ), where only C is trained: a linear model.

    ξ is x mapped to [−1, 1] by `lower`, `upper` (both `None`: ξ = x). w is uniform on
    (−R, R) with R the bandwidth; b is uniform on (−R, R) for tanh and on (0, 2π) for sin;
    C starts at zero. A linear equation then is a linear least-squares problem in C.

    **Arguments**

    - `features`: their number m.
    - `bandwidth`: R, a number or one for each input (a zero width makes φ constant there); for
      sin it should be 1.3 to 1.6 times the highest angular frequency of the solution in ξ.
    - `activation`: "tanh" or "sin".
    - `lower`, `upper`: bounds of each input.

    Source: Chen, Chi, E and Yang, 2022 (random feature method).
    """

    weight: Frozen
    bias: Frozen
    coefficients: Array
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    lower: tuple[float, ...] | None = eqx.field(static=True)
    upper: tuple[float, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        features: int = 1000,
        bandwidth: PerDirection = 3.0,
        activation: str = "tanh",
        lower: PerDirection | None = None,
        upper: PerDirection | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, features=features)
        if activation not in ("tanh", "sin"):
            raise ValueError(f"random features take 'tanh' or 'sin', got {activation!r}.")
        if (lower is None) != (upper is None):
            raise ValueError("give both lower and upper, or neither.")
        try:
            band = np.broadcast_to(np.asarray(bandwidth, float), (in_size,))
        except ValueError:
            raise ValueError(
                f"bandwidth must be a number or have {in_size} entries, got {bandwidth!r}."
            ) from None
        if np.any(band < 0) or not np.any(band > 0):
            raise ValueError(f"bandwidth must be > 0, got {bandwidth!r}.")
        weights, biases = jax.random.split(key)
        unit = jax.random.uniform(weights, (features, in_size), minval=-1.0, maxval=1.0)
        self.weight = Frozen(unit * jnp.asarray(band, unit.dtype))
        low, high = (0.0, 2 * np.pi) if activation == "sin" else (-band.max(), band.max())
        self.bias = Frozen(jax.random.uniform(biases, (features,), minval=low, maxval=high))
        self.coefficients = jnp.zeros((out_size, features))
        self.in_size = in_size
        self.out_size = out_size
        self.activation = activation
        bounds = None if lower is None or upper is None else _bounds(lower, upper, in_size)
        self.lower, self.upper = (None, None) if bounds is None else bounds

    def features(self, x: Array) -> Array:
        """φ(x), (m,): the features at the point `x` (in_size,)."""
        check_input(self, x)
        if self.lower is not None and self.upper is not None:
            x = _to_unit(x, self.lower, self.upper)
        z = self.weight.value @ x + self.bias.value
        return jnp.sin(z) if self.activation == "sin" else jnp.tanh(z)

    def __call__(self, x: Array) -> Array:
        return self.coefficients @ self.features(x)
