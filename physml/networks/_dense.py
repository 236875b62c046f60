"""The layer of every perceptron: an affine map, its weights plain or factorised."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

# Mean and deviation of s, or None.
Factorisation = tuple[float, float] | None


class Dense(eqx.Module):
    """x ↦ W x + b, with W Glorot normal, W ~ N(0, 2/(fan_in + fan_out)), and b = 0.

    Factorised, W = diag(eˢ) V with s ~ N(μ, σ²) for each unit, and V such that W starts as it
    does otherwise; V (`weight`) and s (`exponents`) are trained. It gives each unit a learning
    rate of its own.

    **Arguments**

    - `factorisation`: (μ, σ); (1.0, 0.1) in the source. `None`: W itself is trained.
    - `weight`: W (out_size, in_size) to start from in place of the Glorot normal one.

    Sources: Glorot and Bengio, 2010, equation 12; Wang, Wang, Seidman and Perdikaris, 2022
    (random weight factorisation). Raises `ValueError` unless σ ≥ 0.
    """

    weight: Array
    bias: Array
    exponents: Array | None

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        factorisation: Factorisation = None,
        weight: Array | None = None,
        key: PRNGKeyArray,
    ):
        deviation = (2.0 / (in_size + out_size)) ** 0.5
        start: Array = (
            deviation * jax.random.normal(key, (out_size, in_size)) if weight is None else weight
        )
        self.bias = jnp.zeros(out_size)
        self.weight, self.exponents = start, None
        if factorisation is not None:
            mean, spread = _checked(factorisation)
            noise = jax.random.normal(jax.random.fold_in(key, 1), (out_size,))
            self.exponents = mean + spread * noise
            self.weight = start * jnp.exp(-self.exponents)[:, None]

    @property
    def matrix(self) -> Array:
        """W (out_size, in_size)."""
        if self.exponents is None:
            return self.weight
        return jnp.exp(self.exponents)[:, None] * self.weight

    def __call__(self, x: Array) -> Array:
        return self.matrix @ x + self.bias


def _checked(factorisation: tuple[float, float]) -> tuple[float, float]:
    try:
        mean, spread = (float(value) for value in factorisation)
    except (TypeError, ValueError):
        mean, spread = 0.0, -1.0
    if not spread >= 0:
        raise ValueError(
            "factorisation is (mean, deviation) of the exponents with a deviation >= 0, such as "
            f"(1.0, 0.1), got {factorisation!r}."
        )
    return mean, spread
