"""Observations: measured values of a field at points of space and time."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Observations(eqx.Module):
    """Values of one field at n points.

    Attributes:
        x: positions, (n, dim). t: times, (n,). values: (n, *field shape).
        field: the field's name. noise: standard deviation of the errors, () or (n,); None if
            unknown, and all points then weigh the same.

    Raises:
        ValueError: lengths that differ, values that are not finite, a noise that is not positive.
    """

    x: Array
    t: Array
    values: Array
    field: str = eqx.field(static=True)
    noise: Array | None = None

    def __init__(self, x: Any, t: Any, values: Any, field: str = "u", noise: Any = None):
        points, data = np.asarray(x, float), np.asarray(values, float)
        if points.ndim != 2 or len(points) == 0:
            raise ValueError(
                f"Observations: x has shape (n, dim), got {points.shape}; "
                "in one dimension x[:, None]"
            )
        times = np.broadcast_to(np.asarray(0.0 if t is None else t, float), (len(points),))
        if data.shape[:1] != (len(points),):
            raise ValueError(f"Observations: {len(points)} points but values of shape {data.shape}")
        for label, array in (("x", points), ("t", times), ("values", data)):
            if not np.isfinite(array).all():
                first = int(np.argmax(~np.isfinite(array).reshape(len(array), -1).all(axis=1)))
                raise ValueError(f"Observations: {label} is not finite at index {first}")
        if noise is not None and not (np.asarray(noise) > 0).all():
            raise ValueError(f"Observations: noise is a positive standard deviation, got {noise!r}")
        self.x, self.t, self.values = jnp.asarray(points), jnp.asarray(times), jnp.asarray(data)
        self.field = field
        self.noise = None if noise is None else jnp.asarray(noise, float)
