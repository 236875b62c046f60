"""Finding the cell that holds a point, in JAX, and the answer of the method as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._arrays import on_device
from pdes.domain import Mesh
from solvers._same import Hidden, padded, padded_size
from solvers._solution import Representation
from solvers.fem._build import geometry_points
from solvers.fem._element import SIMPLICES, lagrange
from solvers.fem._search import Bins, Tree, make_search
from solvers.fem._space import Space
from solvers.time import TimeSeries

_NEWTON = 8


class Locator(eqx.Module):
    """From a point to its cell and reference coordinates."""

    nodes: Array
    numbers: Array
    search: Bins | Tree
    coefficients: Array
    shape: tuple[str, int] = eqx.field(static=True)
    simplex: bool = eqx.field(static=True)
    affine: bool = eqx.field(static=True)

    def __init__(self, mesh: Mesh, points: Array):
        _, numbers = geometry_points(mesh)
        # Padded, so that meshes of about the same size share compiled programs.
        numbers = padded(numbers, padded_size(len(numbers), f"{mesh.shape} cells"))
        element = lagrange(mesh.shape, 1 if mesh.geometry is None else 2)
        dtype = np.dtype(points.dtype)
        self.nodes = points
        self.numbers = on_device(numbers.astype(np.int32))
        self.search = make_search(mesh, dtype)
        self.shape = (mesh.shape, element.degree)
        self.coefficients = on_device(element.coefficients.astype(dtype))
        self.simplex = mesh.shape in SIMPLICES
        self.affine = self.simplex and mesh.geometry is None

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Cell and reference coordinates; outside the mesh, those of the nearest candidate."""
        at = jax.lax.stop_gradient(x)
        candidates = self.search(at)
        depth = jax.vmap(lambda c: self._depth(self.reference(c, at)))(candidates)
        cell = candidates[jnp.argmax(depth)]
        return cell, self.reference(cell, x)

    def _depth(self, xi: Array) -> Array:
        """How far inside the reference cell, negative outside."""
        upper = 1.0 - jnp.sum(xi) if self.simplex else jnp.min(1.0 - xi)
        return jnp.minimum(jnp.min(xi), upper)

    def reference(self, cell: Array, x: Array) -> Array:
        """ξ with X(ξ) = x."""
        nodes = self.nodes[self.numbers[cell]]

        def position(xi: Array) -> Array:
            return monomials(xi, lagrange(*self.shape).exponents) @ (self.coefficients @ nodes)

        xi = jnp.full_like(x, 0.25 if self.simplex else 0.5)
        if self.affine:
            return xi + solve_small(jax.jacfwd(position)(xi), x - position(xi))
        at = jax.lax.stop_gradient(x)
        for _ in range(_NEWTON):
            xi = xi + solve_small(jax.jacfwd(position)(xi), at - position(xi))
            xi = jnp.clip(xi, -1.0, 2.0)
        xi = jax.lax.stop_gradient(xi)
        # One more step in which x is free gives the exact first derivative.
        return xi + solve_small(jax.jacfwd(position)(xi), x - position(xi))


def monomials(xi: Array, exponents: np.ndarray) -> Array:
    """ξ^α for all α, without powers whose derivative at zero is NaN."""
    powers = [jnp.ones_like(xi)]
    for _ in range(int(exponents.max())):
        powers.append(powers[-1] * xi)
    table = jnp.stack(powers)
    out = table[exponents[:, 0], 0]
    for axis in range(1, xi.shape[0]):
        out = out * table[exponents[:, axis], axis]
    return out


def solve_small(matrix: Array, right: Array) -> Array:
    """A⁻¹ b for one to three unknowns, by cofactors: batches well."""
    dim = matrix.shape[0]
    if dim == 1:
        return right / matrix[0]
    if dim == 2:
        det = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
        return (
            jnp.stack(
                [
                    matrix[1, 1] * right[0] - matrix[0, 1] * right[1],
                    matrix[0, 0] * right[1] - matrix[1, 0] * right[0],
                ]
            )
            / det
        )
    a, b, c = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    det = jnp.dot(a, jnp.cross(b, c))
    return (
        jnp.stack(
            [
                jnp.dot(right, jnp.cross(b, c)),
                jnp.dot(a, jnp.cross(right, c)),
                jnp.dot(a, jnp.cross(b, right)),
            ]
        )
        / det
    )


class FEMRepresentation(Representation):
    """Finite element fields: piecewise polynomials in x, cubic Hermite in t between frames.

    Attributes:
        state: degrees of freedom of a steady problem, or their series in time.
    """

    state: Any
    locator: Locator
    dofs: dict[str, Array]
    coefficients: dict[str, Array]
    hidden_space: Hidden = eqx.field(static=True)
    fields: tuple[tuple[str, str, int, tuple[int, ...]], ...] = eqx.field(static=True)

    def __init__(self, space: Space, points: Array, state: Any, shapes: dict):
        self.state = state
        self.locator = Locator(space.mesh, points)
        self.hidden_space = Hidden(space)
        elements = {n: s.element for n, s in space.scalars.items()}
        self.fields = tuple((n, e.shape, e.degree, tuple(shapes[n])) for n, e in elements.items())
        count = padded_size(len(space.mesh.cells), f"{space.mesh.shape} cells")
        self.dofs = {
            n: on_device(padded(space.dofs(n).astype(np.int32), count)) for n in space.scalars
        }
        dtype = np.dtype(points.dtype)
        self.coefficients = {
            n: on_device(e.coefficients.astype(dtype)) for n, e in elements.items()
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the fields' values."""
        return {name: shape for name, _, _, shape in self.fields}

    @property
    def space(self) -> Space:
        """On the host; not for use in a compiled program."""
        return self.hidden_space.value

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        return _values(self, x, t)

    def inside(self, cell: Array) -> Callable[[Array, Array], dict[str, Array]]:
        """The fields as functions of x and t within one cell, which is not searched for."""
        return lambda x, t: _values(self, x, t, cell)

    def at(self, x: Array, t: Array, cell: Array | None = None) -> dict[str, Array]:
        if cell is None:
            cell, xi = self.locator(x)
        else:
            xi = self.locator.reference(cell, x)
        out = {}
        for name, cell_shape, degree, shape in self.fields:
            entries = self.dofs[name][cell]
            if isinstance(self.state, TimeSeries):
                local = self.state(t, index=entries)
            else:
                local = self.state[entries]
            nodes = self.coefficients[name].shape[1]
            exponents = lagrange(cell_shape, degree).exponents
            basis = monomials(xi, exponents) @ self.coefficients[name]
            out[name] = (basis @ local.reshape(nodes, -1)).reshape(shape)
        return out

    def frames(self) -> Array | None:
        return self.state.times if isinstance(self.state, TimeSeries) else None


@eqx.filter_jit
def _values(
    representation: FEMRepresentation, x: Array, t: Array, cell: Array | None = None
) -> dict[str, Array]:
    # Compiled as a whole: op by op, the search would be hundreds of little programs.
    return representation.at(x, t, cell)
