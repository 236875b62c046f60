"""Fourier: steps beside exponax and beside the transforms alone, and states against it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, missing, row
from benchmarks._timing import interleaved
from benchmarks.end_to_end_fourier import burgers, exponax_trajectory, kdv, taylor_green
from pdes import Problem
from solvers.time._exponential import ETDRK


def _exponax() -> Any:
    try:
        import exponax
    except ImportError:
        return None
    return exponax


def _march(problem: Problem, points: Any, h: float, steps: int, dealias: Any = "auto") -> Any:
    """(march, start, system): `steps` steps of ETDRK4 of one state in Fourier space."""
    system = pm.Fourier(points=points, dealias=dealias).discretize(problem)
    solver = ETDRK(system.linear(), h, 4)

    @jax.jit
    def march(z):
        def one(z, _):
            return solver.advance(system, 0.0, z), None

        return jax.lax.scan(one, z, None, length=steps)[0]

    return march, system.initial_state(), system


def _peer(stepper: Any, steps: int) -> Any:
    repeated = _exponax().RepeatedStepper(stepper, steps)
    return jax.jit(lambda z: repeated.step_fourier(z))


def _ks(points: int) -> Problem:
    return pm.library.kuramoto_sivashinsky()


def ks_step() -> Iterable[Row]:
    """ETDRK4 on Kuramoto–Sivashinsky: beside exponax, the bare transforms, and in a batch."""
    exponax = _exponax()
    steps, h = 1000, 0.01
    for points in (256, 512, 1024, 2048):
        march, z, _ = _march(_ks(points), points, h, steps)
        if exponax is None:
            yield missing(f"KS, ETDRK4 step, N = {points}", "exponax", "not installed")
        else:
            inner = exponax.stepper.KuramotoSivashinskyConservative(1, 60.0, points, h, order=4)
            theirs = _peer(inner, steps)
            pair = interleaved(lambda m=march, z=z: m(z), lambda t=theirs, z=z: t(z))
            yield row(
                f"KS, ETDRK4 step, N = {points}, time relative to exponax", pair.ratio, 1.0,
                peer=f"exponax {exponax.__version__}",
                note=f"{1e6 * pair.ours / steps:.1f} µs a step",
            )  # fmt: skip
        floor = _transforms(points, steps)
        pair = interleaved(lambda m=march, z=z: m(z), lambda f=floor, z=z: f(z))
        yield row(
            f"KS, ETDRK4 step, N = {points}, time relative to its 8 transforms", pair.ratio, 1.3,
            note=f"transforms {1e6 * pair.theirs / steps:.1f} µs",
        )  # fmt: skip
    points, batch = 256, 64
    march, z, _ = _march(_ks(points), points, h, steps)
    many = jax.jit(jax.vmap(march))
    states = jnp.repeat(z[None], batch, axis=0)
    pair = interleaved(lambda: many(states), lambda: march(z))
    yield row(
        "KS, ETDRK4 step, N = 256, a sample of a batch of 64 relative to one alone",
        pair.ratio / batch, 0.27, note=f"{1e6 * pair.ours / steps / batch:.2f} µs a sample",
    )  # fmt: skip


def _transforms(points: int, steps: int) -> Any:
    """Four pairs of real transforms a step and nothing else."""

    @jax.jit
    def floor(z):
        def one(z, _):
            for _ in range(4):
                z = jnp.fft.rfft(jnp.fft.irfft(z, points))
            return z, None

        return jax.lax.scan(one, z, None, length=steps)[0]

    return floor


def kolmogorov_step() -> Iterable[Row]:
    """Vorticity form, 256²: four transforms an evaluation."""
    exponax = _exponax()
    points, h, steps = 256, 1e-3, 20
    problem = pm.library.kolmogorov()
    system = pm.Fourier(points=64).discretize(problem)
    count = sum(stage.transforms for stage in system.plan.stages)
    yield row("Kolmogorov vorticity, transforms an evaluation", count, 4)
    for precision in ("float64", "float32"):
        name = f"Kolmogorov vorticity, 256², {precision}, ETDRK4 step relative to exponax"
        if exponax is None:
            yield missing(name, "exponax", "not installed")
            continue
        jax.config.update("jax_enable_x64", precision == "float64")
        try:
            march, z, _ = _march(problem, points, h, steps)
            inner = exponax.stepper.KolmogorovFlowVorticity(
                2, 2 * np.pi, points, h, diffusivity=1 / 40, order=4
            )
            theirs = _peer(inner, steps)
            # Of the processor: the target is for one core.
            pair = interleaved(
                lambda m=march, z=z: m(z), lambda t=theirs, z=z: t(z), 7, time.process_time
            )
        finally:
            jax.config.update("jax_enable_x64", True)
        yield row(
            name, pair.ratio, 0.85, peer=f"exponax {exponax.__version__}",
            note=f"{1e3 * pair.ours / steps:.2f} ms against {1e3 * pair.theirs / steps:.2f} ms",
        )  # fmt: skip


class ConservativeBurgers(pm.PDE):
    """∂u/∂t + ½∇·(u ⊗ u) = ν∇²u, exponax's conservative form: five transforms an evaluation."""

    nu: pm.Coefficient = pm.coefficient(0.01)
    fields = {"u": pm.Vector()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.convection, self.diffusion))}

    def convection(self, p):
        return 0.5 * jnp.outer(p.u, p.u)

    def diffusion(self, p):
        return -self.nu(p) * p.grad.u


