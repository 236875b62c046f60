"""One chunk of cells or facets: fields at its points, its part of a residual, of a tangent.

The integrand is evaluated and differentiated at quadrature points, arrays with the points last;
one matrix product a chunk then contracts it with the basis tables.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._pointwise import at_points
from solvers.fem._density import Place
from solvers.fem._geometry import inverse, jacobians, pull_back
from solvers.fem._tables import OUTSIDE, Group, Tables

if TYPE_CHECKING:
    from solvers.fem._assembly import Integral

Fields = dict[str, Array]


class Batch(eqx.Module):
    """Cells, or facets with their cells, in chunks: the cell is the last axis of every array.

    Attributes:
        corners: numbers of the geometry's nodes, (chunks, nodes, chunk).
        dofs: of each field, (chunks, nodes × components, chunk).
        region, cell: numbers, (chunks, chunk). facet: local number of the facet, or None.
        active: 0 for the padding at the end. penalty: of jumps on facets, (chunks, chunk), or None.
        outside: the outer cells of interior facets, or None; only where they are is read.
        slots: where each block of the element matrix goes in the matrix's values, (chunks,
            column components, row components, chunk, row nodes × column nodes).
    """

    corners: Array
    dofs: dict[str, Array]
    region: Array
    cell: Array
    facet: Array | None
    active: Array
    slots: dict[str, Array]
    penalty: Array | None = None
    outside: Batch | None = None


class Chunk:
    """One chunk of an integral while it is traced."""

    def __init__(self, integral: Integral, tables: Tables, piece: Batch, points: Array, t: Array):
        self.integral, self.tables, self.piece = integral, tables, piece
        self.shapes = dict(integral.shapes)
        self._picked: dict[str, Array] = {}
        x, self._inside, det = self._mapped(piece, points)
        weights = self._pick(tables.weights)
        dim, q, c = x.shape
        self.dim, self.q, self.c = dim, q, c
        self.scale = jnp.abs(det) * piece.active
        normal = None
        if tables.normals is not None:
            reference = self._pick(tables.normals)
            pulled = [
                sum(self._inside[r][k] * reference[None, :, r] for r in range(dim))
                for k in range(dim)
            ]
            length = jnp.sqrt(sum(e**2 for e in pulled))
            self.scale = self.scale * length
            normal = jnp.stack([self._spread(e / length) for e in pulled])
        self.measure = self.scale * (weights.T if tables.facets else weights[:, None])
        outside = None
        if tables.sided:
            assert piece.outside is not None
            y, self._outside, _ = self._mapped(piece.outside, points)
            outside = self._place(piece.outside, y, self._outside, t, None, None)
        self.place = self._place(piece, x, self._inside, t, normal, outside)

    def _mapped(self, piece: Batch, points: Array) -> tuple[Array, list[list[Array]], Array]:
        """Points (dim, q, c), and the inverse and determinant of the map's Jacobian."""
        geometry, corners = self._pick(self.tables.geometry, piece), points[piece.corners]
        slopes, values = geometry[..., 1:, :], geometry[..., 0, :]
        if self.tables.affine:
            slopes = slopes[..., :1, :, :]
        subscripts = "cqv,vck->kqc" if self.tables.facets else "qv,vck->kqc"
        x = jnp.einsum(subscripts, values, corners)
        return x, *inverse(jacobians(corners, slopes))

    def _place(self, piece: Batch, x: Array, back: Any, t: Array, normal: Any, outside: Any):
        return Place(
            x.reshape(self.dim, -1),
            jnp.broadcast_to(t, (self.q * self.c,)),
            self._spread(piece.region),
            self._spread(piece.cell),
            normal,
            jnp.stack([jnp.stack([self._spread(e) for e in row]) for row in back]),
            None if piece.penalty is None else self._spread(piece.penalty),
            outside,
        )

    def _pick(self, table: Array, piece: Batch | None = None) -> Array:
        return table[(piece or self.piece).facet] if self.tables.facets else table

    def _basis(self, name: str) -> Array:
        """Of a field, of one of both cells; picked once, since every gather takes compiling."""
        if name not in self._picked:
            side = self.piece.outside if name.startswith(OUTSIDE) else self.piece
            self._picked[name] = self._pick(self.tables.basis[name], side)
        return self._picked[name]

    def _inverse(self, name: str) -> list[list[Array]]:
        """∂ξ/∂x in the cell that a field belongs to."""
        return self._outside if name.startswith(OUTSIDE) else self._inside

    def _spread(self, a: Array) -> Array:
        return jnp.broadcast_to(a, (self.q, self.c)).reshape(self.q * self.c)

    def zeros(self) -> tuple[Fields, Fields]:
        """Values and gradients for a tangent that does not depend on them."""
        n, dtype = self.q * self.c, self.measure.dtype
        values = {name: jnp.zeros((*s, n), dtype) for name, s in self.shapes.items()}
        return values, {
            name: jnp.zeros((*s, self.dim, n), dtype) for name, s in self.shapes.items()
        }

    def fields(self, z: Array) -> tuple[Fields, Fields]:
        """Values and gradients of the fields that the density reads, the points last."""
        values, gradients = self.zeros()
        for name, shape in self.shapes.items():
            kinds = [kind for kind in (0, 1) if (name, kind) in self.integral.analysis.uses]
            if not kinds:
                continue
            rows = ([0] if 0 in kinds else []) + (
                list(range(1, self.dim + 1)) if 1 in kinds else []
            )
            found = self.interpolate(name, z, rows)
            if 0 in kinds:
                values[name] = found[0].reshape(*shape, self.q * self.c)
            if 1 in kinds:
                slopes = [f[..., :, :] for f in found[-self.dim :]]
                columns = [
                    sum(self._inverse(name)[r][k] * slopes[r] for r in range(self.dim))
                    for k in range(self.dim)
                ]
                stacked = jnp.stack(columns, axis=1)
                gradients[name] = stacked.reshape(*shape, self.dim, self.q * self.c)
        return values, gradients

    def interpolate(self, name: str, z: Array, rows: list[int]) -> list[Array]:
        """Value (row 0) and reference slopes of one field, (components, q, c) each."""
        dofs = self.piece.dofs[name]
        table = self._basis(name)
        nodes = table.shape[-1]
        local = z[dofs].reshape(nodes, -1, self.c)
        if self.tables.facets and len(rows) == table.shape[-2]:
            found = jnp.einsum("cqrn,nsc->rsqc", table, local)
            return [found[r] for r in rows]
        subscripts = "cqn,nsc->sqc" if self.tables.facets else "qn,nsc->sqc"
        if self.tables.facets or len(rows) == 1:
            return [jnp.einsum(subscripts, table[..., r, :], local) for r in rows]
        picked = jnp.moveaxis(table[:, jnp.array(rows)], 1, 0).reshape(-1, nodes)
        out = (picked @ local.reshape(nodes, -1)).reshape(len(rows), self.q, -1, self.c)
        return [jnp.moveaxis(out[i], 1, 0) for i in range(len(rows))]

    def pointwise(self, values: Fields, gradients: Fields, z: Any, extra: Any) -> Any:
        """The density at all points."""
        return self._at_points(self.integral.density, values, gradients, z, extra)

    def _at_points(self, function: Any, values: Fields, gradients: Fields, z: Any, extra: Any):
        """A function of the density's arguments at all points."""
        anchors, scales = extra
        n = self.q * self.c
        anchored = {}
        for name, anchor in anchors.items():
            if z is None:
                anchored[name] = jnp.zeros((*self.shapes[name], n), self.measure.dtype)
            else:
                found = self.interpolate(name, anchor, [0])[0]
                anchored[name] = found.reshape(*self.shapes[name], n)
        arguments = (values, gradients, self.place, anchored, scales)
        return at_points(function, arguments, (True, True, True, True, False))

    def add_residual(self, total: Array, rows: Any) -> Array:
        for name, (c0, c1) in rows.items():
            parts, picked = [], []
            if (name, 0) in self.integral.analysis.rows:
                parts.append(c0.reshape(-1, self.q, self.c))
                picked.append(0)
            if c1 is not None and (name, 1) in self.integral.analysis.rows:
                c1 = c1.reshape(-1, self.dim, self.q, self.c)
                components = [c1[:, k] for k in range(self.dim)]
                pulled = pull_back(self._inverse(name), components)
                parts += [p for p in pulled if p is not None]
                picked += range(1, self.dim + 1)
            if not parts:
                continue
            table = self._basis(name)
            if len(picked) < table.shape[-2]:
                table = jnp.stack([table[..., r, :] for r in picked], axis=-2)
            weighted = jnp.stack([part * self.measure for part in parts])
            subscripts = "cqrn,rsqc->nsc" if self.tables.facets else "qrn,rsqc->nsc"
            local = jnp.einsum(subscripts, table, weighted)
            total = total.at[self.piece.dofs[name]].add(local.reshape(-1, self.c))
        return total

    def add_matrix(self, data: Array, values: Fields, gradients: Fields, z: Any, extra: Any):
        entries = self._derivatives(values, gradients, z, extra)
        keys = sorted({group.slots for group in self.tables.groups})
        for key in keys:
            groups = [group for group in self.tables.groups if group.slots == key]
            row, column = groups[0].row, groups[0].column
            sizes = math.prod(self.shapes[column]), math.prod(self.shapes[row])
            # Pairs of components that don't meet are neither contracted nor added.
            met = sorted(
                {
                    (j // (self.dim if kind[1] else 1), entry // (self.dim if kind[0] else 1))
                    for group in groups
                    for kind in group.kinds
                    for entry, j in entries.get((row, kind[0], column, kind[1]), {})
                }
            )
            if not met:
                continue
            parts = [self._contract(group, entries, met) for group in groups]
            local = parts[0] if len(parts) == 1 else sum(parts[1:], start=parts[0])
            slots = self.piece.slots[key].reshape(sizes[0] * sizes[1], self.c, -1)
            if len(met) < len(slots):
                slots = slots[jnp.array([b * sizes[1] + a for b, a in met])]
            data = data.at[slots].add(local.reshape(slots.shape))
        return data

    def _derivatives(self, values: Fields, gradients: Fields, z: Any, extra: Any) -> dict:
        """∂(c₀, c₁)/∂(value, gradient) at all points: by (row, 0 or 1, column, 0 or 1) the
        entries that aren't zero, by (entry of the row, entry of the column), (q, c) each.

        The directions are constants of the pointwise function, so that what they leave zero is
        never computed.
        """
        out: dict[Any, dict] = {}
        directions = self.integral.directions
        for column, kind in sorted({(d.column, d.kind) for d in directions}):
            chosen = [d for d in directions if (d.column, d.kind) == (column, kind)]

            def along(values, gradients, place, anchors, scales, *, c=column, k=kind, d=chosen):
                base = (gradients if k else values)[c]

                def moved(a):
                    first = values if k else values | {c: a}
                    second = gradients | {c: a} if k else gradients
                    return self.integral.density(first, second, place, anchors, scales)

                seeds = [np.asarray(one.seed, base.dtype).reshape(base.shape) for one in d]
                return [jax.jvp(moved, (base,), (seed,))[1] for seed in seeds]

            rates = self._at_points(along, values, gradients, z, extra)
            for i, direction in enumerate(chosen):
                for row, part, entry, j in direction.entries:
                    rate = rates[i][row][part].reshape(-1, self.q, self.c)[entry]
                    out.setdefault((row, part, column, kind), {})[entry, j] = rate
        return out

    def _contract(self, group: Group, entries: dict, met: list[tuple[int, int]]) -> Array:
        """Element matrices of one pair of fields, (pairs of components, cells, nodes²)."""
        columns = [self._pulled(group, entries, b, a) for b, a in met]
        measure = self.scale if group.averaged else self.measure
        zero = jnp.zeros(measure.shape, measure.dtype)
        # (pairs, q, components, cells): what is contracted comes first.
        d = jnp.stack(
            [
                jnp.stack([zero if e is None else e * measure for e in at_pair], axis=1)
                for at_pair in zip(*columns, strict=True)
            ]
        )
        if self.tables.sided:
            return contract_sides(group, d, self._basis(group.row), self._basis(group.column))
        if self.tables.facets:
            assert group.left is not None and group.right is not None
            left, right = self._pick(group.left), self._pick(group.right)
            out = jnp.einsum("pqac,cpqn,cpqm->acnm", d, left, right, optimize="optimal")
            return out.reshape(*out.shape[:2], -1)
        if group.product is not None:
            return jnp.einsum("pqac,pqk->ack", d, group.product)
        assert group.right is not None
        # The trial tables first, by test row: fewer products than pairs of tables have.
        terms: dict[int, Array] = {}
        for pair, test in enumerate(group.tests):
            term = d[pair][:, None] * group.right[pair][:, :, None, None]
            terms[test] = terms[test] + term if test in terms else term
        both = jnp.stack([terms[test] for test in sorted(terms)])
        out = jnp.einsum("pqn,pqmac->acnm", group.left, both)
        return out.reshape(*out.shape[:2], -1)

    def _pulled(self, group: Group, entries: dict, b: int, a: int) -> list[Array | None]:
        """The tangent of component a by component b in reference coordinates, by pair."""
        out = []
        for kind in group.kinds:
            found = entries.get((group.row, kind[0], group.column, kind[1]), {})
            high, wide = (self.dim if kind[0] else 1), (self.dim if kind[1] else 1)
            columns = []
            for m in range(wide):
                column = [found.get((a * high + k, b * wide + m)) for k in range(high)]
                if group.averaged and self.q > 1:
                    column = [None if e is None else self._mean(e) for e in column]
                columns.append(pull_back(self._inverse(group.row), column) if kind[0] else column)
            for i, r in group.pairs(self.dim, kind):
                line = [column[i - 1 if kind[0] else 0] for column in columns]
                back = self._inverse(group.column)
                out.append(pull_back([back[r - 1]], line)[0] if kind[1] else line[0])
        return out

    def _mean(self, values: Array) -> Array:
        """Over the points of a cell, with their weights."""
        share = self.tables.weights / jnp.sum(self.tables.weights)
        return (share @ values)[None]


def contract_sides(group: Group, d: Array, test: Array, trial: Array) -> Array:
    """Element matrices of one pair of fields on interior facets, (components, cells, nodes²).

    Arguments:
        d: the tangent, (pairs, q, components, cells). test, trial: (cells, q, 1 + dim, nodes).
    """
    dim = test.shape[2] - 1
    pairs = [pair for kind in group.kinds for pair in group.pairs(dim, kind)]
    terms: dict[int, Array] = {}
    # The trial tables first, by test row: fewer products than pairs of tables have.
    for (i, r), factor in zip(pairs, d, strict=True):
        term = jnp.einsum("qac,cqm->caqm", factor, trial[:, :, r])
        terms[i] = terms[i] + term if i in terms else term
    rows = sorted(terms)
    left = test[:, :, jnp.array(rows)]
    out = jnp.einsum("cqin,caiqm->acnm", left, jnp.stack([terms[i] for i in rows], axis=2))
    return out.reshape(*out.shape[:2], -1)
