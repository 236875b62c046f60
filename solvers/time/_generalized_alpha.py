"""The generalised-α method for systems of first order."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers.time._implicit import ImplicitStepper, outcome, solution_of, storage_of


class _Stored(eqx.Module):
    """q = m(z) as the method advances it, and its rate."""

    value: Array
    rate: Array


class GeneralizedAlpha(ImplicitStepper):
    """q̇ at tₙ + α_m h equals R at tₙ + α_f h; qₙ₊₁ = qₙ + h ((1 − γ) q̇ₙ + γ q̇ₙ₊₁), q = m(z).

    α_m = ½(3 − ρ)/(1 + ρ), α_f = 1/(1 + ρ), γ = ½ + α_m − α_f: order 2, A-stable; the fastest
    components shrink by ρ a step, the slow ones hardly. ρ = 1 is the midpoint rule, which keeps
    the energy of linear waves. For equations of second order in time, in their form of first
    order, it has the spectrum of Chung and Hulbert's (1993) and no overshoot (Kadapa, Dettmer,
    Perić 2017). Algebraic equations hold at tₙ + α_f h. Fixed steps.

    Arguments:
        radius: ρ, the spectral radius at infinity, in [0, 1].

    Raises:
        ValueError: a radius outside [0, 1].

    Source: Jansen, Whiting, Hulbert (2000).
    """

    radius: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        if not 0.0 <= self.radius <= 1.0:
            raise ValueError(f"GeneralizedAlpha: radius lies in [0, 1], got {self.radius}")

    @property
    def description(self) -> str:
        return f"the generalised-α method (ρ = {self.radius:g})"

    @property
    def adaptive(self) -> bool:
        return False

    @property
    def largest_growth(self) -> float:
        return 10.0

    def without_estimate(self) -> GeneralizedAlpha:
        return self

    def order(self, terms: Any) -> int:
        return 2

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> _Stored:
        start = jnp.asarray(t0)
        return _Stored(storage_of(terms.term.system, y0, start), terms.vf(start, y0, args))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        system, h = terms.term.system, t1 - t0
        am = 0.5 * (3.0 - self.radius) / (1.0 + self.radius)
        af = 1.0 / (1.0 + self.radius)
        gamma = 0.5 + am - af
        stored, rate = solver_state.value, solver_state.rate
        alpha = h * af * gamma / am
        right = stored + h * af * (1.0 - gamma / am) * rate
        middle = t0 + af * h
        between, solved = solution_of(system, right, middle, alpha, y0)
        force = (storage_of(system, between, middle) - right) / alpha
        mask = system.algebraic()
        if mask is not None:
            force = jnp.where(mask, 0.0, force)
        after = (force - (1.0 - am) * rate) / am
        gained = stored + h * ((1.0 - gamma) * rate + gamma * after)
        y1 = y0 + (between - y0) / af
        secant = y1 - y0
        dense = {"y0": y0, "y1": y1, "k0": secant, "k1": secant}
        ok = solved & jnp.all(jnp.isfinite(y1))
        return y1, None, dense, _Stored(gained, after), outcome(ok)


def generalized_alpha(radius: float = 0.5) -> GeneralizedAlpha:
    """Generalised-α: order 2, A-stable, damps the fastest components by `radius` a step."""
    return GeneralizedAlpha(radius)
