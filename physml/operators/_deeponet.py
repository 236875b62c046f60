"""DeepONet: a branch for the input function, a trunk for the place of the output."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from physml.networks import MLP


class DeepONet(eqx.Module):
    """G(v)(y) = Σₖ bₖ(v(x₁), …, v(x_m)) tₖ(y) + b₀, with networks b (branch) and t (trunk).

    Arguments:
        sensors: number of samples of the input function, channels counted.
        place_size: coordinates of the output point y, time included.
        out_size: output channels. basis: number of products a channel.
        width, depth: of both networks.

    `operator(v, y)` takes v (sensors,) and one point y (place_size,), and gives (out_size,);
    it is differentiable in y, so that a residual loss needs no data.

    Source: Lu, Jin, Pang, Zhang, Karniadakis (2021), equation 2.
    """

    branch: MLP
    trunk: eqx.Module
    bias: Array
    sensors: int = eqx.field(static=True)
    place_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)

    def __init__(
        self,
        sensors: int,
        place_size: int,
        out_size: int = 1,
        *,
        basis: int = 64,
        width: int = 64,
        depth: int = 3,
        key: PRNGKeyArray,
    ):
        for name, value in (("sensors", sensors), ("place_size", place_size), ("basis", basis)):
            if value < 1:
                raise ValueError(f"DeepONet needs a positive {name}, got {value!r}")
        first, second = jax.random.split(key)
        self.branch = MLP(sensors, basis * out_size, width=width, depth=depth, key=first)
        self.trunk = MLP(place_size, basis, width=width, depth=depth, key=second)
        self.bias = jnp.zeros(out_size)
        self.sensors, self.place_size, self.out_size = sensors, place_size, out_size

    def coefficients(self, v: Array) -> Array:
        """b of one input function, (out_size, basis); reused for many places."""
        if v.shape != (self.sensors,):
            raise ValueError(
                f"DeepONet was made for {self.sensors} samples of its input function, got shape "
                f"{v.shape}: sample it at the same sensors"
            )
        return self.branch(v).reshape(self.out_size, -1)

    def at(self, coefficients: Array, y: Array) -> Array:
        """The output at one place, (out_size,)."""
        return coefficients @ jnp.tanh(self.trunk(y)) + self.bias  # type: ignore[operator]

    def __call__(self, v: Array, y: Array) -> Array:
        return self.at(self.coefficients(v), y)
