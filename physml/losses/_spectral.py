"""Strong residuals against the waves of a periodic box, in a dual norm, as least squares."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem, strong_residual
from physml.losses._collocation import Collocation
from physml.losses._residuals import equation_residual
from physml.losses._tests import gauss_legendre
from physml.losses._variational import _by_component
from physml.losses._waves_on_grid import WaveBlock, on_grid
from physml.optimizers import Block, LeastSquares, QuadratureBlock


class Spectral(LeastSquares):
    """loss = Σ w · mean over times of Σₖ (r̂ₖ/sₖ)², and the conditions that are not exact.

    r̂ₖ are the coefficients of the strong residual in the waves 1, √2 cos k·θ, √2 sin k·θ of the
    box, by the trapezoidal rule, and the times are Gauss points. sₖ = |τₖ|/L + |λₖ| is the size of
    the linearised equation on the wave: λₖ of its terms without a time derivative, τₖ of the time
    derivative, for functions that change over the length L of the time interval. r̂ₖ/sₖ then is the
    error that the residual of this wave makes, and the loss about the mean square of the error,
    while the plain mean of r² weights a fast wave by its rate squared.

    A batch has "fourier": x (E, Q, dim), t (E, Q), tests (T, Q, 1), sizes {field: (T · m,)},
    times (E,) with the roots of the weights. Of even or odd residuals the tests are the cosines
    or the sines alone, and the points those of half a period.

    Sources: dual norms, Rojas et al. (2024); residuals by their Fourier coefficients, Du,
    Chalapathi and Krishnapriyan (2024).

    Arguments:
        conditions: the blocks of the start and observations. weights: w of "equation u", or of
            "equation" for all.
    """

    conditions: Collocation
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)

    def __init__(self, conditions: Collocation, weights: Mapping[str, float] | None = None):
        self.conditions = conditions
        self.weights = tuple(sorted((weights or {}).items()))

    def blocks(self, batch: Any) -> dict[str, Block]:
        weights = dict(self.weights)
        return {
            f"equation {name}": self.block(
                name,
                batch["fourier"],
                float(np.sqrt(weights.get(f"equation {name}", weights.get("equation", 1.0)))),
            )
            for name in self.conditions.trial.names
        } | self.conditions.condition_blocks(batch)

    def block(self, name: str, data: Any, weight: float = 1.0) -> QuadratureBlock:
        """r̂ₖ/sₖ of one equation, by time and then by wave."""

        def fn(params: Any, point: Any) -> Array:
            problem, _ = self.conditions.bound(params)
            fields = self.conditions.fields(params)
            return equation_residual(problem, name, fields, point["x"], point["t"])

        components = int(np.prod(dict(self.conditions.trial.shapes)[name], dtype=int))
        parts = {
            "fn": fn,
            "points": {"x": data["x"], "t": data["t"]},
            "tests": _by_component(data["tests"][None], components)[0],
            "scale": weight * data["times"][:, None] / data["sizes"][name],
        }
        if on_grid(self.conditions):
            return WaveBlock(**parts, name=name, conditions=self.conditions)
        return QuadratureBlock(**parts)


def wavenumbers(harmonics: Sequence[int]) -> np.ndarray:
    """k of the cosines and sines, one of each pair ±k, (n, dim), after k = 0."""
    ranges = [range(-h, h + 1) for h in harmonics]
    # The first that is not zero is positive.
    half = [k for k in itertools.product(*ranges) if k > (0,) * len(harmonics)]
    return np.array([(0,) * len(harmonics), *sorted(half, key=lambda k: (max(map(abs, k)), k))])


def spectral_batch(
    conditions: Collocation,
    harmonics: Sequence[int],
    points: Sequence[int],
    times: int,
    parity: str | None = None,
    ends: bool = False,
    sizes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Points, waves and their sizes: what `Spectral` takes as "fourier".

    Arguments:
        harmonics, points: largest wavenumber and grid points in each direction. times: Gauss
            points of the time interval; a steady problem has one. parity: "even" or "odd" about
            the ends of the only direction. ends: the first and the last time as well, after the
            others and with a weight of 1. sizes: of the waves, those of a batch on other points.
    """
    problem = conditions.problem
    low, high = problem.domain.bounds
    axes = [a + np.arange(n) / n * (b - a) for a, b, n in zip(low, high, points, strict=True)]
    x = np.stack([g.reshape(-1) for g in np.meshgrid(*axes, indexing="ij")], axis=1)
    k = wavenumbers(harmonics)
    kept = _of_parity(parity, 2 * len(k) - 1)
    if sizes is None:
        found = wave_sizes(problem, conditions.trial.shapes, jnp.asarray(x), jnp.asarray(k, float))
        sizes = {n: _by_phase(np.asarray(size))[kept].reshape(-1) for n, size in found.items()}
    if parity is not None:
        # Between the ends of half a period, where a test and its mirror image weigh the same.
        half = (points[0] + 1) // 2
        x = low + (np.arange(half)[:, None] + 0.5) / half * 0.5 * (high - low)
    angle = 2 * np.pi * ((x - low) / (high - low)) @ k[1:].T
    waves = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(x), -1)
    waves = np.concatenate([np.ones((len(x), 1)), waves], axis=1)
    tests = waves[:, kept].T / len(x)
    t, mass = np.zeros(1), np.ones(1)
    if problem.time is not None:
        start, end = problem.time
        nodes, mass = gauss_legendre(times)
        t, mass = start + 0.5 * (nodes + 1) * (end - start), 0.5 * mass
        if ends:
            t, mass = np.append(t, [start, end]), np.append(mass, [1.0, 1.0])
    return {
        "x": np.tile(x, (len(t), 1, 1)),
        "t": np.repeat(t[:, None], len(x), axis=1),
        "tests": tests[:, :, None],
        "times": np.sqrt(mass),
        "sizes": sizes,
    }


