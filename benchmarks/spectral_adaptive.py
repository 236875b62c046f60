"""Adaptive exponential steps inside diffrax, beside fixed steps and implicit peers; adjoints.

Times are of the processor: runs of two milliseconds stand beside runs of a second.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

import physml as pm
from benchmarks._table import Checks, Row, row
from benchmarks._timing import Pair
from benchmarks._timing import interleaved as _interleaved
from pdes import library
from solvers.time import ETDRK, AdaptiveETDRK, Ladder, SplitTerm

_END = 10.0


def interleaved(ours: Callable[[], Any], theirs: Callable[[], Any], pairs: int) -> Pair:
    return _interleaved(ours, theirs, pairs, time.process_time)


def _ks() -> Any:
    """Kuramoto–Sivashinsky, L = 32π, N = 256, of Kassam & Trefethen (2005), to t = 10."""
    problem = pm.Problem(
        library.KuramotoSivashinsky(),
        pm.Interval(0.0, 32 * np.pi, periodic=True),
        time=(0.0, _END),
        initial={"u": lambda x: jnp.cos(x[0] / 16) * (1 + jnp.sin(x[0] / 16))},
    )
    return pm.Fourier(points=256).discretize(problem)


def _fixed(system: Any, steps: int) -> Callable[[Any], Any]:
    solver = ETDRK(system.linear(), _END / steps)

    @jax.jit
    def march(z):
        one = lambda z, _: (solver.advance(system, 0.0, z), None)
        return jax.lax.scan(one, z, None, length=steps)[0]

    return march


def _adaptive(system: Any, rtol: float) -> Callable[[Any], Any]:
    solver = AdaptiveETDRK(system.linear(), _END)
    ladder = Ladder(jnp.asarray(_END), rtol)

    @jax.jit
    def run(z):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Complex dtype")
            return diffrax.diffeqsolve(
                SplitTerm(system), solver, 0.0, _END, None, z, stepsize_controller=ladder
            )

    return run


def adaptive_ks() -> Iterable[Row]:
    system = _ks()
    z = system.initial_state()
    reference = _fixed(system, 20000)(z)
    error = lambda end: float(jnp.linalg.norm(end - reference) / jnp.linalg.norm(reference))
    rtol, target = 1e-6, 5e-7
    run = _adaptive(system, rtol)
    found = run(z)
    reached = error(found.ys[0])
    counts = {name: int(found.stats[f"num_{name}_steps"]) for name in ("accepted", "rejected")}
    note = f"rtol = {rtol:.0e}, {counts['accepted']} steps, {counts['rejected']} rejected"
    yield row("KS, adaptive ETDRK4, relative error", reached, target, note=note)
    steps = 16
    while error(_fixed(system, steps)(z)) > reached:
        steps = int(np.ceil(1.05 * steps))
    march = _fixed(system, steps)
    pair = interleaved(lambda: run(z).ys, lambda: march(z), 21)
    yield row(
        "KS, adaptive ETDRK4, time relative to the best fixed steps", pair.ratio, 1.3,
        note=f"{steps} fixed steps for that error, {1e3 * pair.theirs:.2f} ms",
    )  # fmt: skip
    for name, least, make in (("Kvaerno5", 100.0, _kvaerno), ("KenCarp5, FFT", 10.0, _kencarp)):
        u = jnp.fft.irfft(z[0], 256)
        for tolerance in 10.0 ** -np.arange(5.0, 8.6, 0.25):
            peer = make(system, tolerance)
            end = error(jnp.fft.rfft(peer(u).ys[0])[None])
            if end <= target:
                break
        pair = interleaved(lambda p=peer, u=u: p(u).ys, lambda: run(z).ys, 5)
        yield row(
            f"KS, adaptive ETDRK4, times faster than {name}", pair.ratio, least, at_least=True,
            peer=f"diffrax {diffrax.__version__}",
            note=f"{1e3 * pair.ours:.1f} ms, rtol = {tolerance:.1e}, error {end:.1e}",
        )  # fmt: skip


def _parts(system: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """N and L for the values on the grid: real states, which implicit solvers need."""

    def explicit(t, u, args):
        return jnp.fft.irfft(system.nonlinear(jnp.fft.rfft(u)[None], t)[0], u.shape[0])

    def implicit(t, u, args):
        return jnp.fft.irfft(system.linear()(jnp.fft.rfft(u)[None])[0], u.shape[0])

    return explicit, implicit


def _kvaerno(system: Any, tolerance: float) -> Callable[[Any], Any]:
    """diffrax's default: dense matrices, VeryChord."""
    explicit, implicit = _parts(system)
    term = diffrax.ODETerm(lambda t, u, args: explicit(t, u, args) + implicit(t, u, args))
    return _implicit(term, diffrax.Kvaerno5(), tolerance)


