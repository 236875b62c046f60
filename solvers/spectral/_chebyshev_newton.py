"""Newton's method for collocation systems, differentiable by the implicit function theorem."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers._system import System

_ITERATIONS = 14
_STEADY_ITERATIONS = 60
# Relative residuals of iterative linear solves: of a Newton step, and of a derivative.
_STEP = 1e-6
_EXACT = 1e-12


class CollocationSystem(System):
    """A system with an exact Jacobian that it can factorise."""

    @abc.abstractmethod
    def residual(self, z: Array, right: Array, t: Array, alpha: Array) -> Array:
        """m(z) − α R(z, t) − right; in algebraic rows R(z, t)."""

    @abc.abstractmethod
    def factorise(self, z: Array, t: Array, alpha: Array) -> Any:
        """The Jacobian of `residual` in z, ready to be solved with."""

    @abc.abstractmethod
    def solve_factorised(
        self, factors: Any, z: Array, t: Array, alpha: Array, right: Array, tolerance: float
    ) -> Array:
        """J(z)⁻¹ right, directly, or to this relative residual by an iteration that the factors
        precondition."""

    @abc.abstractmethod
    def scale(self, z: Array) -> Array:
        """A size of each unknown, to measure updates by; broadcasts against z."""


# Traced once wherever they are used.


@eqx.filter_jit
def residual_of(system: CollocationSystem, z: Array, right: Array, t: Array, alpha: Array) -> Array:
    """m(z) − α R(z, t) − right; in algebraic rows R(z, t)."""
    return system.residual(z, right, t, alpha)


@eqx.filter_jit
def _factorise(system: CollocationSystem, z: Array, t: Array, alpha: Array) -> Any:
    return system.factorise(z, t, alpha)


@eqx.filter_custom_jvp
def find_root(
    system: CollocationSystem, right: Array, t: Array, alpha: Array, guess: Array
) -> tuple[Array, Array]:
    """z with residual zero near `guess`, and the size of the last update.

    The Jacobian is kept until convergence is slow (less than threefold an iteration).
    """
    eps = jnp.finfo(guess.dtype).eps

    def update(z: Array, factors: Any) -> tuple[Array, Array]:
        rows = residual_of(system, z, right, t, alpha)
        step = -system.solve_factorised(factors, z, t, alpha, rows, _STEP)
        return z + step, jnp.max(jnp.abs(step) / system.scale(z))

    def going(carried: Any) -> Array:
        k, _, _, size, previous, slow = carried
        contraction = jnp.minimum(size / previous, 0.9)
        done = (size * jnp.maximum(contraction, 0.01) < 2e3 * eps) | (
            # Round-off: no further progress although the update is tiny.
            (size < 1e5 * eps) & (size > 0.3 * previous) & slow
        )
        return (k < _ITERATIONS) & ~done & jnp.isfinite(size)

    def body(carried: Any) -> Any:
        k, z, factors, size, previous, _ = carried
        slow = (k > 1) & (size > 0.3 * previous)
        factors = jax.lax.cond(
            slow | (k == 0), lambda: _factorise(system, z, t, alpha), lambda: factors
        )
        z, new = update(z, factors)
        return k + 1, z, factors, new, size, slow

    # The first factors are made inside the loop, so that making them is compiled once.
    shapes = eqx.filter_eval_shape(_factorise, system, guess, t, alpha)
    factors = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    huge = jnp.asarray(1e10, guess.dtype)
    start = (jnp.asarray(0), guess, factors, huge, huge, jnp.asarray(False))
    _, z, _, size, _, _ = jax.lax.while_loop(going, body, start)
    return z, size


@find_root.def_jvp
def _find_root_jvp(primals: Any, tangents: Any) -> Any:
    system, right, t, alpha, guess = primals
    d_system, d_right, d_t, d_alpha, _ = tangents
    z, size = find_root(system, right, t, alpha, guess)

    def at_root(system, right, t, alpha):
        return residual_of(system, z, right, t, alpha)

    _, change = eqx.filter_jvp(
        at_root, (system, right, t, alpha), (d_system, d_right, d_t, d_alpha)
    )
    factors = jax.lax.stop_gradient(_factorise(system, z, t, alpha))
    tangent = -system.solve_factorised(factors, z, t, alpha, change, _EXACT)
    return (z, size), (tangent, jnp.zeros_like(size))


def implicit_solve(
    system: CollocationSystem, right: Array, t: Array, alpha: Array, guess: Array
) -> tuple[Array, Array]:
    """The root and whether it was found, to the accuracy that round-off allows."""
    t, alpha = jnp.asarray(t, guess.dtype), jnp.asarray(alpha, guess.dtype)
    z, size = find_root(system, right, t, alpha, jax.lax.stop_gradient(guess))
    return z, size < 1e-8


@eqx.filter_jit
def consistent(
    system: CollocationSystem, z: Array, time: tuple[float, float], constrained: bool = False
) -> Array:
    """z with the same m and with R = 0 in algebraic rows; NaN where there is none.

    Rows that constrain the evolving unknowns themselves (index 2, as of a `constrained` system)
    leave others undetermined there: two very short steps of implicit Euler find them.
    """
    t = jnp.asarray(time[0], z.dtype)
    short = 1e-7 * (time[1] - time[0])

    def attempt(now: Array, step: Array) -> tuple[Array, Array]:
        found, solved = implicit_solve(system, system.storage(now, t), t, step, now)
        # Where no time passes and there is no such state, the steps start from the given one.
        return jnp.where(solved | (step > 0), found, now), solved

    def unless_done(carried: tuple[Array, Array, Array], step: Array) -> tuple[Any, None]:
        now, done, solved = carried
        now, solved = jax.lax.cond(done, lambda: (now, solved), lambda: attempt(now, step))
        # A state is final when it solves without a step; after steps, the last one tells.
        return (now, done | (solved & (step == 0)), solved), None

    # All by one program: a loop is as long to compile as one solve.
    steps = jnp.asarray([short, short] if constrained else [0.0, short, short], z.dtype)
    no = jnp.zeros((), bool)
    (found, _, solved), _ = jax.lax.scan(unless_done, (z, no, no), steps)
    return jnp.where(solved, found, jnp.nan)


def solve_steady(system: CollocationSystem, guess: Array) -> tuple[Array, Array, Array, Array]:
    """R(z) = 0 by Newton's method with step halving.

    Returns:
        The root (differentiable), the last update's size, the iterations and the sizes of the
        updates, (60,), zero where unused.
    """
    zero = jnp.zeros((), guess.dtype)
    one = jnp.ones((), guess.dtype)
    nothing = jnp.zeros_like(guess)
    dynamic, static = eqx.partition(system, eqx.is_array)
    fixed = eqx.combine(jax.lax.stop_gradient(dynamic), static)
    eps = jnp.finfo(guess.dtype).eps

    def newton_size(z: Array, factors: Any, at: Array) -> tuple[Array, Array]:
        rows = residual_of(fixed, z, nothing, zero, one)
        step = -fixed.solve_factorised(factors, at, zero, one, rows, _STEP)
        size = jnp.max(jnp.abs(step) / fixed.scale(z + step))
        return step, jnp.where(jnp.isfinite(size), size, jnp.inf)

    def body(carried: Any) -> Any:
        k, z, _, sizes = carried
        factors = _factorise(fixed, z, zero, one)
        step, size = newton_size(z, factors, z)

        # Natural monotonicity test (Deuflhard 2004): the simplified Newton step must shrink.
        def shorter(state: Any) -> Array:
            length, _ = state
            _, following = newton_size(z + length * step, factors, z)
            return (following > (1 - length / 4) * size) & (length > 1e-4) & (size > 1e5 * eps)

        length, _ = jax.lax.while_loop(shorter, lambda s: (s[0] / 2, s[1]), (one, zero))
        moved = jnp.where(jnp.isfinite(step), z + length * step, jnp.nan)
        return k + 1, moved, size, sizes.at[k].set(size)

    def going(carried: Any) -> Array:
        k, z, size, sizes = carried
        before = jnp.where(k > 1, sizes[k - 2], jnp.inf)
        rough = (size < 1e5 * eps) & (size > 0.3 * before)
        return (k < _STEADY_ITERATIONS) & (size > 50 * eps) & ~rough & jnp.all(jnp.isfinite(z))

    start = (
        jnp.asarray(0),
        jax.lax.stop_gradient(guess),
        jnp.asarray(jnp.inf, guess.dtype),
        jnp.zeros(_STEADY_ITERATIONS, guess.dtype),
    )
    k, z, _, sizes = jax.lax.while_loop(going, body, start)
    z, size = find_root(system, nothing, zero, one, jax.lax.stop_gradient(z))
    return z, size, k, sizes
