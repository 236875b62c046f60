"""FiniteVolume: balance laws in one dimension by cell averages."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Problem
from solvers._method import Method, Run
from solvers._result import SolverError
from solvers._solution import Solution, Stats
from solvers.fv._limiter import LIMITERS
from solvers.fv._riemann import RIEMANN
from solvers.fv._solution import VolumeFunctions
from solvers.fv._system import VolumeSystem
from solvers.time import SSPRK3, CFLController, TimeSeries, integrate
from solvers.time._compiled import is_traced


class FiniteVolume(Method):
    """Finite volumes for ∂u/∂t + ∂F/∂x = s on an interval; conservative to round-off.

    Flux terms that do not use ∇u get a Riemann flux from limited states at faces (MUSCL, van
    Leer 1979), the others a central one. Explicit: a step obeys the CFL condition of waves and
    diffusion. Second order where the solution is smooth, first at extrema and shocks.

    Arguments:
        cells: number of equal cells, or their edges (cells + 1,).
        reconstruction: "muscl" or "constant" (first order).
        limiter: "mc", "van_leer" or "minmod". riemann: "rusanov".
        courant: share of a cell that the fastest wave may cross in a step.
        stepper: an explicit solver of diffrax. dt: fixed steps instead of the CFL condition.
        frames: how many states to keep, evenly spaced in time.
        positive: fields that must not become negative, such as a density.

    Raises:
        NotApplicable: see `inapplicable`.
        SolverError: "not_finite", "negative", "max_steps".
    """

    cells: Any = 1024
    reconstruction: str = eqx.field(static=True, default="muscl")
    limiter: str = eqx.field(static=True, default="mc")
    riemann: str = eqx.field(static=True, default="rusanov")
    courant: float = eqx.field(static=True, default=0.45)
    stepper: diffrax.AbstractSolver | None = None
    dt: float | None = eqx.field(static=True, default=None)
    frames: int = eqx.field(static=True, default=257)
    positive: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        for what, got, known in (
            ("reconstruction", self.reconstruction, ("muscl", "constant")),
            ("limiter", self.limiter, tuple(LIMITERS)),
            ("riemann", self.riemann, tuple(RIEMANN)),
        ):
            if got not in known:
                raise ValueError(f"{what} is one of {list(known)}, got {got!r}")
        if not 0 < self.courant <= 1:
            raise ValueError(f"courant lies in (0, 1], got {self.courant!r}")

    @property
    def name(self) -> str:
        return "Finite volumes"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        domain = problem.domain
        if not isinstance(domain, Box) or domain.dim != 1:
            return "finite volumes are for intervals; pm.FiniteElement takes other domains"
        if problem.steady:
            return "the problem is steady; pm.FiniteElement or pm.Chebyshev solves it"
        for name, form in problem.forms().items():
            if form.kind != "Balance":
                return (
                    f"{name!r} has a {form.kind.lower()}, not a balance law; pm.FiniteElement or "
                    "pm.Chebyshev takes it"
                )
            if form.has_inertia:
                return (
                    f"{name!r} has inertia: write it as two balance laws of first order, or use "
                    "pm.FiniteElement or pm.Chebyshev"
                )
            if not form.has_storage or form.equation.storage is not None:  # type: ignore[attr-defined]
                return (
                    f"{name!r} is not stored as it is (∂u/∂t alone); pm.FiniteElement or "
                    "pm.Chebyshev takes other storage"
                )
            for term, label in zip(form.equation.source, form.source_names, strict=True):
                if form.dependence(term).gradients:
                    return (
                        f"non-conservative: the source term {label!r} of {name!r} uses a gradient; "
                        "write it as a flux, or use pm.FiniteElement or pm.Chebyshev"
                    )
        if problem.zero_mean or problem.pins:
            return "a field is fixed by a gauge, which cell averages don't take"
        return None

    def discretize(self, problem: Problem) -> VolumeSystem:
        self.check(problem)
        limiter = "constant" if self.reconstruction == "constant" else self.limiter
        return VolumeSystem(problem, self._edges(problem), limiter, self.riemann, self.courant)

    def _edges(self, problem: Problem) -> Array:
        low, high = (float(end[0]) for end in problem.domain.bounds)
        if np.ndim(self.cells) == 0:
            if not isinstance(self.cells, (int, np.integer)) or self.cells < 4:
                raise ValueError(f"cells is a whole number of at least 4, got {self.cells!r}")
            return jnp.linspace(low, high, int(self.cells) + 1)
        edges = np.asarray(self.cells, float)
        if edges.ndim != 1 or len(edges) < 5 or not (np.diff(edges) > 0).all():
            raise ValueError("cells is a number or at least 5 increasing edges")
        if not np.allclose(edges[[0, -1]], [low, high], rtol=0, atol=1e-9 * (high - low)):
            raise ValueError(
                f"the edges go from {edges[0]:g} to {edges[-1]:g}, the domain from {low:g} to "
                f"{high:g}"
            )
        return jnp.asarray(edges)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008
        system = self.discretize(problem)
        assert problem.time is not None
        start = system.initial_state()
        times = jnp.linspace(*problem.time, self.frames)
        control: dict[str, Any] = {"dt": self.dt}
        if self.dt is None:
            control = {
                "controller": diffrax.ClipStepSizeController(CFLController(), step_ts=times[1:-1]),
                "max_steps": self._most_steps(system, start, problem.time),
            }
        found = integrate(
            system,
            problem.time,
            stepper=SSPRK3() if self.stepper is None else self.stepper,
            frames=times if self.dt is None else self.frames,
            start=start,
            slopes=system.rate,
            **control,
        )
        if not is_traced(found.series):
            self._check_positive(problem, system, found.series)
        return Solution(
            problem,
            _functions(problem, system, found.series),
            self,
            Stats(
                unknowns=start.size,
                compile_seconds=found.compile_seconds,
                run_seconds=found.run_seconds,
                iterations=0 if is_traced(found.steps) else found.steps,
                peak_memory=found.memory,
                notes=found.notes,
            ),
        )

    def _most_steps(self, system: VolumeSystem, start: Array, time: tuple[float, float]) -> int:
        """A bound on the number of steps: waves four times as fast as at the start."""
        if is_traced(system, start):
            return 65536
        first = float(eqx.filter_jit(VolumeSystem.stable_step)(system, start, jnp.asarray(time[0])))
        if not np.isfinite(first):
            raise SolverError("not_finite", "the speed of waves at the start is not finite")
        needed = 4 * (time[1] - time[0]) / first + self.frames + 1000
        return int(2 ** np.ceil(np.log2(needed)))

    def _check_positive(self, problem: Problem, system: VolumeSystem, series: TimeSeries) -> None:
        for name in self.positive:
            if name not in problem.shapes:
                raise ValueError(f"positive: no field {name!r}; there are {list(problem.shapes)}")
            start, size = next((i, k) for n, i, k in system.offsets if n == name)
            part = np.asarray(series.states)[:, start : start + size]
            below = part.reshape(len(part), -1).min(axis=1)
            if (below < 0).any():
                when = float(series.times[int(np.argmax(below < 0))])
                raise SolverError(
                    "negative",
                    f"{name!r} is negative ({below.min():.2e}) from t = {when:g} on: use the "
                    "minmod limiter, constant reconstruction or a smaller courant number",
                )


def _functions(problem: Problem, system: VolumeSystem, series: TimeSeries) -> VolumeFunctions:
    """With one more cell at each end, by the boundary conditions."""

    def pad(z: Array, t: Array) -> Array:
        return system._padded(z, t)[0][:, 1:-1].T

    states = jax.vmap(pad)(series.states, series.times)
    # Padding is affine in z, and its own change in time is that of the boundary data.
    slopes = jax.vmap(lambda z, s, t: jax.jvp(pad, (z, t), (s, jnp.ones_like(t)))[1])(
        series.states, series.slopes, series.times
    )
    zero = jnp.zeros_like(series.states[0])
    centres = system._padded(zero, series.times[0])[1][1:-1]
    return VolumeFunctions(
        TimeSeries(series.times, states, slopes, series.count),
        centres,
        system.offsets,
        tuple(problem.shapes.items()),
    )
