"""Mean values and initial data of a problem on a space."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from pdes import Problem
from pdes._arrays import on_device
from solvers._same import padded, padded_size
from solvers._traced import traced
from solvers.fem._build import geometry_points
from solvers.fem._coupling import Coupling
from solvers.fem._element import cell_quadrature, lagrange
from solvers.fem._space import Space
from solvers.fem._system import Initial, Mean
from solvers.fem._tables import geometry_degree


def mean_values(
    problem: Problem, space: Space, coupling: Coupling, borders: tuple
) -> tuple[Mean, ...]:
    """The mean values that are prescribed."""
    dtype = jnp.result_type(float)
    means = []
    for i, (border, found) in enumerate(zip(borders, coupling.borders, strict=True)):
        field = border.rsplit("|", 1)[0]
        unknowns, column, row = found
        count = padded_size(len(unknowns), "mean value")
        weights = padded(basis_integrals(space, field), count, 0.0)
        means.append(
            Mean(
                on_device(padded(unknowns, count)),
                jnp.asarray(weights, dtype),
                on_device(np.asarray(problem.zero_mean[field], dtype)),
                space.length + i,
                (on_device(padded(column, count)), on_device(padded(row, count))),
            )
        )
    return tuple(means)


def basis_integrals(space: Space, field: str) -> np.ndarray:
    """∫ of the basis function of each node of a field."""
    mesh = space.mesh
    scalar = space.scalars[field]
    points, weights = cell_quadrature(mesh.shape, scalar.element.degree + 2 * mesh.dim)
    nodes, corners = geometry_points(mesh)
    map_element = lagrange(mesh.shape, geometry_degree(mesh))
    slopes = map_element.tabulate(points)[:, 1:]
    jacobian = np.einsum("qrv,cvk->cqkr", slopes, nodes[corners])
    measure = np.abs(np.linalg.det(jacobian)) * weights
    local = measure @ scalar.element.tabulate(points)[:, 0]
    return np.bincount(scalar.cell_nodes.ravel(), local.ravel(), minlength=scalar.size)


def initial_data(problem: Problem, space: Space) -> tuple[Initial, ...]:
    """u₀ and ∂ₜu₀ of each field that takes them."""
    out = []
    for name in problem.evolving:
        x = space.padded_coordinates(name).astype(jnp.result_type(float))
        value = traced(problem.initial[name], x[0])
        rate = problem.initial_rate.get(name)
        rate = None if rate is None else traced(rate, x[0])
        out.append(Initial(value, rate, on_device(x), name))
    return tuple(out)
