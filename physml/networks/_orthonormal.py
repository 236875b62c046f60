"""A layer of sines whose functions are orthonormal at the start."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ._network import Frozen, Network, check_input, check_sizes

# Combinations of sines that are smaller than this, relative to the largest, are left out: they
# would be round-off. Of the precision's ε.
_CUT = 1e4


class OrthonormalSines(Network):
    """u = A B φ(x), φ = (1, sin(ε (W x + b))), with B fixed such that the B φ are orthonormal.

    A few slow sines span what a smooth function of time needs, but as they stand they are nearly
    dependent: a least-squares fit by them has a condition number of 10⁸ and more, and the
    optimizer's damping hides most of it. B = Σ⁻¹Vᵀ, from the singular values of φ at the start, so
    that the mean of (Bφ)(Bφ)ᵀ over [−1, 1]ⁿ is the identity. A, W and b are trained.

    **Arguments**

    - `width`: number of sines; as many independent functions, and a constant.
    - `frequency`: the largest angular frequency ε|wᵢ| at the start. They are spread over
      (0, frequency), one drawn in each of `width` equal parts. Of one input, the sines are by turns
      odd and even; of several, directions and phases are drawn too.
    - `mobility`: ε. A step of one size in W and A changes the frequencies by ε of it: sines that
      move as fast as their coefficients bend the path of a fit which is otherwise nearly linear.

    A starts at zero, the network with it: a first step is a linear fit of A alone. Source: the
    start of a layer from data, Salimans and Kingma (2016), on all correlations in place of the
    deviations. Raises `ValueError` for a size below 1, or a frequency or mobility that is not
    positive.
    """

    weight: Array
    bias: Array
    coefficients: Array
    basis: Frozen
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    mobility: float = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        width: int = 8,
        frequency: float = 2.0,
        mobility: float = 1e-2,
        key: PRNGKeyArray,
    ):
        check_sizes(in_size, out_size, width=width)
        for name, value in (("frequency", frequency), ("mobility", mobility)):
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value!r}.")
        sizes, directions, phases, places = jax.random.split(key, 4)
        size = (jnp.arange(width) + jax.random.uniform(sizes, (width,))) / width
        if in_size == 1:
            along = jnp.ones((width, 1))
            phase = (jnp.arange(width) % 2) * (0.5 * np.pi)
            nodes, mass = np.polynomial.legendre.leggauss(16 + 4 * width)
            x, mass = jnp.asarray(nodes)[:, None], jnp.asarray(mass / 2)
        else:
            along = jax.random.normal(directions, (width, in_size))
            along = along / jnp.linalg.norm(along, axis=1, keepdims=True)
            phase = jax.random.uniform(phases, (width,), maxval=np.pi)
            count = 64 * (width + 1)
            x = jax.random.uniform(places, (count, in_size), minval=-1.0)
            mass = jnp.full(count, 1 / count)
        self.weight = frequency / mobility * size[:, None] * along
        self.bias = phase / mobility
        self.coefficients = jnp.zeros((out_size, width + 1))
        self.in_size = in_size
        self.out_size = out_size
        self.mobility = float(mobility)
        _, values, right = jnp.linalg.svd(
            jnp.sqrt(mass)[:, None] * jax.vmap(self.features)(x), full_matrices=False
        )
        kept = values > _CUT * jnp.finfo(values.dtype).eps * values[0]
        self.basis = Frozen(jnp.where(kept, 1 / jnp.where(kept, values, 1.0), 0.0)[:, None] * right)

    def features(self, x: Array) -> Array:
        """φ (width + 1,)."""
        sines = jnp.sin(self.mobility * (self.weight @ x + self.bias))
        return jnp.concatenate([jnp.ones(1, sines.dtype), sines])

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        return self.coefficients @ (self.basis.value @ self.features(x))
