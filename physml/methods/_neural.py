"""What every trained method shares: from a set-up to a solution, within a budget."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._strong import complete
from physml import training
from physml.losses import (
    Hard,
    PartitionTrial,
    SolenoidalTrial,
    SubdomainTrial,
    Trial,
    TrialFunction,
    build_network,
    data_scales,
    initial_points,
    problem_inputs,
)
from physml.methods._failures import check_answer
from physml.networks import MLP, PirateNet, combine
from physml.optimizers import SOAP, Adam, Objective, Optimizer, automatic
from physml.training import Phase
from physml.training._train import evaluated_terms
from solvers import Method, Representation, Run, Solution, Stats


class NeuralFields(Representation):
    """All fields from a trial function and its network; definitions are substituted."""

    problem: Problem
    trial: TrialFunction
    network: Any

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        fields = complete(self.problem.forms(), lambda y, s: self.trial(self.network, y, s))
        return fields(x, t)

    def frames(self) -> Array | None:
        return None

    @property
    def continuous(self) -> bool:
        return not isinstance(self.trial, PartitionTrial | SubdomainTrial)


@dataclasses.dataclass(frozen=True)
class Setup:
    """A problem made ready for training.

    Attributes:
        objective, params: what is minimised, from where. sampler: `(key, params, step) -> batch`.
        represent: params -> (representation, problem with identified coefficients).
        notes: choices that were made. report: params -> figures for `Stats.extra`.
    """

    objective: Objective
    params: Any
    sampler: Callable[[Any, Any, int], Any]
    represent: Callable[[Any], tuple[Representation, Problem]]
    notes: tuple[str, ...] = ()
    report: Callable[[Any], dict[str, Any]] = lambda params: {}


def check_precision(dtype: str, why: str = "this method trains by Gauss–Newton in float64") -> Any:
    """The dtype by name.

    Raises:
        ValueError: an unknown one, or float64 while JAX is in single precision.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype is 'float64' or 'float32', got {dtype!r}")
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise ValueError(
            f"{why}, but JAX is in single precision. Call "
            'jax.config.update("jax_enable_x64", True) before anything else, or give '
            "dtype='float32' with a first-order optimizer such as pm.optimizers.Adam()"
        )
    return jnp.dtype(dtype)


def default_network(outputs: int, inputs: int, **options: Any) -> Callable[..., Any]:
    """tanh networks of about a thousand parameters, for which Gauss–Newton is cheapest."""
    width = 20 if inputs * outputs <= 2 else 24
    return functools.partial(MLP, **{"width": width, "depth": 3, **options})


def one_network(
    problem: Problem,
    shapes: dict[str, tuple[int, ...]],
    hard: Hard,
    factory: Any,
    seed: int,
    dtype: Any,
    harmonics: int = 1,
    distances: bool = False,
) -> tuple[Trial, Any]:
    """The trial function of one network on the whole domain, and that network.

    Arguments:
        shapes: of the outputs, by field. factory: a network's factory or module, None for the
            default. harmonics: cos and sin inputs in each periodic direction. distances: the
            factors that make prescribed values exact are inputs too.
    """
    inputs = problem_inputs(problem, harmonics=harmonics)
    trial = Trial(
        inputs=inputs,
        shapes=tuple(shapes.items()),
        scales=tuple(data_scales(problem, shapes).values()),
        shaping=hard.shaping,
        factors=tuple(sorted(hard.shaping)) if distances else (),
    )
    factory = factory or default_network(trial.out_size, trial.in_size)
    key = jax.random.key(seed)
    network = build_network(factory, trial.in_size, trial.out_size, key, dtype)
    if isinstance(network, PirateNet) and network is not factory:
        network = _fitted_to_start(problem, trial, network, seed)
    return trial, network


def solenoidal_network(
    problem: Problem,
    shapes: dict[str, tuple[int, ...]],
    velocity: str,
    factory: Any,
    seed: int,
    dtype: Any,
    harmonics: int = 1,
) -> tuple[SolenoidalTrial, Any]:
    """As `one_network`, with one field the curl of outputs."""
    inputs = problem_inputs(problem, harmonics=harmonics)
    low, high = problem.domain.bounds
    trial = SolenoidalTrial(
        inputs=inputs,
        shapes=tuple(shapes.items()),
        scales=tuple(data_scales(problem, shapes).values()),
        shaping={},
        velocity=velocity,
        length=0.5 * float(np.max(high - low)),
    )
    factory = factory or default_network(trial.outputs, inputs.size)
    return trial, build_network(factory, inputs.size, trial.outputs, jax.random.key(seed), dtype)


