"""Newton's method with a line search, differentiable by the implicit function theorem."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

RUNNING, CONVERGED, NOT_FINITE, NOT_DECREASING = 0, 1, 2, 3
# Load steps are halved ten times before they are given up.
_LEAST_CUT = 1.0 / 1024
# A Jacobian is kept while steps shrink by this factor.
_REFRESH = 0.05
# The first linear system is solved this far, and no later one less.
_LOOSEST = 1e-3


class NonlinearEquations(eqx.Module):
    """R(z) = 0 with some entries of z prescribed."""

    @abc.abstractmethod
    def lift(self, z: Array) -> Array:
        """z with the prescribed entries set; nothing else changed."""

    @abc.abstractmethod
    def residual(self, z: Array) -> Array:
        """R(z), zero in the rows of prescribed entries."""

    @abc.abstractmethod
    def linearize(self, z: Array) -> tuple[Array, Array]:
        """R(z) and the values of its Jacobian, with prescribed rows and columns those of 1."""

    @abc.abstractmethod
    def solve(self, jacobian: Array, right: Array, enough: Array | None = None) -> Array:
        """J⁻¹ right; NaN where J is singular. An iteration may stop once it has reduced the
        residual by the factor that is enough."""


@dataclasses.dataclass(frozen=True)
class NewtonOptions:
    """How Newton's method runs.

    Attributes:
        tolerance: of the error that is estimated to remain, relative to the solution.
        max_iterations: until it is given up.
        line_search: halve steps that do not decrease the residual.
        affine: R is affine: one step is exact.
        predictor: the first step is that of the equations linearised at the guess, whose entries
            it moves to the prescribed values together with all others; without it prescribed
            entries jump first.
        reuse: keep the Jacobian, and with it its factor, while steps shrink twentyfold or more.
        load_steps: the load is raised from that which the guess balances in so many steps, which
            are halved where Newton's method fails.
    """

    tolerance: float = 1e-10
    max_iterations: int = 30
    line_search: bool = True
    affine: bool = False
    predictor: bool = False
    reuse: bool = False
    load_steps: int = 1


class NewtonResult(eqx.Module):
    """What Newton's method found.

    Attributes:
        z: the last iterate. converged: whether it is a solution. status: one of this module's
            codes. iterations: of all load steps.
        history: norms of the residual in the last load step, −1 where unused.
        load: the part of the load that was reached. increments: load steps that were solved.
    """

    z: Array
    converged: Array
    status: Array
    iterations: Array
    history: Array
    load: Array
    increments: Array


def newton(equations: NonlinearEquations, guess: Array, options: NewtonOptions) -> NewtonResult:
    """Solves R(z) = 0 from `guess`, differentiable in whatever the equations depend on.

    The step δ solves J δ = −R, by an iterative solver only as far as it serves. The error left
    after it is estimated as the next step, max(θ², ρ) ‖δ‖, with θ the ratio of the last two steps,
    whose square it is where they shrink quadratically, and ρ that of the residuals after and before
    this one. Source: Deuflhard (2004), section 2.1; Eisenstat and Walker (1996), choice 2.
    """
    z, rest = _root(equations, guess, options)
    return NewtonResult(z, *rest)


@eqx.filter_custom_jvp
def _root(equations, guess, options):
    if options.load_steps > 1 and not options.affine:
        result = _raise_load(equations, guess, options)
    else:
        result = _iterate(equations, guess, options)
    return result.z, (
        result.converged,
        result.status,
        result.iterations,
        result.history,
        result.load,
        result.increments,
    )


@_root.def_jvp
def _root_jvp(primals, tangents):
    """dz = dz_prescribed − J⁻¹ (∂R + R′ dz_prescribed), at the solution."""
    equations, guess, options = primals
    changes = tangents[0]
    z, rest = _root(equations, guess, options)
    leaves, rebuild = _perturbed(equations, changes)
    if not leaves[0]:
        return (z, rest), (jnp.zeros_like(z), _nothing(rest))

    def lifted(values):
        return rebuild(values).lift(z)

    _, prescribed = jax.jvp(lifted, (leaves[0],), (leaves[1],))

    def residual(values, at):
        return rebuild(values).residual(at)

    _, change = jax.jvp(residual, (leaves[0], z), (leaves[1], prescribed))
    _, jacobian = equations.linearize(z)
    return (z, rest), (prescribed - equations.solve(jacobian, change), _nothing(rest))


def _perturbed(equations: Any, changes: Any):
    """The leaves that have tangents, those tangents, and how to put leaves back."""
    leaves, tree = jax.tree.flatten(equations, is_leaf=lambda leaf: leaf is None)
    dots = jax.tree.flatten(changes, is_leaf=lambda leaf: leaf is None)[0]
    chosen = [i for i, dot in enumerate(dots) if dot is not None]

    def rebuild(values):
        new = list(leaves)
        for i, value in zip(chosen, values, strict=True):
            new[i] = value
        return jax.tree.unflatten(tree, new)

    return ([leaves[i] for i in chosen], [dots[i] for i in chosen]), rebuild


def _nothing(tree: Any) -> Any:
    return jax.tree.map(
        lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else None, tree
    )


class _Loaded(NonlinearEquations):
    """R(z) − (1 − s) R(z₀) = 0 with prescribed entries z₀ + s (g − z₀): at s = 0 solved by z₀.

    With z₀ = 0 this is proportional loading, by data on the boundary and inside.
    """

    inner: Any
    load: Array
    rest: Array
    gap: Array

    def lift(self, z: Array) -> Array:
        return self.inner.lift(z) - (1.0 - self.load) * self.gap

    def residual(self, z: Array) -> Array:
        return self.inner.residual(z) - (1.0 - self.load) * self.rest

    def linearize(self, z: Array) -> tuple[Array, Array]:
        r, jacobian = self.inner.linearize(z)
        return r - (1.0 - self.load) * self.rest, jacobian

    def solve(self, jacobian: Array, right: Array, enough: Array | None = None) -> Array:
        return self.inner.solve(jacobian, right, enough)


def _raise_load(equations, guess, options: NewtonOptions) -> NewtonResult:
    """The load in steps of 1/n, halved after a failure and doubled again after a success."""
    largest = jnp.asarray(1.0 / options.load_steps, guess.dtype)
    smallest = largest * _LEAST_CUT
    rest, gap = equations.residual(guess), equations.lift(guess) - guess
    one = jnp.ones((), guess.dtype)

    def unfinished(state):
        result, length = state
        return (result.load < 1.0) & (length >= smallest)

    def step(state):
        last, length = state
        target = last.load + length
        target = jnp.where(target > 1.0 - 0.5 * smallest, one, target)
        found = _iterate(_Loaded(equations, target, rest, gap), last.z, options)
        ok = found.converged
        result = NewtonResult(
            jnp.where(ok, found.z, last.z),
            ok & (target == 1.0),
            found.status,
            last.iterations + found.iterations,
            found.history,
            jnp.where(ok, target, last.load),
            last.increments + ok,
        )
        return result, jnp.where(ok, jnp.minimum(2.0 * length, largest), 0.5 * length)

    start = NewtonResult(
        guess,
        jnp.asarray(False),
        jnp.asarray(RUNNING),
        jnp.asarray(0),
        jnp.full(options.max_iterations + 1, -1.0, guess.dtype),
        0.0 * one,
        jnp.asarray(0),
    )
    return jax.lax.while_loop(unfinished, step, (start, largest))[0]


def _iterate(equations, guess, options: NewtonOptions) -> NewtonResult:
    if options.affine or not options.predictor:
        z, gap = equations.lift(guess), None
    else:
        z, gap = guess, equations.lift(guess) - guess
    count = 1 if options.affine else options.max_iterations
    history = jnp.full(count + 1, -1.0, z.dtype)
    infinite = jnp.asarray(jnp.inf, z.dtype)

    def unfinished(state):
        return (state[1] == RUNNING) & (state[2] < count)

    def linearized(z, kept):
        if kept is None:
            return *equations.linearize(z), None
        jacobian, ratio = kept
        r, jacobian = jax.lax.cond(
            ratio > _REFRESH,
            lambda: equations.linearize(z),
            lambda: (equations.residual(z), jacobian),
        )
        return r, jacobian, jacobian

    def step(state):
        z, _, k, previous, history, first, gap, kept = state
        r, jacobian, new = linearized(z, kept)
        if gap is not None:
            r = r + _moved(equations, z, gap)
        size = jnp.linalg.norm(r)
        if options.affine:
            delta = equations.solve(jacobian, -r)
        else:
            last = jnp.where(k == 0, size, history[k - 1])
            enough = _forcing(size / last, previous, options.tolerance * jnp.linalg.norm(z), k)
            delta = equations.solve(jacobian, -r, enough)
        first = jnp.where(k == 0, size, first)
        history = history.at[k].set(size)
        finite = jnp.all(jnp.isfinite(delta))
        if options.affine:
            status = jnp.where(finite, CONVERGED, NOT_FINITE)
            return z + delta, status, k + 1, infinite, history, first, gap, kept
        moving = jnp.asarray(False)
        if gap is not None:
            # Where the equations linearised at the guess are singular, the values jump after all.
            moving = jnp.any(gap != 0.0)
            delta = jnp.where(finite | ~moving, delta, 0.0) + gap
        if options.line_search:
            length, found, left = _line_search(equations, z, delta, size, first, moving)
        else:
            length, found, left = jnp.ones((), z.dtype), jnp.asarray(True), None
        change = jnp.linalg.norm(delta)
        ratio = jnp.where(k == 0, 1.0, jnp.minimum(change / previous, 1.0))
        following = ratio
        if left is not None:
            following = jnp.where(k == 0, 1.0, jnp.clip(left / size, ratio**2, 1.0))
        scale = jnp.linalg.norm(z) + jnp.sqrt(z.size) * jnp.finfo(z.dtype).tiny
        floor = 4 * jnp.finfo(z.dtype).eps
        done = (length == 1.0) & (
            (following * change <= options.tolerance * scale) | (change <= floor * scale)
        )
        done = (done | (size == 0.0) | ((k > 0) & (size <= 1e-15 * first))) & ~moving
        status = jnp.where(
            ~jnp.all(jnp.isfinite(delta)),
            NOT_FINITE,
            jnp.where(done, CONVERGED, jnp.where(found, RUNNING, NOT_DECREASING)),
        )
        gap = None if gap is None else (1.0 - length) * gap
        # After the first step nothing is known of how fast steps shrink: try with what is there.
        kept = None if kept is None else (new, jnp.where(k == 0, 0.0, ratio))
        return z + length * delta, status, k + 1, change, history, first, gap, kept

    kept = None
    if options.reuse and not options.affine:
        shape = jax.eval_shape(equations.linearize, z)[1]
        kept = (jnp.zeros(shape.shape, shape.dtype), jnp.ones((), z.dtype))
    state = (z, jnp.asarray(RUNNING), jnp.asarray(0), infinite, history, infinite, gap, kept)
    z, status, k, _, history, *_ = jax.lax.while_loop(unfinished, step, state)
    one = jnp.ones((), z.dtype)
    return NewtonResult(z, status == CONVERGED, status, k, history, one, jnp.asarray(1))


def _moved(equations, z: Array, gap: Array) -> Array:
    """R′(z) gap, which is zero once the prescribed entries have their values."""

    def push():
        return jax.jvp(equations.residual, (z,), (gap,))[1]

    return jax.lax.cond(jnp.any(gap != 0.0), push, lambda: jnp.zeros_like(z))


def _forcing(ratio: Array, previous: Array, goal: Array, k: Array) -> Array:
    """How far the linear system of step k need be solved, relative to its right-hand side.

    As far as the linearisation holds, 0.9 ratio² with the ratio of the last two residuals; or until
    the step's error is a tenth of the `goal`, the step being expected to shrink by the ratio.
    """
    needed = 0.1 * goal / (previous * ratio)
    return jnp.where(k == 0, _LOOSEST, jnp.minimum(_LOOSEST, jnp.maximum(0.9 * ratio**2, needed)))


def _line_search(equations, z, delta, size, first, moving):
    """The longest of the steps 1, ½, ¼, … that decreases the residual, whether one does, and the
    norm of the residual after it.

    While prescribed entries move (`moving`), the residual need only be finite.
    """
    # Near rounding the residual can't decrease, and need not.
    slack = 1e3 * jnp.finfo(z.dtype).eps * jnp.where(jnp.isfinite(first), first, size)

    def norm(length):
        return jnp.linalg.norm(equations.residual(z + length * delta))

    def good(length, value):
        decreased = (value <= (1.0 - 1e-4 * length) * size) | (value <= slack)
        return decreased | (moving & jnp.isfinite(value))

    def too_long(state):
        length, value, k = state
        return ~good(length, value) & (k < 13)

    def shorten(state):
        length, _, k = state
        return 0.5 * length, norm(0.5 * length), k + 1

    # The first trial is made inside the loop, so that the residual is compiled once.
    start = (jnp.asarray(2.0, z.dtype), jnp.asarray(jnp.inf, z.dtype), jnp.asarray(0))
    length, value, _ = jax.lax.while_loop(too_long, shorten, start)
    return length, good(length, value), value
