"""Orders of every stepper of Fourier problems: stiff, dispersive and not stiff."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row
from pdes import Problem, library
from solvers.spectral.fourier_run import end_state
from solvers.time import Scheme
from solvers.time._compiled import timed_call

_SCHEMES = [Scheme(family, n) for family in ("etdrk", "imex", "sbdf") for n in (1, 2, 3, 4)]
# The fewest steps of four runs, each with twice as many, such that errors are within 1e-10 … 1e-3.
_STEPS = {
    "not stiff": {1: 1280, 2: 160, 3: 80, 4: 20},
    "stiff": {1: 1280, 2: 160, 3: 40, 4: 8},
    "dispersive": {1: 20480, 2: 1280, 3: 320, 4: 80},
}
_LATER = {("imex", "dispersive"), ("sbdf", "stiff")}  # whose orders show with smaller steps


def _line(pde: Any, start: Callable[[Any], Any], length: float = 2 * np.pi) -> Problem:
    domain = pm.Interval(0.0, length, periodic=True)
    return pm.Problem(pde, domain, time=(0.0, 1.0), initial={"u": start})


def _problems() -> dict[str, tuple[Problem, int]]:
    """A problem and its points."""
    wave = lambda x: jnp.sin(x[0]) + 0.3 * jnp.cos(2 * x[0])
    front = lambda x: 0.5 + 0.3 * jnp.cos(x[0])
    return {
        "not stiff": (_line(library.Burgers(nu=0.1), lambda x: 1 + 0.5 * jnp.sin(x[0])), 32),
        "stiff": (_line(library.FisherKPP(), front), 128),
        "dispersive": (_line(library.KortewegDeVries(alpha=1.0, mu=0.1), wave), 32),
    }


def _rates(problem: Problem, points: int, scheme: Scheme, first: int, reference: Any):
    """Errors of four runs and the slope of the line through their logarithms."""
    system = pm.Fourier(points=points).discretize(problem)
    errors = []
    for steps in first * 2 ** np.arange(4):
        end = _end(system, scheme, int(steps))
        errors.append(float(np.linalg.norm(end - reference) / np.linalg.norm(reference)))
    slope = -np.polyfit(np.arange(4), np.log2(errors), 1)[0]
    return errors, float(slope)


def _end(system: Any, scheme: Scheme, steps: int) -> Any:
    until = jnp.asarray(system.problem.time[1])
    return np.asarray(timed_call(end_state, system, scheme, jnp.asarray(steps), until)[0])


def orders() -> Iterable[Row]:
    for name, (problem, points) in _problems().items():
        system = pm.Fourier(points=points).discretize(problem)
        reference = _end(system, Scheme("etdrk", 4), 20480)
        largest = float(jnp.abs(system.linear().values).max())
        for scheme in _SCHEMES:
            first = _STEPS[name][scheme.order]
            if scheme.order == 4 and (scheme.family, name) in _LATER:
                first *= 2
            errors, slope = _rates(problem, points, scheme, first, reference)
            note = (
                f"errors {errors[0]:.1e} … {errors[-1]:.1e}, h|L| {largest / first:.2g} … "
                f"{largest / first / 8:.2g}"
            )
            label = f"order of {scheme.label}, {name}"
            if scheme == Scheme("sbdf", 4) and name == "dispersive":
                # BDF4 is A(73°)-stable: the imaginary axis is outside near the origin.
                yield row(label, slope, note=f"unstable for imaginary L, as BDF4 is; {note}")
                continue
            within = (scheme.order - 0.1, scheme.order + 0.1)
            yield row(label, slope, scheme.order, within=within, note=note)


def reduction() -> Iterable[Row]:
    """Kuramoto–Sivashinsky, −k⁴: the classical order is only reached where h|L| of the modes that
    matter is small (Hochbruck & Ostermann, 2005; Kennedy & Carpenter, 2003)."""
    start = lambda x: jnp.cos(x[0] / 4) * (1 + jnp.sin(x[0] / 4))
    problem = _line(library.KuramotoSivashinsky(), start, 8 * np.pi)
    system = pm.Fourier(points=64).discretize(problem)
    reference = _end(system, Scheme("etdrk", 4), 20480)
    for scheme in _SCHEMES:
        first = 160 if scheme.order == 1 else 10 if scheme.order == 4 else 20
        errors, slope = _rates(problem, 64, scheme, first, reference)
        note = f"no target: stiff order; errors {errors[0]:.1e} … {errors[-1]:.1e}"
        yield row(f"order of {scheme.label}, KS, h|L| > 50", slope, note=note)


CHECKS: Checks = {"orders": orders, "order reduction": reduction}