def _kencarp(system: Any, tolerance: float) -> Callable[[Any], Any]:
    """L implicit by division in Fourier space, in one step: it is linear."""
    explicit, implicit = _parts(system)
    term = diffrax.MultiTerm(diffrax.ODETerm(explicit), diffrax.ODETerm(implicit))
    solver = diffrax.KenCarp5(root_finder=_Circulant(tolerance, tolerance))
    return _implicit(term, solver, tolerance)


def _implicit(term: Any, solver: Any, tolerance: float) -> Callable[[Any], Any]:
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)

    @jax.jit
    def run(u):
        return diffrax.diffeqsolve(
            term, solver, 0.0, _END, 1e-3, u, stepsize_controller=controller, max_steps=20000
        )

    return run


class _Circulant(optx.AbstractRootFinder):
    """The root of an affine function of a periodic grid that commutes with shifts."""

    rtol: float
    atol: float
    norm: Callable[[Any], Any] = optx.rms_norm

    def init(self, fn, y, args, options, f_struct, aux_struct, tags):
        return jnp.asarray(False)

    def step(self, fn, y, args, options, state, tags):
        impulse = jnp.zeros_like(y).at[0].set(1.0)
        (value, aux), (column, _) = jax.jvp(lambda y: fn(y, args), (y,), (impulse,))
        symbol = jnp.fft.rfft(column)
        return y - jnp.fft.irfft(jnp.fft.rfft(value) / symbol, len(y)), jnp.asarray(True), aux

    def terminate(self, fn, y, args, options, state, tags):
        return state, optx.RESULTS.successful

    def postprocess(self, fn, y, aux, args, options, state, tags, result):
        return y, aux, {}


def overhead() -> Iterable[Row]:
    """Fixed steps by diffrax and by a bare scan."""
    system = _ks()
    z = system.initial_state()
    steps = 400
    solver = ETDRK(system.linear(), _END / steps)

    @jax.jit
    def ours(z):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Complex dtype")
            return diffrax.diffeqsolve(
                SplitTerm(system), solver, 0.0, _END, _END / steps, z, max_steps=steps
            ).ys

    bare = _fixed(system, steps)
    pair = interleaved(lambda: ours(z), lambda: bare(z), 31)
    yield row(
        "KS, ETDRK4 in diffrax with fixed steps, time over a scan's", pair.ratio - 1.0, 0.05,
        note=f"{1e6 * pair.ours / steps:.1f} µs a step",
    )  # fmt: skip