def _by_phase(size: np.ndarray) -> np.ndarray:
    """sₖ (n, m) for the constant, and then for cosine and sine of each wave, (T, m)."""
    largest = size.max(axis=0)
    # A wave that the equation does not see, such as the mean of a periodic Poisson problem.
    floor = np.where(size > 1e-12 * largest, size, np.inf).min(axis=0)
    size = np.maximum(size, np.where(np.isfinite(floor), floor, 1.0))
    return np.concatenate([size[:1], np.repeat(size[1:], 2, axis=0)])


def _of_parity(parity: str | None, count: int) -> np.ndarray:
    """Which of 1, cos θ, sin θ, cos 2θ, sin 2θ, …"""
    if parity is None:
        return np.arange(count)
    return np.arange(2, count, 2) if parity == "odd" else np.append(0, np.arange(1, count, 2))


@eqx.filter_jit
def wave_sizes(
    problem: Problem, shapes: tuple[tuple[str, tuple[int, ...]], ...], x: Array, k: Array
) -> dict[str, Array]:
    """|τₖ|/L + |λₖ| of each equation and wave, (n, components), about the initial data.

    The root mean square over the box of what the linearised equation makes of waves of unit mean
    square in the components of its own field; of all fields, for a constraint.
    """
    low, high = (jnp.asarray(end, x.dtype) for end in problem.domain.bounds)
    forms, dtype = problem.forms(), x.dtype
    start = jnp.asarray(problem.time[0] if problem.time else 0.0, dtype)
    length = float(problem.time[1] - problem.time[0]) if problem.time else 1.0
    widths = [int(np.prod(shape, dtype=int)) for _, shape in shapes]
    ends = np.cumsum([0, *widths])

    def residual(amplitudes: Array, wave: Array, y: Array, rate: Array) -> Array:
        """Of all equations, with a wave in each component that grows as e^{rate · t}."""

        def fields(z: Array, s: Array) -> dict[str, Array]:
            angle = 2 * np.pi * jnp.dot(wave, (z - low) / (high - low))
            # Its mean square is one with any phase, and no symmetry of the data hides it.
            ripple = np.sqrt(2) * jnp.cos(angle + 0.25 * np.pi)
            change = amplitudes * (jnp.exp(rate * (s - start)) * ripple)
            found = {}
            for i, (n, shape) in enumerate(shapes):
                own = change[ends[i] : ends[i + 1]].reshape(shape)
                known = n in problem.initial
                found[n] = own + problem.initial_value(n, z).reshape(shape) if known else own
            return found

        values = strong_residual(forms, fields, y, start, steady=problem.steady)
        return jnp.concatenate([values[n].reshape(-1) for n, _ in shapes])

    # One trace of the equations for all components, waves, points and both rates.
    still = jnp.zeros(int(ends[-1]), dtype)

    def change(component: Array, wave: Array, rate: Array) -> Array:
        """Of the equations by a wave in one component, (points, equations)."""
        direction = still.at[component].set(1.0)

        def at(y: Array) -> Array:
            return jax.jvp(lambda e: residual(e, wave, y, rate), (still,), (direction,))[1]

        return jax.vmap(at)(x)

    def squares(component: Array, wave: Array) -> Array:
        """Mean squares of the steady part and of the rate, (2, equations)."""
        rates = jnp.array([0.0, 1.0 / length], dtype)
        steady, growing = jax.vmap(lambda rate: change(component, wave, rate))(rates)
        return jnp.mean(jnp.stack([steady, growing - steady]) ** 2, axis=1)

    over = jax.vmap(jax.vmap(squares, (0, None)), (None, 0))
    found = over(jnp.arange(int(ends[-1])), k)
    sizes = {}
    for i, (name, _) in enumerate(shapes):
        rows = slice(int(ends[i]), int(ends[i + 1]))
        # A constraint has no term in its own field: its size is that of the others on it.
        columns = slice(None) if forms[name].kind == "Constraint" else rows
        sizes[name] = jnp.sum(jnp.sqrt(jnp.sum(found[:, columns, :, rows], axis=1)), axis=1)
    return sizes
