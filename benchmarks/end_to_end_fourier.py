"""Fourier: exact solutions, agreement with exponax, and the time of a step beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, missing, row
from pdes import library


def _error(problem, solution, field: str, t: float) -> float:
    x = jnp.asarray(problem.domain.sample_interior(2000, seed=5))
    found = solution[field](x, t)
    exact = jax.vmap(lambda y: problem.exact_value(field, y, t))(x)
    return float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))


def kdv() -> Iterable[Row]:
    problem = library.kdv()
    errors = [
        _error(problem, pm.Fourier(points=256, dt=1 / n).solve(problem), "u", 1.0)
        for n in (125, 250, 500)
    ]
    yield row("KdV soliton, 500 steps of ETDRK4, relative L2", errors[2], 2e-7)
    order = np.log2(errors[1] / errors[2])
    yield row("KdV soliton, order between 250 and 500 steps", order, 3.9, at_least=True)
    two = library.kdv_two_solitons()
    solution = pm.Fourier(points=512, dt=1e-3).solve(two)
    yield row("KdV, two solitons, N = 512, relative L2", _error(two, solution, "u", 8.0), 1e-6)


def burgers() -> Iterable[Row]:
    problem = pm.Problem(
        library.Burgers(nu=0.05),
        pm.Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: -jnp.sin(jnp.pi * x[0])},
        exact={"u": lambda x, t: library.cole_hopf(x, t, 0.05)},
    )
    solution = pm.Fourier(points=192, dt=1e-3).solve(problem)
    yield row("Burgers ν=0.05, N = 192, relative L2", _error(problem, solution, "u", 1.0), 1e-11)


def taylor_green() -> Iterable[Row]:
    nu = 0.05

    def velocity(x, t):
        flow = jnp.stack([jnp.sin(x[0]) * jnp.cos(x[1]), -jnp.cos(x[0]) * jnp.sin(x[1])])
        return jnp.exp(-2 * nu * t) * flow

    problem = pm.Problem(
        library.NavierStokes(nu=nu),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: velocity(x, 0.0)},
        gauge={"p": pm.ZeroMean()},
        exact={"u": velocity},
    )
    solution = pm.Fourier(points=32, dt=0.05).solve(problem)
    error = _error(problem, solution, "u", 1.0)
    yield row("Navier–Stokes, Taylor–Green 2-D, relative L2", error, 1e-13)


def _ks_start(x):
    return jnp.sin(2 * jnp.pi * x[0] / 60) + 0.5 * jnp.cos(6 * jnp.pi * x[0] / 60 + 0.4)


def _ks(end: float):
    return pm.Problem(
        library.KuramotoSivashinsky(),
        pm.Interval(0.0, 60.0, periodic=True),
        time=(0.0, end),
        initial={"u": _ks_start},
    )


def exponax_trajectory() -> Iterable[Row]:
    name = "KS, L = 60, N = 200, 200 steps of ETDRK2, difference"
    try:
        import exponax
    except ImportError:
        yield missing(name, "exponax", "not installed")
        return
    stepper = exponax.stepper.KuramotoSivashinskyConservative(1, 60.0, 200, 0.05, order=2)
    x = jnp.linspace(0.0, 60.0, 200, endpoint=False)[:, None]
    start = jax.vmap(_ks_start)(x)[None]
    theirs = exponax.rollout(stepper, 200)(start)[:, 0]
    method = pm.Fourier(points=200, dt=0.05, order=2)
    ours = pm.trajectory(_ks(10.0), method, start, 0.05 * np.arange(1, 201))[0]
    difference = float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())
    yield row(name, difference, 1e-10, peer=f"exponax {exponax.__version__}")


def step_time() -> Iterable[Row]:
    """ETDRK4 steps, the peer interleaved: medians of the ratio of 13 pairs."""
    try:
        import exponax
    except ImportError:
        yield missing("KS, ETDRK4 step against exponax", "exponax", "not installed")
        return
    from solvers.time._exponential import ETDRK

    steps, h = 1000, 0.01
    for points in (256, 512, 1024, 2048):
        inner = exponax.stepper.KuramotoSivashinskyConservative(1, 60.0, points, h, order=4)
        repeated = exponax.RepeatedStepper(inner, steps)
        theirs = jax.jit(lambda z, repeated=repeated: repeated.step_fourier(z))
        system = pm.Fourier(points=points).discretize(_ks(10.0))
        solver = ETDRK(system.linear(), h, 4)

        @jax.jit
        def ours(z, solver=solver, system=system):
            def one(z, _):
                return solver.advance(system, 0.0, z), None

            return jax.lax.scan(one, z, None, length=steps)[0]

        z = system.initial_state()
        ratios, mine = [], []
        jax.block_until_ready((ours(z), theirs(z)))
        for _ in range(13):
            seconds = []
            for function in (ours, theirs):
                start = time.perf_counter()
                jax.block_until_ready(function(z))
                seconds.append(time.perf_counter() - start)
            ratios.append(seconds[0] / seconds[1])
            mine.append(seconds[0] / steps)
        yield row(
            f"KS, ETDRK4 step, N = {points}, time relative to exponax",
            float(np.median(ratios)),
            1.0,
            peer=f"exponax {exponax.__version__}",
            note=f"{1e6 * float(np.median(mine)):.1f} µs a step",
        )


class Forced(library.Burgers):
    """∂u/∂t + ∂(½u²)/∂x = ν ∂²u/∂x² + f cos x."""

    force: pm.Coefficient = pm.coefficient(0.5)

    def equations(self):
        flux = (self.convection, self.diffusion)
        return {"u": pm.Balance(flux=flux, source=(self.forcing,))}

    def forcing(self, p):
        return self.force(p) * jnp.cos(p.x[0])


def gradients() -> Iterable[Row]:
    """Periodic problems have no boundary data."""

    def objective(value, what):
        amplitude = value if what == "initial" else 1.0
        nu = value if what == "nu" else 0.1
        force = value if what == "source" else 0.5
        problem = pm.Problem(
            Forced(nu=nu, force=force),
            pm.Interval(0.0, 2 * np.pi, periodic=True),
            time=(0.0, 0.5),
            initial={"u": lambda x: amplitude * jnp.sin(x[0])},
        )
        solution = pm.Fourier(points=32, dt=0.02).solve(problem)
        return jnp.sum(solution["u"](jnp.linspace(0.1, 5.0, 7)[:, None], 0.431) ** 2)

    for what, at in (("nu", 0.1), ("source", 0.5), ("initial", 1.0)):
        plain = jax.jit(lambda v, w=what: objective(v, w))
        slope = float(jax.jit(jax.grad(lambda v, w=what: objective(v, w)))(at))
        worst = min(
            abs(float(plain(at + e) - plain(at - e)) / (2 * e) - slope)
            for e in (1e-3, 3e-4, 1e-4, 3e-5)
        )
        yield row(f"Fourier, gradient in {what} against differences", worst / abs(slope), 1e-6)


CHECKS: Checks = {
    "fourier_kdv": kdv,
    "fourier_burgers": burgers,
    "fourier_taylor_green": taylor_green,
    "fourier_exponax": exponax_trajectory,
    "fourier_step": step_time,
    "fourier_gradients": gradients,
}
