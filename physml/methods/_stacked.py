"""Subdomains of a box whose networks are alike: one stacked module, compiled once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from pdes import Box, Observations, Problem
from physml.losses import (
    Decomposed,
    PartitionTrial,
    build_networks,
    data_scales,
    flux_jump,
    hard_constraints,
    interior_points,
    make_partition,
    output_shapes,
    point_residuals,
    stacked,
)
from physml.methods._neural import Setup, check_precision, sampler_seed
from physml.methods._pinn import default_points, exactness_notes, represent
from physml.methods._subdivision import collocation_of_parts, subdomain_factory
from physml.training import residual_adaptive


def alike(method: Any, problem: Problem) -> bool:
    """Whether all subdomains are boxes with one architecture and points shared evenly."""
    given = method.partition
    boxes = given is None or isinstance(given, Mapping) or all(isinstance(n, int) for n in given)
    one = not isinstance(method.network, (list, tuple, Mapping))
    even = not isinstance(method.points, (list, tuple, Mapping))
    return isinstance(problem.domain, Box) and boxes and one and even


def stacked_setup(
    method: Any,
    problem: Problem,
    seed: int,
    joins: tuple[str, ...],
    observations: tuple[Observations, ...] = (),
    where: Callable | None = None,
) -> Setup:
    """The objective, its parameters and its points for CPINN and XPINN.

    Arguments:
        joins: see `Decomposed`. observations: measured values to match. where: pde ->
            coefficients to identify.
    """
    method.check(problem)
    dtype = check_precision(method.dtype)
    parts = make_partition(problem, method.partition)
    shapes = output_shapes(problem, method.mixed)
    hard = hard_constraints(problem, shapes, method.constraints)
    trial = PartitionTrial(
        partition=parts,
        shapes=tuple(shapes.items()),
        scales=tuple(data_scales(problem, shapes).values()),
        shaping=hard.shaping,
    )
    factory = subdomain_factory(method, trial, parts.size)
    keys = jax.random.split(jax.random.key(seed), parts.size)
    network = build_networks(factory, trial.in_size, trial.out_size, keys, dtype)
    inside, params, weights = collocation_of_parts(
        method, problem, trial, network, hard, observations, where, (*joins, "slab")
    )
    objective = Decomposed(inside, weights, joins)
    return Setup(
        objective,
        params,
        _sampler(method, objective),
        lambda p: represent(objective.inside, p),
        notes=(f"{parts.size} subdomains", *exactness_notes(hard)),
        report=lambda p: {"flux_jump": flux_jump(objective, p)},
    )


def _sampler(method: Any, objective: Decomposed) -> Callable[[Any, Any, int], Any]:
    problem = objective.inside.problem
    inside = method.points or default_points(problem)
    around = method.boundary_points or max(inside // 10, 64)
    counts = {
        "interior": inside,
        "boundary": around,
        "initial": 2 * around,
        "interface": method.interface_points or max(inside // 5, 200),
    }

    def sample(key: Any, params: Any, step: int) -> Any:
        batch = stacked(objective.sample(counts, sampler_seed(key)))
        if step > 0:
            pool = stacked(interior_points(problem, 10 * inside, sampler_seed(key)))
            size = point_residuals(objective.inside, params, pool)
            batch["interior"] = residual_adaptive(
                key, pool, size, inside, power=method.power, offset=method.offset
            )
        return batch

    return sample
