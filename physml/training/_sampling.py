"""Which points a residual is asked at: residual-adaptive sampling with fixed shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


def residual_adaptive(
    key: PRNGKeyArray,
    candidates: Any,
    magnitude: Array,
    count: int,
    *,
    power: float = 1.0,
    offset: float = 1.0,
) -> Any:
    """`count` of the candidates, without repetition, p(x) ∝ |r(x)|^k / mean |r|^k + c.

    **Arguments**: `candidates`, a pytree of arrays with one leading axis of n ≥ count points;
    `magnitude` (n,), |r| at each; `power` k; `offset` c (0 draws by the residual alone, a large
    one uniformly). A residual that is not finite counts as zero.

    Source: Wu, Zhu, Tan, Kartha and Lu, 2023 (RAD, equation 2). Raises `ValueError` if there are
    fewer candidates than `count`.
    """
    total = magnitude.shape[0]
    if total < count:
        raise ValueError(f"{count} points can't be drawn from {total} candidates.")
    size = jnp.where(jnp.isfinite(magnitude), jnp.abs(magnitude), 0.0) ** power
    tiny = jnp.finfo(size.dtype).tiny
    density = size / jnp.maximum(jnp.mean(size), tiny) + offset
    # The largest of log p + Gumbel noise are a draw without repetition.
    noisy = jnp.log(jnp.maximum(density, tiny)) + jax.random.gumbel(key, (total,), size.dtype)
    _, chosen = jax.lax.top_k(noisy, count)
    return jax.tree.map(lambda leaf: leaf[chosen], candidates)


class ResidualAdaptive(eqx.Module):
    """A sampler `(key, params, step) -> batch` by residual-adaptive density (RAD).

    **Arguments**

    - `candidates`: `(key) -> points`, a pytree of arrays with a fixed leading axis n.
    - `residual`: `(params, point) -> () or (k,)`, whose norm is the density's |r|.
    - `count`: points kept.
    - `complete`: `(key, points) -> batch`, which adds what else a batch has; none: the points.
    - `power`, `offset`: k and c of `residual_adaptive`.

    At step 0, where a network knows nothing, the candidates are drawn uniformly.
    """

    candidates: Callable[..., Any]
    residual: Callable[..., Array]
    count: int = eqx.field(static=True)
    complete: Callable[..., Any] | None = None
    power: float = eqx.field(static=True, default=1.0)
    offset: float = eqx.field(static=True, default=1.0)

    def __call__(self, key: PRNGKeyArray, params: Any, step: int) -> Any:
        return self._draw(key, params, jnp.asarray(step == 0))

    @eqx.filter_jit
    def _draw(self, key, params, uniform):
        drawing, choosing, completing = jax.random.split(key, 3)
        points = self.candidates(drawing)
        residuals = jax.vmap(lambda point: self.residual(params, point))(points)
        magnitude = jnp.sqrt(jnp.sum(residuals.reshape(len(residuals), -1) ** 2, axis=1))
        magnitude = jnp.where(uniform, 1.0, magnitude)
        kept = residual_adaptive(
            choosing, points, magnitude, self.count, power=self.power, offset=self.offset
        )
        return kept if self.complete is None else self.complete(completing, kept)
