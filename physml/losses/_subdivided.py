"""Strong residuals in subdomains with networks of their own, joined across interfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from pdes import Problem
from physml.losses._collocation import Collocation
from physml.losses._interfaces import NUDGE, _flux, _full_flux, _rate, _value
from physml.losses._points import boundary_points, initial_points, stacked
from physml.losses._residuals import (
    all_fields,
    condition_residual,
    equation_residual,
    initial_residual,
    rate_residual,
)
from physml.losses._subdomains import Subdomains
from physml.losses._trial import TrialFunction, shaped_fields
from physml.networks import combine
from physml.optimizers import Block, LeastSquares, PointBlock, Projection


class SubdomainTrial(TrialFunction):
    """fields(x, t) by the network of the subdomain in which the point lies.

    Networks are a tuple and may differ in everything; each sees the box around its subdomain
    as [−1, 1] in each direction.
    """

    subdomains: Subdomains = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    scales: tuple[float, ...] = eqx.field(static=True)
    shaping: dict[str, Any]

    @property
    def in_size(self) -> int:
        uncut = self.subdomains.uncut
        return len(uncut) + sum(uncut) + self.subdomains.timed

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        outputs = jnp.stack([one(self._inputs(k, x, t)) for k, one in enumerate(network)])
        place = self.subdomains.index(self._place(x, t))
        return shaped_fields(outputs[place], self, x, t)

    def inside(self, one: Any, k: int, x: Array, t: Array) -> dict[str, Array]:
        """The fields of the k-th subdomain's network, also on its boundary."""
        return shaped_fields(one(self._inputs(k, x, t)), self, x, t)

    def _place(self, x: Array, t: Array) -> Array:
        return jnp.concatenate([x, t[None]]) if self.subdomains.timed else x

    def _inputs(self, k: int, x: Array, t: Array) -> Array:
        z = self._place(x, t)
        parts = []
        for i, (low, high) in enumerate(
            zip(self.subdomains.lower[k], self.subdomains.upper[k], strict=True)
        ):
            unit = (z[i] - low) / (high - low)
            if i < len(self.subdomains.uncut) and self.subdomains.uncut[i]:
                parts += [jnp.cos(2 * np.pi * unit), jnp.sin(2 * np.pi * unit)]
            else:
                parts.append(2 * unit - 1)
        return jnp.stack(parts)


class OwnedBlock(Block):
    """Residuals that depend on a few of many networks: their Jacobian is zero elsewhere.

    `inner` takes the parameters of the networks `owners`, a tuple.
    """

    inner: Block
    owners: tuple[int, ...] = eqx.field(static=True)

    def residual(self, params: Any) -> Array:
        return self.inner.residual(self._own(params))

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        sizes = [ravel_pytree(one)[0].size for one in params["network"]]
        starts = np.concatenate([[0], np.cumsum(sizes)])

        def widened(own: Array) -> Array:
            """Rows of all networks, (…, P)."""
            whole = jnp.zeros((*own.shape[:-1], int(starts[-1])), own.dtype)
            place = 0
            for k in self.owners:
                here = own[..., place : place + sizes[k]]
                whole = whole.at[..., int(starts[k]) : int(starts[k + 1])].set(here)
                place += sizes[k]
            return whole

        if project is not None:
            return self.inner.jacobian(self._own(params), lambda rows: project(widened(rows)))
        residual, own = self.inner.jacobian(self._own(params))
        return residual, widened(own)

    def locate(self, index: int, size: int) -> str:
        return self.inner.locate(index, size)

    def _own(self, params: Any) -> tuple[Any, ...]:
        return tuple(params["network"][k] for k in self.owners)


