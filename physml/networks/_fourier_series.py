"""A Fourier series in one periodic direction, whose coefficients are a network of the rest."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pdes._fourier_sum import fourier_sum

from ._mlp import MLP
from ._network import Network, NetworkFactory, check_input, check_sizes

# Of the coefficients, relative to the initialisation of their network.
_START = 1e-3


class FourierSeries(Network):
    """u = c₀ + Σₖ (aₖ cos kθ + bₖ sin kθ)/(1 + k), k = 1…harmonics, with c, a, b = inner(z).

    `parity` "even" keeps c₀ and the cosines, "odd" the sines: of functions that are even or odd
    about the ends of the period, and then about its middle as well.

    The inputs are (cos θ, sin θ, z): what `PINN` and other methods give a network of a problem
    that is periodic in its first direction, with z the time and the other directions. It suits
    solutions that are periodic and smooth but no simple function of x and t together: turbulence
    of Kuramoto–Sivashinsky, trains of solitons. Each slab of time is then short, and `inner` needs
    as many units as the coefficients have independent functions of time.

    **Arguments**

    - `harmonics`: the largest wavenumber. What the solution has beyond it is missing.
    - `inner`: architecture of the coefficients, (in_size − 2,) → (n · out_size,), with n of
      2 harmonics + 1, `harmonics` + 1 if even, or `harmonics` if odd.
    - `parity`: "even" or "odd"; neither by default.

    The divisor only sets the spectrum at the start and the metric of steps: coefficients are free.
    The last of the `layers` of `inner` starts at a thousandth of its own initial values: the trial
    function is then nearly what the conditions hold, in a slab of time the state at its start, and
    the first step of Gauss–Newton nearly a linear fit.
    Raises `ValueError` for fewer than three inputs, or another parity.

    Source: Xia, Böttcher and Chou (2023), spectrally adapted PINNs.
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    harmonics: int = eqx.field(static=True)
    parity: str | None = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        harmonics: int = 32,
        inner: NetworkFactory = MLP,
        parity: str | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, harmonics=harmonics)
        check_parity(parity)
        if in_size < 3:
            raise ValueError(
                "FourierSeries takes cos θ and sin θ of a periodic direction and at least one more "
                f"input, such as the time, that its coefficients depend on; got in_size={in_size}. "
                "Use a domain that is periodic in its first direction, and harmonics=1 of the "
                "method."
            )
        waves = {None: 2 * harmonics + 1, "even": harmonics + 1, "odd": harmonics}[parity]
        self.inner = _quiet(inner(in_size - 2, waves * out_size, key=key))
        self.in_size = in_size
        self.out_size = out_size
        self.harmonics = harmonics
        self.parity = parity

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        constant, a, b = self._amplitudes(x[2:])
        # The branch of θ is of no account, since every k is a whole number.
        theta = jnp.arctan2(x[1], x[0])
        value = fourier_sum(theta, a, b)
        return value if self.parity == "odd" else constant + value

    def amplitudes(self, z: Array) -> Array:
        """Of the functions that `waves` gives, (out_size, functions)."""
        constant, a, b = self._amplitudes(z)
        parts = {None: (constant[:, None], a, b), "even": (constant[:, None], a), "odd": (b,)}
        return jnp.concatenate(parts[self.parity], axis=1)

    def waves(self, theta: Array, order: int) -> Array:
        """1, cos kθ and sin kθ, those that the parity keeps, with derivatives, (order + 1, …)."""
        k = jnp.arange(1, self.harmonics + 1, dtype=theta.dtype)
        found = []
        for m in range(order + 1):
            constant = jnp.full(1, 1.0 if m == 0 else 0.0, theta.dtype)
            quarter = m * (0.5 * np.pi)
            even, odd = (k**m * wave(k * theta + quarter) for wave in (jnp.cos, jnp.sin))
            parts = {None: (constant, even, odd), "even": (constant, even), "odd": (odd,)}
            found.append(jnp.concatenate(parts[self.parity]))
        return jnp.stack(found)

    def _amplitudes(self, z: Array) -> tuple[Array, Array, Array]:
        """c₀, and those of cosines and sines."""
        count = 2 if self.parity is None else 1
        coefficients = self.inner(z).reshape(self.out_size, -1)
        scale = 1 + jnp.arange(1, self.harmonics + 1, dtype=z.dtype)
        waves = coefficients[:, -count * self.harmonics :].reshape(
            self.out_size, count, self.harmonics
        )
        waves = waves / scale
        own, none = waves[:, 0], jnp.zeros_like(waves[:, 0])
        pairs = {None: (own, waves[:, -1]), "even": (own, none), "odd": (none, own)}
        return (coefficients[:, 0], *pairs[self.parity])


def check_parity(parity: str | None) -> None:
    if parity not in (None, "even", "odd"):
        raise ValueError(f'parity must be "even", "odd" or None, got {parity!r}')


def _quiet(network: Network) -> Network:
    """The network with small values at the start, where its last layer can be told."""
    layers = getattr(network, "layers", ())
    if not layers or layers[-1].bias.shape != (network.out_size,):
        return network
    last = lambda n: (n.layers[-1].weight, n.layers[-1].bias)
    return eqx.tree_at(last, network, tuple(_START * a for a in last(network)))
