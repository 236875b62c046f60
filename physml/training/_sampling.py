"""Which points a residual is asked at: adaptive sampling with fixed shapes.

RAD draws all points anew by the residual, RAR adds the worst to those that are there, R3 keeps the
worst and draws the rest anew.
"""

from __future__ import annotations

import abc
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


def residual_refined(
    key: PRNGKeyArray,
    points: Any,
    candidates: Any,
    magnitude: Array,
    count: int,
    first: Array | int,
    *,
    greedy: bool = True,
    power: float = 1.0,
    offset: float = 1.0,
) -> Any:
    """`points` with the `count` from place `first` on replaced by candidates of large residual.

    Residual-based adaptive refinement with a fixed number of points: those that it adds take the
    places of uniform ones. Places are counted round the end of the array.

    Arguments:
        magnitude: |r| at the candidates, (n,). greedy: take the largest (RAR); else draw by
            density as `residual_adaptive` does (RAR-D).

    Source: Lu, Meng, Mao and Karniadakis (2021); RAR-D: Wu, Zhu, Tan, Kartha and Lu (2023).
    """
    if greedy:
        if magnitude.shape[0] < count:
            raise ValueError(
                f"{count} points can't be chosen from {magnitude.shape[0]} candidates."
            )
        size = jnp.where(jnp.isfinite(magnitude), jnp.abs(magnitude), 0.0)
        _, chosen = jax.lax.top_k(size, count)
        added = jax.tree.map(lambda leaf: leaf[chosen], candidates)
    else:
        added = residual_adaptive(key, candidates, magnitude, count, power=power, offset=offset)
    total = len(jax.tree.leaves(points)[0])
    places = (first + jnp.arange(count)) % total
    return jax.tree.map(lambda old, new: old.at[places].set(new), points, added)


def retain_resample_release(points: Any, magnitude: Array, fresh: Any) -> Any:
    """Points whose |r| is above the mean of |r| stay; the others are replaced by fresh ones.

    Arguments: `points` and `fresh`, pytrees of arrays with one leading axis of n; `magnitude` (n,),
    |r| at `points`. A residual that is not finite is not kept.

    Source: Daw, Bu, Wang, Perdikaris and Karpatne (2023), R3 sampling.
    """
    size = jnp.where(jnp.isfinite(magnitude), jnp.abs(magnitude), 0.0)
    kept = size > jnp.mean(size)

    def choose(old: Array, new: Array) -> Array:
        return jnp.where(kept.reshape(-1, *(1,) * (old.ndim - 1)), old, new)

    return jax.tree.map(choose, points, fresh)


class Resampler(eqx.Module):
    """A sampler that makes new points from those before: RAR and R3."""

    @abc.abstractmethod
    def __call__(self, key: PRNGKeyArray, params: Any, step: int) -> Any:
        """The first batch, `(key, params, step) -> batch`, as every sampler gives it."""

    @abc.abstractmethod
    def again(self, key: PRNGKeyArray, params: Any, step: int, batch: Any) -> Any:
        """The batch that follows `batch`, of the same shapes."""


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
