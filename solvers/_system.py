"""System: a problem after discretisation in space, d/dt m(z) = R(z, t), m possibly singular."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array


class System(eqx.Module):
    """What a time stepper or a steady solver needs of a spatial discretisation.

    The state z is one array of any shape. Equations of second order in time arrive here as
    first order ones, with the rate ∂ₜu as part of z. Rows of algebraic equations (constraints,
    definitions, boundary values) have m = 0.
    """

    @abc.abstractmethod
    def initial_state(self) -> Array:
        """z at the start; algebraic parts consistent where they follow from the others."""

    @abc.abstractmethod
    def storage(self, z: Array, t: Array) -> Array:
        """m(z), zero in algebraic rows."""

    @abc.abstractmethod
    def rate(self, z: Array, t: Array) -> Array:
        """R(z, t): the right-hand side; in algebraic rows their residual."""

    @abc.abstractmethod
    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        """z with m(z) − α R(z, t) = right (algebraic rows: R(z, t) = 0), and whether it was found.

        Differentiable in everything that it depends on.
        """

    @abc.abstractmethod
    def algebraic(self) -> Array | None:
        """Mask of the algebraic rows (True), of the shape of z; None when there are none."""


class Inside(eqx.Module):
    """The unknowns that N reads and feeds, where that is a part of all: N = `source` elsewhere.

    Attributes:
        nonlinear: N on this part alone. source: N elsewhere, constant in time; None for zero.
        take, put: this part of z, and z with it replaced.
    """

    nonlinear: Any
    source: Array | None
    take: Callable[[Array], Array] = eqx.field(static=True)
    put: Callable[[Array, Array], Array] = eqx.field(static=True)


class SplitSystem(eqx.Module):
    """d/dt z = L z + N(z, t), with L diagonal or block diagonal: what exponential and
    implicit-explicit steppers need."""

    @abc.abstractmethod
    def initial_state(self) -> Array:
        """z at the start."""

    @abc.abstractmethod
    def linear(self) -> Any:
        """L, in the form that the stepper of this kind takes."""

    @abc.abstractmethod
    def nonlinear(self, z: Array, t: Array) -> Array:
        """N(z, t)."""

    @abc.abstractmethod
    def inside(self) -> Inside | None:
        """The part that N concerns, where a step gains by working on it alone."""
