"""Semi-implicit backward differentiation of d/dt z = L z + N(z, t): one evaluation of N a step.

    Σⱼ aⱼ z(t + h − jh) = h L z(t + h) + h Σⱼ bⱼ N(t + h − jh),  j = 0 … k for z, 1 … k for N

Source: Ascher, Ruuth & Wetton (1995), section 2, SBDF of order 1 to 4.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers._system import SplitSystem
from solvers.time._exponential import ETDRK
from solvers.time._split import SplitStepper, once

_DIFFERENCES = {
    1: (1.0, -1.0),
    2: (3 / 2, -2.0, 1 / 2),
    3: (11 / 6, -3.0, 3 / 2, -1 / 3),
    4: (25 / 12, -4.0, 3.0, -4 / 3, 1 / 4),
}
_EXTRAPOLATION = {
    1: (1.0,),
    2: (2.0, -1.0),
    3: (3.0, -3.0, 1.0),
    4: (4.0, -6.0, 4.0, -1.0),
}


class SBDF(SplitStepper):
    """Semi-implicit backward differentiation of order 1 to 4, for one fixed step.

    The first k − 1 states are found by ETDRK of the same order before the first step.

    Arguments:
        linear: L, a `Diagonal` or `Blocks`. dt: the step. order: k, 1 to 4.
    """

    dt: Array
    linear: Any
    inverse: Any
    starter: ETDRK | None
    number: int = eqx.field(static=True)

    def __init__(self, linear: Any, dt: Any, order: int = 2):
        if order not in _DIFFERENCES:
            raise ValueError(f"order is 1, 2, 3 or 4, got {order!r}")
        self.dt = jnp.asarray(dt)
        self.linear = linear
        self.number = order
        self.inverse = linear.resolvent(dt / _DIFFERENCES[order][0])
        self.starter = None if order == 1 else ETDRK(linear, dt, order)

    def order(self, terms: Any) -> int:
        return self.number

    def begin(self, system: SplitSystem, t: Any, z: Array) -> Any:
        """Earlier z and N, newest first; the states to start with; and how many are used."""
        if self.starter is None:
            return None
        earlier = self.number - 1
        starter = self.starter

        def one(at: Array, i: Array) -> tuple[Array, Array]:
            at = starter.advance(system, t + i * self.dt, at)
            return at, at

        starts = jax.lax.scan(one, z, jnp.arange(earlier).astype(self.dt.dtype))[1]
        nothing = jnp.zeros_like(z)
        return (z,) * earlier, (nothing,) * earlier, starts, jnp.asarray(0)

    def proceed(self, system, t, z, memory, n=None) -> tuple[Array, Any]:
        a, b = _DIFFERENCES[self.number], _EXTRAPOLATION[self.number]
        n = once(system.nonlinear)(z, t) if n is None else n
        states, sources = ((), ()) if memory is None else memory[:2]
        known, found = (z, *states), (n, *sources)
        right = -sum(w * v for w, v in zip(a[1:], known, strict=True))
        right = right + self.dt * sum(w * v for w, v in zip(b, found, strict=True))
        new = self.inverse(right / a[0])
        if memory is None:
            return new, None
        starts, count = memory[2:]
        new = jnp.where(count < len(states), starts[jnp.minimum(count, len(states) - 1)], new)
        return new, (known[:-1], found[:-1], starts, count + 1)
