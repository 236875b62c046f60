"""The FNO on periodic Burgers: its error, its cost, and when it pays beside the solver."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row
from physml.surrogates import named
from solvers.spectral.fourier import Fourier
from solvers.spectral.fourier_batch import trajectory

COUNT, UNSEEN, POINTS, FINE = 1000, 200, 128, 512
SEEDS = (0, 1, 2)


def relative(found: Any, true: Any) -> np.ndarray:
    """Relative L2 error of each function (n, points)."""
    a, b = np.asarray(found, float), np.asarray(true, float)
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


def seconds_of(function: Callable[[], Any], repeats: int = 20) -> float:
    """Median wall seconds of one call after compilation."""
    jax.block_until_ready(function())
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def upsampled(values: np.ndarray, points: int) -> np.ndarray:
    """Band-limited functions (n, m) on a finer grid."""
    m = values.shape[1]
    hat = np.fft.rfft(values, axis=1)[:, : m // 2]
    return np.fft.irfft(hat * (points / m), points, axis=1)


def burgers() -> Iterable[Row]:
    family = named("burgers_periodic").family()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        data = pm.generate(
            family, Fourier(points=POINTS, rtol=1e-5), COUNT, Path(folder) / "data.h5"
        )
        solving = time.perf_counter() - start
        # Another seed, a finer solver: functions that no training has seen.
        unseen = pm.generate(
            family, Fourier(points=2 * POINTS), UNSEEN, Path(folder) / "unseen.h5", seed=1,
            points=FINE,
        )  # fmt: skip
    name = f"FNO, Burgers, {COUNT} functions"
    yield row(f"{name}: data", solving, None, "s", note="Fourier, 128 points, in batches")
    step = FINE // POINTS
    fine_in, fine_out = unseen.inputs, unseen.outputs[:, 0, :, 0]
    coarse_in, coarse_out = fine_in[:, ::step], fine_out[:, ::step]
    trained = []
    for seed in SEEDS:
        start = time.perf_counter()
        surrogate = pm.train_surrogate(data, pm.FNO, seed=seed)
        training = time.perf_counter() - start
        errors = relative(surrogate.predict(coarse_in)[:, 0, :, 0], coarse_out)
        fine = relative(surrogate.predict(fine_in)[:, 0, :, 0], fine_out)
        said = surrogate.training.expected_error
        note = (
            f"seed {seed}, {UNSEEN} unseen; at most {errors.max():.1e}; it says {said:.1e} itself"
        )
        yield row(f"{name}: error at {POINTS}", errors.mean(), 5e-3, "rel L2", note=note)
        yield row(f"{name}: error at {FINE}", fine.mean(), 1e-2, "rel L2", note=f"seed {seed}")
        yield row(f"{name}: data and training", solving + training, 300.0, "s", note=f"seed {seed}")
        trained.append((errors.mean(), training, surrogate))
    error, training, surrogate = trained[0]
    yield from queries(family, surrogate, error, solving + training, coarse_in, coarse_out)


def queries(family, surrogate, error: float, invested: float, inputs, outputs) -> Iterable[Row]:
    """One query and one of many, beside the solver at the same error; and the break-even."""
    problem = family.template
    solver, solver_error, solver_times = cheapest_solver(problem, error, inputs, outputs)
    mine = {n: seconds_of(lambda n=n: surrogate.predict(inputs[:n])) / n for n in solver_times}
    at = f"Fourier, {solver.points} points, dt = {solver.dt:g}, ETDRK{solver.order}"
    for n, theirs in solver_times.items():
        what = "one query" if n == 1 else f"a query, {n} at once"
        yield row(f"FNO, Burgers: {what}", 1e3 * mine[n], None, "ms", note=f"at error {error:.1e}")
        yield row(f"{at[:7]}, Burgers: {what}", 1e3 * theirs, None, "ms",
                  note=f"at error {solver_error:.1e}; {at[9:]}")  # fmt: skip
        gain = theirs - mine[n]
        even = invested / gain if gain > 0 else math.inf
        note = (
            f"after {invested:.0f} s of data and training" if gain > 0 else "never: the solver wins"
        )
        value = Row(f"FNO, Burgers: break-even, {what}", None, unit="queries", note=note)
        yield value if math.isinf(even) else row(value.check, even, None, "queries", note=note)


def cheapest_solver(problem, error: float, inputs, outputs):
    """The fastest Fourier configuration of at most this mean error, and its seconds a query."""
    best: Any = None
    for points in (16, 24, 32, 48, 64):
        grid = np.linspace(0, POINTS, points, endpoint=False)
        if POINTS % points:
            coarse = upsampled_to(inputs[..., 0], points)
        else:
            coarse = inputs[:, grid.astype(int), 0]
        for steps in (2, 4, 8, 16, 32, 64, 128):
            method = Fourier(points=points, dt=1.0 / steps)

            @eqx.filter_jit
            def solve(u: jax.Array, method=method) -> jax.Array:
                return trajectory(problem, method, u, np.ones(1))

            states = jnp.asarray(coarse)
            with np.errstate(over="ignore", invalid="ignore"):  # steps beyond stability
                answer = upsampled(np.asarray(solve(states)[:, 0]), POINTS)
                found = relative(answer, outputs).mean()
            if not found <= error:
                continue
            times = {
                n: seconds_of(lambda some=states[:n], solve=solve: solve(some)) / n
                for n in (1, len(states))
            }
            if best is None or times[1] < best[2][1]:
                best = method, found, times
            break
    if best is None:
        raise ValueError(f"no configuration of the solver reaches {error:.1e}")
    return best


def upsampled_to(values: np.ndarray, points: int) -> np.ndarray:
    """Functions (n, m) sampled at other points, by their Fourier series."""
    hat = np.fft.rfft(values, axis=1, norm="forward")
    x = np.arange(points) / points
    waves = np.exp(2j * np.pi * np.outer(np.arange(hat.shape[1]), x))
    weight = np.where(np.arange(hat.shape[1]) > 0, 2.0, 1.0)
    return ((hat * weight) @ waves).real


CHECKS: Checks = {"surrogate: FNO on periodic Burgers": burgers}
