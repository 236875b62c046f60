"""Prescribed values: which degrees of freedom, and the functions that give them."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pdes import Problem
from pdes._arrays import on_device
from pdes.domain._mesh import FACETS
from solvers._result import NotApplicable
from solvers._same import padded, padded_size
from solvers._traced import traced
from solvers.fem._space import Space


class Essential(eqx.Module):
    """Prescribed values of some components at some nodes: z[dofs] = value(x, t)[components].

    Attributes:
        x: (nodes, dim). dofs: (nodes, components that are prescribed).
    """

    value: Callable[..., Array]
    x: Array
    dofs: Array
    components: tuple[int, ...] = eqx.field(static=True)

    def set(self, z: Array, t: Array) -> Array:
        values = jax.vmap(lambda x: jnp.atleast_1d(self.value(x, t)))(self.x)
        values = values.reshape(len(self.x), -1)[:, jnp.asarray(self.components)]
        return z.at[self.dofs].set(values.astype(z.dtype))


class _Normal(eqx.Module):
    """Slip: u·n = 0 on a part that is normal to one axis."""

    dim: int = eqx.field(static=True)

    def __call__(self, x: Array, t: Array) -> Array:
        return jnp.zeros(self.dim, x.dtype)


def essential_values(problem: Problem, space: Space) -> tuple[list[Essential], NDArray[np.bool_]]:
    """All prescribed values, in the order in which later ones win, and a mask of their entries
    and of those that pad the vector.

    In a broken space conditions are weak: pins only.
    """
    groups: list[Essential] = []

    def add(name, nodes, value, components) -> None:
        group, dofs = _group(space, name, nodes, value, components)
        groups.append(group)
        fixed[dofs] = True

    fixed = np.ones(space.length, dtype=bool)
    fixed[space.real] = False
    mesh = space.mesh
    for part, by_field in problem.conditions.items() if not space.broken else ():
        index = mesh.boundary_names.index(part) if part in mesh.boundary_names else -1
        facets = mesh.facets[mesh.facet_parts == index]
        if not len(facets):
            continue
        for name, condition in by_field.items():
            if condition.normal_only:
                for axis, chosen in _by_axis(space, facets, part):
                    nodes = facet_nodes(space, name, chosen)
                    add(name, nodes, _Normal(mesh.dim), (axis,))
            elif condition.any_essential:
                nodes = facet_nodes(space, name, facets)
                components = tuple(int(i) for i in np.flatnonzero(condition.essential))
                add(name, nodes, condition.value, components)
    for name, position, datum in problem.pins:
        scalar = space.scalars[name]
        nearest = np.argmin(((scalar.coordinates - np.asarray(position)) ** 2).sum(axis=1))
        components = tuple(range(space.components[name]))
        add(name, np.array([nearest]), datum, components)
    return groups, fixed


def _group(space: Space, name, nodes, value, components) -> tuple[Essential, NDArray]:
    scalar = space.scalars[name]
    dtype = np.dtype(jnp.result_type(float))
    x = scalar.coordinates[nodes].astype(dtype)
    dofs = space.offsets[name] + nodes[:, None] * space.components[name] + np.array(components)
    value = traced(value, x[0], np.zeros((), dtype))
    # Padded by repeating the last node, whose value is then set twice.
    count = padded_size(len(nodes), "prescribed nodes")
    places = padded(dofs.astype(np.int32), count)
    return Essential(value, on_device(padded(x, count)), on_device(places), components), dofs


def facet_nodes(space: Space, name: str, facets: NDArray) -> NDArray:
    """Numbers of the field's nodes on facets (cell, local number)."""
    scalar = space.scalars[name]
    local = np.array(scalar.element.facet_nodes)
    return np.unique(scalar.cell_nodes[facets[:, 0][:, None], local[facets[:, 1]]])


def _by_axis(space: Space, facets: NDArray, part: str):
    """Facets by the axis that they are normal to."""
    mesh = space.mesh
    corners = mesh.points[
        mesh.cells[facets[:, 0][:, None], np.array(FACETS[mesh.shape])[facets[:, 1]]]
    ]
    extent = np.ptp(corners, axis=1)
    size = max(float(extent.max()), 1e-300)
    flat = extent <= 1e-9 * size
    if not flat.any(axis=1).all():
        raise NotApplicable(
            f"Slip on {part!r}: finite elements take it on parts normal to a coordinate axis only. "
            "Rotate the domain, or use a Robin condition as a penalty: "
            "pm.Robin(u=lambda p: 1e3 * (p.u @ p.n) * p.n)"
        )
    axes = flat.argmax(axis=1)
    for axis in np.unique(axes):
        yield int(axis), facets[axes == axis]
