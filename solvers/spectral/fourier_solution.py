"""Fourier series as functions of x and t."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._solution import Representation
from solvers.spectral.fourier_plan import Plan
from solvers.spectral.fourier_pointwise import backward
from solvers.spectral.fourier_system import interpolate
from solvers.time._series import TimeSeries


class FourierFunctions(Representation):
    """Trigonometric interpolants in space, cubic Hermite polynomials in time.

    Attributes:
        series: transforms of all components (frames, n, *grid).
    """

    series: TimeSeries
    plan: Plan = eqx.field(static=True)
    steady: bool = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        return self._fields(interpolate(self.series(t), x, self.plan))

    def frames(self) -> Array | None:
        return None if self.steady else self.series.times

    def on_grid(self, frame: int = -1) -> dict[str, Array]:
        """Every field at the grid points, (*points, *shape), in one frame."""
        values = backward(self.series.states[frame], self.plan.points)
        return self._fields(jnp.moveaxis(values, 0, -1))

    def _fields(self, components: Array) -> dict[str, Array]:
        layout = self.plan.layout
        out = {}
        for name, shape in zip(layout.names, layout.shapes, strict=True):
            mine = layout.components(name)
            block = components[..., mine.start : mine.stop]
            out[name] = block.reshape(*components.shape[:-1], *shape)
        return out


def interpolation_error(series: TimeSeries) -> Any:
    """Relative error between frames, estimated by leaving out every other one.

    Twice the spacing has 16 times the error. Zero with fewer than five frames.
    """
    count = len(series.times)
    if count < 5:
        return jnp.zeros(())
    middle = np.arange(1, count - 1, 2)
    middle = middle[np.linspace(0, len(middle) - 1, min(len(middle), 16)).astype(int)]

    def missed(i: Array) -> Array:
        left, right = series.times[i - 1], series.times[i + 1]
        h = right - left
        s = (series.times[i] - left) / h
        guess = (
            (1 + 2 * s) * (1 - s) ** 2 * series.states[i - 1]
            + s * (1 - s) ** 2 * h * series.slopes[i - 1]
            + s**2 * (3 - 2 * s) * series.states[i + 1]
            + s**2 * (s - 1) * h * series.slopes[i + 1]
        )
        difference = jnp.linalg.norm((guess - series.states[i]).ravel())
        return difference / jnp.maximum(
            jnp.linalg.norm(series.states[i].ravel()), jnp.finfo(h.dtype).tiny
        )

    return jnp.max(jax.lax.map(missed, jnp.asarray(middle))) / 16
