"""Implicit for the affine terms, explicit for the others: SBDF2."""

from __future__ import annotations

import abc
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers._system import System
from solvers.time._implicit import ImplicitStepper, storage_of


class ImplicitExplicitSystem(System):
    """d/dt m(z) = A z + f(t) + N(z, t) with m linear; algebraic rows are affine."""

    @abc.abstractmethod
    def implicit_rows(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        """m(z) − α (A z + f) − right; in algebraic rows what is zero there."""

    @abc.abstractmethod
    def explicit_rate(self, z: Array, t: Array) -> Array:
        """N(z, t), zero in algebraic rows."""

    @abc.abstractmethod
    def given_state(self) -> Array:
        """Initial data as they are given, zero where there are none."""

    @abc.abstractmethod
    def sample_state(self) -> Array:
        """Some smooth state that varies in all directions."""

    @abc.abstractmethod
    def implicit_factor(self, alpha: Array) -> Any:
        """The inverse of the derivative of `implicit_rows`, as something with `solve`."""


class _Past(eqx.Module):
    """m and N one step ago, and whether there is such a step."""

    stored: Array
    force: Array
    first: Array


class SBDF2(ImplicitStepper):
    """3/2 mₙ₊₁ − 2 mₙ + ½ mₙ₋₁ = h (A zₙ₊₁ + fₙ₊₁ + 2 Nₙ − Nₙ₋₁), mₙ = m(zₙ), for one fixed step.

    Order 2; algebraic rows hold at every step; the matrices are factored once. The first step is
    of order 1. Stable where the step resolves the explicit terms (a Courant number below about 1).
    Make it by `sbdf2`.

    Source: Ascher, Ruuth, Wetton (1995).
    """

    dt: Array
    factors: Any

    @property
    def description(self) -> str:
        return "SBDF2"

    @property
    def adaptive(self) -> bool:
        return False

    @property
    def largest_growth(self) -> float:
        return 1.0

    def without_estimate(self) -> SBDF2:
        return self

    def order(self, terms: Any) -> int:
        return 2

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> _Past:
        zero = jnp.zeros_like(y0)
        return _Past(zero, zero, jnp.asarray(True))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        system, past, h = terms.term.system, solver_state, self.dt
        stored, force = storage_of(system, y0, t0), system.explicit_rate(y0, t0)
        alpha = jnp.where(past.first, h, 2.0 * h / 3.0)
        later = (4.0 * stored - past.stored) / 3.0 + alpha * (2.0 * force - past.force)
        right = jnp.where(past.first, stored + h * force, later)
        factor = jax.tree.map(lambda a: a[jnp.where(past.first, 0, 1)], self.factors)
        y1 = y0 - factor.solve(system.implicit_rows(y0, right, t0 + h, alpha))
        fits = jnp.abs((t1 - t0) / h - 1.0) < 1e-3
        codes = diffrax.RESULTS
        result = codes.where(fits, codes.successful, codes.dt_min_reached)  # type: ignore[arg-type]
        dense = {"y0": y0, "y1": y1, "k0": y1 - y0, "k1": y1 - y0}
        return y1, None, dense, _Past(stored, force, jnp.asarray(False)), result


def sbdf2(
    system: ImplicitExplicitSystem, dt: Any, time: tuple[float, float]
) -> tuple[SBDF2, Array, Array]:
    """SBDF2 for one system and step, its matrices factored; and how to start.

    Returns:
        The stepper; a state that satisfies the algebraic rows, two very short steps after the
        initial data; and how much the factors miss, relative, for rows half-way in time: no more
        than round-off where the affine rows are the same at all times and places.
    """
    dt = jnp.asarray(dt, jnp.result_type(float))
    t = jnp.asarray(time[0], dt.dtype)
    short = 1e-7 * (time[1] - time[0])
    alphas = jnp.stack([dt, 2.0 * dt / 3.0, jnp.asarray(short, dt.dtype)])
    factors = jax.lax.map(system.implicit_factor, alphas)

    def move(z: Array, _: Any) -> tuple[Array, None]:
        right = storage_of(system, z, t) + short * system.explicit_rate(z, t)
        last = jax.tree.map(lambda a: a[2], factors)
        return z - last.solve(system.implicit_rows(z, right, t, alphas[2])), None

    start, _ = jax.lax.scan(move, system.given_state(), None, length=2)
    half = jnp.asarray(0.5 * (time[0] + time[1]), dt.dtype)

    def rows(z: Array) -> Array:
        return system.implicit_rows(z, jnp.zeros_like(z), half, alphas[0])

    smooth = system.sample_state()
    change = jax.jvp(rows, (start,), (smooth,))[1]
    first = jax.tree.map(lambda a: a[0], factors)
    missed = jnp.max(jnp.abs(first.solve(change) - smooth)) / jnp.max(jnp.abs(smooth))
    return SBDF2(dt, factors), start, missed