def _fitted_to_start(problem: Problem, trial: Trial, network: PirateNet, seed: int) -> PirateNet:
    """A PirateNet that equals initial data that are residuals, at all times.

    Data that hold exactly leave nothing to fit: the network is then left as it is.
    """
    if problem.time is None or any(
        name in trial.shaping or name not in problem.initial for name in trial.names
    ):
        return network
    x = jnp.asarray(initial_points(problem, _FIT_POINTS, seed)["x"])
    t = jnp.linspace(*problem.time, len(x))

    @jax.jit
    def data(y: Array, s: Array) -> tuple[Array, Array]:
        values = [
            problem.initial_value(name, y).reshape(-1) / scale
            for name, scale in zip(trial.names, trial.scales, strict=True)
        ]
        return trial.inputs(y, s), jnp.concatenate(values)

    return eqx.filter_jit(network.fitted)(*jax.vmap(data)(x, t))


_FIT_POINTS = 1024


def default_phases(
    problem: Problem, setup: Setup, batch: Any, steps: int | None, seconds: float | None
) -> tuple[tuple[Phase, ...], str]:
    """The optimizer by parameters, points and device, and why; a short Adam before it.

    Far from the solution of a nonlinear equation a linear model is trusted for short steps
    only, which Adam makes for less. It gets a tenth of the time at most.
    """
    chosen, why = automatic(setup.objective, setup.params, batch)
    why = f"optimizer by size: {why}"
    if all(form.is_affine for form in problem.forms().values()) or isinstance(chosen, SOAP):
        return (Phase(chosen),), why
    first = _FIRST_ORDER_STEPS if steps is None else min(_FIRST_ORDER_STEPS, steps // 2)
    limit = None if seconds is None else 0.1 * seconds
    adam = (Phase(Adam(2e-3), steps=first, seconds=limit),) if first else ()
    return (*adam, Phase(chosen)), why


_FIRST_ORDER_STEPS = 300


def sampler_seed(key: Any) -> int:
    """A seed for samples on the host that follows the training's key."""
    return int(jax.random.randint(key, (), 0, 2**31 - 1))


def train_setup(
    method: Method,
    problem: Problem,
    setup: Setup,
    run: Run,
    *,
    optimizer: Any,
    seconds: float,
    resample: int | None,
    tolerance: float,
    since: float,
    weighting: training.Weighting | None = None,
    average: bool = False,
    patience: int | None = None,
    target: float | None = None,
) -> Solution:
    """Trains and makes the solution.

    Arguments:
        seconds: budget, all included, where the run gives none. since: when the solve began.
        tolerance: the loss, relative to its first value, at which training ends.
        weighting: weights that adapt during the training. average: the answer is a mean of the
            steps, later ones weighted more. patience: steps without a gain that end it. target: the
            loss at which training ends as well.

    Raises:
        SolverError: the loss became non-finite; the message names the block and the point. Or the
            answer is trivial, or a condition starved by its weight (see `check_answer`).
    """
    remaining = _remaining(run, seconds, since)
    first = setup.sampler(jax.random.key(run.seed), setup.params, 0)
    notes = setup.notes
    if optimizer is None:
        optimizer, why = default_phases(problem, setup, first, run.steps, remaining)
        notes = (*notes, why)
    settings = training.Run(
        steps=run.steps,
        total_seconds=remaining,
        seed=run.seed,
        resample_every=resample,
        target_loss=_target(tolerance * _loss(setup, first), target),
        average=average,
        patience=patience,
        log=None if run.directory is None else run.directory / "log.jsonl",
        checkpoint=run.directory,
        # A killed run loses seconds: the default budgets are well under a minute.
        checkpoint_every=5.0,
        resume=run.resume,
        # What a checkpoint is compared with: nothing else needs the time that it takes.
        fingerprint="" if run.directory is None else fingerprint(problem, method),
        notes=notes,
        progress=run.progress,
        monitor=_monitor(method, setup, run),
        monitor_every=2.0,
    )
    result = training.train(
        setup.objective,
        setup.params,
        optimizer,
        sampler=setup.sampler,
        validation=None if resample is None else _kept_apart(setup, run),
        weighting=weighting,
        run=settings,
    ).check()
    check_answer(setup.objective, setup.params, result.params, result.batch, result.weights)
    stats = Stats(
        unknowns=count_parameters(setup.params),
        compile_seconds=result.compile_seconds,
        run_seconds=result.seconds,
        iterations=result.steps,
        history=tuple((float(s), int(k), float(v)) for s, k, v in result.history),
        notes=(*notes, *result.notes, result.message),
        extra={
            "loss": float(result.loss),
            "status": result.status,
            "evaluations": result.evaluations,
            "terms": {name: float(value) for name, value in result.terms.items()},
            **setup.report(result.params),
        },
    )
    representation, solved = setup.represent(result.params)
    return Solution(solved, representation, method, stats, result.params)


def count_parameters(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _remaining(run: Run, seconds: float, since: float) -> float | None:
    if run.budget is None and run.steps is not None:
        return None
    budget = seconds if run.budget is None else run.budget
    return max(budget - (time.perf_counter() - since), 1e-3)


def _target(relative: float, absolute: float | None) -> float:
    """The loss that is low enough. An energy is negative: without a number it has the first."""
    return relative if absolute is None else max(relative, absolute)


def _loss(setup: Setup, batch: Any) -> float:
    """The loss before the first step, by a program that the training needs as well."""
    terms = evaluated_terms(setup.objective, setup.params, batch)
    return sum(float(value) for value in terms.values())


def _kept_apart(setup: Setup, run: Run) -> Any:
    """Points that follow no residual and that no step sees.

    Solutions with corners never satisfy the equation there, and Gauss–Newton can bend a network
    to any one set of points near them: only other points tell.
    """
    return setup.sampler(jax.random.key(run.seed + 2**16), setup.params, 0)


def _monitor(method: Method, setup: Setup, run: Run) -> Callable | None:
    if run.monitor is None:
        return None
    report = run.monitor

    def monitor(params: Any, seconds: float, step: int) -> None:
        representation, solved = setup.represent(params)
        stats = Stats(count_parameters(params), 0.0, seconds, step)
        report(Solution(solved, representation, method, stats, params), seconds)

    return monitor


def fingerprint(problem: Problem, method: Method) -> str:
    """Text that tells problems and settings apart, the same in every process.

    Functions have no stable name, so the equations and data enter by their values at fixed
    points, rounded to what every machine agrees on.
    """
    rng = np.random.default_rng(0)
    low, high = problem.domain.bounds
    points = jnp.asarray(low + rng.random((4, problem.dim)) * (high - low))
    start, end = problem.time or (0.0, 0.0)
    t = jnp.asarray(start + 0.4 * (end - start))
    shapes = problem.shapes

    def probe(x: Array, t: Array) -> dict[str, Array]:
        wave = jnp.sin(jnp.sum(x) + 0.3 * t + 1.0)
        return {
            name: wave * (1.0 + 0.1 * jnp.arange(np.prod(shape, dtype=int))).reshape(shape)
            for name, shape in shapes.items()
        }

    found: list[Any] = [problem.name, repr(problem.domain), problem.time, sorted(shapes)]
    with jax.ensure_compile_time_eval():
        for x in points:
            if not problem.domain.regions:
                found.append(_rounded(problem.residual(probe, x, t)))
            found += [_rounded(datum(x)) for datum in problem.initial.values()]
            for part, conditions in sorted(problem.conditions.items()):
                for name, condition in sorted(conditions.items()):
                    found.append([part, name, condition.kinds, _rounded(condition.value(x, t))])
    digest = hashlib.sha256(json.dumps(found, default=str).encode()).hexdigest()[:16]
    return f"{problem.name} {digest} {method.name} {_options(method)}"


def _rounded(values: Any) -> list[str]:
    return [
        np.array2string(np.asarray(leaf, float), precision=5, floatmode="maxprec")
        for leaf in jax.tree.leaves(values)
    ]


def _options(method: Method) -> str:
    plain = (int, float, str, bool, tuple, dict, type(None))
    values = {
        field.name: getattr(method, field.name)
        for field in dataclasses.fields(method)
        if isinstance(getattr(method, field.name), plain)
        and not isinstance(getattr(method, field.name), Optimizer | Phase)
    }
    return json.dumps(values, default=str, sort_keys=True)


def bound_network(params: Any, static: Any) -> Any:
    """The trained network of parameters {"network": …, "pde": …}."""
    return combine(params, static)["network"]
