"""First derivatives in all directions and weighted sums of second ones, in one pass.

With d directions and one sum, the Laplacian, a function costs d + 2 evaluations, where second
derivatives one at a time cost 2d + 1. Source: Li et al. (2023), forward Laplacian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._expansion import Algebra, Expansion, Stream

# Directions one by one let the compiler drop those that nobody uses; many are one array.
FEW = 6


class SecondOrder(Algebra):
    """(u, ∂ᵢu, Σᵢ wₛᵢ ∂ᵢᵢu for each row of weights wₛ).

    Streams: the value; the first derivatives, one stream each, or all as one with a leading axis
    where there are many; the sums.
    """

    def __init__(self, weights: np.ndarray):
        self.weights = np.asarray(weights, float)
        self.sums, self.directions = self.weights.shape
        self.joint = self.directions > FEW

    @property
    def _firsts(self) -> int:
        return 1 if self.joint else self.directions

    def seed(self, value: Array, tangents: list[Array | None]) -> Expansion:
        """An independent variable with its derivative in each direction."""
        if self.joint:
            filled = [jnp.zeros_like(value) if v is None else v for v in tangents]
            tangents = [jnp.stack(filled)]
        return Expansion((value, *tangents, *[None] * self.sums))

    def first(self, a: Expansion) -> list[Array]:
        """∂ᵢ in each direction."""
        if self.joint:
            whole = a.streams[1]
            zero = jnp.zeros_like(a.value)
            return [zero if whole is None else whole[i] for i in range(self.directions)]
        return [
            jnp.zeros_like(a.value) if s is None else s for s in a.streams[1 : 1 + self._firsts]
        ]

    def gradient(self, a: Expansion, count: int) -> Array:
        """The first `count` derivatives, as a last axis."""
        if self.joint:
            whole = a.streams[1]
            if whole is None:
                return jnp.zeros((*a.value.shape, count), a.value.dtype)
            return jnp.moveaxis(whole[:count], 0, -1)
        return jnp.stack(self.first(a)[:count], axis=-1)

    def second(self, a: Expansion) -> list[Array]:
        """Σᵢ wₛᵢ ∂ᵢᵢ for each s."""
        return [jnp.zeros_like(a.value) if s is None else s for s in a.streams[1 + self._firsts :]]

    def each(self, index: int, fn: Callable, parts: list[Any], given: list[bool]) -> Any:
        if self.joint and index == 1:
            return jax.vmap(fn, in_axes=[0 if g else None for g in given])(*parts)
        return fn(*parts)

    def _map(self, fn: Callable, *streams: Stream) -> Stream:
        if any(stream is None for stream in streams):
            return None
        return jax.vmap(fn)(*streams) if self.joint else fn(*streams)

    def _contract(self, row: np.ndarray, terms: list[Stream]) -> Stream:
        """Σᵢ wᵢ · term of direction i."""
        if self.joint:
            (whole,) = terms
            if whole is None:
                return None
            if np.all(row == 1):
                return whole.sum(axis=0)
            return jnp.tensordot(jnp.asarray(row, whole.dtype), whole, axes=1)
        return _total([
            term if weight == 1 or term is None else weight * term
            for weight, term in zip(row, terms, strict=True)
            if weight != 0
        ])  # fmt: skip

    def product(self, fn: Callable, a: Expansion, b: Expansion) -> Expansion:
        left, right = a.streams[1 : 1 + self._firsts], b.streams[1 : 1 + self._firsts]
        firsts = [
            _total([
                self._map(lambda v: fn(v, b.value), x), self._map(lambda v: fn(a.value, v), y)
            ])
            for x, y in zip(left, right, strict=True)
        ]  # fmt: skip
        both = [self._map(fn, x, y) for x, y in zip(left, right, strict=True)]
        seconds = []
        ends = zip(a.streams[1 + self._firsts :], b.streams[1 + self._firsts :], strict=True)
        for row, (x, y) in zip(self.weights, ends, strict=True):
            cross = self._contract(row, both)
            seconds.append(
                _total([
                    None if x is None else fn(x, b.value),
                    None if y is None else fn(a.value, y),
                    None if cross is None else 2 * cross,
                ])
            )  # fmt: skip
        return Expansion((fn(a.value, b.value), *firsts, *seconds))

    def unary(self, name: str, parameters: dict, a: Expansion) -> Expansion | None:
        rule = _RULES.get(name)
        if rule is None:
            return None
        value, slope, curvature = rule(a.value, parameters)
        firsts = a.streams[1 : 1 + self._firsts]
        squares = [self._map(jnp.square, x) for x in firsts]
        seconds = []
        for row, end in zip(self.weights, a.streams[1 + self._firsts :], strict=True):
            square = self._contract(row, squares)
            seconds.append(
                _total([
                    None if end is None else slope * end,
                    None if square is None else curvature * square,
                ])
            )  # fmt: skip
        return Expansion((
            value, *[self._map(lambda v: slope * v, x) for x in firsts], *seconds
        ))  # fmt: skip

    def compose(self, fn: Callable, arguments: list[Expansion]) -> list[Expansion]:
        values = [a.value for a in arguments]

        def slope(*tangents: Array) -> list[Array]:
            return jax.jvp(fn, tuple(values), tangents)[1]

        def curvature(*tangents: Array) -> list[Array]:
            def once(*at: Array) -> list[Array]:
                return jax.jvp(fn, at, tangents)[1]

            return jax.jvp(once, tuple(values), tangents)[1]

        def filled(index: int) -> list[Array]:
            shape = (self.directions,) if self.joint and index == 1 else ()
            return [
                jnp.zeros((*shape, *a.value.shape), a.value.dtype) if s is None else s
                for a in arguments
                for s in [a.streams[index]]
            ]

        over = jax.vmap if self.joint else lambda f: f
        tangents = [filled(1 + i) for i in range(self._firsts)]
        firsts = [over(slope)(*t) for t in tangents]
        bends = [over(curvature)(*t) for t in tangents] if self.sums else []
        outputs = fn(*values)
        found = []
        for k, value in enumerate(outputs):
            seconds = [
                _total([
                    slope(*filled(1 + self._firsts + s))[k],
                    self._contract(row, [b[k] for b in bends]),
                ])
                for s, row in enumerate(self.weights)
            ]  # fmt: skip
            found.append(Expansion((value, *[f[k] for f in firsts], *seconds)))
        return found


def _total(terms: list[Stream]) -> Stream:
    present = [term for term in terms if term is not None]
    if not present:
        return None
    total = present[0]
    for term in present[1:]:
        total = total + term
    return total


Rule = Callable[[Array, dict], tuple[Array, Array, Array]]


def _tanh(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = jnp.tanh(v)
    slope = 1 - y * y
    return y, slope, -2 * y * slope


def _logistic(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = jax.nn.sigmoid(v)
    slope = y * (1 - y)
    return y, slope, slope * (1 - 2 * y)


def _sine(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = jnp.sin(v)
    return y, jnp.cos(v), -y


def _cosine(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = jnp.cos(v)
    return y, -jnp.sin(v), -y


def _exponential(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = jnp.exp(v)
    return y, y, y


def _logarithm(v: Array, _: dict) -> tuple[Array, Array, Array]:
    inverse = 1 / v
    return jnp.log(v), inverse, -inverse * inverse


def _reciprocal(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = 1 / v
    return y, -y * y, 2 * y * y * y


def _root(v: Array, _: dict) -> tuple[Array, Array, Array]:
    y = jnp.sqrt(v)
    slope = 0.5 / y
    return y, slope, -0.5 * slope / v


def _square(v: Array, _: dict) -> tuple[Array, Array, Array]:
    return v * v, 2 * v, jnp.full_like(v, 2.0)


def _integer_power(v: Array, parameters: dict) -> tuple[Array, Array, Array]:
    n = parameters["y"]
    slope = n * v ** (n - 1)
    curvature = n * (n - 1) * v ** (n - 2) if n not in (0, 1) else jnp.zeros_like(v)
    return v**n, slope, curvature


_RULES: dict[str, Rule] = {
    "tanh": _tanh,
    "logistic": _logistic,
    "sin": _sine,
    "cos": _cosine,
    "exp": _exponential,
    "log": _logarithm,
    "reciprocal": _reciprocal,
    "sqrt": _root,
    "square": _square,
    "integer_pow": _integer_power,
}
