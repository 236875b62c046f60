"""Subdomains of a box whose networks are alike: one stacked module, compiled once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax

from pdes import Box, Observations, Problem
from physml.losses import (
    Collocation,
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
from physml.methods._neural import Setup, check_precision, default_network, sampler_seed
from physml.methods._pinn import default_points, exactness_notes, represent
from physml.methods._subdivision import JOINED, subdomain_width
from physml.networks import partition as split
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
    network = _networks(method, trial, seed, dtype)
    identified = None if where is None else where(problem.pde)
    params, static = split({"network": network, "pde": identified})
    jumps = (*joins, "slab")
    weights = {**JOINED, **(method.weights or {})}
    own = {name: w for name, w in weights.items() if name.split()[0] in jumps}
    others = {name: w for name, w in weights.items() if name not in own}
    inside = Collocation(problem, trial, static, hard, others, where, tuple(observations))
    objective = Decomposed(inside, own, joins)
    return Setup(
        objective,
        params,
        _sampler(method, objective),
        lambda p: represent(objective.inside, p),
        notes=(f"{parts.size} subdomains", *exactness_notes(hard)),
        report=lambda p: {"flux_jump": flux_jump(objective, p)},
    )


def _networks(method: Any, trial: PartitionTrial, seed: int, dtype: Any) -> Any:
    """One module whose arrays have a leading axis of subdomains."""
    count = trial.partition.size
    factory = method.network or default_network(
        trial.out_size, trial.in_size, width=subdomain_width(count), depth=2, adaptive=1.0
    )
    if isinstance(factory, eqx.Module):
        raise TypeError(
            f"{method.name} makes a network for each subdomain: give a factory called as "
            "factory(in_size, out_size, key=key), not a module"
        )

    keys = jax.random.split(jax.random.key(seed), count)
    return build_networks(factory, trial.in_size, trial.out_size, keys, dtype)


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
