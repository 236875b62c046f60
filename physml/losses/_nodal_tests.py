"""Nodal tests of a finite-element space: their rows, what they are on facets, their Gram matrix."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp

from pdes import Mesh, Problem
from physml.losses._mesh_tests import Map, cell_map, element_jets
from solvers.fem._build import geometry_points
from solvers.fem._element import facet_quadrature, lagrange
from solvers.fem._space import ScalarSpace, scalar_space
from solvers.fem._tables import geometry_degree


@dataclasses.dataclass(frozen=True)
class NodalTests:
    """The basis functions of a Lagrange space, weights inside.

    Attributes:
        space: their numbering. map: the quadrature points. cells: v and ∇v, (E, T, Q, 1 + dim).
    """

    space: ScalarSpace
    map: Map
    cells: np.ndarray

    @property
    def size(self) -> int:
        return self.space.size

    def gram(self, mass: float) -> sp.csr_matrix:
        """∫ ∇v·∇w + mass ∫ v w, (size, size)."""
        # The weights are inside once: divided out of one of the two factors.
        plain = self.cells / self.map.measure[:, None, :, None]
        slopes = np.einsum("etqk,esqk->ets", self.cells[..., 1:], plain[..., 1:], optimize=True)
        values = np.einsum("etq,esq->ets", self.cells[..., 0], plain[..., 0], optimize=True)
        return self._assembled(slopes + mass * values)

    def masses(self) -> np.ndarray:
        """∫ v² of each test, (size,)."""
        squares = np.sum(self.cells[..., 0] ** 2 / self.map.measure[:, None], axis=-1)
        return np.bincount(self.space.cell_nodes.ravel(), squares.ravel(), self.size)

    def _assembled(self, blocks: np.ndarray) -> sp.csr_matrix:
        nodes = self.space.cell_nodes
        rows = np.repeat(nodes, nodes.shape[1], axis=1).ravel()
        columns = np.tile(nodes, (1, nodes.shape[1])).ravel()
        return sp.csr_matrix((blocks.ravel(), (rows, columns)), shape=(self.size, self.size))


def nodal_tests(mesh: Mesh, degree: int, quadrature: int) -> NodalTests:
    """All nodal tests of a degree, with a quadrature exact to `quadrature`."""
    space = scalar_space(mesh, degree)
    points, place = cell_map(mesh, quadrature)
    tests = place.tests(element_jets(space.element, points), second=False)
    return NodalTests(space, place, tests * place.measure[:, None, :, None])


@dataclasses.dataclass(frozen=True)
class FacetTests:
    """The nodal tests on one part of the boundary, weights inside.

    Attributes:
        x, n: (F, Q, dim). tests: (F, T, Q, 1). nodes: number of each test, (F, T). cells: (F,).
    """

    x: np.ndarray
    n: np.ndarray
    tests: np.ndarray
    nodes: np.ndarray
    cells: np.ndarray


def facet_measures(
    mesh: Mesh, part: str, quadrature: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points x and normals n (F, Q, dim), measures (F, Q) and cells (F,) of a part's facets.

    Curved facets keep their own normals.
    """
    cells, local = _facets_of(mesh, part)
    points, weights, normals = facet_quadrature(mesh.shape, quadrature)
    corners, numbers = geometry_points(mesh)
    nodes = corners[numbers[cells]]
    geometry = lagrange(mesh.shape, geometry_degree(mesh))
    maps = np.stack([geometry.tabulate(p) for p in points])[local]
    x = np.einsum("fqa,fak->fqk", maps[:, :, 0], nodes)
    jacobian = np.einsum("fqra,fak->fqkr", maps[:, :, 1:], nodes)
    # Nanson: n ds = det J J⁻ᵀ n̂ dŝ.
    across = np.einsum("fr,fqrk->fqk", normals[local], np.linalg.inv(jacobian))
    across = across * np.abs(np.linalg.det(jacobian))[..., None]
    stretch = np.linalg.norm(across, axis=-1)
    return x, across / stretch[..., None], stretch * weights[local], cells


def facet_tests(mesh: Mesh, space: ScalarSpace, part: str, quadrature: int) -> FacetTests:
    """Tests on a named part of the boundary."""
    x, normals, measure, cells = facet_measures(mesh, part, quadrature)
    points, _, _ = facet_quadrature(mesh.shape, quadrature)
    basis = np.stack([space.element.tabulate(p)[:, 0] for p in points])[_facets_of(mesh, part)[1]]
    tests = (np.swapaxes(basis, 1, 2) * measure[:, None, :])[..., None]
    return FacetTests(x, normals, tests, space.cell_nodes[cells], cells)


def _facets_of(mesh: Mesh, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Cell and local number of each facet of a part."""
    rows = np.flatnonzero(mesh.facet_parts == mesh.boundary_names.index(part))
    return mesh.facets[rows, 0], mesh.facets[rows, 1]


def free_rows(problem: Problem, mesh: Mesh, space: ScalarSpace, name: str) -> np.ndarray:
    """Row of each node's test for each component, (nodes, components); −1 where it vanishes.

    A test vanishes where its component's value is prescribed.
    """
    components = max(int(np.prod(problem.shapes[name], dtype=int)), 1)
    fixed = np.zeros((space.size, components), bool)
    for part, conditions in problem.conditions.items():
        condition = conditions.get(name)
        if condition is None or not condition.any_essential or part not in mesh.boundary_names:
            continue
        for node in _nodes_on(mesh, space, part):
            fixed[node] |= np.asarray(condition.essential)
    rows = np.full(fixed.shape, -1)
    rows[~fixed] = np.arange(np.sum(~fixed))
    return rows


def _nodes_on(mesh: Mesh, space: ScalarSpace, part: str) -> np.ndarray:
    cells, local = _facets_of(mesh, part)
    closure = np.array(space.element.facet_nodes)
    return np.unique(np.take_along_axis(space.cell_nodes[cells], closure[local], axis=1))


def component_rows(nodes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of local tests by component, components fastest, (E, T · components)."""
    return rows[nodes].reshape(len(nodes), -1)


def natural_parts(problem: Problem, name: str) -> list[str]:
    """Parts of the boundary on which the flux of a field enters its rows."""
    form = problem.forms()[name]
    return [
        part
        for part, conditions in problem.conditions.items()
        if name in conditions
        and not conditions[name].all_essential
        and form.kind != "Constraint"
        and form.equation.flux
    ]
