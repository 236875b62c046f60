"""Random features: an affine problem as one linear least-squares solve."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from pdes import Problem, term_dependence
from pdes._pde import sample_point
from physml import networks
from physml.losses import (
    Collocation,
    Trial,
    data_scales,
    hard_constraints,
    output_shapes,
    problem_inputs,
    stacked,
)
from physml.methods._neural import check_precision
from physml.methods._pinn import represent, unsupported_regions
from physml.networks import partition
from solvers import Method, Run, Solution, SolverError, Stats


@dataclasses.dataclass(frozen=True)
class LinearSystem:
    """Rows J c ≈ −r of all residuals for the coefficients c of the features.

    Attributes:
        objective: the residuals. params: where the coefficients are zero. batch: the points.
    """

    objective: Collocation
    params: Any
    batch: Any
    bandwidth: tuple[float, ...]


class RandomFeatures(Method):
    """u = Σ cⱼ sin(wⱼ·ξ + bⱼ) with fixed random w and b: c solves all residuals by least squares.

    An affine problem needs no training: its strong residuals at collocation points are affine in
    c. Rows are scaled by their largest entry and solved by LAPACK with small singular values
    dropped, which gives nearly all the digits of float64 for smooth solutions.

    Arguments:
        features: number of features of each field.
        bandwidth: range of the frequencies w in ξ ∈ [−1, 1], a number or one for each input (cos
            and sin of a periodic direction are two); 1.3 to 1.6 times the highest of the solution
            is best. None tries several on a smaller system and keeps the one with
            the least residual at points that it did not see.
        points, boundary_points: collocation points in the interior, and on each part of the
            boundary (twice as many at the start).
        cutoff: singular values below cutoff times the largest are dropped.
        constraints: as for `PINN`; "soft" by default.

    Source: Chen, Chi, E and Yang (2022), random feature method; Dong and Li (2021).
    """

    features: int = eqx.field(static=True, default=800)
    bandwidth: float | tuple[float, ...] | None = eqx.field(static=True, default=None)
    points: int | None = eqx.field(static=True, default=None)
    boundary_points: int | None = eqx.field(static=True, default=None)
    activation: str = eqx.field(static=True, default="sin")
    cutoff: float = eqx.field(static=True, default=1e-14)
    constraints: str = eqx.field(static=True, default="soft")
    mixed: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if self.features < 1:
            raise ValueError(f"features must be positive, got {self.features!r}")
        if self.bandwidth is not None and not np.all(np.asarray(self.bandwidth) > 0):
            raise ValueError(f"bandwidth must be positive, got {self.bandwidth!r}")

    @property
    def name(self) -> str:
        return "Random features"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem: Problem) -> str | None:
        for name, form in problem.forms().items():
            for term in form.all_terms():
                if not form.dependence(term).affine:
                    label = getattr(term, "__name__", "a term")
                    return (
                        f"{label!r} in the equation of {name!r} is not affine in the fields, and "
                        "this method solves one linear system; use pm.PINN"
                    )
        reason = _nonlinear_condition(problem)
        return reason or unsupported_regions(problem)

    def refined(self, factor: float) -> RandomFeatures:
        return dataclasses.replace(self, features=max(int(self.features * factor), 1))

    def discretize(self, problem: Problem) -> LinearSystem:
        return self.system(problem, 0, self.features, self.bandwidth or 4.0)

    def system(
        self, problem: Problem, seed: int, features: int, bandwidth: Any, sample: int = 0
    ) -> LinearSystem:
        """The residuals with features of one bandwidth, on the sample of one number."""
        self.check(problem)
        check_precision("float64", "this method needs float64")
        shapes = output_shapes(problem, self.mixed)
        inputs = problem_inputs(problem)
        hard = hard_constraints(problem, shapes, self.constraints)
        trial = Trial(
            inputs=inputs,
            shapes=tuple(shapes.items()),
            scales=tuple(data_scales(problem, shapes).values()),
            shaping=hard.shaping,
        )
        network = networks.RandomFeatures(
            inputs.size,
            trial.out_size,
            features=features,
            bandwidth=bandwidth,
            activation=self.activation,
            key=jax.random.key(seed),
        )
        params, static = partition({"network": network, "pde": None})
        objective = Collocation(problem, trial, static, hard)
        counts = self._counts(features, problem)
        batch = stacked(objective.sample(counts, seed + 1000 * sample))
        width = np.broadcast_to(np.asarray(bandwidth, float), (inputs.size,))
        return LinearSystem(objective, params, batch, tuple(width.tolist()))

    def _counts(self, features: int, problem: Problem) -> dict[str, int]:
        inside = self.points or 2 * features
        around = self.boundary_points or max(features // 5, 40)
        return {"interior": inside, "boundary": around, "initial": 2 * around}

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        begin = time.perf_counter()
        if self.bandwidth is None:
            trial, notes = self._choose(problem, run.seed)
        else:
            trial, notes = self._trial(problem, run.seed, self.bandwidth), ()
        representation, solved = represent(trial.system.objective, trial.params)
        stats = Stats(
            unknowns=self.features * len(problem.shapes),
            run_seconds=time.perf_counter() - begin,
            iterations=1,
            notes=notes,
            extra={
                "residual": trial.residual,
                "rank": trial.rank,
                "bandwidth": trial.system.bandwidth,
            },
        )
        return Solution(solved, representation, self, stats, trial.params)

    def _trial(self, problem: Problem, seed: int, bandwidth: Any) -> Trained:
        system = self.system(problem, seed, self.features, bandwidth)
        coefficients, residual, rank = solve_least_squares(system, self.cutoff)
        return Trained(system, with_coefficients(system.params, coefficients), residual, rank)

    def _choose(self, problem: Problem, seed: int) -> tuple[Trained, tuple[str, ...]]:
        """The solve with the least residual at points that it did not see.

        One bandwidth for all inputs first; where none resolves the solution, one input
        direction after the other is made wider or narrower.
        """
        start = self.system(problem, seed, self.features, 1.0, sample=1)
        unit = max(_size(start, start.params, start.batch), 1e-300)
        best, least, tried = None, float("inf"), 0
        for bandwidth in _BANDWIDTHS:
            trial, tried = self._trial(problem, seed, bandwidth), tried + 1
            size = _size(trial.system, trial.params, start.batch) / unit
            if best is None or size < least:
                best, least = trial, size
            elif least < _RESOLVED and size > 10 * least:
                break
        assert best is not None
        for group in _directions(problem):
            for factor in (0.25, 0.5, 2.0, 4.0):
                if least < _RESOLVED:
                    break
                width = np.array(best.system.bandwidth)
                width[group] *= factor
                trial, tried = self._trial(problem, seed, width), tried + 1
                size = _size(trial.system, trial.params, start.batch) / unit
                if size < least:
                    best, least = trial, size
        widths = ", ".join(f"{w:g}" for w in best.system.bandwidth)
        return best, (f"bandwidth {widths} of {tried} tried: held-out residual {least:.1e}",)


_BANDWIDTHS = (2.5, 4.0, 6.5, 10.0, 16.0, 25.0, 40.0)
# Below this relative residual the solution is resolved, and wider features only lose digits.
_RESOLVED = 1e-6


@dataclasses.dataclass(frozen=True)
class Trained:
    """A solved system: its parameters, the relative residual of its rows, its rank."""

    system: LinearSystem
    params: Any
    residual: float
    rank: int


def _directions(problem: Problem) -> list[list[int]]:
    """The network's inputs that belong to each direction of space, and to time."""
    groups, position = [], 0
    for periodic in problem.domain.periodic:
        count = 2 if periodic else 1
        groups.append(list(range(position, position + count)))
        position += count
    return groups if problem.time is None else [*groups, [position]]


