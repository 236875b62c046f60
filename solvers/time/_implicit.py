"""What the implicit steppers share: the term of a system, and how errors are measured."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers._system import System

# Each stage, and each pass over a loop, would trace the equations anew.


@eqx.filter_jit
def rate_of(system: Any, z: Array, t: Any) -> Array:
    """R(z, t), traced once in a program."""
    return system.rate(z, t)


@eqx.filter_jit
def storage_of(system: Any, z: Array, t: Any) -> Array:
    """m(z), traced once in a program."""
    return system.storage(z, t)


@eqx.filter_jit
def solution_of(system: Any, right: Array, t: Any, alpha: Any, guess: Array) -> tuple[Array, Array]:
    """The solution of a stage, traced once in a program."""
    return system.implicit_solve(right, t, alpha, guess)


class SystemTerm(diffrax.AbstractTerm):
    """A `System` as a diffrax term: its vector field is R, zero in algebraic rows."""

    system: System

    def vf(self, t: Any, y: Any, args: Any) -> Array:
        rate = rate_of(self.system, y, jnp.asarray(t))
        mask = self.system.algebraic()
        return rate if mask is None else jnp.where(mask, 0.0, rate)

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        return t1 - t0

    def prod(self, vf: Any, control: Any) -> Any:
        return vf * control


class ImplicitStepper(diffrax.AbstractAdaptiveSolver):
    """A diffrax solver for d/dt m(z) = R(z, t), m possibly singular, by `System.implicit_solve`."""

    term_structure: ClassVar = SystemTerm
    interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """For messages: "the 6-stage DIRK method of order 4"."""

    @property
    @abc.abstractmethod
    def adaptive(self) -> bool:
        """Whether it estimates its error."""

    @property
    @abc.abstractmethod
    def largest_growth(self) -> float:
        """The most by which a step may be longer than the one before."""

    @abc.abstractmethod
    def without_estimate(self) -> ImplicitStepper:
        """The same for fixed steps, which need no estimate."""


def measured_error(system: System, error: Array) -> Array:
    """The error that steps adapt to: that of evolving entries, with the same root mean square.

    Algebraic entries (definitions, multipliers) are no part of the error that is carried on, and
    derivatives among them are rougher than any tolerance for the fields.
    """
    mask = system.algebraic()
    if mask is None:
        return error
    share = mask.size / jnp.maximum(jnp.sum(~mask), 1)
    return jnp.where(mask, 0.0, error * jnp.sqrt(share).astype(error.dtype))


def outcome(ok: Array) -> diffrax.RESULTS:
    """The result of a step whose stages were solved, or not."""
    return diffrax.RESULTS.where(
        ok,
        diffrax.RESULTS.successful,
        diffrax.RESULTS.nonlinear_divergence,  # type: ignore[arg-type]
    )
