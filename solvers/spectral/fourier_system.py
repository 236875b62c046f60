"""A periodic problem in Fourier space, d/dt z = L z + N(z, t), and its fields from the state."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from solvers._system import Inside, SplitSystem
from solvers.spectral._dealias import kept_modes, largest_modes
from solvers.spectral._symbol import (
    SIGNS,
    coefficients,
    maps_at,
    nyquist_flips,
    wavenumbers,
)
from solvers.spectral.fourier_pattern import Pattern, row_map
from solvers.spectral.fourier_plan import Plan, Stage, quantity_map
from solvers.spectral.fourier_pointwise import (
    Block,
    Pointwise,
    Projected,
    SparseMap,
    forward,
    grid_points,
)
from solvers.spectral.fourier_terms import evaluate_terms
from solvers.time._exponential import Blocks, Diagonal


class FourierSystem(SplitSystem):
    """The state z holds real transforms of the evolving components, and of rates ∂ₜu."""

    problem: Problem
    operator: Diagonal | Blocks | None
    pointwise: Pointwise
    kept: Inside | None
    corrections: tuple[SparseMap, ...]
    projection: SparseMap | None
    fields: SparseMap
    data_fields: Array | None
    plan: Plan = eqx.field(static=True)

    @property
    def points(self) -> Array:
        """Grid points (dim, count)."""
        return grid_points(self.plan)

    def initial_state(self) -> Array:
        problem = self.problem
        values = {name: datum for name, datum in problem.initial.items()}
        x = self.points.T
        sampled = {name: jax.vmap(f)(x) for name, f in values.items()}
        rates = {name: jax.vmap(f)(x) for name, f in problem.initial_rate.items()}
        return self.state_of(sampled, rates)

    def state_of(self, sampled: dict[str, Array], rates: dict[str, Array]) -> Array:
        """z from samples (count, *shape) of each evolving field and rate, projected."""
        layout = self.plan.layout
        columns = []
        for source, wanted in ((sampled, layout.evolving), (rates, layout.inertial)):
            for name in layout.names:
                for place, component in enumerate(layout.components(name)):
                    if component in wanted:
                        flat = source[name].reshape(source[name].shape[0], -1)
                        columns.append(flat[:, place])
        grid = jnp.stack(columns).reshape(-1, *self.plan.points)
        state = forward(grid)
        return state if self.projection is None else self.projection(state)

    def linear(self) -> Any:
        return self.operator

    def nonlinear(self, z: Array, t: Array) -> Array:
        return self.pointwise(z, t)

    def inside(self) -> Inside | None:
        return self.kept

    def rate(self, z: Array, t: Array) -> Array:
        """∂z/∂t."""
        assert self.operator is not None
        return self.operator(z) + self.nonlinear(z, t)

    def recover(self, z: Array, t: Array) -> Array:
        """Transforms of all components (n, *grid), definitions and multipliers included."""
        total = self.fields(z)
        if self.data_fields is not None:
            total = total + self.data_fields
        transforms = self.pointwise.transforms(z, t)
        for correction, outputs in zip(self.corrections, transforms, strict=True):
            total = total + correction(outputs)
        return self._with_means(total)

    def unbalanced(self, t: Array) -> Array:
        """Largest mean of a source in rows whose own means are given, relative to its size."""
        layout, plan = self.plan.layout, self.plan
        worst = jnp.zeros(())
        groups = [(plan.data_sums, _data_transforms(self.problem, plan))] if plan.data else []
        for slots, transforms in groups:
            for i, (row, direction) in enumerate(slots):
                if row in layout.gauged and direction < 0:
                    mean = jnp.abs(transforms[(i, *(0,) * layout.dim)])
                    size = jnp.linalg.norm(transforms[i].ravel())
                    ratio = mean / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
                    worst = jnp.maximum(worst, ratio)
        return worst

    def _with_means(self, total: Array) -> Array:
        layout, count = self.plan.layout, float(np.prod(self.plan.points))
        for name, mean in self.problem.zero_mean.items():
            for i in layout.components(name):
                if i not in layout.evolving:
                    total = total.at[(i, *(0,) * layout.dim)].set(mean * count)
        for name, where, datum in self.problem.pins:
            x = jnp.asarray(where, total.real.dtype)
            value = datum(x, jnp.zeros((), x.dtype)).reshape(-1)
            components = layout.components(name)
            found = interpolate(total[components.start : components.stop], x, self.plan)
            for place, i in enumerate(components):
                shift = (value[place] - found[place]) * count
                total = total.at[(i, *(0,) * layout.dim)].add(shift)
        return total


def build(problem: Problem, plan: Plan) -> FourierSystem:
    """All numbers of a discretisation; traceable in everything that the problem holds."""
    layout, dim = plan.layout, plan.layout.dim
    forms = problem.pde.forms(dim)
    found = coefficients(forms, layout)
    dtype = found.zeroth.dtype
    # Behind the barrier the compiler does not evaluate by itself what is made of large constants.
    k = jax.lax.optimization_barrier(jnp.asarray(wavenumbers(plan.points, plan.lengths), dtype))

    def dense(k: Array) -> dict[str, Any]:
        maps = maps_at(found, layout, k)
        out: dict[str, Any] = {
            "linear": maps.unprojected if plan.commuting else maps.linear,
            "fields": maps.fields,
            "projection": maps.projection,
        }
        for i, stage in enumerate(plan.stages):
            rows = row_map(stage.outputs, plan.kinds, k)
            if stage.quantities:
                out[f"inputs{i}"] = quantity_map(maps.fields, stage.quantities, k)
            out[f"rate{i}"] = maps.rate if plan.projected else _compose(maps.rate, rows)
            out[f"fields{i}"] = _compose(maps.corrections, rows)
            if i:
                previous = row_map(plan.stages[i - 1].outputs, plan.kinds, k)
                through = quantity_map(maps.corrections, stage.quantities, k)
                out[f"extra{i}"] = _compose(through, previous)
        if plan.data:
            rows = row_map([((slot, 1.0),) for slot in plan.data_sums], plan.kinds, k)
            out["data_rate"] = _compose(maps.rate, rows)
            out["data_fields"] = _compose(maps.corrections, rows)
        return out

    maps = _at_nyquist(dense, k, plan)
    mask = kept_modes(plan.points, plan.fraction)
    if plan.filter is not None:
        mask = plan.filter.weights(plan.points).astype(dtype)
    s, n = layout.state_size, layout.total
    inputs, extra, rates, corrections = [], [], [], []
    for i, stage in enumerate(plan.stages):
        count = len(stage.quantities)
        inputs.append(_sparse(maps.get(f"inputs{i}"), stage.inputs, count, mask))
        extra.append(_sparse(maps.get(f"extra{i}"), stage.extra if i else (), count, mask))
        rate = _sparse(maps[f"rate{i}"], stage.rate, s, mask)
        rates.append(Projected(_divergences(stage, plan, k), rate) if plan.projected else rate)
        corrections.append(_sparse(maps[f"fields{i}"], stage.fields, n, mask))
    data_rate = data_fields = None
    if plan.data:
        transforms = _data_transforms(problem, plan)
        data_rate = _sparse(maps["data_rate"], plan.data_rate, s, None)(transforms)
        data_fields = _sparse(maps["data_fields"], plan.data_fields, n, None)(transforms)
    pointwise = Pointwise(
        problem, tuple(inputs), tuple(extra), tuple(rates), data_rate if s else None, plan
    )
    block = _block(plan) if s else None
    return FourierSystem(
        problem=problem,
        operator=_operator(maps["linear"], plan) if s else None,
        pointwise=pointwise,
        kept=None
        if block is None
        else Inside(pointwise.within(block), pointwise.source, block.take, block.put),
        corrections=tuple(corrections),
        projection=_sparse(maps["projection"], plan.projection, s, np.ones(plan.grid, bool))
        if plan.projected
        else None,
        fields=_sparse(maps["fields"], plan.fields, n, None),
        data_fields=data_fields,
        plan=plan,
    )


def _block(plan: Plan) -> Block | None:
    """The modes that pointwise terms see, where a step on them alone is faster.

    In one dimension a step waits for its operations, not for memory.
    """
    if plan.layout.dim == 1 or plan.fraction >= 1.0 or plan.filter is not None:
        return None
    largest = largest_modes(plan.points, plan.fraction)
    return Block(plan.grid, largest) if min(largest) >= 0 else None


def _compose(a: Array, b: Array) -> Array:
    """(i, j, *grid) · (j, k, *grid)."""
    return jnp.einsum("ij...,jk...->ik...", a, b)


def _at_nyquist(dense: Any, k: Array, plan: Plan) -> dict[str, Array]:
    """Maps with ½(M(k) + M(−k)) taken in each axis at its Nyquist mode.

    After the elimination: zeroing ik inside ∇·∇ would leave that mode undamped. Constrained
    problems drop the mode, where the mean of two projections would be none.
    """
    if plan.projected:
        inside = np.ones(plan.grid, bool)
        for axis, count in enumerate(plan.points):
            index: list[Any] = [slice(None)] * len(plan.points)
            index[axis] = count // 2
            inside[tuple(index)] = False
        return {name: jnp.where(inside, m, 0.0) for name, m in dense(k).items()}
    # One loop body for all choices of signs, so that it is compiled once.
    flips = jnp.asarray(np.stack(nyquist_flips(plan.points)), k.dtype)

    def add(total: Any, signs: Array):
        return jax.tree.map(jnp.add, total, dense(k * signs)), None

    shapes = jax.eval_shape(dense, k)
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    total = jax.lax.scan(add, nothing, flips)[0]
    return {name: m / len(flips) for name, m in total.items()}


def _sparse(dense: Array | None, pattern: Pattern, rows: int, mask: Any) -> SparseMap:
    entries: list[Array | None] = []
    for i, j, kind in pattern:
        assert dense is not None
        entry = dense[i, j].real if kind == "r" else dense[i, j]
        if kind == "1":
            entry = entry.real if mask is not None else None
        if entry is not None and mask is not None:
            entry = jnp.where(mask, entry, 0.0) if mask.dtype == bool else mask * entry
        entries.append(entry)
    return SparseMap(tuple(entries), pattern, rows)


def _divergences(stage: Stage, plan: Plan, k: Array) -> SparseMap:
    """Rows of the equations from the transforms of a stage, as `row_map`, entry by entry."""
    entries: list[Array | None] = []
    pattern = []
    for column, feeds in enumerate(stage.outputs):
        for (row, direction), sign in feeds:
            flux, source = SIGNS[plan.kinds[row]]
            if direction < 0:
                entries.append(jnp.asarray(sign * source, k.dtype))
            else:
                others = [0 if axis != direction else slice(None) for axis in range(k.ndim - 1)]
                along = k[(direction, *others)]
                shape = [-1 if axis == direction else 1 for axis in range(k.ndim - 1)]
                entries.append((sign * flux * 1j * along).reshape(shape))
            pattern.append((row, column, "c"))
    return SparseMap(tuple(entries), tuple(pattern), plan.layout.total)


def _operator(dense: Array, plan: Plan) -> Diagonal | Blocks:
    kinds = {kind for _, _, kind in plan.linear}
    values = dense.real if kinds <= {"r", "1"} else dense
    if plan.diagonal:
        rows = 1 if plan.uniform else values.shape[0]
        return Diagonal(jnp.stack([values[i, i] for i in range(rows)]))
    return Blocks(values)


def _data_transforms(problem: Problem, plan: Plan) -> Array:
    forms = problem.pde.forms(plan.layout.dim)
    x = grid_points(plan)
    t = jnp.zeros((), x.dtype)

    def at_point(x: Array) -> Array:
        sums = evaluate_terms(plan.data, forms, plan.layout, plan.data_sums, x, t, {}, {})
        return jnp.stack(sums)

    values = jax.vmap(at_point, -1, -1)(x)
    return forward(values.reshape(-1, *plan.points))


def interpolate(transforms: Array, x: Array, plan: Plan) -> Array:
    """The real trigonometric interpolant (components,) at one point x (dim,)."""
    total = transforms
    for axis in range(len(plan.points) - 1, -1, -1):
        count, length = plan.points[axis], plan.lengths[axis]
        last = axis == len(plan.points) - 1
        modes = np.arange(count // 2 + 1.0) if last else np.fft.fftfreq(count, 1 / count)
        angle = (2 * np.pi / length) * (x[axis] - plan.lower[axis]) * jnp.asarray(modes, x.dtype)
        weight = np.full(modes.shape, 2.0 if last else 1.0)
        if last:
            weight[[0, -1]] = 1.0
        # The Nyquist mode alone is the cosine, the least oscillating of its aliases.
        sine = weight * (np.abs(modes) != count // 2)
        phase = jax.lax.complex(
            jnp.asarray(weight, x.dtype) * jnp.cos(angle),
            jnp.asarray(sine, x.dtype) * jnp.sin(angle),
        )
        total = jnp.sum(total * phase, axis=-1)
    return total.real / float(np.prod(plan.points))