def burgers_2d_step() -> Iterable[Row]:
    """Both forms in two dimensions, 256², each beside exponax's solver of the same equation."""
    exponax = _exponax()
    if exponax is None:
        yield missing("Burgers 2-D, 256², ETDRK4 step", "exponax", "not installed")
        return
    points, h, steps = 256, 1e-3, 10
    label = f"exponax {exponax.__version__}"
    for conservative in (True, False):
        form = "½∇·(u ⊗ u)" if conservative else "u·∇u"
        problem = _burgers_2d(conservative)
        march, z, system = _march(problem, points, h, steps)
        count = sum(stage.transforms for stage in system.plan.stages)
        inner = exponax.stepper.Burgers(
            2, 2 * np.pi, points, h, diffusivity=0.01, conservative=conservative, order=4
        )
        theirs = _peer(inner, steps)
        # Of the processor: the target is for one core.
        pair = interleaved(
            lambda m=march, z=z: m(z), lambda t=theirs, z=z: t(z), 9, time.process_time
        )
        yield row(
            f"Burgers 2-D 256², {form}, ETDRK4 step relative to exponax", pair.ratio, 0.8,
            peer=label,
            note=f"{1e3 * pair.ours / steps:.2f} ms against {1e3 * pair.theirs / steps:.2f} ms; "
            f"{count} transforms an evaluation",
        )  # fmt: skip
        ours, other = march(z), theirs(z)
        difference = float(jnp.abs(ours - other).max() / jnp.abs(other).max())
        check = f"Burgers 2-D 256², {form}, 10 steps, difference to exponax"
        yield row(check, difference, 1e-12, peer=label)


def _burgers_2d(conservative: bool) -> Problem:
    def start(x):
        u = jnp.sin(x[0]) * jnp.cos(x[1])
        return jnp.stack([u, jnp.cos(x[0] + 2 * x[1]) + 0.3 * u])

    pde = ConservativeBurgers if conservative else pm.library.VectorBurgers
    return pm.Problem(
        pde(nu=0.01),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 0.1),
        initial={"u": start},
    )


def taylor_green_step() -> Iterable[Row]:
    """Taylor–Green 64³ in velocity form: eight transforms an evaluation."""
    exponax = _exponax()
    points, h, steps = 64, 1e-2, 5
    problem = pm.library.taylor_green_3d()
    count = sum(stage.transforms for stage in pm.Fourier(points=16).discretize(problem).plan.stages)
    yield row("Taylor–Green 3-D, transforms an evaluation", count, 8)
    for precision, target in (("float64", 0.62), ("float32", 0.7)):
        name = f"Taylor–Green 64³, {precision}, ETDRK4 step relative to exponax"
        if exponax is None:
            yield missing(name, "exponax", "not installed")
            continue
        jax.config.update("jax_enable_x64", precision == "float64")
        try:
            march, z, system = _march(problem, points, h, steps)
            inner = exponax.stepper.NavierStokesVelocity(
                3, 2 * np.pi, points, h, diffusivity=1 / 200, order=4
            )
            theirs = _peer(inner, steps)
            pair = interleaved(lambda m=march, z=z: m(z), lambda t=theirs, z=z: t(z), 5)
            velocity = system.recover(march(march(z)), jnp.zeros(()))[:3]
            other = theirs(theirs(z))
            difference = float(jnp.abs(velocity - other).max() / jnp.abs(other).max())
        finally:
            jax.config.update("jax_enable_x64", True)
        yield row(
            name, pair.ratio, target, peer=f"exponax {exponax.__version__}",
            note=f"{1e3 * pair.ours / steps:.0f} ms against {1e3 * pair.theirs / steps:.0f} ms",
        )  # fmt: skip
        if precision == "float64":
            yield row("Taylor–Green 64³, 10 steps, difference to exponax", difference, 1e-12)


CHECKS: Checks = {
    "ks step": ks_step,
    "ks states": exponax_trajectory,
    "kolmogorov step": kolmogorov_step,
    "burgers 2d step": burgers_2d_step,
    "taylor green step": taylor_green_step,
    "kdv": kdv,
    "burgers exact": burgers,
    "taylor green exact": taylor_green,
}
