"""Diagonally implicit Runge–Kutta steppers for d/dt m(z) = R(z, t), m possibly singular.

Stage i solves m(Zᵢ) − h aᵢᵢ R(Zᵢ, tᵢ) = m(zₙ) + h Σ_{j<i} aᵢⱼ Rⱼ, with R(Zᵢ, tᵢ) = 0 in algebraic
rows; the last stage is the step, so that algebraic rows hold at every step. Everything else
(adaptive steps, saving, events, adjoints, progress) is diffrax's.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._system import System
from solvers.time._implicit import ImplicitStepper, measured_error, outcome, solution_of, storage_of
from solvers.time._tableau import (
    ALEXANDER2,
    ESDIRK32,
    ESDIRK43,
    ESDIRK54,
    IMPLICIT_EULER,
    TRAPEZOIDAL,
    DIRKTableau,
)


class _Carry(eqx.Module):
    """What one step hands to the next: R and ∂z/∂t at its end."""

    rate: Array
    slope: Array
    first: Array


class DIRK(ImplicitStepper):
    """A diagonally implicit Runge–Kutta method by tableau, for systems with singular m.

    The error estimate is filtered, (m′ − αR′)⁻¹ h Σ (bⱼ − b̂ⱼ) Rⱼ (Shampine 1984), by one more
    stage solve: so it is small in stiff components and has the units of z. A stage that is not
    solved makes the error infinite, which an adaptive controller answers by a smaller step.

    Arguments:
        tableau: the method. embedded: compute the error estimate (fixed steps need none).

    Source: Kennedy & Carpenter, NASA/TM-2016-219173.
    """

    tableau: DIRKTableau = eqx.field(static=True)
    embedded: bool = eqx.field(static=True, default=True)

    @property
    def description(self) -> str:
        return f"the {self.tableau.stages}-stage DIRK method of order {self.tableau.order}"

    @property
    def adaptive(self) -> bool:
        return self.tableau.b_error is not None

    @property
    def largest_growth(self) -> float:
        return 10.0

    def without_estimate(self) -> DIRK:
        return DIRK(self.tableau, embedded=False)

    def order(self, terms: Any) -> int:
        return self.tableau.order

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> _Carry:
        rate = terms.vf(t0, y0, args) if self.tableau.explicit_first else jnp.zeros_like(y0)
        return _Carry(rate, jnp.zeros_like(y0), jnp.asarray(True))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        tableau, system = self.tableau, terms.term.system
        h = t1 - t0
        carry = solver_state
        if tableau.explicit_first:
            rate = jax.lax.cond(
                made_jump, lambda: terms.vf(t0, y0, args), lambda: jnp.asarray(carry.rate)
            )
        else:
            rate = carry.rate
        stages = self._solve_stages(system, t0, h, y0, rate, carry.slope)
        values, rates, slopes, solved = stages
        last = tableau.stages - 1
        y1 = values[last]
        ok = jnp.all(solved[: last + 1]) & jnp.all(jnp.isfinite(y1))
        error = None
        if self.embedded and tableau.b_error is not None:
            estimate = values[last + 1] - y1
            error = jnp.where(ok & solved[last + 1], jnp.abs(estimate), jnp.inf)
            error = measured_error(system, error)
        # Without L-stability the slope's own error would never be damped: take the secant.
        secant = (y1 - y0) / h
        damped = abs(tableau.stability_at_infinity) < 1e-6
        slope = slopes[last] if damped else secant
        before = jnp.where(carry.first, 2 * secant - slope, carry.slope) if damped else secant
        if not tableau.explicit_first:
            before = 2 * secant - slope
        dense = {"y0": y0, "y1": y1, "k0": h * before, "k1": h * slope}
        return y1, error, dense, _Carry(rates[last], slope, jnp.asarray(False)), outcome(ok)

    def _solve_stages(self, system: System, t0: Any, h: Any, y0: Array, rate: Array, slope: Array):
        """Values, rates and slopes of all stages, and of the one that filters the error.

        One loop body for all stages, so that a system's solver is compiled once.
        """
        weights, abscissae, first = _extended(self.tableau, self.embedded)
        count = len(abscissae)
        dtype = y0.dtype
        start = storage_of(system, y0, t0)
        mask = system.algebraic()
        matrix, times = jnp.asarray(weights, dtype), jnp.asarray(abscissae, dtype)
        size = (count, *y0.shape)
        values = jnp.zeros(size, dtype).at[0].set(y0)
        rates = jnp.zeros(size, dtype).at[0].set(rate)
        slopes = jnp.zeros(size, dtype).at[0].set(slope)

        def body(carried, i):
            values, rates, slopes, previous = carried
            alpha = h * matrix[i, i]
            below = matrix[i].at[i].set(0.0)
            right = start + h * jnp.tensordot(below, rates, 1)
            moved = y0 + h * jnp.tensordot(below, slopes, 1)
            guess = moved + alpha * previous
            value, solved = solution_of(system, right, t0 + times[i] * h, alpha, guess)
            gained = (storage_of(system, value, t0 + times[i] * h) - right) / alpha
            if mask is not None:
                gained = jnp.where(mask, 0.0, gained)
            slope = (value - moved) / alpha
            carried = (
                values.at[i].set(value),
                rates.at[i].set(gained),
                slopes.at[i].set(slope),
                slope,
            )
            return carried, solved

        carried = (values, rates, slopes, slope)
        carried, solved = jax.lax.scan(body, carried, jnp.arange(first, count))
        values, rates, slopes, _ = carried
        return values, rates, slopes, jnp.concatenate([jnp.ones(first, bool), solved])


def _extended(tableau: DIRKTableau, embedded: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """The tableau with one more row, whose stage differs from the last one by the error."""
    first = int(tableau.explicit_first)
    if not embedded or tableau.b_error is None:
        return tableau.a, tableau.c, first
    count = tableau.stages
    a = np.zeros((count + 1, count + 1))
    a[:count, :count] = tableau.a
    a[count, :count] = tableau.b_error
    a[count, : count - 1] += tableau.a[-1, :-1]
    a[count, count] = tableau.a[-1, -1]
    return a, np.append(tableau.c, tableau.c[-1]), first


def implicit_euler() -> DIRK:
    """Implicit Euler: order 1, L-stable; no error estimate, fixed steps only."""
    return DIRK(IMPLICIT_EULER)


def trapezoidal() -> DIRK:
    """Trapezoidal rule (Crank–Nicolson): order 2, A-stable, does not damp the stiffest modes."""
    return DIRK(TRAPEZOIDAL)


def sdirk2() -> DIRK:
    """SDIRK2 (Alexander 1977): order 2(1), L-stable, every stage implicit."""
    return DIRK(ALEXANDER2)


def esdirk3() -> DIRK:
    """ESDIRK3(2)4L[2]SA (Kennedy & Carpenter 2003): order 3(2), L-stable, stage order 2."""
    return DIRK(ESDIRK32)


def esdirk4() -> DIRK:
    """ESDIRK4(3)6L[2]SA (Kennedy & Carpenter 2003): order 4(3), L-stable, stage order 2."""
    return DIRK(ESDIRK43)


def esdirk5() -> DIRK:
    """ESDIRK5(4)8L[2]SA (Kennedy & Carpenter 2003): order 5(4), L-stable, stage order 2."""
    return DIRK(ESDIRK54)