def solve_least_squares(system: LinearSystem, cutoff: float) -> tuple[np.ndarray, float, int]:
    """Coefficients, the relative residual of the scaled rows, and the rank.

    Raises:
        SolverError: rows that are not finite, with the name of their block.
    """
    pairs = jacobians(system.objective, system.params, system.batch)
    for name, (r, rows) in pairs.items():
        if not (np.isfinite(r).all() and np.isfinite(rows).all()):
            raise SolverError(
                "not_finite",
                f"the residual {name!r} is not finite; check its data and coefficients",
            )
    right = -np.concatenate([np.asarray(r) for r, _ in pairs.values()])
    matrix = np.concatenate([np.asarray(rows) for _, rows in pairs.values()])
    largest = np.abs(matrix).max(axis=1)
    scale = 1.0 / np.where(largest > 0, largest, 1.0)
    matrix, right = matrix * scale[:, None], right * scale
    answer: Any = scipy.linalg.lstsq(
        matrix, right, cond=cutoff, lapack_driver="gelsd", check_finite=False
    )
    solution, rank = answer[0], answer[2]
    gap = np.linalg.norm(matrix @ solution - right) / max(np.linalg.norm(right), 1e-300)
    return solution, float(gap), int(rank)


def with_coefficients(params: Any, coefficients: np.ndarray) -> Any:
    """The parameters with new coefficients of the features."""
    shape = params["network"].coefficients.shape
    return eqx.tree_at(
        lambda p: p["network"].coefficients, params, jnp.asarray(coefficients).reshape(shape)
    )


@eqx.filter_jit
def jacobians(objective: Collocation, params: Any, batch: Any) -> dict[str, Any]:
    """Each block's residual and its Jacobian in the coefficients."""
    return {name: block.jacobian(params) for name, block in objective.blocks(batch).items()}


def _size(system: LinearSystem, params: Any, batch: Any) -> float:
    value = float(_loss(system.objective, params, batch))
    return value**0.5 if np.isfinite(value) else float("inf")


@eqx.filter_jit
def _loss(objective: Collocation, params: Any, batch: Any) -> jax.Array:
    return objective.loss(params, batch)


def _nonlinear_condition(problem: Problem) -> str | None:
    forms = problem.forms()
    point = sample_point(problem.shapes, problem.dim, normal=True)
    for part, conditions in problem.conditions.items():
        for name, condition in conditions.items():
            if condition.all_essential or condition.free:
                continue
            form = forms[name]
            if not term_dependence(lambda p, c=condition, f=form: c.natural(f, p), point).affine:
                return (
                    f"the condition of {name!r} on {part!r} is not affine in the fields, and this "
                    "method solves one linear system; use pm.PINN"
                )
    return None
