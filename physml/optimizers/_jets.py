"""Taylor components of a perceptron, carried layer by layer, and residuals of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from physml.networks import MLP, combine

from ._blocks import Block, PointBlock, Projection


class Jet(NamedTuple):
    """A network at a point: value (m,), gradient (m, d), Σᵢ cᵢ ∂²/∂xᵢ² (m,)."""

    value: Array
    gradient: Array | None
    laplacian: Array | None


class JetBlock(Block):
    """r = scale · fn(jet, xᵢ), residuals of a perceptron's Taylor components at each point.

    The components are carried forward through the layers together (forward Laplacian): every layer
    multiplies all of them by the same weights, which is the structure that `KFAC` inverts.

    **Arguments**

    - `fn`: `(jet, x) -> () or (k,)` with `jet` a `Jet` of the orders asked for.
    - `points`: (n, d).
    - `static`: of `params, static = partition(network)`, an `MLP` without adaptive slopes.
    - `scale`: number, (n,) or (n, k), as `PointBlock`.
    - `order`: 0 for values only, 1 for gradients too, 2 for the Laplacian too.
    - `axes`: c (d,) of the Laplacian, ones by default.
    - `chunk`: as `PointBlock`.

    Source: Dangel, Müller and Zeinhofer, 2024; Li et al., 2023 (forward Laplacian).
    Raises `TypeError` for another network, `ValueError` for another order.
    """

    fn: Callable[..., Array]
    points: Array
    static: Any
    scale: Array | float = 1.0
    order: int = eqx.field(static=True, default=2)
    axes: tuple[float, ...] | None = eqx.field(static=True, default=None)
    chunk: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if not isinstance(self.static, MLP) or self.static.adaptive is not None:
            raise TypeError(
                "JetBlock takes the static part of an MLP without adaptive slopes, got "
                f"{type(self.static).__name__}; other networks go into a PointBlock."
            )
        if self.order not in (0, 1, 2):
            raise ValueError(f"JetBlock has orders 0, 1 and 2, got {self.order!r}.")

    def residual(self, params: Any) -> Array:
        return self._pointwise().residual(params)

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        return self._pointwise().jacobian(params, project)

    def locate(self, index: int, size: int) -> str:
        return self._pointwise().locate(index, size)

    def factors(self, params: Any) -> list[tuple[Array, Array]]:
        """For each layer A and B with JᵀJ ≈ A ⊗ B on its weights and biases, (in + 1) and (out).

        A = mean of z zᵀ over points and components, z the layer's inputs with 1 for the bias (0 in
        components that are derivatives); B = Σ g gᵀ over points, components and residuals, g the
        derivatives of the residuals, scale included, in the layer's outputs.
        """
        network = combine(params, self.static)
        one = jnp.ones_like(self.points[:1, 0])
        scale = jnp.broadcast_to(jnp.asarray(self.scale, one.dtype).reshape(-1, 1), (1, 1))
        if jnp.ndim(self.scale):
            scale = jnp.reshape(self.scale, (len(self.points), -1))

        def at_point(x, scale):
            shifts = [jnp.zeros((self._count, layer.bias.size)) for layer in network.layers]

            def shifted(shifts):
                jet, inputs = self._carried(network, x, shifts)
                return jnp.ravel(self.fn(jet, x)) * scale, inputs

            residual, pullback, inputs = jax.vjp(shifted, shifts, has_aux=True)
            rows = jax.vmap(pullback)(jnp.eye(residual.size, dtype=residual.dtype))[0]
            lefts = [z.T @ z for z in inputs]
            rights = [jnp.einsum("ksi,ksj->ij", g, g) for g in rows]
            return lefts, rights

        scales = jnp.broadcast_to(scale, (len(self.points), scale.shape[1]))
        total = jax.tree.map(
            lambda leaf: jnp.sum(leaf, axis=0), jax.vmap(at_point)(self.points, scales)
        )
        share = 1.0 / (len(self.points) * self._count)
        return [(share * left, right) for left, right in zip(*total, strict=True)]

    @property
    def _count(self) -> int:
        dimension = jnp.shape(self.points)[1]
        return (1, 1 + dimension, 2 + dimension)[self.order]

    def _pointwise(self) -> PointBlock:
        def fn(params, x):
            network = combine(params, self.static)
            return self.fn(self._carried(network, x, None)[0], x)

        return PointBlock(fn, self.points, self.scale, self.chunk)

    def _carried(
        self, network: MLP, x: Array, shifts: list[Array] | None
    ) -> tuple[Jet, list[Array]]:
        """The jet at x, and each layer's inputs (components, in + 1)."""
        size = x.size
        axes = jnp.ones(size) if self.axes is None else jnp.asarray(self.axes)
        parts = (x[None], jnp.eye(size, dtype=x.dtype), jnp.zeros((1, size), x.dtype))
        jet = jnp.concatenate(parts)[: self._count]
        ones = jnp.zeros((self._count, 1), x.dtype).at[0].set(1.0)
        inputs = []
        for k, layer in enumerate(network.layers):
            if k:
                jet = self._activated(network.activation, jet, axes)
            inputs.append(jnp.concatenate([jet, ones], axis=1))
            weight = jnp.concatenate([layer.weight, layer.bias[:, None]], axis=1)
            jet = inputs[-1] @ weight.T
            if shifts is not None:
                jet = jet + shifts[k]
        gradient = jet[1 : 1 + size].T if self.order >= 1 else None
        return Jet(jet[0], gradient, jet[1 + size] if self.order == 2 else None), inputs

    def _activated(self, activation: Callable, jet: Array, axes: Array) -> Array:
        value, first = _with_slope(activation, jet[0])
        if self.order == 0:
            return value[None]
        slopes = jet[1 : 1 + axes.size]
        if self.order == 1:
            return jnp.concatenate([value[None], first * slopes])
        _, second = _with_slope(lambda z: _with_slope(activation, z)[1], jet[0])
        bend = first * jet[-1] + second * (axes @ slopes**2)
        return jnp.concatenate([value[None], first * slopes, bend[None]])


def _with_slope(fn: Callable[[Array], Array], z: Array) -> tuple[Array, Array]:
    return jax.jvp(fn, (z,), (jnp.ones_like(z),))


def row_factors(block: Block, params: Any, is_layer: Callable[[Any], bool]) -> list[Any]:
    """For each layer (weight, bias) of `params` A and B with JᵀJ ≈ A ⊗ B, from the rows of J alone.

    With Gᵢ (out, in + 1) the derivative of residual i, A ∝ Σ GᵢᵀGᵢ and B = Σ Gᵢ Gᵢᵀ, scaled so that
    the traces agree: one step towards the nearest Kronecker product, exact where there is one.
    Other arrays have the mean square of their derivatives.

    Source: Van Loan and Pitsianis, 1993; Morwani et al., 2024.
    """
    _, unravel = ravel_pytree(params)
    _, jacobian = block.jacobian(params)
    found = []
    for node in jax.tree.leaves(jax.vmap(unravel)(jacobian), is_leaf=is_layer):
        if not is_layer(node):
            found.append(jnp.sum(node**2, axis=0))
            continue
        rows = jnp.concatenate([node.weight, node.bias[..., None]], axis=-1)
        left = jnp.einsum("nij,nik->jk", rows, rows)
        right = jnp.einsum("nij,nkj->ik", rows, rows)
        trace = jnp.trace(right)
        found.append((left / jnp.where(trace > 0, trace, 1.0), right))
    return found
