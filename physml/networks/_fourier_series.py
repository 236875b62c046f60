"""A Fourier series in one periodic direction, whose coefficients are a network of the rest."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pdes._fourier_sum import fourier_sum

from ._mlp import MLP
from ._network import Network, NetworkFactory, check_input, check_sizes

# Of the coefficients, relative to the initialisation of their network.
_START = 1e-3


class FourierSeries(Network):
    """u = c₀ + Σₖ (aₖ cos kθ + bₖ sin kθ)/(1 + k), k = 1…harmonics, with c, a, b = inner(z).

    The inputs are (cos θ, sin θ, z): what `PINN` and other methods give a network of a problem
    that is periodic in its first direction, with z the time and the other directions. It suits
    solutions that are periodic and smooth but no simple function of x and t together: turbulence
    of Kuramoto–Sivashinsky, trains of solitons. Each slab of time is then short, and `inner` needs
    as many units as the coefficients have independent functions of time.

    **Arguments**

    - `harmonics`: the largest wavenumber. What the solution has beyond it is missing.
    - `inner`: architecture of the coefficients, (in_size − 2,) → ((2 harmonics + 1) · out_size,).

    The divisor only sets the spectrum at the start and the metric of steps: coefficients are free.
    The last of the `layers` of `inner` starts at a thousandth of its own initial values: the trial
    function is then nearly what the conditions hold, in a slab of time the state at its start, and
    the first step of Gauss–Newton nearly a linear fit.
    Raises `ValueError` for fewer than three inputs.

    Source: Xia, Böttcher and Chou (2023), spectrally adapted PINNs.
    """

    inner: Network
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    harmonics: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        harmonics: int = 32,
        inner: NetworkFactory = MLP,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, harmonics=harmonics)
        if in_size < 3:
            raise ValueError(
                "FourierSeries takes cos θ and sin θ of a periodic direction and at least one more "
                f"input, such as the time, that its coefficients depend on; got in_size={in_size}. "
                "Use a domain that is periodic in its first direction, and harmonics=1 of the "
                "method."
            )
        self.inner = _quiet(inner(in_size - 2, (2 * harmonics + 1) * out_size, key=key))
        self.in_size = in_size
        self.out_size = out_size
        self.harmonics = harmonics

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        coefficients = self.inner(x[2:]).reshape(self.out_size, 2 * self.harmonics + 1)
        scale = 1 + jnp.arange(1, self.harmonics + 1, dtype=x.dtype)
        a, b = jnp.split(coefficients[:, 1:], 2, axis=1)
        # The branch of θ is of no account, since every k is a whole number.
        theta = jnp.arctan2(x[1], x[0])
        return coefficients[:, 0] + fourier_sum(theta, a / scale, b / scale)


def _quiet(network: Network) -> Network:
    """The network with small values at the start, where its last layer can be told."""
    layers = getattr(network, "layers", ())
    if not layers or layers[-1].bias.shape != (network.out_size,):
        return network
    last = lambda n: (n.layers[-1].weight, n.layers[-1].bias)
    return eqx.tree_at(last, network, tuple(_START * a for a in last(network)))
