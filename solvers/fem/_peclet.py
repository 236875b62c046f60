"""What a mesh or an element does not resolve: transport (cell Péclet number), and volume changes.

Both are read off the tangent of the equations in some of the cells of a steady solution.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._arrays import on_device
from solvers.fem._build import geometry_points
from solvers.fem._density import Place, Scales
from solvers.fem._locate import FEMRepresentation
from solvers.fem._system import FEMSystem

_CELLS = 128
# λ/μ of Poisson's ratio 0.49.
_STIFF = 49.0


def transported(system: FEMSystem) -> list[str]:
    """Fields of second order with a term of first order in their own equation."""
    blocks = system.integrals[0].blocks
    return [
        name
        for name in system.space.scalars
        if (name, 1, name, 1) in blocks
        and ((name, 0, name, 1) in blocks or (name, 1, name, 0) in blocks)
    ]


class _Own(eqx.Module):
    """The tangent of each field's own equation at one point, by value and by gradient."""

    density: Any
    representation: FEMRepresentation
    t: Array
    scales: Scales
    inertial: tuple[str, ...] = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __call__(self, x: Array, region: Array, cell: Array) -> Any:
        t, name = self.t, self.name
        values = self.representation.values(x, t)
        slopes = jax.jacfwd(lambda y: self.representation.values(y, t))(x)
        anchors = {field: values[field] for field in self.inertial}
        place = Place(x, t, region, cell, None, jnp.zeros((x.shape[0], x.shape[0]), x.dtype))

        def own(value, gradient):
            return self.density(
                values | {name: value}, slopes | {name: gradient}, place, anchors, self.scales
            )[name]

        return jax.jacfwd(own, argnums=(0, 1))(values[name], slopes[name])


@eqx.filter_jit
def _tangents(own: _Own, x: Array, region: Array, cell: Array) -> Any:
    return jax.vmap(own)(x, region, cell)


def own_tangents(system: FEMSystem, representation: FEMRepresentation, name: str) -> Any:
    """Tangents in some cells, and the lengths of these: ((∂c₀/∂u, ∂c₁/∂u), (∂c₀/∂∇u, ∂c₁/∂∇u)),
    arrays with the cell first, and (cells,)."""
    mesh = system.space.mesh
    nodes, numbers = geometry_points(mesh)
    chosen = np.linspace(0, len(numbers) - 1, _CELLS).round().astype(np.int32)
    corners = nodes[numbers[chosen]]
    dtype = np.dtype(system.points.dtype)
    own = _Own(
        system.integrals[0].density,
        representation,
        system.start_time,
        system.scales(0.0, 1.0, 0.0),
        system.inertial,
        name,
    )
    x = on_device(corners.mean(axis=1).astype(dtype))
    regions = on_device(mesh.cell_regions[chosen].astype(np.int32))
    c0, c1 = _tangents(own, x, regions, on_device(chosen))
    # By output, then by argument: the other way round is easier to read off.
    found = jax.tree.map(np.asarray, ((c0[0], c1[0]), (c0[1], c1[1])))
    return found, np.ptp(corners, axis=1).max(axis=1)


def cell_peclet(system: FEMSystem, representation: FEMRepresentation, name: str) -> float:
    """max |b| h / 2κp over some cells, with b and κ read off the tangent and p the degree."""
    ((_, c1_value), (c0_gradient, c1_gradient)), sizes = own_tangents(system, representation, name)
    # One component of a vector stands for all: b and κ act on each alike.
    dim = system.space.mesh.dim
    width = system.space.components[name]
    by_gradient = c0_gradient.reshape(_CELLS, width, width, dim)[:, 0, 0]
    by_value = c1_value.reshape(_CELLS, width, dim, width)[:, 0, :, 0]
    spread = c1_gradient.reshape(_CELLS, width, dim, width, dim)[:, 0, :, 0, :]
    transport = np.linalg.norm(by_gradient - by_value, axis=1)
    diffusion = np.abs(np.trace(spread, axis1=1, axis2=2)) / dim
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(transport / diffusion)
    return float(np.max(ratios * sizes) / (2 * system.space.scalars[name].element.degree))


def peclet_notes(system: FEMSystem, representation: FEMRepresentation) -> list[str]:
    """A warning for each field whose transport the mesh does not resolve."""
    notes = []
    for name in transported(system):
        number = cell_peclet(system, representation, name)
        if number > 1.0:
            notes.append(
                f"warning: the cell Péclet number of {name!r} reaches {number:.3g}: plain "
                "Galerkin oscillates above 1; refine near layers, or stabilise: "
                'FiniteElement(degree=1, stabilization="supg") (SUPG)'
            )
    return notes


def locking_notes(system: FEMSystem, representation: FEMRepresentation) -> list[str]:
    """A warning for each displacement of degree 1 that hardly changes its volume."""
    notes = []
    dim = system.space.mesh.dim
    blocks = system.integrals[0].blocks
    for name, shape in representation.shapes.items():
        linear = system.space.scalars[name].element.degree == 1
        if shape != (dim,) or dim == 1 or not linear or (name, 1, name, 1) not in blocks:
            continue
        (_, (_, tangent)), _ = own_tangents(system, representation, name)
        shear = np.abs(tangent[:, 0, 1, 0, 1])
        ratio = float(np.median(tangent[:, 0, 0, 1, 1] / np.maximum(shear, 1e-300)))
        if ratio > _STIFF:
            notes.append(
                f"warning: {name!r} is nearly incompressible (λ/μ = {ratio:.3g}, Poisson's ratio "
                f"{ratio / (2 + 2 * ratio):.5g}): elements of degree 1 lock; give the pressure its "
                "own field (library.NearlyIncompressibleElasticity) with degree=2"
            )
    return notes
