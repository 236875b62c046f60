"""Random sketches of a Jacobian: of its columns by a cosine transform, of its rows by hashing."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


class ColumnSketch(eqx.Module):
    """S (P, m) with orthonormal columns: random signs, cosine transform, m of its P entries.

    A subsampled randomised cosine transform: J S costs P log P a row, and S is never formed. With
    m = P it is orthogonal; without `signs` it is the identity.
    """

    signs: Array | None
    kept: Array | None
    size: int = eqx.field(static=True)

    def __init__(self, size: int, count: int, key: PRNGKeyArray):
        self.size = size
        if count >= size:
            self.signs = self.kept = None
            return
        first, second = jax.random.split(key)
        self.signs = jax.random.rademacher(first, (size,), dtype=float)
        self.kept = jnp.sort(jax.random.permutation(second, size)[:count])

    def project(self, rows: Array) -> Array:
        """rows S, (…, P) → (…, m)."""
        if self.signs is None:
            return rows
        return jax.scipy.fft.dct(rows * self.signs, norm="ortho")[..., self.kept]

    def lift(self, reduced: Array) -> Array:
        """S z, (m,) → (P,)."""
        if self.signs is None or self.kept is None:
            return reduced
        spread = jnp.zeros(self.size, reduced.dtype).at[self.kept].set(reduced)
        return self.signs * jax.scipy.fft.idct(spread, norm="ortho")


class RowSketch(eqx.Module):
    """T (q, N) with E[TᵀT] = I: each row goes, with random signs, to `hashes` of q buckets.

    A sparse sign embedding (count sketch with several hashes); without `signs` it is the identity.
    """

    signs: Array | None
    buckets: Array | None
    count: int = eqx.field(static=True)

    def __init__(self, size: int, count: int, key: PRNGKeyArray, hashes: int = 4):
        self.count = min(count, size)
        if count >= size:
            self.signs = self.buckets = None
            return
        first, second = jax.random.split(key)
        signs = jax.random.rademacher(first, (hashes, size), dtype=float)
        self.signs = signs * hashes**-0.5
        self.buckets = jax.random.randint(second, (hashes, size), 0, count)

    def apply(self, rows: Array) -> Array:
        """T rows, (N, …) → (q, …)."""
        if self.signs is None or self.buckets is None:
            return rows
        total = jnp.zeros((self.count, *rows.shape[1:]), rows.dtype)
        for signs, buckets in zip(self.signs, self.buckets, strict=True):
            aligned = signs.reshape(-1, *[1] * (rows.ndim - 1))
            total = total.at[buckets].add(aligned * rows)
        return total
