"""Separable networks on tensor grids: derivatives by one forward pass an axis (SPINN)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from pdes import Problem
from physml.losses._collocation import Collocation
from physml.losses._residuals import equation_residual
from physml.losses._trial import Inputs, TrialFunction, shaped_fields
from physml.networks import combine
from physml.optimizers import Block, LeastSquares, Projection

# Derivatives of the features: equations are of second order where definitions are outputs.
_ORDER = 2


class SeparableTrial(TrialFunction):
    """output(x, t) = Σ_r Π_d f_d(x_d)[r], with a network f_d for each direction, time last.

    Each network is any function (inputs,) -> (rank · out_size,) of its direction in [−1, 1], or
    of cos and sin where it is periodic.

    Source: Cho, Nam, Yang, Yun, Hong and Park (2023), equation 5.
    """

    axes: tuple[Inputs, ...]
    rank: int = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    scales: tuple[float, ...] = eqx.field(static=True)
    shaping: dict[str, Any]

    def __call__(self, network: Any, x: Array, t: Array) -> dict[str, Array]:
        z = self.place(x, t)
        factors = [self.features(network, d, z[d]) for d in range(len(self.axes))]
        return shaped_fields(_joined(factors), self, x, t)

    def place(self, x: Array, t: Array) -> Array:
        """The coordinates (directions,)."""
        return x if len(self.axes) == len(x) else jnp.concatenate([x, t[None]])

    def features(self, network: Any, d: int, s: Array) -> Array:
        """f_d at the coordinate s, (rank, out_size)."""
        zero = jnp.zeros((), s.dtype)
        return network[d](self.axes[d](s[None], zero)).reshape(self.rank, self.out_size)

    def jets(self, network: Any, d: int, s: Array) -> Array:
        """f_d and its derivatives at the coordinate s, (1 + order, rank, out_size)."""

        def taken(order: int) -> Callable[[Array], Array]:
            if order == 0:
                return lambda r: self.features(network, d, r)
            below = taken(order - 1)
            return lambda r: jax.jvp(below, (r,), (jnp.ones_like(r),))[1]

        return jnp.stack([taken(order)(s) for order in range(_ORDER + 1)])

    def near(self, jets: tuple[Array, ...], at: Array) -> Callable[[Array, Array], dict]:
        """fields(x, t) around the coordinates `at`, with the right derivatives there."""

        def fields(x: Array, t: Array) -> dict[str, Array]:
            step = self.place(x, t) - at
            factors = []
            for d, jet in enumerate(jets):
                total = jet[0]
                for k in range(1, _ORDER + 1):
                    total = total + jet[k] * (step[d] ** k / math.factorial(k))
                factors.append(total)
            return shaped_fields(_joined(factors), self, x, t)

        return fields


def _joined(factors: list[Array]) -> Array:
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return jnp.sum(product, axis=0)


def axis_inputs(problem: Problem) -> tuple[Inputs, ...]:
    """The inputs of each direction's network."""
    low, high = problem.domain.bounds
    ends = list(zip(low.tolist(), high.tolist(), problem.domain.periodic, strict=True))
    if problem.time is not None:
        ends.append((*problem.time, False))
    return tuple(Inputs((a,), (b,), (p,), None) for a, b, p in ends)


class GridBlock(Block):
    """r = scale · fn(jets, place) at all points of a tensor grid, (n₁ · … · n_D · components).

    The features of an axis and their derivatives are made once for each of its points; only what
    joins them is evaluated on the grid. The Jacobian contracts ∂fn/∂jets on the grid with
    ∂jets/∂θ on the axes: no network is differentiated at a point of the grid.

    **Arguments**

    - `jets`: `(params, d, s) -> (1 + order, rank, out)`. `fn`: `(jets of all axes, place) -> (k,)`.
    - `axes`: coordinates of each axis, (n_d,).
    """

    jets: Callable[[Any, int, Array], Array]
    fn: Callable[[tuple[Array, ...], Array], Array]
    axes: tuple[Array, ...]
    scale: float = 1.0

    def residual(self, params: Any) -> Array:
        return self.scale * self._on_grid(self.fn, self._axis_jets(params)).reshape(-1)

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        theta, unravel = ravel_pytree(params)
        jets = self._axis_jets(params)

        def derivatives(at: tuple[Array, ...], place: Array) -> tuple[Array, tuple[Array, ...]]:
            value, pullback = jax.vjp(lambda j: self.fn(j, place), at)
            rows = [pullback(e)[0] for e in jnp.eye(value.size, dtype=value.dtype)]
            return value, jax.tree.map(lambda *r: jnp.stack(r), *rows)

        values, local = self._on_grid(derivatives, jets)
        total = jnp.zeros((*values.shape, theta.size), theta.dtype)
        for d, (points, slope) in enumerate(zip(self.axes, local, strict=True)):
            along = jax.vmap(
                lambda s, d=d: jax.jacrev(lambda flat: self.jets(unravel(flat), d, s))(theta)
            )(points).reshape(len(points), -1, theta.size)
            first = jnp.moveaxis(slope.reshape(*values.shape, -1), d, 0)
            spread = jnp.einsum("n...m,nmp->n...p", first, along)
            total = total + jnp.moveaxis(spread, 0, d)
        rows = self.scale * total.reshape(-1, theta.size)
        return self.scale * values.reshape(-1), rows if project is None else project(rows)

    def locate(self, index: int, size: int) -> str:
        counts = tuple(len(axis) for axis in self.axes)
        point = np.unravel_index(index // (size // int(np.prod(counts))), counts)
        place = [float(axis[i]) for axis, i in zip(self.axes, point, strict=True)]
        return f"grid point {place}"

    def _axis_jets(self, params: Any) -> tuple[Array, ...]:
        return tuple(
            jax.vmap(lambda s, d=d: self.jets(params, d, s))(axis)
            for d, axis in enumerate(self.axes)
        )

    def _on_grid(self, fn: Callable, jets: tuple[Array, ...]) -> Any:
        """fn mapped over the grid, axis by axis, so that no jet is copied to each point."""

        def over(d: int, chosen: tuple[Array, ...], place: tuple[Array, ...]) -> Any:
            if d == len(self.axes):
                return fn(chosen, jnp.stack(place))
            return jax.vmap(lambda jet, s: over(d + 1, (*chosen, jet), (*place, s)))(
                jets[d], self.axes[d]
            )

        return over(0, (), ())


class Separable(LeastSquares):
    """Strong residuals on a tensor grid, and the conditions that are not exact at points.

    A batch has "axes", the coordinates of each direction, and what `Collocation` samples but for
    the interior.
    """

    conditions: Collocation

    def blocks(self, batch: Any) -> dict[str, Block]:
        problem, trial = self.conditions.problem, self.conditions.trial
        assert isinstance(trial, SeparableTrial)
        count = int(np.prod([len(axis) for axis in batch["axes"]]))
        found: dict[str, Block] = {}
        for name in trial.names:

            def fn(jets: tuple[Array, ...], at: Array, name: str = name) -> Array:
                x, t = at[: problem.dim], at[-1] if problem.time else jnp.zeros((), at.dtype)
                return equation_residual(problem, name, trial.near(jets, at), x, t)

            def jets(params: Any, d: int, s: Array) -> Array:
                network = combine(params, self.conditions.static)["network"]
                return trial.jets(network, d, s)

            scale = self.conditions._scale(f"equation {name}", count)
            found[f"equation {name}"] = GridBlock(jets, fn, tuple(batch["axes"]), scale)
        return found | self.conditions.condition_blocks(batch)
