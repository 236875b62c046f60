"""Vectors and matrices of a weak density that is known at points, assembled on the host.

Densities are evaluated in pieces of one size, so that one small program serves every mesh.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array

from pdes import Mesh, Point, Problem
from solvers._weak import boundary_density, weak_density
from solvers.fem._build import geometry_points
from solvers.fem._constraints import essential_values
from solvers.fem._element import cell_quadrature, facet_quadrature, lagrange
from solvers.fem._space import Space, make_space

# Points at which a density and its derivative are evaluated at once.
_PIECE = 1024


@dataclasses.dataclass(frozen=True)
class Places:
    """Quadrature points of a set of cells, or of facets by their cells.

    Attributes:
        x: (points, dim). weights: (points,). region, cell: (points,). normal: (points, dim), or
        None inside. basis: of the fields' jets, (cells, q, jets, local dofs). dofs: (cells, local).
    """

    x: np.ndarray
    weights: np.ndarray
    region: np.ndarray
    cell: np.ndarray
    normal: np.ndarray | None
    basis: np.ndarray
    dofs: np.ndarray

    def jets(self, z: np.ndarray) -> np.ndarray:
        """Values and gradients of all components at the points, (points, jets)."""
        found = np.einsum("cqjd,cd->cqj", self.basis, z[self.dofs], optimize=True)
        return found.reshape(-1, self.basis.shape[2])

    def vector(self, density: np.ndarray, size: int) -> np.ndarray:
        """∫ c·v for all basis functions; density (points, jets)."""
        cells, q, jets, _ = self.basis.shape
        weighted = (self.weights[:, None] * density).reshape(cells, q, jets)
        local = np.einsum("cqj,cqjd->cd", weighted, self.basis, optimize=True)
        return np.bincount(self.dofs.ravel(), local.ravel(), minlength=size)

    def matrix(self, tangent: np.ndarray, size: int) -> sp.csr_matrix:
        """∫ (A ẽ)·v for all pairs; tangent (points, jets, jets) or of one cell's shape."""
        cells, q, jets, local = self.basis.shape
        weighted = (self.weights[:, None, None] * tangent).reshape(cells, q, jets, jets)
        right = np.einsum("cqij,cqjd->cqid", weighted, self.basis, optimize=True)
        left = self.basis.reshape(cells, q * jets, local).transpose(0, 2, 1)
        data = left @ right.reshape(cells, q * jets, local)
        rows = np.repeat(self.dofs, local, axis=1).ravel()
        columns = np.tile(self.dofs, (1, local)).ravel()
        return sp.csr_matrix((data.ravel(), (rows, columns)), (size, size))


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A problem on a finite element space, without its equations' values.

    Attributes:
        inside: the cells. sides: parts of the boundary with a natural condition.
        fixed: degrees of freedom with prescribed values, (size,). real: of all, their places in
        the padded vector. groups: what prescribes them.
    """

    problem: Problem
    space: Space
    inside: Places
    sides: dict[str, Places]
    fixed: np.ndarray
    real: np.ndarray
    groups: tuple[Any, ...]

    @property
    def size(self) -> int:
        return self.space.length

    def residual(self, t: float = 0.0, z: np.ndarray | None = None) -> np.ndarray:
        """The weak residual of z, by default of zero, at all degrees of freedom."""
        out = self.inside.vector(_values(self.problem, "", self.inside, t, z), self.size)
        for part, places in self.sides.items():
            out += places.vector(_values(self.problem, part, places, t, z), self.size)
        return out

    def residuals(self, times: np.ndarray) -> np.ndarray:
        """The weak residual of zero at several times, (times, size)."""
        out = np.zeros((len(times), self.size))
        for part, places in {"": self.inside, **self.sides}.items():
            arrays = tuple(np.tile(a, (len(times), *[1] * (a.ndim - 1))) for a in _arrays(places))
            at = np.repeat(times, len(places.x))
            found = _pieces(_density_piece, (self.problem, part), arrays, at)
            for i, density in enumerate(found.reshape(len(times), len(places.x), -1)):
                out[i] += places.vector(density, self.size)
        return out

    def stiffness(self, t: float = 0.0, z: np.ndarray | None = None) -> sp.csr_matrix:
        """Derivative of the weak residual at z, by default at zero."""
        out = self.inside.matrix(_tangents(self.problem, "", self.inside, t, z), self.size)
        for part, places in self.sides.items():
            out += places.matrix(_tangents(self.problem, part, places, t, z), self.size)
        return out.tocsr()

    def stored(self, t: float, z: np.ndarray) -> np.ndarray:
        """∫ m·v of z."""
        return self.inside.vector(_values(self.problem, "storage", self.inside, t, z), self.size)

    def mass(self, t: float = 0.0, z: np.ndarray | None = None) -> sp.csr_matrix:
        """Derivative of the storage at z, by default at zero."""
        return self.inside.matrix(_tangents(self.problem, "storage", self.inside, t, z), self.size)

    def gram(self) -> sp.csr_matrix:
        """The scalar product of L²."""
        jets, each = self.inside.basis.shape[2], 1 + self.problem.dim
        values = np.diag((np.arange(jets) % each == 0).astype(float))
        tangent = np.broadcast_to(values, (len(self.inside.x), jets, jets))
        return self.inside.matrix(tangent, self.size)

    def prescribed(self, t: Any = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Vectors that hold the prescribed values and their rates, zero elsewhere; at several
        times (times, size)."""
        value, rate = _lifted(self.groups, self.size, jnp.asarray(t, float))
        return np.where(self.fixed, value, 0.0), np.where(self.fixed, rate, 0.0)

    def interpolate(self, fields: Any, t: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Functions (x, t) -> dict at the nodes, and their rates."""
        value, rate = np.zeros(self.size), np.zeros(self.size)
        for name, scalar in self.space.scalars.items():
            first = self.space.offsets[name]
            count = scalar.size * self.space.components[name]
            v, r = _pieces(_nodal, (fields, name), (scalar.coordinates,), t)
            value[first : first + count] = v.ravel()
            rate[first : first + count] = r.ravel()
        return value, rate


def assembly(problem: Problem, mesh: Mesh, degree: int, quadrature: int) -> Assembly:
    """Spaces of one degree for every field of a problem."""
    components = {n: max(int(np.prod(s, dtype=int)), 1) for n, s in problem.shapes.items()}
    space = make_space(mesh, dict.fromkeys(components, degree), components)
    groups, fixed = essential_values(problem, space)
    forms = problem.forms()
    sides = {}
    for part, by_field in problem.conditions.items():
        natural = [n for n, c in by_field.items() if not c.all_essential and forms[n].equation.flux]
        if natural and part in mesh.boundary_names:
            facets = mesh.facets[mesh.facet_parts == mesh.boundary_names.index(part)]
            if len(facets):
                sides[part] = _places(space, quadrature, facets)
    real = np.zeros(space.length, bool)
    real[space.real] = True
    return Assembly(
        problem, space, _places(space, quadrature, None), sides, fixed, real, tuple(groups)
    )


def _places(space: Space, degree: int, facets: np.ndarray | None) -> Places:
    mesh = space.mesh
    nodes, numbers = geometry_points(mesh)
    element = lagrange(mesh.shape, 1 if mesh.geometry is None else 2)
    scalar = next(iter(space.scalars.values())).element
    if facets is None:
        chosen = np.arange(len(mesh.cells))
        points, w = cell_quadrature(mesh.shape, degree)
        at, weights = points[None], w[None]
        local, reference = np.zeros(len(chosen), int), None
    else:
        chosen, local = facets[:, 0], facets[:, 1]
        at, weights, reference = facet_quadrature(mesh.shape, degree)
    maps = np.stack([element.tabulate(p) for p in at])[local]
    tables = np.stack([scalar.tabulate(p) for p in at])[local]
    corners = nodes[numbers[chosen]]
    x = np.einsum("cqv,cvk->cqk", maps[:, :, 0], corners)
    jacobian = np.einsum("cqrv,cvk->cqkr", maps[:, :, 1:], corners)
    inverse = np.linalg.inv(jacobian)
    measure = weights[local] * np.abs(np.linalg.det(jacobian))
    normal = None
    if reference is not None:
        pulled = np.einsum("cqrk,cr->cqk", inverse, reference[local])
        length = np.linalg.norm(pulled, axis=-1)
        measure, normal = measure * length, (pulled / length[..., None]).reshape(-1, mesh.dim)
    slopes = np.einsum("cqrk,cqrv->cqkv", inverse, tables[:, :, 1:])
    jet = np.concatenate([tables[:, :, :1], slopes], axis=2)
    basis, dofs = _all_fields(space, jet, chosen)
    cell = np.repeat(chosen, x.shape[1])
    return Places(
        x.reshape(-1, mesh.dim), measure.ravel(), mesh.cell_regions[cell], cell, normal, basis, dofs
    )


def _all_fields(space: Space, jet: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jets of the basis functions of all fields and components, value before gradient."""
    count, q, each, nodes = jet.shape
    total = sum(space.components.values())
    basis = np.zeros((count, q, total * each, total * nodes))
    row = column = 0
    for components in space.components.values():
        for i in range(components):
            rows = slice(row + i * each, row + (i + 1) * each)
            columns = slice(column + i, column + components * nodes, components)
            basis[:, :, rows, columns] = jet
        row, column = row + components * each, column + components * nodes
    dofs = np.concatenate([space.dofs(name)[cells] for name in space.scalars], axis=1)
    return basis, dofs


def _density(problem: Problem, part: str, jet: Array, x, t, region, cell, normal) -> Array:
    """(c₀, c₁) of every component in the order of `jet`; on a boundary c₁ = 0."""
    values, slopes, first = {}, {}, 0
    dim = x.shape[0]
    for name, shape in problem.shapes.items():
        size = max(int(np.prod(shape, dtype=int)), 1)
        block = jet[first : first + size * (1 + dim)].reshape(size, 1 + dim)
        values[name] = block[:, 0].reshape(shape)
        slopes[name] = block[:, 1:].reshape(*shape, dim)
        first += size * (1 + dim)
    p = Point(x, t, values, slopes, normal, region, cell)
    rows = []
    for name, form in problem.forms().items():
        flux = jnp.zeros((*form.shape, dim), x.dtype)
        if part == "storage":
            value = form.storage(p) if form.has_storage else jnp.zeros(form.shape, x.dtype)
        elif part:
            condition = problem.conditions[part].get(name)
            value = jnp.zeros(form.shape, x.dtype)
            if condition is not None and not condition.all_essential:
                value = boundary_density(form, condition, p)
        else:
            value, flux = weak_density(form, p)
        rows.append(jnp.concatenate([value.reshape(-1, 1), flux.reshape(-1, dim)], axis=1).ravel())
    return jnp.concatenate(rows)


@eqx.filter_jit
def _density_piece(problem: Problem, part: str, places: tuple, t: Array) -> Array:
    x, region, cell, normal, jets = places
    return jax.vmap(lambda y, r, c, n, j, s: _density(problem, part, j, y, s, r, c, n))(
        x, region, cell, normal, jets, t
    )


@eqx.filter_jit
def _tangent_piece(problem: Problem, part: str, places: tuple, t: Array) -> Array:
    def at(y, r, c, n, jet, s):
        return jax.jacfwd(lambda j: _density(problem, part, j, y, s, r, c, n))(jet)

    x, region, cell, normal, jets = places
    return jax.vmap(at)(x, region, cell, normal, jets, t)


def _values(problem: Problem, part: str, places: Places, t: float, z: Any = None) -> np.ndarray:
    return _pieces(_density_piece, (problem, part), _arrays(places, z), t)


def _tangents(problem: Problem, part: str, places: Places, t: float, z: Any = None) -> np.ndarray:
    return _pieces(_tangent_piece, (problem, part), _arrays(places, z), t)


def _arrays(places: Places, z: np.ndarray | None = None) -> tuple:
    normal = np.zeros_like(places.x) if places.normal is None else places.normal
    jets = np.zeros((len(places.x), places.basis.shape[2])) if z is None else places.jets(z)
    return places.x, places.region.astype(np.int32), places.cell.astype(np.int32), normal, jets


def _pieces(function: Any, head: tuple, arrays: tuple, t: Any) -> Any:
    """A function of many points and times, a piece of one size at a time."""
    count, found = len(arrays[0]), []
    times = np.broadcast_to(np.asarray(t, float), (count,))
    for start in range(0, count, _PIECE):
        rows = np.minimum(np.arange(start, start + _PIECE), count - 1)
        found.append(function(*head, tuple(a[rows] for a in arrays), times[rows]))
    joined = jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts]), *found)
    return jax.tree.map(lambda a: a[:count], joined)


@eqx.filter_jit
def _nodal(fields: Any, name: str, places: tuple, t: Array) -> tuple[Array, Array]:
    def at(x, now):
        return jax.jvp(lambda s: fields(x, s)[name], (now,), (jnp.ones_like(now),))

    return jax.vmap(at)(places[0], t)


@eqx.filter_jit
def _lifted(groups: tuple, size: int, t: Array) -> tuple[Array, Array]:
    def lifted(s: Array) -> Array:
        z = jnp.zeros(size)
        for group in groups:
            z = group.set(z, s)
        return z

    def both(s: Array) -> tuple[Array, Array]:
        return jax.jvp(lifted, (s,), (jnp.ones_like(s),))

    return both(t) if t.ndim == 0 else jax.vmap(both)(t)
