"""Training in stages: each learns what the one before left. Source: Wang and Lai (2024)."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physml.losses import Collocation, build_network, equation_residual, problem_inputs
from physml.networks import MultiStage, Scaled
from solvers import Run, Solution

_LINES, _ON_LINE = 8, 256


@dataclasses.dataclass(frozen=True)
class Remainder:
    """What a network leaves of an equation.

    Attributes:
        size: magnitude of the error, in outputs of the network, as a wave of that frequency.
        frequency: half waves across the domain in each input, at least 1.
    """

    size: float
    frequency: tuple[float, ...]


def remainder(objective: Collocation, params: Any, seed: int) -> Remainder:
    """Magnitude and dominant frequencies of the error, read off the residual.

    Along lines in each direction the residual's spectrum tells the frequency f; the linearised
    equations applied to a wave of that frequency tell how large an error makes such a residual.
    """
    problem = objective.problem
    low, high = problem.domain.bounds
    ends = [(a, b) for a, b in zip(low, high, strict=True)]
    if problem.time is not None:
        ends.append(problem.time)
    rng = np.random.default_rng(seed)
    step = (np.arange(_ON_LINE) + 0.5) / _ON_LINE
    frequencies = []
    for i in range(len(ends)):
        unit = np.repeat(rng.random((_LINES, 1, len(ends))), _ON_LINE, axis=1)
        unit[:, :, i] = step
        residual = np.asarray(_residuals(objective, params, *_points(unit, ends, problem)))
        frequencies.append(_dominant(residual.reshape(_LINES, _ON_LINE, -1)))
    unit = rng.random((_LINES, _ON_LINE, len(ends)))
    points = _points(unit, ends, problem)
    residual = _residuals(objective, params, *points)
    wave = _residuals_of_wave(objective, params, *points, jnp.asarray(frequencies))
    size = float(jnp.linalg.norm(residual) / jnp.linalg.norm(wave))
    inputs = []
    for i, f in enumerate(frequencies):
        periodic = i < problem.dim and problem.domain.periodic[i]
        # cos and sin already turn once: what varies faster is left to the layers.
        inputs += [max(1.0, f / 2)] * 2 if periodic else [max(1.0, f)]
    return Remainder(size, tuple(inputs))


def _points(unit: np.ndarray, ends: list, problem: Any) -> tuple[Array, Array]:
    low, high = (np.array(side) for side in zip(*ends, strict=True))
    flat = (low + unit * (high - low)).reshape(-1, len(ends))
    if problem.time is None:
        return jnp.asarray(flat), jnp.zeros(len(flat))
    return jnp.asarray(flat[:, :-1]), jnp.asarray(flat[:, -1])


def _dominant(lines: np.ndarray) -> float:
    """The frequency of the largest mean power, in cycles a line; lines (lines, points, k)."""
    window = np.hanning(lines.shape[1])[None, :, None]
    centred = lines - lines.mean(axis=1, keepdims=True)
    power = (np.abs(np.fft.rfft(window * centred, axis=1)) ** 2).sum(axis=(0, 2))
    return float(max(np.argmax(power), 1))


def _all_residuals(objective: Collocation, problem: Any, fields: Any, x: Array, t: Array) -> Array:
    return jnp.concatenate(
        [
            objective._scale(f"equation {name}", 1) * equation_residual(problem, name, fields, x, t)
            for name in objective.equations
        ]
    )


@eqx.filter_jit
def _residuals(objective: Collocation, params: Any, x: Array, t: Array) -> Array:
    problem, _ = objective.bound(params)
    fields = objective.fields(params)
    return jax.vmap(lambda y, s: _all_residuals(objective, problem, fields, y, s))(x, t)


@eqx.filter_jit
def _residuals_of_wave(
    objective: Collocation, params: Any, x: Array, t: Array, frequencies: Array
) -> Array:
    """The derivative of the residuals along a wave added to each output, by frequency."""
    problem, network = objective.bound(params)
    inputs = problem_inputs(problem)
    ends = [*zip(inputs.lower, inputs.upper, strict=True)]
    if inputs.time is not None:
        ends.append(inputs.time)
    low, high = (jnp.asarray(side) for side in zip(*ends, strict=True))

    def at(y: Array, s: Array) -> Array:
        def moved(size: Array) -> Array:
            def fields(z: Array, r: Array) -> dict[str, Array]:
                place = z if inputs.time is None else jnp.append(z, r)
                angle = 2 * jnp.pi * frequencies * (place - low) / (high - low)
                wave = jnp.prod(jnp.sin(angle + 0.5))
                return objective.trial(lambda v: network(v) + size * wave, z, r)

            return _all_residuals(objective, problem, fields, y, s)

        return jax.jvp(moved, (jnp.zeros(()),), (jnp.ones(()),))[1]

    return jax.vmap(at)(x, t)


def solve_in_stages(method: Any, problem: Any, observations: Any, where: Any, run: Run) -> Solution:
    """One `fit` a stage, each with its share of the budget.

    Arguments:
        method: a `PINN` with stages > 1.
    """
    count = method.stages
    total = method.seconds if run.budget is None and run.steps is None else run.budget
    one = dataclasses.replace(method, stages=1)
    solutions: list[Solution] = []
    network, notes = one.network, []
    for k in range(count):
        share = dataclasses.replace(
            run,
            budget=None if total is None else total / count,
            steps=None if run.steps is None else -(-run.steps // count),
            directory=None if run.directory is None else run.directory / f"stage-{k + 1}",
            seed=run.seed + k,
        )
        stage = dataclasses.replace(one, network=network)
        solutions.append(stage.fit(problem, observations, where, share))
        problem = solutions[-1].problem
        if k + 1 == count:
            break
        found = remainder(
            stage.setup(problem, share.seed, observations, where).objective,
            solutions[-1].parameters,
            share.seed,
        )
        representation: Any = solutions[-1].representation
        trained = representation.network
        notes.append(
            f"stage {k + 2}: size {found.size:.1e}, frequencies "
            f"{', '.join(f'{f:g}' for f in found.frequency)}"
        )
        network = _next_stage(method.network, trained, found, run.seed + k + 1)
    return _joined(solutions, method, tuple(notes))


def _next_stage(given: Any, trained: Any, found: Remainder, seed: int) -> MultiStage:
    from physml.methods._neural import default_network

    factory = given or default_network(trained.out_size, trained.in_size)
    scaled = functools.partial(Scaled, size=found.size, frequency=found.frequency, inner=factory)
    dtype = jax.tree.leaves(eqx.filter(trained, eqx.is_inexact_array))[0].dtype
    key = jax.random.key(seed)
    new = build_network(scaled, trained.in_size, trained.out_size, key, dtype)
    before = trained.stages if isinstance(trained, MultiStage) else (trained,)
    return MultiStage((*before, new))


def _joined(solutions: list[Solution], method: Any, notes: tuple[str, ...]) -> Solution:
    """The last solution with the cost of all."""
    last = solutions[-1]
    history, seconds, steps = [], 0.0, 0
    for solution in solutions:
        history += [(s + seconds, k + steps, v) for s, k, v in solution.stats.history]
        seconds += solution.stats.run_seconds
        steps += solution.stats.iterations
    stats = dataclasses.replace(
        last.stats,
        unknowns=sum(s.stats.unknowns for s in solutions),
        compile_seconds=sum(s.stats.compile_seconds for s in solutions),
        run_seconds=seconds,
        iterations=steps,
        history=tuple(history),
        notes=(*last.stats.notes, *notes),
    )
    return Solution(last.problem, last.representation, method, stats, last.parameters)
