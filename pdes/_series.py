"""Taylor series of a function along lines through a point.

Each primitive maps the coefficients of its inputs to those of its outputs by a recurrence, so that
order K costs K + 1 evaluations; K nested forward passes cost up to 2ᴷ.
Source: Griewank and Walther (2008), tables 13.1 and 13.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes._expansion import Algebra, Expansion, Stream
from pdes._fourier_sum import fourier_moments

Branch = list[Stream]


class Series(Algebra):
    """Coefficients c₀, c₁, …, c_K of u(x + s v) = Σ c_k sᵏ for each of several directions v.

    Streams: the value c₀, which all directions share, then c₁…c_K of one direction after another.

    Arguments:
        orders: K for each direction.
    """

    def __init__(self, *orders: int):
        self.orders = orders

    def branches(self, a: Expansion) -> list[Branch]:
        """(c₀, …, c_K) of each direction."""
        found, start = [], 1
        for order in self.orders:
            found.append([a.value, *a.streams[start : start + order]])
            start += order
        return found

    def seed(self, value: Array, *slopes: Array | None) -> Expansion:
        """An independent variable, value + s · slope along each direction."""
        streams: list[Stream] = [value]
        for order, slope in zip(self.orders, slopes, strict=True):
            if order:
                streams += [slope, *[None] * (order - 1)]
        return Expansion(streams)

    def each(self, index: int, fn: Callable, parts: list[Any], given: list[bool]) -> Any:
        return fn(*parts)

    def _joined(self, value: Array, branches: list[Branch]) -> Expansion:
        return Expansion((value, *[c for branch in branches for c in branch[1:]]))

    def product(self, fn: Callable, a: Expansion, b: Expansion) -> Expansion:
        value = fn(a.value, b.value)
        found = []
        for x, y in zip(self.branches(a), self.branches(b), strict=True):
            found.append([value, *[_cauchy(fn, x, y, k) for k in range(1, len(x))]])
        return self._joined(value, found)

    def unary(self, name: str, parameters: dict, a: Expansion) -> Expansion | None:
        if name in ("square", "integer_pow"):
            return self._power(parameters.get("y", 2), a)
        if name not in _RULES:
            return None
        start, extend = _RULES[name](a.value, parameters)
        return self._joined(start, [extend(branch) for branch in self.branches(a)])

    def _power(self, n: int, a: Expansion) -> Expansion | None:
        if n < 0:
            inverse = self.unary("reciprocal", {}, a)
            assert inverse is not None
            return inverse if n == -1 else self._power(-n, inverse)
        if n == 0:
            return None
        found = None
        while True:
            if n % 2:
                found = a if found is None else self.product(jnp.multiply, found, a)
            n //= 2
            if not n:
                return found
            a = self.product(jnp.multiply, a, a)

    def call(self, name: str, inputs: list) -> list[Expansion] | None:
        if name != "_pdes_fourier_sum":
            return None
        still = [None] * sum(self.orders)
        full = [v if isinstance(v, Expansion) else Expansion((v, *still)) for v in inputs]
        sides = zip(*[self.branches(v) for v in full], self.orders, strict=True)
        found = [_fourier_series(*side) for side in sides]
        value = found[0][0]
        assert value is not None
        return [self._joined(value, found)]

    def compose(self, fn: Callable, arguments: list[Expansion]) -> list[Expansion]:
        values = [a.value for a in arguments]
        outputs = fn(*values)
        found: list[list[Branch]] = [[] for _ in outputs]
        sides = zip(*[self.branches(a) for a in arguments], strict=True)
        for order, side in zip(self.orders, sides, strict=True):

            def along(s: Array, side: Any = side) -> list[Array]:
                return fn(*[_evaluate(branch, s) for branch in side])

            zero = jnp.zeros((), values[0].dtype)
            columns: list[list[Array]] = [list(outputs)]
            for k in range(1, order + 1):
                along = _derivative(along)
                columns.append([v / math.factorial(k) for v in along(zero)])
            for i in range(len(outputs)):
                found[i].append([column[i] for column in columns])
        return [self._joined(value, found[i]) for i, value in enumerate(outputs)]


def _fourier_series(theta: Branch, a: Branch, b: Branch, order: int) -> Branch:
    """Coefficients of Σₖ aₖ cos kθ + bₖ sin kθ: in powers of θ − θ₀, which are series as well."""
    start, shape = theta[0], a[0]
    assert start is not None and shape is not None
    offset = [None, *theta[1:]]
    moving = any(c is not None for c in offset)
    total: Branch = [None] * (order + 1)
    for j, (cosine, sine) in enumerate(zip(a, b, strict=True)):
        if cosine is None and sine is None:
            continue
        cosine = jnp.zeros_like(shape) if cosine is None else cosine
        sine = jnp.zeros_like(shape) if sine is None else sine
        power: Branch = [jnp.ones_like(start), *[None] * (order - j)]
        for term in fourier_moments(start, cosine, sine, order - j if moving else 0):
            for k, factor in enumerate(power):
                if factor is not None:
                    total[j + k] = _plus(total[j + k], factor * term)
            power = [_cauchy(jnp.multiply, offset, power, k) for k in range(order - j + 1)]
    return total


def _plus(a: Stream, b: Array) -> Array:
    return b if a is None else a + b


def _evaluate(branch: Branch, s: Array) -> Array:
    total = branch[0]
    assert total is not None
    for k, c in enumerate(branch[1:], 1):
        if c is not None:
            total = total + c * s**k
    return total


def _derivative(function: Callable) -> Callable:
    return lambda s: jax.jvp(function, (s,), (jnp.ones_like(s),))[1]


def _cauchy(fn: Callable, x: Branch, y: Branch, k: int) -> Stream:
    """Σⱼ xⱼ yₖ₋ⱼ."""
    total = None
    for j in range(k + 1):
        if x[j] is not None and y[k - j] is not None:
            term = fn(x[j], y[k - j])
            total = term if total is None else total + term
    return total


def _chain(x: Branch, w: Branch, k: int) -> Stream:
    """(1/k) Σⱼ j xⱼ wₖ₋ⱼ, the coefficient k of the integral of w dx."""
    total = None
    for j in range(1, k + 1):
        if x[j] is not None and w[k - j] is not None:
            term = x[j] * w[k - j]  # type: ignore[operator]
            term = term if j == k else (j / k) * term
            total = term if total is None else total + term
    return total


def _minus(a: Stream, b: Stream) -> Stream:
    if b is None:
        return a
    return -b if a is None else a - b


Extend = Callable[[Branch], Branch]


def _exponential(v: Array, _: dict) -> tuple[Array, Extend]:
    start = jnp.exp(v)

    def extend(x: Branch) -> Branch:
        y: Branch = [start]
        for k in range(1, len(x)):
            y.append(_chain(x, y, k))
        return y

    return start, extend


def _tanh(v: Array, _: dict) -> tuple[Array, Extend]:
    start = jnp.tanh(v)
    return start, lambda x: _riccati(x, start, 1 - start * start, lambda y, square: -square)


def _logistic(v: Array, _: dict) -> tuple[Array, Extend]:
    start = jax.nn.sigmoid(v)
    return start, lambda x: _riccati(
        x, start, start * (1 - start), lambda y, square: _minus(y, square)
    )


def _riccati(x: Branch, start: Array, slope: Array, rest: Callable) -> Branch:
    """y with y′ = w(y) x′, where wₖ = rest(yₖ, (y²)ₖ)."""
    y: Branch = [start]
    w: Branch = [slope]
    for k in range(1, len(x)):
        y.append(_chain(x, w, k))
        if k + 1 < len(x):
            square = _cauchy(jnp.multiply, y, y, k)
            w.append(None if square is None else rest(y[k], square))
    return y


def _sine(v: Array, _: dict) -> tuple[Array, Extend]:
    sine, cosine = jnp.sin(v), jnp.cos(v)
    return sine, lambda x: _circular(x, sine, cosine)[0]


def _cosine(v: Array, _: dict) -> tuple[Array, Extend]:
    sine, cosine = jnp.sin(v), jnp.cos(v)
    return cosine, lambda x: _circular(x, sine, cosine)[1]


def _circular(x: Branch, sine: Array, cosine: Array) -> tuple[Branch, Branch]:
    s: Branch = [sine]
    c: Branch = [cosine]
    for k in range(1, len(x)):
        rise, fall = _chain(x, c, k), _chain(x, s, k)
        s.append(rise)
        c.append(None if fall is None else -fall)
    return s, c


def _logarithm(v: Array, _: dict) -> tuple[Array, Extend]:
    start = jnp.log(v)

    def extend(x: Branch) -> Branch:
        y: Branch = [start]
        for k in range(1, len(x)):
            # x y′ = x′ without its last term, which has x₀ yₖ.
            y.append(None)
            lower = _chain(y, x, k)
            top = _minus(x[k], lower)
            y[k] = None if top is None else top / v
        return y

    return start, extend


def _reciprocal(v: Array, _: dict) -> tuple[Array, Extend]:
    start = 1 / v

    def extend(x: Branch) -> Branch:
        y: Branch = [start]
        for k in range(1, len(x)):
            y.append(None)
            lower = _cauchy(jnp.multiply, x, y, k)
            y[k] = None if lower is None else -lower * start
        return y

    return start, extend


def _root(v: Array, _: dict) -> tuple[Array, Extend]:
    start = jnp.sqrt(v)

    def extend(x: Branch) -> Branch:
        y: Branch = [start]
        for k in range(1, len(x)):
            y.append(None)
            top = _minus(x[k], _cauchy(jnp.multiply, y, y, k))
            y[k] = None if top is None else 0.5 * top / start
        return y

    return start, extend


_RULES: dict[str, Callable[[Array, dict], tuple[Array, Extend]]] = {
    "exp": _exponential,
    "tanh": _tanh,
    "logistic": _logistic,
    "sin": _sine,
    "cos": _cosine,
    "log": _logarithm,
    "reciprocal": _reciprocal,
    "sqrt": _root,
}
