"""Flows and long runs: balances, spectra in single precision, peers of the vorticity step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks import _spectral_peers
from benchmarks._table import Checks, Row, missing, row
from benchmarks._timing import interleaved
from pdes import library
from solvers.time import ETDRK


def _march(system: Any, h: float, steps: int) -> Any:
    solver = ETDRK(system.linear(), h)

    @jax.jit
    def march(z):
        one = lambda z, i: (solver.advance(system, i * h, z), None)
        return jax.lax.scan(one, z, jnp.arange(steps) * 1.0)[0]

    return march


def vorticity_states() -> Iterable[Row]:
    name = "Kolmogorov vorticity 256², 10 steps, difference to exponax"
    try:
        import exponax
    except ImportError:
        yield missing(name, "exponax", "not installed")
        return
    points, h = 256, 1e-3
    system = pm.Fourier(points=points).discretize(library.kolmogorov())
    start = system.initial_state()
    ours = _march(system, h, 10)(start)
    inner = exponax.stepper.KolmogorovFlowVorticity(
        2, 2 * np.pi, points, h, diffusivity=1 / 40, injection_scale=-1.0, order=4
    )
    # Its flow turns the other way round: with −ω and −f its equation is ours.
    theirs = -exponax.RepeatedStepper(inner, 10).step_fourier(-start)
    difference = float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())
    note = "for −ω, since its flow turns the other way"
    yield row(name, difference, 1e-12, peer=f"exponax {exponax.__version__}", note=note)


def vorticity_peers() -> Iterable[Row]:
    """Steps of the same flow, 256², by jax-cfd and Dedalus where they are installed."""
    points, h, steps = 256, 1e-3, 10
    system = pm.Fourier(points=points).discretize(library.kolmogorov())
    z = system.initial_state()
    march = _march(system, h, steps)
    vorticity = jnp.fft.irfft2(z[0], (points, points))
    for name, make, target, why in (
        (
            "jax-cfd, CN-RK4", _spectral_peers.jax_cfd_steps, 0.5,
            "not installed: pip install --no-deps jax-cfd tree-math",
        ),
        (
            "Dedalus, RK443", _spectral_peers.dedalus_steps, 1 / 15,
            "not installed: pip install dedalus builds it with MPI and FFTW",
        ),
    ):  # fmt: skip
        check = f"Kolmogorov vorticity, 256², ETDRK4 step relative to {name}"
        try:
            theirs, version = make(points, h, steps)
        except ImportError as error:
            yield missing(check, name, f"{why} ({error})")
            continue
        pair = interleaved(lambda: march(z), lambda t=theirs: t(vorticity), 5)
        yield row(
            check, pair.ratio, target, peer=version,
            note=f"{1e3 * pair.ours / steps:.2f} ms against {1e3 * pair.theirs / steps:.2f} ms",
        )  # fmt: skip


def solitons() -> Iterable[Row]:
    problem = library.kdv_two_solitons()
    solution = pm.Fourier(points=512, dt=8 / 8000, frames=9).solve(problem)
    grids = [np.asarray(solution.representation.on_grid(i)["u"]) for i in range(9)]
    for name, values, target in (
        ("mass", [u.mean() for u in grids], 1e-13),
        ("energy ∫u²", [(u**2).mean() for u in grids], 1e-8),
    ):
        change = float(np.abs(np.array(values) / values[0] - 1).max())
        yield row(f"KdV, two solitons, N = 512, 8000 steps, change of {name}", change, target)


def energy_balance() -> Iterable[Row]:
    """E(0) − E(t) = ∫ ε dt, ε = ν⟨|∇u|²⟩, by Gauss–Lobatto's rule over steps of equal length."""
    points, steps, end, reynolds = 64, 40, 1.0, 200.0
    system = pm.Fourier(points=points).discretize(library.taylor_green_3d(reynolds, end))
    solver = ETDRK(system.linear(), end / steps)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(points, 1 / points)] * 2, np.arange(points // 2 + 1),
                             indexing="ij"))  # fmt: skip
    twice = np.full(k.shape[1:], 2.0)
    twice[..., [0, -1]] = 1.0
    weights = jnp.asarray(twice / float(points) ** 6)
    squares = jnp.asarray(np.sum(k**2, axis=0))

    @jax.jit
    def history(z):
        def measured(z):
            power = weights * jnp.sum(jnp.abs(z) ** 2, axis=0)
            return 0.5 * jnp.sum(power), jnp.sum(squares * power) / reynolds

        def one(z, i):
            return solver.advance(system, i * end / steps, z), measured(z)

        last, kept = jax.lax.scan(one, z, jnp.arange(steps) * 1.0)
        return [jnp.append(a, b) for a, b in zip(kept, measured(last), strict=True)]

    energy, loss = (np.asarray(v) for v in history(system.initial_state()))
    # Boole's rule, of sixth order, over four steps at a time.
    boole = np.zeros(steps + 1)
    for first in range(0, steps, 4):
        boole[first : first + 5] += np.array([7.0, 32.0, 12.0, 32.0, 7.0]) * 2 / 45
    lost = float(boole @ loss) * end / steps
    change = float(energy[0] - energy[-1])
    yield row(
        "Taylor–Green 64³, Re = 200, energy balance to t = 1", abs(change - lost) / change, 1e-8,
        note=f"dissipation {loss[0]:.5f} → {loss[-1]:.5f}",
    )  # fmt: skip


