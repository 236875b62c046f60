"""Networks of transformed inputs: rescaled, exactly periodic, chosen ones, Fourier features.

Each wraps an inner architecture `inner(in_size, out_size, *, key)` and is itself one, so they nest:
`partial(Rescale, lower=…, upper=…, inner=partial(FourierFeatures, sigma=2.0))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from ._mlp import MLP
from ._network import Frozen, Network, NetworkFactory, check_input, check_sizes

# One number for all directions, or one each.
PerDirection = float | Sequence[float] | NDArray[Any]


class Rescale(Network):
    """Inner network of inputs mapped to [−1, 1]: x ↦ inner(2 (x − lower)/(upper − lower) − 1).

    **Arguments**

    - `lower`, `upper`: bounds of each input, numbers or (in_size,).
    - `inner`: the inner architecture; its initialisation then suits any units of x.

    Raises `ValueError` unless lower < upper for each input.
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        lower: PerDirection,
        upper: PerDirection,
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size)
        self.lower, self.upper = _bounds(lower, upper, in_size)
        self.inner = inner(in_size, out_size, key=key)
        self.in_size = in_size
        self.out_size = out_size

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        return self.inner(_to_unit(x, self.lower, self.upper))


class Periodic(Network):
    """Network that is exactly periodic in chosen inputs.

    Input i of period Lᵢ is replaced by cos(2πk xᵢ/Lᵢ), sin(2πk xᵢ/Lᵢ), k = 1…harmonics; so u and
    all its derivatives are periodic. The other inputs pass unchanged.

    **Arguments**

    - `periods`: for each input its period, or `None` where it is not periodic.
    - `harmonics`: how many wavenumbers enter.
    - `inner`: the inner architecture.

    Source: Dong and Ni, 2021. Raises `ValueError` for a period that is not positive, or if
    there is not one entry for each input.
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    periods: tuple[float | None, ...] = eqx.field(static=True)
    harmonics: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        periods: Sequence[float | None],
        harmonics: int = 1,
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, harmonics=harmonics)
        if len(periods) != in_size:
            raise ValueError(
                f"periods needs one entry (a period or None) for each of the {in_size} inputs, "
                f"got {len(periods)}: {tuple(periods)!r}."
            )
        for period in periods:
            if period is not None and not period > 0:
                raise ValueError(f"a period must be > 0, got {period!r}.")
        self.periods = tuple(None if p is None else float(p) for p in periods)
        inner_size = sum(1 if p is None else 2 * harmonics for p in self.periods)
        self.inner = inner(inner_size, out_size, key=key)
        self.in_size = in_size
        self.out_size = out_size
        self.harmonics = harmonics

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        inputs = []
        for i, period in enumerate(self.periods):
            if period is None:
                inputs.append(x[i])
                continue
            for k in range(1, self.harmonics + 1):
                angle = (2 * np.pi * k / period) * x[i]
                inputs += [jnp.cos(angle), jnp.sin(angle)]
        return self.inner(jnp.stack(inputs))


class Select(Network):
    """Inner network of some of the inputs: the function does not depend on the others.

    Of a periodic direction methods give cos kθ and sin kθ in turn: cosines alone make a function
    that is even in it, u(−x) = u(x) about the end of the period and about its middle.

    **Arguments**

    - `inputs`: indices of the inputs that are kept; negative ones count from the end.
    - `inner`: the inner architecture.

    Raises `ValueError` for no index, one that is given twice, or one that is out of range.
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    inputs: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        inputs: Sequence[int],
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size)
        kept = tuple(i + in_size if i < 0 else i for i in inputs)
        if not kept or len(set(kept)) < len(kept) or not all(0 <= i < in_size for i in kept):
            raise ValueError(
                f"inputs must be different indices of the {in_size} inputs, at least one, got "
                f"{tuple(inputs)!r}."
            )
        self.inputs = kept
        self.inner = inner(len(kept), out_size, key=key)
        self.in_size = in_size
        self.out_size = out_size

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        return self.inner(jnp.stack([x[i] for i in self.inputs]))


class FourierFeatures(Network):
    """Inner network of random Fourier features, inner([cos(2πBx), sin(2πBx)]), B ~ N(0, σ²).

    **Arguments**

    - `features`: rows of B for each σ; the inner network gets 2 · features · len(sigma) inputs.
    - `sigma`: the deviation of B, in cycles a unit of x; several make multi-scale features
      (Wang, Wang and Perdikaris, 2021).
    - `inner`: the inner architecture.

    B is fixed. Source: Tancik et al., 2020, section 4. Raises `ValueError` unless σ > 0.
    """

    frequencies: Frozen
    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        features: int = 32,
        sigma: PerDirection = 1.0,
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, features=features)
        scales = np.atleast_1d(np.asarray(sigma, dtype=float))
        if scales.ndim != 1 or not np.all(scales > 0):
            raise ValueError(f"sigma must be a positive number or several, got {sigma!r}.")
        frequency_key, inner_key = jax.random.split(key)
        unit = jax.random.normal(frequency_key, (len(scales), features, in_size))
        scaled = unit * jnp.asarray(scales, unit.dtype)[:, None, None]
        self.frequencies = Frozen(scaled.reshape(-1, in_size))
        self.inner = inner(2 * features * len(scales), out_size, key=inner_key)
        self.in_size = in_size
        self.out_size = out_size

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        angle = 2 * jnp.pi * (self.frequencies.value @ x)
        return self.inner(jnp.concatenate([jnp.cos(angle), jnp.sin(angle)]))


def _bounds(
    lower: PerDirection,
    upper: PerDirection,
    size: int,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    try:
        low = np.broadcast_to(np.asarray(lower, float), (size,))
        high = np.broadcast_to(np.asarray(upper, float), (size,))
    except ValueError:
        raise ValueError(
            f"lower and upper must be numbers or have one entry for each of the {size} inputs, "
            f"got {lower!r} and {upper!r}."
        ) from None
    if not np.all(low < high) or not np.all(np.isfinite(high - low)):
        raise ValueError(f"each lower bound must be below its upper one, got {lower!r}, {upper!r}.")
    return tuple(low.tolist()), tuple(high.tolist())


def _to_unit(x: Array, lower: tuple[float, ...], upper: tuple[float, ...]) -> Array:
    low = jnp.asarray(lower, x.dtype)
    width = jnp.asarray(np.subtract(upper, lower), x.dtype)
    return 2 * (x - low) / width - 1