class Subdivided(LeastSquares):
    """loss = Σ_k share_k · mean r² in each subdomain, of conditions there, and of what joins them.

    Blocks are "equation u in 0", "boundary left u in 0", "initial u in 0", and per interface
    "value u 0|1" (u⁻ − u⁺)/√2, "flux u 0|1" (F⁻ − F⁺)·n, "residual u 0|1" r⁻ − r⁺, and "slab u",
    "slab rate u" between slabs of time; each has the weight of its name or of its first word.

    Source: Jagtap, Kharazmi and Karniadakis (2020), eq. 7–9; Jagtap and Karniadakis (2020), eq. 5.

    Arguments:
        inside: conditions and trial function, a `SubdomainTrial`.
        joins: which of "value", "flux" and "residual" join the subdomains.
        weights: w by block or first word.
    """

    inside: Collocation
    joins: tuple[str, ...] = eqx.field(static=True)
    weights: tuple[tuple[str, float], ...] = eqx.field(static=True)

    def __init__(
        self,
        inside: Collocation,
        joins: tuple[str, ...],
        weights: Mapping[str, float] | None = None,
    ):
        self.inside, self.joins = inside, joins
        self.weights = tuple(sorted((weights or {}).items()))

    @property
    def problem(self) -> Problem:
        return self.inside.problem

    @property
    def trial(self) -> SubdomainTrial:
        assert isinstance(self.inside.trial, SubdomainTrial)
        return self.inside.trial

    def sample(self, counts: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Points by block: counts["interior"] one for each subdomain, the others in all.

        Shapes depend on the counts alone, so that one program serves all samples.
        """
        parts, problem = self.trial.subdomains, self.problem
        batch: dict[str, Any] = {}
        for k in range(parts.size):
            batch[f"interior {k}"] = parts.sample(k, counts["interior"][k], seed)
        for part in self.inside.soft_parts():
            many = boundary_points(problem, part, counts["boundary"], seed + 1)
            first = boundary_points(problem, part, counts["boundary"], 1)
            batch |= self._shared(f"boundary {part}", many, first)
        if self.inside._soft_initial():
            start = problem.time[0] if problem.time else 0.0
            many, first = (
                initial_points(problem, counts["initial"], s)
                | {"t": np.full(counts["initial"], start)}
                for s in (seed + 2, 2)
            )
            batch |= self._shared("initial", many, first)
        for face in parts.interfaces(counts["interface"], seed + 3):
            key = f"{'slab' if face.timelike else 'interface'} {face.minus}|{face.plus}"
            batch[key] = {"below": face.below, "above": face.above, "n": face.n}
        fixed = {
            f"{'slab' if f.timelike else 'interface'} {f.minus}|{f.plus}": len(f.n)
            for f in parts.interfaces(counts["interface"], 3)
        }
        for key, size in fixed.items():
            # A small interface may get no point by chance: then those of the first sample.
            found = batch.get(key)
            if found is not None:
                batch[key] = {name: _resized(a, size) for name, a in found.items()}
        return batch

    def _shared(self, label: str, many: dict, first: dict) -> dict[str, Any]:
        """Points by the subdomain in which they lie, in numbers that the first sample fixes."""
        parts, out = self.trial.subdomains, {}
        owners = parts.find(_placed(many, parts.timed))
        wanted = np.bincount(parts.find(_placed(first, parts.timed)), minlength=parts.size)
        for k in np.flatnonzero(wanted):
            here = np.flatnonzero(owners == k)
            source = many if len(here) else first
            if not len(here):
                here = np.flatnonzero(parts.find(_placed(first, parts.timed)) == k)
            chosen = np.resize(here, wanted[k])
            out[f"{label} {k}"] = {name: a[chosen] for name, a in source.items()}
        return out

    def blocks(self, batch: Any) -> dict[str, Block]:
        found: dict[str, Block] = {}
        parts = self.trial.subdomains
        for k in range(parts.size):
            for name in self.trial.names:
                points = batch[f"interior {k}"]
                fn = self._at(k, equation_residual, name)
                share = float(parts.shares[k])
                found |= self._block(f"equation {name} in {k}", fn, points, (k,), share)
        for part in self.inside.soft_parts():
            keys = [key for key in sorted(batch) if key.rsplit(" ", 1)[0] == f"boundary {part}"]
            found |= self._conditions(batch, keys, part)
        keys = [key for key in sorted(batch) if key.startswith("initial ")]
        found |= self._starts(batch, keys)
        for key in sorted(batch):
            label, _, pair = key.partition(" ")
            if label in ("interface", "slab"):
                found |= self._joined(label, pair, batch[key])
        return found | self.inside._gauges()

    def _conditions(self, batch: Any, keys: Sequence[str], part: str) -> dict[str, Block]:
        found: dict[str, Block] = {}
        total = sum(len(batch[key]["t"]) for key in keys)
        for key in keys:
            k = int(key.rsplit(" ", 1)[1])
            for name in self.inside._soft_fields(part):

                def fn(own: Any, point: Any, k: int = k, name: str = name) -> Array:
                    problem, region = self.problem, self.trial.subdomains.regions[k]
                    fields = all_fields(problem, self._fields(own[0], k), region)
                    return condition_residual(
                        problem.forms()[name],
                        problem.conditions[part][name],
                        fields,
                        point["x"],
                        point["t"],
                        point["n"],
                        essential=(part, name) not in self.inside.exact_boundary,
                        region=region,
                    )

                share = len(batch[key]["t"]) / total
                found |= self._block(f"boundary {part} {name} in {k}", fn, batch[key], (k,), share)
        return found

    def _starts(self, batch: Any, keys: Sequence[str]) -> dict[str, Block]:
        found: dict[str, Block] = {}
        total = sum(len(batch[key]["t"]) for key in keys)
        kinds = {"initial": initial_residual, "rate": rate_residual}
        for key in keys:
            k = int(key.rsplit(" ", 1)[1])
            for name in self.inside._soft_initial():
                for label, residual in kinds.items():
                    if label == "rate" and name not in self.problem.initial_rate:
                        continue

                    def fn(own: Any, point: Any, k=k, name=name, residual=residual) -> Array:
                        return residual(self.problem, name, self._fields(own[0], k), point["x"])

                    share = len(batch[key]["t"]) / total
                    found |= self._block(f"{label} {name} in {k}", fn, batch[key], (k,), share)
        return found

    def _joined(self, label: str, pair: str, points: Any) -> dict[str, Block]:
        found: dict[str, Block] = {}
        owners = tuple(int(k) for k in pair.split("|"))
        forms, problem = self.problem.forms(), self.problem
        if label == "slab":
            for name in problem.evolving:
                jump = self._jump(owners, name, _value)
                found |= self._block(f"slab {name} {pair}", jump, points, owners)
                if name in problem.initial_rate:
                    jump = self._jump(owners, name, _rate)
                    found |= self._block(f"slab rate {name} {pair}", jump, points, owners)
            return found
        for name, form in forms.items():
            if "value" in self.joins:
                jump = self._jump(owners, name, _value, 0.5**0.5)
                found |= self._block(f"value {name} {pair}", jump, points, owners)
            if "flux" in self.joins and form.equation.flux:
                jump = self._jump(owners, name, _flux)
                found |= self._block(f"flux {name} {pair}", jump, points, owners)
            if "residual" in self.joins and name in self.trial.names:
                jump = self._jump(owners, name, None)
                found |= self._block(f"residual {name} {pair}", jump, points, owners)
        return found

    def _jump(self, owners: tuple[int, ...], name: str, trace: Any, factor: float = 1.0):
        def fn(own: Any, point: Any) -> Array:
            below, above = self.traces(own, owners, point, name, trace)
            return factor * (below - above)

        return fn

    def traces(
        self, own: Any, owners: tuple[int, ...], point: Any, name: str, trace: Any
    ) -> tuple[Array, Array]:
        """`trace` of a field (None: the residual of its equation) from both sides, flattened."""
        problem, parts, found = self.problem, self.trial.subdomains, []
        extent = float(np.max(parts.upper - parts.lower))
        sides = zip(own, owners, ("below", "above"), (-1.0, 1.0), strict=True)
        for one, k, side, sign in sides:
            region, where = parts.regions[k], point[side]
            # A coefficient of the place alone jumps at the interface: each side sees its own.
            x = where[: problem.dim] + sign * NUDGE * extent * point["n"]
            t = where[-1] if parts.timed else jnp.zeros((), x.dtype)
            fields = self._fields(one, k)
            if trace is None:
                found.append(equation_residual(problem, name, fields, x, t, region))
                continue
            fields = all_fields(problem, fields, region)
            if trace in (_flux, _full_flux):
                value = trace(problem, name, fields, x, t, point["n"], region)
            else:
                value = trace(problem, name, fields, where[: problem.dim], t, point["n"])
            found.append(value.reshape(-1))
        return found[0], found[1]

    def _at(self, k: int, residual: Callable, name: str):
        region = self.trial.subdomains.regions[k]

        def fn(own: Any, point: Any) -> Array:
            fields = self._fields(own[0], k)
            return residual(self.problem, name, fields, point["x"], point["t"], region)

        return fn

    def _fields(self, own: Any, k: int) -> Callable[[Array, Array], dict[str, Array]]:
        network = combine(own, self.inside.static["network"][k])
        return lambda x, t: self.trial.inside(network, k, x, t)

    def _block(
        self, name: str, fn: Any, points: Any, owners: tuple[int, ...], share: float = 1.0
    ) -> dict[str, Block]:
        weights, first = dict(self.weights), name.split()[0]
        plain = " ".join(name.split()[:-1]).removesuffix(" in")
        weight = weights.get(name, weights.get(plain, weights.get(first, 1.0)))
        count = len(jax.tree.leaves(points)[0])
        block = PointBlock(fn, points, scale=float(np.sqrt(weight * share / count)))
        return {name: OwnedBlock(block, owners)}


def _placed(points: Mapping[str, np.ndarray], timed: bool) -> np.ndarray:
    return np.concatenate([points["x"], points["t"][:, None]], axis=1) if timed else points["x"]


def _resized(array: np.ndarray, size: int) -> np.ndarray:
    return array[np.resize(np.arange(len(array)), size)]


@eqx.filter_jit
def subdomain_residuals(objective: Subdivided, params: Any, k: int, points: Any) -> Array:
    """√Σ r² of all equations at points of subdomain k, (n,): what adapted sampling follows."""
    own = (params["network"][k],)

    def at(point: Any) -> Array:
        rows = [objective._at(k, equation_residual, n)(own, point) for n in objective.trial.names]
        return jnp.sqrt(sum(jnp.sum(r**2) for r in rows))

    return jax.vmap(at)(points)


def interface_jumps(objective: Subdivided, params: Any, count: int = 1000) -> dict[str, float]:
    """‖(F⁻ − F⁺)·n‖ / ‖F‖ over all interfaces in space, by field."""
    found = {}
    faces = objective.trial.subdomains.interfaces(count, 12345)
    for name, form in objective.problem.forms().items():
        if not form.equation.flux:
            continue
        jump, size = 0.0, 0.0
        for face in faces:
            if face.timelike:
                continue
            points = stacked({"below": face.below, "above": face.above, "n": face.n})
            parts = _jump_parts(objective, params, (face.minus, face.plus), points, name)
            jump, size = jump + float(parts[0]), size + float(parts[1])
        if size > 0:
            found[name] = (jump / size) ** 0.5
    return found


@eqx.filter_jit
def _jump_parts(objective: Subdivided, params: Any, owners: tuple[int, ...], points: Any, name):
    own = tuple(params["network"][k] for k in owners)

    def at(point: Any) -> tuple[Array, Array]:
        below, above = objective.traces(own, owners, point, name, _flux)
        whole, _ = objective.traces(own, owners, point, name, _full_flux)
        return jnp.sum((below - above) ** 2), jnp.sum(whole**2)

    jump, size = jax.vmap(at)(points)
    return jnp.sum(jump), jnp.sum(size)
