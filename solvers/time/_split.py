"""What steppers of d/dt z = L z + N(z, t) share: their term, their state, what is between steps.

A stepper with a fixed step keeps what depends on hL, and two verbs beside those of diffrax: `begin`
and `proceed`, for loops of its own without diffrax.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers._system import SplitSystem


@eqx.filter_jit
def _called(function: Any, z: Array, t: Any) -> Array:
    return function(z, t)


def once(nonlinear: Callable[[Array, Any], Array]) -> Callable[[Array, Any], Array]:
    """N(z, t), traced once in a program: each stage, and each pass over a loop, would trace it."""
    return partial(_called, nonlinear)


class SplitTerm(diffrax.AbstractTerm):
    """A `SplitSystem` as a diffrax term; its vector field is L z + N(z, t)."""

    system: SplitSystem

    def vf(self, t: Any, y: Any, args: Any) -> Array:
        return self.system.linear()(y) + once(self.system.nonlinear)(y, jnp.asarray(t))

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        return t1 - t0

    def prod(self, vf: Any, control: Any) -> Any:
        return vf * control


def system_of(terms: Any) -> SplitSystem:
    """The system of a `SplitTerm`, with or without diffrax's wrapping."""
    return (terms if isinstance(terms, SplitTerm) else terms.term).system


class SplitInterpolation(diffrax.AbstractLocalInterpolation):
    """Between two steps, with θ = (t − t₀)/h and N taken as linear in time,

        z(θ) = e^{θhL} z₀ + θh φ₁(θhL) N₀ + θ²h φ₂(θhL) (N₁ − N₀) + (3θ² − 2θ³) r,

    r such that z(1) = z₁. Of fourth order in h where hL is small; where it is large, decaying modes
    decay between steps as well, which polynomials through the slopes do not follow.
    """

    t0: Any
    t1: Any
    y0: Any
    y1: Any
    n0: Any
    n1: Any
    linear: Any

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> Array:
        if t1 is not None:
            return self.evaluate(t1) - self.evaluate(t0)
        h = self.t1 - self.t0
        # Unused slots of a dense solution are infinite, and so are their differences.
        s = jnp.where(h == 0, 0.0, (t0 - self.t0) / jnp.where(h == 0, 1.0, h))
        rest = self.y1 - self._predicted(h, jnp.ones_like(s))
        return self._predicted(h, s) + s**2 * (3.0 - 2.0 * s) * rest

    def _predicted(self, h: Any, s: Any) -> Array:
        e, p1, p2 = self.linear.phis(s * h, 2)
        return e(self.y0) + (s * h) * p1(self.n0) + (s**2 * h) * p2(self.n1 - self.n0)


class SplitStepper(diffrax.AbstractSolver):
    """A stepper whose coefficients belong to one step `dt`.

    A step of another length ends the solve with a named result: make another stepper.
    """

    dt: eqx.AbstractVar[Array]
    linear: eqx.AbstractVar[Any]

    term_structure: ClassVar = SplitTerm
    interpolation_cls: ClassVar = SplitInterpolation

    @abc.abstractmethod
    def begin(self, system: SplitSystem, t: Any, z: Array) -> Any:
        """What the first step needs to know of earlier ones."""

    @abc.abstractmethod
    def proceed(
        self, system: SplitSystem, t: Any, z: Array, memory: Any, n: Any = None
    ) -> tuple[Array, Any]:
        """z one step later, and the memory; n is N(z, t) where that is known."""

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Any:
        system = system_of(terms)
        return self.begin(system, t0, y0), once(system.nonlinear)(y0, jnp.asarray(t0))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Array:
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        system = system_of(terms)
        memory, n0 = solver_state
        y1, memory = self.proceed(system, t0, y0, memory, n0)
        # Needed between the steps, and by the next step: it costs no evaluation more.
        n1 = once(system.nonlinear)(y1, jnp.asarray(t1))
        dense = {"y0": y0, "y1": y1, "n0": n0, "n1": n1, "linear": self.linear}
        return y1, None, dense, (memory, n1), fitting(t1 - t0, self.dt)


def fitting(h: Any, dt: Any) -> Any:
    """The result of a step: h must be the step that the coefficients were made for."""
    return diffrax.RESULTS.where(
        jnp.abs(h / dt - 1.0) < 1e-3,
        diffrax.RESULTS.successful,
        diffrax.RESULTS.dt_min_reached,  # type: ignore[arg-type]
    )
