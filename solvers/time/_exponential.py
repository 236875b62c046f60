"""Exponential time differencing, d/dt z = L z + N(z, t), as diffrax solvers.

The coefficients are φ-functions of hL, computed once for a fixed step h and kept in the solver.

    φ₀(z) = eᶻ,  φₖ₊₁(z) = (φₖ(z) − 1/k!) / z.

Sources: Cox & Matthews (2002), Kassam & Trefethen (2005); orders 1 to 4.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers._system import SplitSystem
from solvers.time._split import SplitStepper, SplitTerm, once

__all__ = ["ETDRK", "Blocks", "Diagonal", "SplitTerm", "phi_matrix", "phi_scalar"]


class Diagonal(eqx.Module):
    """A linear operator that multiplies each unknown by its own number, real or complex."""

    values: Array

    def __call__(self, z: Array) -> Array:
        return self.values * z

    def phis(self, h: Any, count: int) -> list[Diagonal]:
        """φ₀, …, φ_count of hL."""
        return [Diagonal(v) for v in phi_scalar(h * self.values, count)]

    def resolvent(self, h: Any) -> Diagonal:
        """(1 − hL)⁻¹."""
        return Diagonal(1.0 / (1.0 - h * self.values))

    def __add__(self, other: Diagonal) -> Diagonal:
        return Diagonal(self.values + other.values)

    def __rmul__(self, factor: Any) -> Diagonal:
        return Diagonal(factor * self.values)


class Blocks(eqx.Module):
    """A linear operator with one small matrix a wavenumber, values (n, n, *grid)."""

    values: Array

    def __call__(self, z: Array) -> Array:
        rows = self.values.shape[0]
        return jnp.stack([sum(self.values[i, j] * z[j] for j in range(rows)) for i in range(rows)])  # type: ignore[arg-type]

    def phis(self, h: Any, count: int) -> list[Blocks]:
        """φ₀, …, φ_count of hL."""
        matrices = jnp.moveaxis(h * self.values, (0, 1), (-2, -1))
        return [Blocks(jnp.moveaxis(v, (-2, -1), (0, 1))) for v in phi_matrix(matrices, count)]

    def resolvent(self, h: Any) -> Blocks:
        """(1 − hL)⁻¹."""
        matrices = jnp.eye(self.values.shape[0]) - jnp.moveaxis(h * self.values, (0, 1), (-2, -1))
        return Blocks(jnp.moveaxis(jnp.linalg.inv(matrices), (-2, -1), (0, 1)))

    def __add__(self, other: Blocks) -> Blocks:
        return Blocks(self.values + other.values)

    def __rmul__(self, factor: Any) -> Blocks:
        return Blocks(factor * self.values)


def phi_scalar(z: Array, count: int) -> list[Array]:
    """φ₀, …, φ_count at each entry, to a few units of round-off, real or complex.

    By the recurrence where |z| > 1 and by Taylor series elsewhere, so that nothing cancels.
    """
    terms = 10 if z.dtype in (jnp.float32, jnp.complex64) else 20
    small = jnp.abs(z) < 1.0
    inside = jnp.where(small, z, 0.0)
    outside = jnp.where(small, 1.0, z)
    series = jnp.full_like(inside, 1.0 / math.factorial(count + terms))
    for k in range(count + terms - 1, count - 1, -1):
        series = 1.0 / math.factorial(k) + inside * series
    lower = [series]
    for k in range(count - 1, -1, -1):
        lower.append(1.0 / math.factorial(k) + inside * lower[-1])
    taylor = lower[::-1]
    direct = [jnp.exp(outside)]
    for k in range(count):
        direct.append((direct[-1] - 1.0 / math.factorial(k)) / outside)
    return [jnp.exp(z)] + [
        jnp.where(small, a, b) for a, b in zip(taylor[1:], direct[1:], strict=True)
    ]


def phi_matrix(a: Array, count: int, doublings: int = 48) -> list[Array]:
    """φ₀, …, φ_count of square matrices (…, n, n), by Taylor series, scaling and doubling.

    φₖ(2A) = 2⁻ᵏ (e^A φₖ(A) + Σⱼ φⱼ(A)/(k − j)!), Skaflestad & Wright (2009). Matrices are first
    balanced by a diagonal similarity, without which waves of high frequency, whose rows are of
    size 1 and k², would be scaled far too often.
    """
    balance = jax.lax.stop_gradient(_balance(a))
    a = a * (balance[..., None, :] / balance[..., :, None])
    norm = jnp.max(jnp.sum(jnp.abs(a), axis=-1), axis=-1)
    times = jnp.ceil(jnp.log2(jnp.maximum(jax.lax.stop_gradient(norm), 0.5) / 0.5))
    scaled = a * (0.5**times)[..., None, None].astype(a.dtype)
    eye = jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)
    terms = 9 if a.dtype in (jnp.float32, jnp.complex64) else 16
    values = eye / math.factorial(count + terms)
    for k in range(count + terms - 1, count - 1, -1):
        values = eye / math.factorial(k) + scaled @ values
    lower = [values]
    for k in range(count - 1, -1, -1):
        lower.append(eye / math.factorial(k) + scaled @ lower[-1])
    start = tuple(lower[::-1])

    def double(phis, i):
        exponential = phis[0]
        new = [exponential @ exponential]
        for k in range(1, count + 1):
            rest = sum(phis[j] / math.factorial(k - j) for j in range(1, k + 1))
            new.append((exponential @ phis[k] + rest) / 2.0**k)
        going = (i < times)[..., None, None]
        return tuple(jnp.where(going, n, p) for n, p in zip(new, phis, strict=True)), None

    phis, _ = jax.lax.scan(double, start, jnp.arange(doublings, dtype=times.dtype))
    back = balance[..., :, None] / balance[..., None, :]
    return [v * back for v in phis]


def _balance(a: Array) -> Array:
    """Positive d (…, n) such that rows and columns of D⁻¹AD have like norms (Parlett & Reinsch)."""
    n = a.shape[-1]
    off = jnp.abs(a) * (1.0 - jnp.eye(n, dtype=a.real.dtype))
    d = jnp.ones(a.shape[:-1], a.real.dtype)
    tiny = jnp.finfo(d.dtype).tiny ** 0.25
    for _ in range(4):
        for i in range(n):
            scaled = off * (d[..., None, :] / d[..., :, None])
            row, column = scaled[..., i, :].sum(-1), scaled[..., :, i].sum(-1)
            good = (row > tiny) & (column > tiny)
            factor = jnp.sqrt(jnp.where(good, row, 1.0) / jnp.where(good, column, 1.0))
            d = d.at[..., i].multiply(factor)
    return jnp.exp2(jnp.round(jnp.log2(d)))


class ETDRK(SplitStepper):
    """Exponential time differencing Runge–Kutta of order 1 to 4, for one fixed step.

    Arguments:
        linear: L, a `Diagonal` or `Blocks`. dt: the step. order: 1, 2, 3 or 4.

    Source: Cox & Matthews (2002), equations 22 (order 2), 23–25 (order 3), 26–29 (order 4).
    """

    dt: Array
    linear: Any
    coefficients: tuple[Any, ...]
    number: int = eqx.field(static=True)

    def __init__(self, linear: Any, dt: Any, order: int = 4):
        if order not in (1, 2, 3, 4):
            raise ValueError(f"order is 1, 2, 3 or 4, got {order!r}")
        self.dt = jnp.asarray(dt)
        self.linear = linear
        self.number = order
        self.coefficients = etd_coefficients(linear, dt, order)

    def order(self, terms: Any) -> int:
        return self.number

    def begin(self, system: SplitSystem, t: Any, z: Array) -> None:
        return None

    def proceed(self, system, t, z, memory, n=None) -> tuple[Array, None]:
        stages = STAGES[self.number]
        inside = system.inside()
        if inside is None:
            return stages(self.coefficients, self.dt, once(system.nonlinear), t, z, n)[0], None
        coefficients = jax.tree.map(inside.take, self.coefficients)
        n = None if n is None else inside.take(n)
        new = stages(coefficients, self.dt, once(inside.nonlinear), t, inside.take(z), n)[0]
        rest = self.coefficients[0](z)
        if inside.source is not None:
            rest = rest + self._constant(inside.source)
        return inside.put(rest, new), None

    def _constant(self, source: Array) -> Array:
        """What a constant N adds in a step, hφ₁(hL)N."""
        if self.number < 4:
            return self.coefficients[3 if self.number == 3 else 1](source)
        *_, first, middle, last = self.coefficients
        return (first + 2.0 * middle + last)(source)

    def advance(self, system: SplitSystem, t: Any, z: Array) -> Array:
        """z one step later."""
        return self.proceed(system, t, z, None)[0]


def etd_coefficients(linear: Any, h: Any, order: int) -> tuple[Any, ...]:
    """What the stages of a step h multiply by; the last entry is the weight of the last stage."""
    if order == 1:
        e, p1 = linear.phis(h, 1)
        return e, h * p1
    if order == 2:
        e, p1, p2 = linear.phis(h, 2)
        return e, h * p1, h * p2
    e, p1, p2, p3 = linear.phis(h, 3)
    half, q1 = linear.phis(0.5 * h, 1)
    first = h * (p1 + -3.0 * p2 + 4.0 * p3)
    last = h * (-1.0 * p2 + 4.0 * p3)
    if order == 3:
        return e, half, (0.5 * h) * q1, h * p1, first, h * (4.0 * p2 + -8.0 * p3), last
    return e, half, (0.5 * h) * q1, first, h * (2.0 * p2 + -4.0 * p3), last


# Each gives z one step later, and N of its last stage; n0 is N(z, t) where that is known.


def _etdrk1(c, h, nonlinear, t, z, n0):
    e, p1 = c
    n0 = nonlinear(z, t) if n0 is None else n0
    return e(z) + p1(n0), n0


def _etdrk2(c, h, nonlinear, t, z, n0):
    e, p1, p2 = c
    n0 = nonlinear(z, t) if n0 is None else n0
    a = e(z) + p1(n0)
    na = nonlinear(a, t + h)
    return a + p2(na - n0), na


def _etdrk3(c, h, nonlinear, t, z, n0):
    e, half, q, p1, first, middle, last = c
    n0 = nonlinear(z, t) if n0 is None else n0
    na = nonlinear(half(z) + q(n0), t + 0.5 * h)
    nb = nonlinear(e(z) + p1(2.0 * na - n0), t + h)
    return e(z) + first(n0) + middle(na) + last(nb), nb


def _etdrk4(c, h, nonlinear, t, z, n0):
    e, half, q, first, middle, last = c
    n0 = nonlinear(z, t) if n0 is None else n0
    ez = half(z)
    a = ez + q(n0)
    na = nonlinear(a, t + 0.5 * h)
    nb = nonlinear(ez + q(na), t + 0.5 * h)
    nc = nonlinear(half(a) + q(2.0 * nb - n0), t + h)
    return e(z) + first(n0) + middle(na + nb) + last(nc), nc


STAGES = {1: _etdrk1, 2: _etdrk2, 3: _etdrk3, 4: _etdrk4}
