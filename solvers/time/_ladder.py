"""Adaptive exponential steps: all steps are rungs T 2⁻ʲ of a ladder, each with its coefficients.

φ-functions cost more than a step, so they are made once for every rung, and a step takes them from
a table. Steps start at multiples of their own length: a rung can be doubled where its start is a
multiple of two, as in a dyadic refinement of the interval, and the end is met exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.time._exponential import STAGES, etd_coefficients
from solvers.time._split import SplitInterpolation, SplitTerm, once, system_of

RUNGS = 20
FINEST = 30  # positions are counted in steps T 2⁻³⁰ at the shortest, by 32 bits


def check_rungs(first: int, rungs: int) -> None:
    """Raises ValueError where positions could not be counted."""
    if first < 0 or rungs < 1 or first + rungs - 1 > FINEST:
        raise ValueError(
            f"the rungs are T 2⁻ʲ with 0 ≤ j ≤ {FINEST}, got first = {first} and rungs = {rungs}"
        )


class AdaptiveETDRK(diffrax.AbstractAdaptiveSolver):
    """ETDRK of order 2 to 4 with an embedded error, for the steps T 2⁻ʲ of a `Ladder`.

    The error is the weight of the last stage times N(last stage) − N(z'), of which N(z') is the
    first evaluation of the next step: no evaluation more than with fixed steps.

    Arguments:
        linear: L, a `Diagonal` or `Blocks`. length: T, of the interval. order: 2, 3 or 4.
        first, rungs: the steps are T 2⁻ʲ, j = first, …, first + rungs − 1.

    A step that is no rung ends the solve with a named result: use it with `Ladder`.
    """

    linear: Any
    length: Array
    table: Any
    number: int = eqx.field(static=True)
    first: int = eqx.field(static=True)
    rungs: int = eqx.field(static=True)

    term_structure: ClassVar = SplitTerm
    interpolation_cls: ClassVar = SplitInterpolation

    def __init__(
        self, linear: Any, length: Any, order: int = 4, first: int = 0, rungs: int = RUNGS
    ):
        if order not in (2, 3, 4):
            raise ValueError(f"adaptive steps need order 2, 3 or 4, got {order!r}")
        check_rungs(first, rungs)
        self.linear = linear
        self.length = jnp.asarray(length)
        self.number = order
        self.first = first
        self.rungs = rungs
        steps = self.length * 0.5 ** jnp.arange(first, first + rungs, dtype=self.length.dtype)
        # One rung after the other: all at once would hold every term of every series.
        self.table = jax.lax.map(lambda h: etd_coefficients(linear, h, order), steps)

    def order(self, terms: Any) -> int:
        return self.number

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Array:
        return once(system_of(terms).nonlinear)(y0, jnp.asarray(t0))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        system, n0 = system_of(terms), solver_state
        exact = jnp.log2(self.length / (t1 - t0)) - self.first
        rung = jnp.clip(jnp.round(exact).astype(jnp.int32), 0, self.rungs - 1)
        h = self.length * 0.5 ** (self.first + rung).astype(self.length.dtype)
        c = jax.tree.map(lambda row: row[rung], self.table)
        y1, last = STAGES[self.number](c, h, once(system.nonlinear), t0, y0, n0)
        n1 = once(system.nonlinear)(y1, jnp.asarray(t1))
        error = c[-1](last - n1)
        dense = {"y0": y0, "y1": y1, "n0": n0, "n1": n1, "linear": self.linear}
        result = diffrax.RESULTS.where(
            jnp.abs(exact - rung) < 0.05,
            diffrax.RESULTS.successful,
            diffrax.RESULTS.dt_min_reached,  # type: ignore[arg-type]
        )
        return y1, error, dense, n1, result


def whole_norm(z: Array) -> Array:
    """The root of the mean square of all entries, in transforms that of the field but for scale."""
    return jnp.sqrt(jnp.mean(z.real**2 + z.imag**2))


class Ladder(diffrax.AbstractAdaptiveStepSizeController):
    """Steps T 2⁻ʲ from the start of the interval to its end, by the error in a norm of the state.

    A step is accepted where ‖error‖ ≤ atol + rtol ‖z‖, in one norm of the whole state: single modes
    of a smooth state are as small as round-off, and no error relative to them means anything.

    Arguments:
        length: T. rtol, atol: error in a step. first, rungs: as of the solver.
        order: with ‖error‖ ~ h^order; by default one more than that of the embedded method of
            ETDRK3 and ETDRK4, 4.

    Where the shortest step is not short enough, the solve ends with `dt_min_reached`.
    """

    length: Array
    rtol: Any
    atol: Any = 0.0
    norm: Callable[[Any], Any] = eqx.field(static=True, default=whole_norm)
    order: int = eqx.field(static=True, default=4)
    first: int = eqx.field(static=True, default=0)
    rungs: int = eqx.field(static=True, default=RUNGS)

    def __check_init__(self):
        check_rungs(self.first, self.rungs)

    def wrap(self, direction: Any) -> Ladder:
        return self

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):  # type: ignore[override]
        """From `dt0`, or else from how fast the state changes at the start."""
        length = jax.lax.stop_gradient(self.length)
        if dt0 is None:
            rate = self.norm(jax.lax.stop_gradient(func(terms, t0, y0, args)))
            size = self.norm(jax.lax.stop_gradient(y0))
            tolerance = self.atol + self.rtol * size
            tiny = jnp.finfo(size.dtype).tiny
            relative = tolerance / jnp.maximum(size, tiny)
            dt0 = 0.5 * relative ** (1.0 / self.order) * size / jnp.maximum(rate, tiny)
        wanted = jnp.ceil(jnp.log2(length / jnp.maximum(dt0, 1e-30 * length)))
        rung = jnp.clip(wanted - self.first, 0, self.rungs - 1).astype(jnp.int32)
        position = jnp.zeros((), jnp.int32)
        return self._end(t0, t1, position, rung), (t0, t1, position, rung)

    def adapt_step_size(  # type: ignore[override]
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        start, stop, position, rung = controller_state
        y0, y1, error = jax.lax.stop_gradient((y0, y1_candidate, y_error))
        size = jnp.maximum(self.norm(y0), self.norm(y1))
        ratio = self.norm(error) / (self.atol + self.rtol * size)
        # The largest step whose error is predicted to be within 0.7 of the tolerance.
        ratio = jnp.where(jnp.isfinite(ratio), ratio, jnp.inf)
        growth = -jnp.log2(jnp.maximum(ratio / 0.7, 1e-8)) / self.order
        keep = ratio <= 1.0
        last = self.rungs - 1
        finer = jnp.minimum(jnp.clip(jnp.ceil(-growth), 1.0, 4.0).astype(jnp.int32), last - rung)
        stuck = ~keep & (rung == last)
        position = jnp.where(keep, position + self._units(rung), position)
        coarser = (growth >= 1.0) & (position % (2 * self._units(rung)) == 0) & (rung > 0)
        change = jnp.where(growth < 0, jnp.minimum(1, last - rung), jnp.where(coarser, -1, 0))
        rung = rung + jnp.where(keep, change, finer)
        begin = jnp.where(keep, t1, t0)
        result = diffrax.RESULTS.where(
            stuck,
            diffrax.RESULTS.dt_min_reached,
            diffrax.RESULTS.successful,  # type: ignore[arg-type]
        )
        end = self._end(start, stop, position, rung)
        return keep, begin, end, jnp.asarray(False), (start, stop, position, rung), result

    def _units(self, rung: Array) -> Array:
        """The length of a rung in units of the shortest."""
        return jnp.left_shift(jnp.asarray(1, jnp.int32), self.rungs - 1 - rung)

    def _end(self, start: Any, stop: Any, position: Array, rung: Array) -> Array:
        """Where a step from `position` ends; exactly at the end for the last one."""
        whole = 2 ** (self.first + self.rungs - 1)
        following = position + self._units(rung)
        time = start + self.length * (following.astype(self.length.dtype) / whole)
        return jnp.where(following >= whole, stop, time)
