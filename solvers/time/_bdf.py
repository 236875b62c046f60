"""The backward differentiation formula of order 2 with variable steps."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers.time._implicit import ImplicitStepper, measured_error, outcome, solution_of, storage_of


class _Past(eqx.Module):
    """Two states before the present one, m of the first of them, the steps between, the slope."""

    before: Array
    stored: Array
    earlier: Array
    step: Array
    earlier_step: Array
    slope: Array
    count: Array


class BDF2(ImplicitStepper):
    """(1+2ω)/(1+ω) m(zₙ₊₁) − (1+ω) m(zₙ) + ω²/(1+ω) m(zₙ₋₁) = h R(zₙ₊₁), ω = hₙ/hₙ₋₁.

    Order 2, L-stable for fixed steps, one solve a step, conservative in m. The first step is
    implicit Euler (ω = 0). The error is estimated by what extrapolation through the last three
    states misses; steps grow by 2 at most, below the limit of stability 1 + √2.

    Source: Hairer, Nørsett, Wanner (1993), section III.5.
    """

    @property
    def description(self) -> str:
        return "BDF2"

    @property
    def adaptive(self) -> bool:
        return True

    @property
    def largest_growth(self) -> float:
        return 2.0

    def without_estimate(self) -> BDF2:
        return self

    def order(self, terms: Any) -> int:
        return 2

    def error_order(self, terms: Any) -> int:
        return 3

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> _Past:
        one = jnp.ones((), y0.dtype)
        stored = jnp.zeros_like(storage_of(terms.term.system, y0, jnp.asarray(t0)))
        return _Past(y0, stored, y0, one, one, jnp.zeros_like(y0), jnp.asarray(0))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        system, past = terms.term.system, solver_state
        h = t1 - t0
        count = jnp.where(made_jump, 0, past.count)
        ratio = jnp.where(count > 0, h / past.step, 0.0)
        stored = storage_of(system, y0, t0)
        right = ((1 + ratio) ** 2 * stored - ratio**2 * past.stored) / (1 + 2 * ratio)
        alpha = h * (1 + ratio) / (1 + 2 * ratio)
        guess, share = _predict(past, y0, h, count)
        y1, solved = solution_of(system, right, t1, alpha, guess)
        ok = solved & jnp.all(jnp.isfinite(y1))
        error = measured_error(system, jnp.where(ok, share * jnp.abs(y1 - guess), jnp.inf))
        slope = (1 + 2 * ratio) * y1 - (1 + ratio) ** 2 * y0 + ratio**2 * past.before
        slope = slope / ((1 + ratio) * h)
        first = jnp.where(count > 0, past.slope, slope)
        dense = {"y0": y0, "y1": y1, "k0": h * first, "k1": h * slope}
        present = _Past(y0, stored, past.before, jnp.asarray(h), past.step, slope, count + 1)
        return y1, error, dense, present, outcome(ok)


def _predict(past: _Past, y0: Array, h: Any, count: Array) -> tuple[Array, Array]:
    """The state by extrapolation, and the part of its error that is the formula's.

    Through three states the extrapolation misses z‴/6 h (h + h₁)(h + h₁ + h₂) and the formula
    z‴/6 h³ (1+ω)²/(ω(1+2ω)); earlier all that fewer states miss counts.
    """
    h1, h2 = past.step, past.earlier_step
    ratio = h / h1
    first = (y0 - past.before) / h1
    second = (first - (past.before - past.earlier) / h2) / (h1 + h2)
    guess = y0 + jnp.where(count > 0, h, 0.0) * first
    guess = guess + jnp.where(count > 1, h * (h + h1), 0.0) * second
    own = h**2 * (1 + ratio) ** 2 / (ratio * (1 + 2 * ratio))
    share = own / (own + (h + h1) * (h + h1 + h2))
    return guess, jnp.where(count > 1, share, 1.0)


def bdf2() -> BDF2:
    """BDF2: order 2, L-stable, one solve a step; adaptive by extrapolation."""
    return BDF2()
