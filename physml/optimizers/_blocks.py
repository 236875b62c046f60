"""Blocks of a residual vector: how each is evaluated, and how its Jacobian is made fastest."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

# A linear map of rows, (…, P) → (…, m).
Projection = Callable[[Array], Array]
# Numbers of a Jacobian that are held at once where it is projected.
_HELD = 2**22


class Block(eqx.Module):
    """A part r(θ) (n,) of the residual vector, its weight included: loss = Σ blocks Σᵢ rᵢ²."""

    @abc.abstractmethod
    def residual(self, params: Any) -> Array:
        """r (n,) at the parameters θ."""

    @abc.abstractmethod
    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        """r (n,) and ∂r/∂θ (n, P); columns are in the order of `ravel_pytree(params)`.

        `project` is applied to each row as it is made, (…, P) → (…, m), so that no more than
        a few rows of length P are ever held.
        """

    @abc.abstractmethod
    def locate(self, index: int, size: int) -> str:
        """Where in the domain entry `index` of the `size` residuals is, in words."""


class PointBlock(Block):
    """r = scale · fn(θ, xᵢ), one or a few residuals at each point of a batch.

    **Arguments**

    - `fn`: `(params, point) -> () or (k,)`, the residual at one point.
    - `points`: a pytree of arrays with one leading axis, of n points; `fn` gets one slice.
    - `scale`: number, (n,) or (n, k): weight and 1/√n included, so √(w/n) for w · mean r².
    - `chunk`: points that are differentiated at once, if the memory of all is too much.

    The residual vector is ordered point by point, its components fastest. The Jacobian is
    reverse mode at each point, one pass for each of the k components, batched over points.
    """

    fn: Callable[..., Array]
    points: Any
    scale: Array | float = 1.0
    chunk: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        leading_size(self.points, "PointBlock")

    def residual(self, params: Any) -> Array:
        values = _map(lambda point: self.fn(params, point), self.points, self.chunk)
        return _scaled(values, self.scale).reshape(-1)

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        theta, unravel = ravel_pytree(params)

        def row(point):
            value, derivative = _value_and_jacobian(
                lambda flat: self.fn(unravel(flat), point), theta
            )
            return value, _projected(derivative, project)

        values, rows = _map(row, self.points, _chunk(self.chunk, project, theta.size))
        scaled = _scaled(values, self.scale)
        factor = jnp.broadcast_to(_aligned(self.scale, values), values.shape)
        return scaled.reshape(-1), (rows * factor[..., None]).reshape(-1, rows.shape[-1])

    def locate(self, index: int, size: int) -> str:
        n = leading_size(self.points, "PointBlock")
        i = index // max(size // n, 1)
        return f"point {i}, {_described(self.points, i)}"


class QuadratureBlock(Block):
    """Contraction of a pointwise integrand with test functions, as in variational residuals.

    r[e, t] = scale · Σ_q Σ_k C[e, t, q, k] fn(θ, x[e, q])[k], over elements e, tests t and
    quadrature points q; with `rows`, entries that share a row are summed (nodal tests).

    **Arguments**

    - `fn`: `(params, point) -> (k,)`, for instance (F, s) of a weak form, at one point.
    - `points`: a pytree of arrays with leading axes (E, Q).
    - `tests`: C, (E, T, Q, K), or (T, Q, K) where it is the same on each element (K = k), with
      the quadrature weights inside.
    - `scale`: number or (E, T) (or (size,) beside `rows`).
    - `rows`: (E, T) integers, the row of each entry, and `size` their number; an index outside
      [0, size) drops the entry (a test that is zero on the boundary).
    - `chunk`: elements that are differentiated at once.

    The Jacobian differentiates the integrand at each point once (k reverse passes) and then
    contracts with one matrix product an element; it never differentiates the sums. `fn` may be
    nonlinear in the network: it is its derivative in θ that is contracted.
    """

    fn: Callable[..., Array]
    points: Any
    tests: Array
    scale: Array | float = 1.0
    rows: Array | None = None
    size: int | None = eqx.field(static=True, default=None)
    chunk: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        leading_size(self.points, "QuadratureBlock")
        if jnp.ndim(self.tests) not in (3, 4):
            raise ValueError(
                "QuadratureBlock takes tests of shape (E, T, Q, K) or (T, Q, K), got "
                f"{jnp.shape(self.tests)}."
            )
        if (self.rows is None) != (self.size is None):
            raise ValueError("QuadratureBlock takes rows and size together, or neither.")

    def residual(self, params: Any) -> Array:
        def element(points, tests):
            values = jax.vmap(lambda point: self.fn(params, point))(points)
            return jnp.einsum("tqk,qk->t", tests, values)

        return self._gather(self._map_elements(element, self.chunk))

    def values(self, params: Any) -> Array:
        """fn at all points, (E, Q, k)."""
        return jax.vmap(jax.vmap(lambda point: self.fn(params, point)))(self.points)

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        theta, unravel = ravel_pytree(params)

        def at_point(point):
            return _value_and_jacobian(lambda flat: self.fn(unravel(flat), point), theta)

        def element(points, tests):
            values, derivatives = jax.vmap(at_point)(points)
            flat = tests.reshape(tests.shape[0], -1)
            rows = flat @ derivatives.reshape(-1, theta.size)
            return flat @ values.reshape(-1), _projected(rows, project)

        values, jacobian = self._map_elements(element, _chunk(self.chunk, project, theta.size))
        return self._gather(values), self._gather(jacobian)

    def locate(self, index: int, size: int) -> str:
        if self.rows is not None:
            return f"row {index} of the tests"
        e = index // (size // leading_size(self.points, "QuadratureBlock"))
        return f"element {e}, whose points are {_described(self.points, e)}"

    def _map_elements(self, element: Callable, chunk: int | None) -> Any:
        if jnp.ndim(self.tests) == 3:
            return _map(lambda points: element(points, self.tests), self.points, chunk)
        return _map(lambda both: element(*both), (self.points, self.tests), chunk)

    def _gather(self, entries: Array) -> Array:
        flat = entries.reshape(-1, *entries.shape[2:])
        scale = jnp.asarray(self.scale, flat.dtype).reshape(-1)
        if self.rows is not None:
            rows = self.rows.reshape(-1)
            # A negative index would count from the end: send it where the sum drops it.
            size = self.size or 0
            rows = jnp.where(rows < 0, size, rows)
            flat = jnp.zeros((size, *flat.shape[1:]), flat.dtype).at[rows].add(flat)
        return flat * scale.reshape(-1, *[1] * (flat.ndim - 1))


class VectorBlock(Block):
    """r = scale · fn(θ, data) (n,): any residual vector without pointwise structure.

    `fn` is `(params, data) -> (n,)`, `scale` a number or (n,). The Jacobian is dense, by reverse
    mode where n < P and by forward mode otherwise, `chunk` directions at a time.
    """

    fn: Callable[..., Array]
    data: Any = None
    scale: Array | float = 1.0
    chunk: int | None = eqx.field(static=True, default=None)

    def residual(self, params: Any) -> Array:
        return (self.fn(params, self.data) * self.scale).reshape(-1)

    def jacobian(self, params: Any, project: Projection | None = None) -> tuple[Array, Array]:
        theta, unravel = ravel_pytree(params)

        def vector(flat):
            return (self.fn(unravel(flat), self.data) * self.scale).reshape(-1)

        residual = vector(theta)
        n = residual.size
        if n < theta.size:
            _, pullback = jax.vjp(vector, theta)
            chunk = _chunk(self.chunk, project, theta.size)
            pull = lambda row: _projected(pullback(row)[0], project)
            return residual, _map(pull, jnp.eye(n, dtype=residual.dtype), chunk)
        _, pushforward = jax.linearize(vector, theta)
        columns = _map(pushforward, jnp.eye(theta.size, dtype=theta.dtype), self.chunk)
        return residual, _projected(columns.T, project)

    def locate(self, index: int, size: int) -> str:
        return f"entry {index}"


def leading_size(points: Any, owner: str) -> int:
    """The common leading axis of a pytree of arrays; an error if there is none."""
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(points)}
    if len(sizes) != 1 or sizes == {()}:
        found = [jnp.shape(leaf) for leaf in jax.tree.leaves(points)]
        raise ValueError(
            f"{owner} takes points as arrays with one common leading axis, got shapes {found}."
        )
    return sizes.pop()[0]


def _described(points: Any, index: int) -> str:
    parts = [
        np.array2string(np.asarray(leaf[index]), precision=5) for leaf in jax.tree.leaves(points)
    ]
    return ", ".join(parts)


def _projected(rows: Array, project: Projection | None) -> Array:
    return rows if project is None else project(rows)


def _chunk(chunk: int | None, project: Projection | None, size: int) -> int | None:
    """How many rows of length `size` are held before they are projected, unless it is given."""
    if chunk is not None or project is None:
        return chunk
    return max(1, _HELD // size)


def _map(fn: Callable, points: Any, chunk: int | None) -> Any:
    if chunk is None:
        return jax.vmap(fn)(points)
    return jax.lax.map(fn, points, batch_size=chunk)


def _value_and_jacobian(fn: Callable[[Array], Array], theta: Array) -> tuple[Array, Array]:
    """fn(θ) and its Jacobian with a trailing axis P, by one reverse pass a component."""
    value, pullback = jax.vjp(fn, theta)
    if value.ndim == 0:
        return value, pullback(jnp.ones_like(value))[0]
    basis = jnp.eye(value.size, dtype=value.dtype).reshape(value.size, *value.shape)
    rows = [pullback(direction)[0] for direction in basis]
    return value, jnp.stack(rows).reshape(*value.shape, theta.size)


def _aligned(scale: Array | float, values: Array) -> Array:
    """`scale` with trailing axes added, so that it multiplies `values` point by point."""
    scale = jnp.asarray(scale, values.dtype)
    return scale.reshape(scale.shape + (1,) * (values.ndim - scale.ndim)) if scale.ndim else scale


def _scaled(values: Array, scale: Array | float) -> Array:
    return values * _aligned(scale, values)
