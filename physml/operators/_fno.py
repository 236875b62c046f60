"""Fourier neural operator in one and two dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from physml.networks import MLP


class SpectralConvolution(eqx.Module):
    """v ↦ Σ_{|k| ≤ m} e^{ik·x} R(k) v̂(k): a convolution with a band-limited kernel.

    The transforms are products with the few columns of the Fourier matrix that are kept, which
    for some tens of modes is faster on a CPU than full FFTs, and exact on every grid that
    resolves the modes. Weights are N(0, 1/(fan_in·…)) in real and imaginary part.
    """

    weight: Array  # (2, modes…, in, out): real and imaginary part
    modes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_size: int, out_size: int, modes: tuple[int, ...], *, key: PRNGKeyArray):
        # The last axis is that of a real transform: 0…m−1; the others have −m+1…m−1.
        counts = tuple(2 * m - 1 for m in modes[:-1]) + (modes[-1],)
        deviation = (1.0 / (in_size + out_size)) ** 0.5
        shape = (2, *counts, in_size, out_size)
        self.weight = deviation * jax.random.normal(key, shape)
        self.modes = modes

    def __call__(self, v: Array) -> Array:
        kernel = jax.lax.complex(self.weight[0], self.weight[1])
        if len(self.modes) == 1:
            forward, backward = _real_basis(v.shape[0], self.modes[0])
            spectrum = jnp.asarray(forward, v.dtype) @ v  # (2m, in): cosine then sine parts
            m = self.modes[0]
            hat = jax.lax.complex(spectrum[:m], -spectrum[m:])
            out = jnp.einsum("ki,kio->ko", hat, kernel)
            parts = jnp.concatenate([out.real, -out.imag])
            return jnp.asarray(backward, v.dtype) @ parts
        n1, n2 = v.shape[:2]
        m1, m2 = self.modes
        forward2, backward2 = _real_basis(n2, m2)
        spectrum = jnp.einsum("kn,xni->kxi", jnp.asarray(forward2, v.dtype), v)
        hat2 = jax.lax.complex(spectrum[:m2], -spectrum[m2:])
        wave = np.exp(-2j * np.pi * np.outer(np.arange(-m1 + 1, m1), np.arange(n1)) / n1)
        wave = jnp.asarray(wave, kernel.dtype)
        hat = jnp.einsum("jx,kxi->jki", wave, hat2) / n1
        out = jnp.einsum("jki,jkio->jko", hat, kernel)
        out2 = jnp.einsum("jx,jko->kxo", wave.conj(), out)
        parts = jnp.concatenate([out2.real, -out2.imag])
        return jnp.einsum("nk,kxo->xno", jnp.asarray(backward2, v.dtype), parts)


def _real_basis(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """(2m, n) to Fourier coefficients (cosine and sine parts), and (n, 2m) back."""
    angle = 2 * np.pi * np.outer(np.arange(m), np.arange(n)) / n
    forward = np.concatenate([np.cos(angle), np.sin(angle)]) / n
    # Each mode k > 0 stands for itself and its conjugate.
    twice = np.where(np.arange(m) > 0, 2.0, 1.0)[:, None]
    backward = np.concatenate([twice * np.cos(angle), twice * np.sin(angle)])
    return forward, backward.T


class FNO(eqx.Module):
    """Fourier neural operator, v ↦ Q σ(W_L + K_L) … σ(W_1 + K_1) P (v, x).

    K is a convolution with `modes` Fourier modes a direction, W a pointwise linear map, P and Q
    pointwise networks. It acts on samples on a uniform grid of any size above twice the modes,
    and commutes with translations when `coordinates` is False (periodic problems).

    Arguments:
        in_size, out_size: channels of the input and output functions.
        dim: 1 or 2. modes: kept in each direction, from the constant one on.
        width: hidden channels. depth: number of Fourier layers.
        coordinates: give the position, scaled to [0, 1), as further channels.
        padding: fraction of the grid by which functions that are not periodic are extended
            by zeros (at the upper ends) before the Fourier layers.

    Called with samples (n, in_size) or (n1, n2, in_size); gives (…, out_size).

    Source: Li, Kovachki, Azizzadenesheli, Liu, Bhattacharya, Stuart, Anandkumar (2021).
    """

    lift: eqx.Module
    convolutions: list[SpectralConvolution]
    pointwise: list[eqx.nn.Linear]
    project: MLP
    activation: Callable[[Array], Array]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    modes: tuple[int, ...] = eqx.field(static=True)
    coordinates: bool = eqx.field(static=True)
    padding: float = eqx.field(static=True)

    def __init__(
        self,
        in_size: int = 1,
        out_size: int = 1,
        *,
        dim: int = 1,
        modes: int | Sequence[int] = 16,
        width: int = 32,
        depth: int = 4,
        coordinates: bool = False,
        padding: float = 0.0,
        activation: Callable[[Array], Array] = jax.nn.gelu,
        key: PRNGKeyArray,
    ):
        if dim not in (1, 2):
            raise ValueError(f"FNO works in 1 or 2 dimensions, got dim={dim!r}")
        counts = (modes,) * dim if isinstance(modes, int) else tuple(modes)
        if len(counts) != dim or min(counts) < 1:
            raise ValueError(f"FNO needs one positive number of modes a direction, got {modes!r}")
        if not 0.0 <= padding < 1.0:
            raise ValueError(f"padding is a fraction of the grid in [0, 1), got {padding!r}")
        keys = jax.random.split(key, 2 * depth + 2)
        channels = in_size + (dim if coordinates else 0)
        self.lift = eqx.nn.Linear(channels, width, key=keys[0])
        self.convolutions = [
            SpectralConvolution(width, width, counts, key=k) for k in keys[2 : depth + 2]
        ]
        self.pointwise = [eqx.nn.Linear(width, width, key=k) for k in keys[depth + 2 :]]
        self.project = MLP(
            width, out_size, width=4 * width, depth=1, activation="gelu", key=keys[1]
        )
        self.activation = activation
        self.in_size, self.out_size, self.dim = in_size, out_size, dim
        self.modes, self.coordinates, self.padding = counts, coordinates, padding

    def __call__(self, samples: Array) -> Array:
        grid = samples.shape[:-1]
        self._check(samples)
        v = samples
        if self.coordinates:
            axes = [jnp.arange(n, dtype=v.dtype) / n for n in grid]
            v = jnp.concatenate([v, jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)], -1)
        v = _pointwise(self.lift, v)
        extra = [round(self.padding * n) for n in grid]
        v = jnp.pad(v, [(0, e) for e in extra] + [(0, 0)])
        last = len(self.convolutions) - 1
        for i, (convolution, linear) in enumerate(
            zip(self.convolutions, self.pointwise, strict=True)
        ):
            v = convolution(v) + _pointwise(linear, v)
            if i < last:
                v = self.activation(v)
        v = v[tuple(slice(0, n) for n in grid)]
        flat = v.reshape(-1, v.shape[-1])
        return jax.vmap(self.project)(flat).reshape(*grid, self.out_size)

    def _check(self, samples: Array) -> None:
        if samples.ndim != self.dim + 1 or samples.shape[-1] != self.in_size:
            raise ValueError(
                f"FNO takes samples of shape ({'n, ' * self.dim}{self.in_size}), "
                f"got {samples.shape}; for a batch use jax.vmap"
            )
        for n, m in zip(samples.shape[:-1], self.modes, strict=True):
            if n < 2 * m:
                raise ValueError(
                    f"a grid of {n} points can't carry {m} modes: use at least {2 * m} points, "
                    "or fewer modes"
                )


def _pointwise(linear: eqx.Module, v: Array) -> Array:
    return v @ linear.weight.T + linear.bias  # type: ignore[attr-defined]
