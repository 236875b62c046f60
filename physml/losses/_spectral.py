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
    times (E,) with the roots of the weights.

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
        return QuadratureBlock(
            fn,
            {"x": data["x"], "t": data["t"]},
            _by_component(data["tests"][None], components)[0],
            scale=weight * data["times"][:, None] / data["sizes"][name],
        )


def wavenumbers(harmonics: Sequence[int]) -> np.ndarray:
    """k of the cosines and sines, one of each pair ±k, (n, dim), after k = 0."""
    ranges = [range(-h, h + 1) for h in harmonics]
    # The first that is not zero is positive.
    half = [k for k in itertools.product(*ranges) if k > (0,) * len(harmonics)]
    return np.array([(0,) * len(harmonics), *sorted(half, key=lambda k: (max(map(abs, k)), k))])


def spectral_batch(
    conditions: Collocation, harmonics: Sequence[int], points: Sequence[int], times: int
) -> dict[str, Any]:
    """Points, waves and their sizes: what `Spectral` takes as "fourier".

    Arguments:
        harmonics, points: largest wavenumber and grid points in each direction. times: Gauss
            points of the time interval; a steady problem has one.
    """
    problem = conditions.problem
    low, high = problem.domain.bounds
    axes = [a + np.arange(n) / n * (b - a) for a, b, n in zip(low, high, points, strict=True)]
    x = np.stack([g.reshape(-1) for g in np.meshgrid(*axes, indexing="ij")], axis=1)
    k = wavenumbers(harmonics)
    angle = 2 * np.pi * ((x - low) / (high - low)) @ k[1:].T
    waves = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(x), -1)
    tests = np.concatenate([np.ones((len(x), 1)), waves], axis=1).T / len(x)
    t, mass = np.zeros(1), np.ones(1)
    if problem.time is not None:
        start, end = problem.time
        nodes, mass = gauss_legendre(times)
        t, mass = start + 0.5 * (nodes + 1) * (end - start), 0.5 * mass
    sizes = wave_sizes(problem, conditions.trial.shapes, jnp.asarray(x), jnp.asarray(k, float))
    return {
        "x": np.tile(x, (len(t), 1, 1)),
        "t": np.repeat(t[:, None], len(x), axis=1),
        "tests": tests[:, :, None],
        "times": np.sqrt(mass),
        "sizes": {name: _by_phase(np.asarray(size)) for name, size in sizes.items()},
    }


def _by_phase(size: np.ndarray) -> np.ndarray:
    """sₖ (n, m) for the constant, and then for cosine and sine of each wave, (T · m,)."""
    largest = size.max(axis=0)
    # A wave that the equation does not see, such as the mean of a periodic Poisson problem.
    floor = np.where(size > 1e-12 * largest, size, np.inf).min(axis=0)
    size = np.maximum(size, np.where(np.isfinite(floor), floor, 1.0))
    return np.concatenate([size[:1], np.repeat(size[1:], 2, axis=0)]).reshape(-1)


@eqx.filter_jit
def wave_sizes(
    problem: Problem, shapes: tuple[tuple[str, tuple[int, ...]], ...], x: Array, k: Array
) -> dict[str, Array]:
    """|τₖ|/L + |λₖ| of each equation and wave, (n, components), about the initial data.

    The root mean square over the box of what the linearised equation makes of a wave of unit mean
    square in its own field.
    """
    low, high = (jnp.asarray(end, x.dtype) for end in problem.domain.bounds)
    forms, dtype = problem.forms(), x.dtype
    start = jnp.asarray(problem.time[0] if problem.time else 0.0, dtype)
    length = float(problem.time[1] - problem.time[0]) if problem.time else 1.0

    def residual(e: Array, name: str, component: int, wave: Array, y: Array, moving: bool) -> Array:
        def fields(z: Array, s: Array) -> dict[str, Array]:
            found = {
                n: jnp.asarray(problem.initial_value(n, z), dtype).reshape(shape)
                if n in problem.initial
                else jnp.zeros(shape, dtype)
                for n, shape in shapes
            }
            growth = jnp.exp((s - start) / length) if moving else 1.0
            angle = 2 * np.pi * jnp.dot(wave, (z - low) / (high - low))
            # Its mean square is one with any phase, and no symmetry of the data hides it.
            change = e * growth * np.sqrt(2) * jnp.cos(angle + 0.25 * np.pi)
            flat = found[name].reshape(-1).at[component].add(change)
            return found | {name: flat.reshape(found[name].shape)}

        value = strong_residual(forms, fields, y, start, steady=problem.steady)[name]
        return value.reshape(-1)[component]

    def size(name: str, component: int, wave: Array) -> Array:
        def change(y: Array, moving: bool) -> Array:
            of = lambda e: residual(e, name, component, wave, y, moving)
            return jax.jvp(of, (jnp.zeros((), dtype),), (jnp.ones((), dtype),))[1]

        still = jax.vmap(lambda y: change(y, False))(x)
        total = jnp.sqrt(jnp.mean(still**2))
        if problem.time is not None:
            rate = jax.vmap(lambda y: change(y, True))(x) - still
            total = total + jnp.sqrt(jnp.mean(rate**2))
        return total

    return {
        name: jnp.stack(
            [
                jax.vmap(lambda wave, c=c, name=name: size(name, c, wave))(k)
                for c in range(int(np.prod(shape, dtype=int)))
            ],
            axis=1,
        )
        for name, shape in shapes
    }