def single_precision() -> Iterable[Row]:
    """KS, N = 2048, 10 000 steps from 16 initial states, in both precisions."""
    points, steps, dropped, batch, h, length = 2048, 10_000, 2000, 16, 0.05, 256 * np.pi
    generator = np.random.default_rng(0)
    x = length * np.arange(points) / points
    waves = 2 * np.pi / length * np.arange(1, 33)
    starts = np.einsum(
        "bk,bkx->bx",
        generator.standard_normal((batch, 32)) * 0.3,
        np.cos(waves[:, None] * x + generator.uniform(0, 2 * np.pi, (batch, 32, 1))),
    )
    spectra = {}
    for precision in ("float64", "float32"):
        jax.config.update("jax_enable_x64", precision == "float64")
        try:
            problem = pm.Problem(
                library.KuramotoSivashinsky(),
                pm.Interval(0.0, length, periodic=True),
                time=(0.0, h * steps),
                initial={"u": 0.0},
            )
            system = pm.Fourier(points=points).discretize(problem)
            solver = ETDRK(system.linear(), h)

            @jax.jit
            def powers(start, system=system, solver=solver):
                def one(carry, i):
                    z, total = carry
                    z = solver.advance(system, 0.0, z)
                    power = jnp.abs(z[0]) ** 2
                    return (z, total + jnp.where(i >= dropped, power, 0.0)), None

                def run(u):
                    z = jnp.fft.rfft(u)[None]
                    carry = z, jnp.zeros(points // 2 + 1, u.dtype)
                    return jax.lax.scan(one, carry, jnp.arange(steps))[0][1]

                return jax.vmap(run)(start)

            spectra[precision] = np.asarray(powers(jnp.asarray(starts)), np.float64)
        finally:
            jax.config.update("jax_enable_x64", True)
    edges = 2 ** np.arange(11)
    binned = {
        name: np.stack([s[:, a : 2 * a].mean(axis=1) for a in edges], 1)
        for name, s in spectra.items()
    }
    finite = all(np.isfinite(b).all() for b in binned.values())
    yield row(
        "KS, N = 2048, float32, 10 000 steps, states that are finite", finite, 1, at_least=True
    )
    mean = {name: b.mean(0) for name, b in binned.items()}
    spread = {name: b.std(0, ddof=1) / batch**0.5 for name, b in binned.items()}
    seen = mean["float64"] > 1e-10 * mean["float64"].max()
    gap = np.abs(mean["float32"] - mean["float64"])[seen]
    errors = np.hypot(spread["float32"], spread["float64"])[seen]
    worst = np.minimum(gap / (0.05 * mean["float64"][seen]), gap / (3 * errors)).max()
    yield row(
        "KS, N = 2048, float32, octave spectrum against float64, of what is allowed", worst, 1.0,
        note=f"5 % or 3 standard errors, {seen.sum()} octaves; largest gap "
        f"{(gap / mean['float64'][seen]).max():.1%}",
    )  # fmt: skip


CHECKS: Checks = {
    "vorticity states": vorticity_states,
    "vorticity peers": vorticity_peers,
    "soliton invariants": solitons,
    "taylor green balance": energy_balance,
    "ks float32": single_precision,
}
