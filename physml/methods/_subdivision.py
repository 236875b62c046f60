"""What methods on subdomains share: networks of their own, points, and the joined objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax

from pdes import Box, MeshDomain, Observations, Problem
from physml.losses import (
    Collocation,
    Hard,
    Subdivided,
    Subdomains,
    SubdomainTrial,
    build_network,
    data_scales,
    distance_constraints,
    interface_jumps,
    make_subdomains,
    output_shapes,
    stacked,
    subdomain_residuals,
)
from physml.methods._neural import Setup, check_precision, default_network, sampler_seed
from physml.methods._pinn import default_points, exactness_notes, represent
from physml.networks import partition as split
from physml.training import residual_adaptive

# Second derivatives make an equation's residual large beside the jump of values of the same error.
JOINED = {"value": 1e3, "flux": 10.0}
_APART = ("value", "flux", "residual", "slab", "equation")


def no_partition(problem: Problem, given: Any, materials: Sequence[str]) -> str | None:
    """Why the domain has no partition yet, with what could."""
    if given is not None or isinstance(problem.domain, Box):
        return None
    if isinstance(problem.domain, MeshDomain) and len(materials) > 1:
        return None if problem.dim == 2 else "materials are subdomains in two dimensions only"
    return (
        "its default subdomains are boxes or a mesh's materials, and the domain has neither: give "
        "partition=[domains that cover it], or use pm.PINN"
    )


def joined_setup(
    method: Any,
    problem: Problem,
    seed: int,
    joins: tuple[str, ...],
    observations: tuple[Observations, ...] = (),
    where: Callable | None = None,
) -> Setup:
    """The objective, its parameters and its points for CPINN and XPINN.

    Arguments:
        observations: measured values to match. where: pde -> coefficients to identify.
    """
    method.check(problem)
    dtype = check_precision(method.dtype)
    parts = make_subdomains(problem, method.partition)
    shapes = output_shapes(problem, method.mixed)
    hard = distance_constraints(problem, shapes, method.constraints)
    trial = SubdomainTrial(
        subdomains=parts,
        shapes=tuple(shapes.items()),
        scales=tuple(data_scales(problem, shapes).values()),
        shaping=hard.shaping,
    )
    networks = _networks(method, trial, seed, dtype)
    inside, params, weights = collocation_of_parts(
        method, problem, trial, networks, hard, observations, where, _APART
    )
    objective = Subdivided(inside, joins, weights)
    return Setup(
        objective,
        params,
        _sampler(method, objective),
        lambda p: represent(inside, p),
        notes=(f"{parts.size} subdomains", *exactness_notes(hard)),
        report=lambda p: {"flux_jump": interface_jumps(objective, p)},
    )


def collocation_of_parts(
    method: Any,
    problem: Problem,
    trial: Any,
    networks: Any,
    hard: Hard,
    observations: tuple[Observations, ...],
    where: Callable | None,
    apart: tuple[str, ...],
) -> tuple[Collocation, Any, dict[str, float]]:
    """The collocation inside the subdomains, its parameters, and all weights.

    Arguments:
        apart: first words of blocks that are not the collocation's, with weights of their own.
    """
    identified = None if where is None else where(problem.pde)
    params, static = split({"network": networks, "pde": identified})
    weights = {**JOINED, **(method.weights or {})}
    known = {name: w for name, w in weights.items() if name.split()[0] not in apart}
    inside = Collocation(problem, trial, static, hard, known, where, tuple(observations))
    return inside, params, weights


def subdomain_factory(method: Any, trial: Any, count: int) -> Any:
    """The method's factory of networks, or the default one, about a thousand parameters in all."""
    factory = method.network
    if factory is None:
        width = {1: 20, 2: 18, 3: 15, 4: 12}.get(count, 10)
        factory = default_network(trial.out_size, trial.in_size, width=width, depth=2, adaptive=1.0)
    if isinstance(factory, eqx.Module):
        raise TypeError(
            f"{method.name} makes a network for each subdomain: give a factory called as "
            "factory(in_size, out_size, key=key), or a sequence of them, not a module"
        )
    return factory


def _networks(method: Any, trial: SubdomainTrial, seed: int, dtype: Any) -> tuple[Any, ...]:
    count = trial.subdomains.size
    factories = subdomain_factory(method, trial, count)
    each = _each(factories, count, "network", trial.subdomains)
    keys = jax.random.split(jax.random.key(seed), count)
    return tuple(
        build_network(factory, trial.in_size, trial.out_size, key, dtype)
        for factory, key in zip(each, keys, strict=True)
    )


def _each(given: Any, count: int, label: str, parts: Subdomains) -> list[Any]:
    """One for each subdomain, from one for all, a sequence, or a mapping by name."""
    if isinstance(given, Mapping):
        missing = [name for name in parts.names if name not in given]
        if missing:
            raise ValueError(f"{label}: none for {missing[0]!r}; the subdomains are {parts.names}")
        return [given[name] for name in parts.names]
    if isinstance(given, (list, tuple)):
        if len(given) != count:
            raise ValueError(f"{label}: got {len(given)} for {count} subdomains {parts.names}")
        return list(given)
    return [given] * count


def _points(method: Any, objective: Subdivided) -> list[int]:
    """Collocation points of each subdomain."""
    parts = objective.trial.subdomains
    if isinstance(method.points, (list, tuple, Mapping)):
        return _each(method.points, parts.size, "points", parts)
    total = method.points or default_points(objective.problem)
    return [max(round(total * share), 8) for share in parts.shares]


def _sampler(method: Any, objective: Subdivided) -> Callable[[Any, Any, int], Any]:
    inside = _points(method, objective)
    total = sum(inside)
    around = method.boundary_points or max(total // 10, 64)
    counts = {
        "interior": inside,
        "boundary": around,
        "initial": 2 * around,
        "interface": method.interface_points or max(total // 5, 200),
    }
    parts = objective.trial.subdomains

    def sample(key: Any, params: Any, step: int) -> Any:
        seed = sampler_seed(key)
        batch = stacked(objective.sample(counts, seed))
        if step == 0:
            return batch
        for k, count in enumerate(inside):
            pool = stacked(parts.sample(k, 5 * count, seed + 1))
            size = subdomain_residuals(objective, params, k, pool)
            batch[f"interior {k}"] = residual_adaptive(
                jax.random.fold_in(key, k),
                pool,
                size,
                count,
                power=method.power,
                offset=method.offset,
            )
        return batch

    return sample