def gradient() -> Iterable[Row]:
    """Through diffrax's adjoint by checkpoints, fixed and adaptive steps.

    512 checkpoints keep every state, 1 MB here; diffrax's own number is for runs that do not fit.
    """
    system = _ks()
    z = system.initial_state()
    steps = 400
    for name, solver, options in (
        ("fixed", ETDRK(system.linear(), _END / steps), {"dt0": _END / steps}),
        (
            "adaptive",
            AdaptiveETDRK(system.linear(), _END),
            {"dt0": None, "stepsize_controller": Ladder(jnp.asarray(_END), 1e-6)},
        ),
    ):

        def objective(amplitude, checkpoints=512, solver=solver, options=options):
            adjoint = diffrax.RecursiveCheckpointAdjoint(checkpoints)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Complex dtype")
                end = diffrax.diffeqsolve(
                    SplitTerm(system), solver, 0.0, _END, y0=amplitude * z, max_steps=512,
                    adjoint=adjoint, **options,
                ).ys[0]  # fmt: skip
            return jnp.sum(jnp.abs(end) ** 2) / 256**2

        forward, one = jax.jit(objective), jnp.asarray(1.0)
        slope = 0.0
        for checkpoints, target, note in (
            (512, 4.5, "every state is kept"), (None, None, "diffrax's number of checkpoints"),
        ):  # fmt: skip
            backward = jax.jit(jax.value_and_grad(lambda a, n=checkpoints, f=objective: f(a, n)))
            pair = interleaved(lambda b=backward, a=one: b(a), lambda f=forward, a=one: f(a), 11)
            yield row(
                f"KS, gradient, {name} steps, of a forward run", pair.ratio, target, note=note
            )
            slope = float(backward(one)[1])
        worst = min(
            abs(float(forward(one + e) - forward(one - e)) / (2 * e) - slope) / abs(slope)
            for e in (1e-3, 1e-4, 1e-5)
        )
        yield row(f"KS, gradient, {name} steps, against differences", worst, 1e-6)


def adjoint() -> Iterable[Row]:
    """1000 steps of vorticity 128² through pm.solve, beside a scan that keeps everything."""
    points, steps = 128, 1000
    end = 1.0

    def problem(amplitude):
        base = library.kolmogorov(end=end)
        start = base.initial["omega"].function
        return eqx.tree_at(
            lambda p: p.initial["omega"].function, base, lambda x: amplitude * start(x)
        )

    def ours(amplitude):
        method = pm.Fourier(points=points, dt=end / steps, frames=33)
        solution = method.solve(problem(amplitude))
        return jnp.sum(jnp.abs(solution.representation.series.states[-1, 0]) ** 2) / points**4

    def everything(amplitude):
        system = pm.Fourier(points=points).discretize(problem(amplitude))
        solver = ETDRK(system.linear(), end / steps)
        one = lambda z, i: (solver.advance(system, i * (end / steps), z), None)
        last = jax.lax.scan(one, system.initial_state(), jnp.arange(steps) * 1.0)[0]
        return jnp.sum(jnp.abs(last[0]) ** 2) / points**4

    at = jnp.asarray(1.0)
    forward = jax.jit(ours).lower(at).compile()
    checkpointed = jax.jit(jax.value_and_grad(ours)).lower(at).compile()
    full = jax.jit(jax.value_and_grad(everything)).lower(at).compile()
    memory = [c.memory_analysis().temp_size_in_bytes for c in (checkpointed, full)]
    yield row(
        "vorticity 128², adjoint of 1000 steps, memory of keeping everything",
        memory[0] / memory[1], 1 / 8,
        note=f"{memory[0] / 2**20:.0f} MiB of {memory[1] / 2**20:.0f} MiB",
    )  # fmt: skip
    slope, expected = float(checkpointed(at)[1]), float(full(at)[1])
    yield row(
        "vorticity 128², adjoint of 1000 steps, difference to that of keeping everything",
        abs(slope - expected) / abs(expected), 1e-10,
    )  # fmt: skip
    pair = interleaved(lambda: checkpointed(at), lambda: forward(at), 3)
    yield row(
        "vorticity 128², adjoint of 1000 steps, of a forward run", pair.ratio, 4.5,
        note=f"{pair.theirs:.1f} s forward",
    )  # fmt: skip


CHECKS: Checks = {
    "adaptive ks": adaptive_ks,
    "fixed overhead": overhead,
    "diffrax gradient": gradient,
    "vorticity adjoint": adjoint,
}
