"""Physics-informed neural network: strong residuals at points, trained by Gauss–Newton."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx

from pdes import Observations, Problem
from physml.losses import (
    Collocation,
    Hard,
    hard_constraints,
    interior_points,
    output_shapes,
    point_residuals,
    solenoidal_constraint,
    solenoidal_hard,
    stacked,
)
from physml.methods._multi_stage import solve_in_stages
from physml.methods._neural import (
    NeuralFields,
    Setup,
    check_precision,
    one_network,
    sampler_seed,
    solenoidal_network,
    train_setup,
)
from physml.methods._refining import REFINING, Refining
from physml.networks import partition
from physml.training import Weighting, residual_adaptive
from solvers import Method, Run, Solution


class PINN(Method):
    """Minimises Σ w · mean r² over the strong residuals of equations and conditions.

    The trial function is u = offset + factor · N(x, t): Dirichlet and initial data that are
    smooth and compatible hold exactly, periodicity always, the rest are residuals.

    Arguments:
        network: a factory `factory(in_size, out_size, key=key)` or a module of these sizes; its
            inputs are x and t in [−1, 1], with cos and sin in periodic directions. By default a
            tanh perceptron of about a thousand parameters.
        harmonics: wavenumbers k of the inputs cos kθ, sin kθ in periodic directions.
        optimizer: an optimizer, a `Phase` or a sequence of them; None for the one that suits the
            numbers of parameters and points, `pm.optimizers.automatic`: mostly Gauss–Newton.
        points: collocation points in the interior; five a parameter, with power=1, for the last
            digits of a solution with a layer (fewer are fitted, and others are not).
        boundary_points: on each part of the boundary, and twice as many at the start, where
            conditions are residuals. In many dimensions name the whole boundary one part,
            `box.name("shell", lambda x: True)`: each part is a residual that is compiled.
        constraints: "auto", "hard" (an error where it can't be had), "soft", or "near": as "auto",
            but u = u₀ + N is near the initial data u₀, whose deviation N is a residual with the
            weight of "initial". In slabs of a stiff problem it lets go of what is left in fast
            modes, while slow ones are held.
        sampling: "rad" (residual-adaptive, Wu et al. 2023), "rar" or "rar-d" (points of large
            residual are added in the place of uniform ones, Lu et al. 2021, Wu et al. 2023), "r3"
            (points above the mean residual stay, Daw et al. 2023), "sobol", "uniform" or "grid".
        resample: steps between new points; None keeps them.
        weighting: weights that adapt, from physml.training: `Causal`, `GradientNorm`, `NTK`,
            `ResidualAttention`, `SelfAdaptive`; None for none.
        power, offset: k and c of the adaptive density |r|^k / mean |r|^k + c.
        weights: w by block ("equation u", "boundary left u", "initial u", …) or first word.
        mixed: definitions are outputs of the network with residuals of their own.
        divergence_free: the velocity of a problem with the constraint ∇·u = 0 is the curl of a
            stream function (two dimensions) or a vector potential (three): the constraint then
            holds exactly and has no residual, while the velocity's values are residuals.
        average: the answer is a mean of the steps of the last phase, later ones weighted more. For
            points that are new at every step (resample=1) and fewer than the parameters, where
            each step fits its own points.
        stages: networks trained one after another, each on what those before it leave, scaled by
            the magnitude and frequency of their residual; the budget is shared equally.
        seconds: budget where the run gives none. tolerance: loss, relative to the first, at
            which training ends. dtype: "float64", or "float32" with a first-order optimizer.

    Source: Raissi, Perdikaris and Karniadakis (2019); Gauss–Newton: Müller and Zeinhofer (2023);
    stages: Wang and Lai (2024).
    """

    network: Any = None
    optimizer: Any = None
    points: int | None = eqx.field(static=True, default=None)
    boundary_points: int | None = eqx.field(static=True, default=None)
    constraints: str = eqx.field(static=True, default="auto")
    sampling: str = eqx.field(static=True, default="rad")
    resample: int | None = eqx.field(static=True, default=10)
    power: float = eqx.field(static=True, default=2.0)
    offset: float = eqx.field(static=True, default=1.0)
    weights: Mapping[str, float] | None = None
    mixed: bool = eqx.field(static=True, default=False)
    divergence_free: bool = eqx.field(static=True, default=False)
    stages: int = eqx.field(static=True, default=1)
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    dtype: str = eqx.field(static=True, default="float64")
    harmonics: int = eqx.field(static=True, default=1)
    weighting: Weighting | None = None
    average: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        schemes = ("rad", *REFINING, "sobol", "uniform", "grid")
        if self.sampling not in schemes:
            raise ValueError(f"sampling is one of {schemes}, got {self.sampling!r}")
        for name in ("points", "boundary_points", "resample", "harmonics", "stages"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, got {value!r}")

    @property
    def name(self) -> str:
        return "PINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        return unsupported_regions(problem)

    def discretize(self, problem: Problem) -> Setup:
        return self.setup(problem, 0)

    def setup(
        self,
        problem: Problem,
        seed: int,
        observations: tuple[Observations, ...] = (),
        where: Callable | None = None,
    ) -> Setup:
        """The objective, its parameters and its points.

        Arguments:
            observations: measured values to match. where: pde -> coefficients to identify.
        """
        self.check(problem)
        dtype = check_precision(self.dtype)
        shapes = output_shapes(problem, self.mixed)
        if self.divergence_free:
            exact, velocity = solenoidal_constraint(problem)
            hard = solenoidal_hard(self.constraints, exact, velocity)
            trial, network = solenoidal_network(
                problem, shapes, velocity, self.network, seed, dtype, self.harmonics
            )
        else:
            hard = hard_constraints(problem, shapes, self.constraints)
            trial, network = one_network(
                problem, shapes, hard, self.network, seed, dtype, self.harmonics
            )
        identified = None if where is None else where(problem.pde)
        params, static = partition({"network": network, "pde": identified})
        objective = Collocation(
            problem, trial, static, hard, self.weights, where, tuple(observations)
        )
        return Setup(
            objective,
            params,
            self.sampler(objective),
            lambda p: represent(objective, p),
            notes=exactness_notes(hard),
        )

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        return self.fit(problem, (), None, run)

    def fit(
        self,
        problem: Problem,
        observations: tuple[Observations, ...],
        where: Callable | None,
        run: Run = Run(),  # noqa: B008  (immutable)
    ) -> Solution:
        """Solves and, with observations, identifies the coefficients `where(pde)`.

        The solution's problem holds the identified coefficients.
        """
        if self.stages > 1:
            return solve_in_stages(self, problem, observations, where, run)
        since = time.perf_counter()
        return train_setup(
            self,
            problem,
            self.setup(problem, run.seed, observations, where),
            run,
            optimizer=self.optimizer,
            seconds=self.seconds,
            resample=self.resample,
            tolerance=self.tolerance,
            since=since,
            weighting=self.weighting,
            average=self.average,
        )

    def sampler(self, objective: Collocation) -> Callable[[Any, Any, int], Any]:
        """Points for each step, by this method's options."""
        inside = self.points or default_points(objective.problem)
        around = self.boundary_points or max(inside // 10, 64)
        counts = {"interior": inside, "boundary": around, "initial": 2 * around}
        if self.sampling in REFINING:
            return Refining(
                objective, counts, self.sampling, self.power, self.offset, self.resample or 1
            )
        adaptive = self.sampling == "rad"
        scheme = "sobol" if adaptive else self.sampling

        def sample(key: Any, params: Any, step: int) -> Any:
            batch = stacked(objective.sample(counts, sampler_seed(key), scheme))
            if adaptive and step > 0:
                pool = interior_points(objective.problem, 10 * inside, sampler_seed(key))
                candidates = stacked(pool)
                size = point_residuals(objective, params, candidates)
                batch["interior"] = residual_adaptive(
                    key, candidates, size, inside, power=self.power, offset=self.offset
                )
            return batch

        return sample


def represent(objective: Collocation, params: Any) -> tuple[NeuralFields, Problem]:
    """The fields of trained parameters, and the problem with what was identified."""
    problem, network = objective.bound(params)
    return NeuralFields(problem, objective.trial, network), problem


def default_points(problem: Problem) -> int:
    """Collocation points: two or three for each parameter of the default network."""
    return 1500 if problem.steady and problem.dim <= 2 else 3000


def unsupported_regions(problem: Problem) -> str | None:
    """Why a collocation method can't treat the domain's materials, if it has any."""
    if len(problem.domain.regions) > 1:
        return (
            "its coefficients jump between materials, where a smooth network can't follow; use "
            "pm.FiniteElement, or pm.CPINN with a subdomain a material"
        )
    return None


def exactness_notes(hard: Hard) -> tuple[str, ...]:
    """Which conditions hold exactly, and why others do not, for reports."""
    exact = [f"the equation of {name}" for name in sorted(hard.equations)]
    exact += [f"{name} on {part}" for part, name in sorted(hard.boundary)]
    exact += [f"{name} at the start" for name in sorted(hard.initial)]
    built = (f"exact by construction: {', '.join(exact)}",) if exact else ()
    return (*built, *(f"as residuals: {note}" for note in hard.notes))
