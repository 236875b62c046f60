"""Spectral PINN: residuals by their Fourier coefficients, each in the size of its error."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from pdes import Box, Observations, Problem
from physml.losses import (
    Collocation,
    Spectral,
    hard_constraints,
    output_shapes,
    spectral_batch,
    stacked,
)
from physml.methods._handover import FEWEST
from physml.methods._marching import March
from physml.methods._mirror_images import check_mirror_images
from physml.methods._neural import (
    Setup,
    check_precision,
    count_parameters,
    one_network,
    sampler_seed,
    train_setup,
)
from physml.methods._pinn import exactness_notes, represent
from physml.methods._spectral_report import dual_norms, summed, told_apart, warned
from physml.methods._vpinn import _each
from physml.networks import FourierSeries, OrthonormalSines, check_parity, partition
from physml.optimizers import GaussNewton, HessianFree, Optimizer
from solvers import Method, Run, Solution


class SpectralPINN(Method):
    """Minimises Σₖ (r̂ₖ/sₖ)² over the waves of a periodic box, at Gauss points of time.

    r̂ₖ are the Fourier coefficients of the strong residual and sₖ = 1/L + |λₖ| the rate at which a
    wave forgets: the residual's dual norm, and about the mean square of the solution's error (see
    `physml.losses.Spectral`). For stiff problems: in the mean square of r itself, an error of 10⁻⁷
    in a wave that decays at a rate of 10⁵ outweighs everything that a network has still to learn.
    It keeps eight digits where a PINN keeps four.

    The default network has `times − 1` functions of time, none faster than ±2 radians over it. The
    time is therefore cut into slabs, each a network of its own that starts from the state before:
    as long as their own residual allows, by `accuracy`. `pm.TimeSlabs(…, warm=False)` makes equal
    ones of a number that is known to do.

    Arguments:
        accuracy: the error that slabs may leave together, by the residual: the root mean square,
            relative to the largest that the field has had. Their lengths follow from it, and
            `harmonics` where none are given; `stats.extra["edges"]` has the ends of the slabs.
            None is one slab. So is a network of one's own, a steady problem, more than one
            direction, and an inverse problem. In double precision a slab leaves 3e-11 at least, in
            single 1e-4.
        network: as for `PINN`. By default, for one direction and time, `FourierSeries` with
            coefficients by `OrthonormalSines`; else a tanh perceptron.
        optimizer: as for `PINN`; with the default network Gauss–Newton from a small damping, since
            its first step is a linear fit, and beyond a thousand parameters `HessianFree` by units:
            the same steps without a matrix.
        harmonics: largest wavenumber in each direction, or one for all. What the solution has
            beyond it is neither tested nor in the default network. By default 48 in one dimension,
            doubled up to 768 while the residual of those without a test says so; 8 in two, 3 in
            three.
        points: grid points in each direction; 5/2 a harmonic by default, of which products of two
            waves are seen by those that are tested, but for the last quarter. times: Gauss points
            in time, more than the functions of time that the network has.
        start_points: points at the start, where initial data are residuals.
        parity: "even" or "odd" where all fields are so about the ends of the only direction (and
            its middle), and their equations too: half the tests, points and coefficients, for an
            eighth of the work. A network of one's own must have it as well, such as
            `FourierSeries(parity="even")`.
        constraints, weights, tolerance, seconds, dtype: as for `PINN`. target_loss: the loss, which
            is about the square of the error, at which training ends as well; slabs by `accuracy`
            have their own.

    `stats.extra["dual_norm"]` has the root of the loss by field, an estimate of the error (root of
    the mean square) as far as the equation damps or keeps it, and "untested" the same of what the
    training does not see: waves without a test, and those that its points take for others, on
    points twice as dense. Where it is larger, raise `harmonics`. "size" is that of the
    field; where one of them is beyond a hundredth of it, `stats.notes` says that the solution is
    not converged, or not resolved.

    Raises:
        NotApplicable: a domain that is not a box with every direction periodic.
        ValueError: numbers that are not positive, points that can't tell the harmonics apart, or a
            parity that the data, the network or the equations don't have.

    Sources: Du, Chalapathi and Krishnapriyan (2024), spectral losses; Rojas et al. (2024), dual
    norms.
    """

    network: Any = None
    optimizer: Any = None
    accuracy: float | None = eqx.field(static=True, default=1e-6)
    harmonics: int | Sequence[int] | None = eqx.field(static=True, default=None)
    points: int | Sequence[int] | None = eqx.field(static=True, default=None)
    times: int = eqx.field(static=True, default=10)
    start_points: int = eqx.field(static=True, default=400)
    parity: str | None = eqx.field(static=True, default=None)
    constraints: str = eqx.field(static=True, default="auto")
    weights: Mapping[str, float] | None = None
    seconds: float = eqx.field(static=True, default=60.0)
    tolerance: float = eqx.field(static=True, default=1e-22)
    target_loss: float = eqx.field(static=True, default=0.0)
    dtype: str = eqx.field(static=True, default="float64")

    def __check_init__(self):
        for name in ("times", "start_points"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, got {value!r}")
        if self.accuracy is not None and not 0 < self.accuracy < 1:
            raise ValueError(
                f"accuracy is a relative error between 0 and 1, or None, got {self.accuracy!r}"
            )
        check_parity(self.parity)

    @property
    def name(self) -> str:
        return "Spectral PINN"

    @property
    def neural(self) -> bool:
        return True

    def inapplicable(self, problem: Problem) -> str | None:
        if not isinstance(problem.domain, Box) or not all(problem.domain.periodic):
            return (
                "its tests are waves, and the domain is no box with every direction periodic; use "
                "pm.PINN, pm.VPINN or pm.RobustVPINN"
            )
        return None

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
        harmonics, points = self._sizes(problem)
        shapes = output_shapes(problem, mixed=False)
        hard = hard_constraints(problem, shapes, self.constraints)
        network = self.network or self._default_network(problem, harmonics)
        trial, network = one_network(problem, shapes, hard, network, seed, dtype)
        identified = None if where is None else where(problem.pde)
        params, static = partition({"network": network, "pde": identified})
        own, others = _parted(self.weights or {})
        conditions = Collocation(problem, trial, static, hard, others, where, tuple(observations))
        objective = Spectral(conditions, own)
        if self.parity is not None:
            check_mirror_images(conditions, params, self.parity)
        waves = spectral_batch(conditions, harmonics, points, self.times, self.parity)
        fixed = stacked(waves)
        # Of twice the waves none is taken for one that is tested, where products of two make them.
        finer = tuple(max(n, 4 * k + 2) for n, k in zip(points, harmonics, strict=True))
        judged = stacked(
            spectral_batch(
                conditions, harmonics, finer, self.times, self.parity, True, waves["sizes"]
            )
        )

        def sample(key: Any, params: Any, step: int) -> Any:
            start = {"initial": self.start_points}
            return stacked(conditions.sample(start, sampler_seed(key))) | {"fourier": fixed}

        def norms(params: Any) -> dict[str, Any]:
            return summed(dual_norms(objective, params, judged), 0 if problem.time is None else 2)

        return Setup(
            objective,
            params,
            sample,
            lambda p: represent(conditions, p),
            notes=(
                f"waves up to {' × '.join(map(str, harmonics))} on "
                f"{' × '.join(map(str, points))} points"
                + ("" if problem.time is None else f" at {self.times} times"),
                *exactness_notes(hard),
            ),
            report=norms,
        )

    @property
    def state_terms(self) -> int:
        """Terms of a series that holds any state of the default network, a power of two."""
        most = 0 if self.harmonics is None else int(np.max(self.harmonics))
        # With a tenth to tell by that nothing is left.
        return max(FEWEST, 2 ** int(np.ceil(np.log2(1.12 * most + 1))))

    def _sizes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        usual = ({1: 48, 2: 8}.get(problem.dim, 3),) * problem.dim
        harmonics = _each(self.harmonics, usual, "harmonics")
        even = tuple(2 * ((5 * k + 3) // 4) for k in harmonics)
        points = _each(self.points, even, "points")
        for k, n in zip(harmonics, points, strict=True):
            if n <= 2 * k:
                raise ValueError(f"points: {k} harmonics need more than {2 * k} points, got {n}")
        return harmonics, points

    def _default_network(self, problem: Problem, harmonics: tuple[int, ...]) -> Any:
        if problem.dim > 1 or problem.time is None:
            return None
        # One function of time less than Gauss points, the constant included.
        return _series(harmonics[0], max(self.times - 2, 1), self.parity)

    def solve(self, problem: Problem, run: Run = Run()) -> Solution:  # noqa: B008  (immutable)
        if not self._marches(problem):
            return self.fit(problem, (), None, run)
        self.check(problem)
        assert self.accuracy is not None
        least, _ = self._sizes(problem)
        waves = least if self.harmonics is not None else [least[0] * 2**k for k in range(_DOUBLED)]

        def inner(harmonics: int, target: float) -> SpectralPINN:
            # The state is a series: smooth, and periodic as the domain is.
            exact = "hard" if self.constraints == "auto" else self.constraints
            slab = dataclasses.replace(
                self, harmonics=harmonics, target_loss=target, constraints=exact
            )
            return slab.one_slab

        order = max(self.times - 1, 2)
        march = March(self, inner, waves, order, self.accuracy, self.dtype)
        return march.solve(problem, run)

    def _marches(self, problem: Problem) -> bool:
        """Whether the time is cut by the residual: where a slab is nearly a linear fit."""
        alone = self.accuracy is None or self.network is not None
        return not alone and problem.dim == 1 and problem.time is not None

    @property
    def one_slab(self) -> SpectralPINN:
        """The method without slabs of its own."""
        return dataclasses.replace(self, accuracy=None)

    def fit(
        self,
        problem: Problem,
        observations: tuple[Observations, ...],
        where: Callable | None,
        run: Run = Run(),  # noqa: B008  (immutable)
    ) -> Solution:
        """On one slab; with observations, identifies the coefficients `where(pde)`."""
        since = time.perf_counter()
        setup = self.setup(problem, run.seed, observations, where)
        optimizer, patience = self.optimizer, None
        if optimizer is None and self.network is None and problem.dim == 1 and problem.time:
            optimizer = _newton(setup.params)
            patience = _PATIENCE if self.target_loss == 0 else _NEAR_TARGET
        solution = train_setup(
            self,
            problem,
            setup,
            run,
            optimizer=optimizer,
            seconds=self.seconds,
            resample=None,
            tolerance=self.tolerance,
            since=since,
            patience=patience,
            target=self.target_loss,
        )
        return warned(told_apart(solution, _parted(self.weights or {})[0]))


# How often the waves are doubled where the residual asks for more: 48 to 768.
_DOUBLED = 5
# Steps of Newton's method on points that stay: where so many gain a thousandth together, what is
# left is what the functions of time can't follow.
_PATIENCE = 6
# Where more is not asked for than a target, which such a loss does not reach.
_NEAR_TARGET = 2
# Parameters up to which a factorisation takes no longer than products; its program is compiled in
# half the time.
_DENSE = 1000


def _newton(params: Any) -> Optimizer:
    """Newton's method for functions of time that are orthonormal, and residuals that are errors."""
    if count_parameters(params) <= _DENSE and all(
        leaf.dtype == np.float64 for leaf in jax.tree.leaves(params)
    ):
        # So well conditioned that the normal equations keep what QR would.
        return GaussNewton(geodesic=False, damping=1e-9, factor=10.0, probes=3, solver="cholesky")
    # Residuals meet the coefficients of few other waves: with the blocks of each, some fifty
    # products reach what a factorisation would; several fields that exchange take more.
    return HessianFree(
        preconditioner="units", damping=1e-9, factor=10.0, tolerance=1e-6, iterations=1000
    )


# Sines that move faster are directions in which the residual nearly stays the same: four times as
# many products for the same loss.
_MOBILITY = 1e-3


# Kept: the initialisation is compiled for each factory that is not the same object.
@functools.cache
def _series(harmonics: int, width: int, parity: str | None) -> Any:
    inner = functools.partial(OrthonormalSines, width=width, mobility=_MOBILITY)
    return functools.partial(FourierSeries, harmonics=harmonics, inner=inner, parity=parity)


def _parted(weights: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Weights of equations, and of the rest."""
    own = {name: w for name, w in weights.items() if name.split()[0] == "equation"}
    return own, {name: w for name, w in weights.items() if name not in own}
