"""The recovered gradient of Zienkiewicz and Zhu: ∇u projected on continuous elements.

G minimises ‖G − ∇u‖ over continuous elements of the solution's degree, material by material:
across an interface the gradient of the exact solution jumps (Zienkiewicz & Zhu 1987).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import cg

from pdes import Problem
from solvers._result import NotApplicable
from solvers.fem._element import cell_quadrature, lagrange
from solvers.fem._local import CellTable
from solvers.fem._space import Space


def recovered_difference(problem: Problem, space: Space, table: CellTable) -> dict[str, np.ndarray]:
    """‖G − ∇u‖²_K of each field whose gradient enters a flux.

    Raises:
        NotApplicable: there is none.
    """
    fields = {
        name
        for form in problem.forms().values()
        for term in form.equation.flux
        for name in form.dependence(term).gradients
    }
    if not fields:
        raise NotApplicable(
            'no flux uses a gradient, so there is none to recover: take kind="residual"'
        )
    return {name: _difference(name, space, table) for name in space.scalars if name in fields}


def _difference(field: str, space: Space, table: CellTable) -> np.ndarray:
    mesh, scalar = table.mesh, space.scalars[field]
    xi, weights = cell_quadrature(mesh.shape, 2 * scalar.element.degree + 1)
    map_degree = 1 if mesh.geometry is None else 2
    slopes = lagrange(mesh.shape, map_degree).tabulate(xi)[:, 1:]
    jacobian = np.einsum("qrv,cvk->cqkr", slopes, table.nodes[table.numbers])
    measure = weights * np.abs(np.linalg.det(jacobian))
    basis = scalar.element.tabulate(xi)
    local = table.dofs[field][:, 0].reshape(len(mesh.cells), basis.shape[-1], -1)
    reference = np.einsum("qrn,cns->cqsr", basis[:, 1:], local)
    gradient = np.einsum("cqsr,cqrk->cqsk", reference, np.linalg.inv(jacobian))
    gradient = gradient.reshape(*gradient.shape[:2], -1)
    # A node on an interface is one for each material.
    keys = scalar.cell_nodes.astype(np.int64) * max(len(mesh.regions), 1)
    keys = keys + mesh.cell_regions[:, None]
    _, nodes = np.unique(keys, return_inverse=True)
    nodes = nodes.reshape(keys.shape)
    recovered = _projected(basis[:, 0], measure, gradient, nodes)
    at_points = np.einsum("qn,cns->cqs", basis[:, 0], recovered[nodes])
    return np.einsum("cq,cqs->c", measure, (at_points - gradient) ** 2)


def _projected(
    basis: np.ndarray, measure: np.ndarray, values: np.ndarray, nodes: np.ndarray
) -> np.ndarray:
    """L² projection of values (cells, q, s) on the continuous elements, (nodes, s)."""
    size = int(nodes.max()) + 1
    blocks = np.einsum("qn,cq,qm->cnm", basis, measure, basis)
    shape = blocks.shape
    rows = np.broadcast_to(nodes[:, :, None], shape).ravel()
    columns = np.broadcast_to(nodes[:, None, :], shape).ravel()
    mass = sp.csr_matrix((blocks.ravel(), (rows, columns)), shape=(size, size))
    right = np.zeros((size, values.shape[2]))
    np.add.at(right, nodes, np.einsum("qn,cq,cqs->cns", basis, measure, values))
    jacobi = sp.diags(1 / mass.diagonal())
    # A mass matrix scaled by its diagonal is well conditioned: some tens of steps.
    return np.stack([cg(mass, b, rtol=1e-10, M=jacobi)[0] for b in right.T], axis=1)
