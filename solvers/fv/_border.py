"""Faces on the boundary: the states beyond them, and the fluxes that conditions prescribe."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import FieldCondition
from pdes._arrays import on_device
from solvers._pointwise import at_points
from solvers.fv._law import Law


class Border(eqx.Module):
    """Some faces of the boundary, m of them; arrays over faces have them last.

    Attributes:
        law: the equations. x: centres, (dim, m). n: outward unit normals, (dim, m).
        parts: names of the parts that the faces belong to. masks: which face to which, (parts, m).
    """

    law: Law
    x: Array
    n: Array
    parts: tuple[str, ...] = eqx.field(static=True)
    masks: Array

    def __init__(self, law: Law, x: np.ndarray, n: np.ndarray, part_of_face: np.ndarray):
        names = law.problem.domain.boundary_names
        found = np.unique(part_of_face)
        self.law = law
        self.x, self.n = on_device(x), on_device(n)
        self.parts = tuple(names[i] for i in found)
        self.masks = on_device(part_of_face[None] == found[:, None])

    def _conditions(self, part: str) -> dict[str, FieldCondition]:
        return self.law.problem.conditions[part]

    def _wall(self, part: str) -> bool:
        return any(c.normal_only for c in self._conditions(part).values())

    def _join(self, rows: list[Array]) -> Array:
        """One array of those of each part."""
        out = rows[0]
        for mask, row in zip(self.masks[1:], rows[1:], strict=True):
            out = jnp.where(mask, row, out)
        return out

    def prescribed(self, t: Array) -> tuple[Array, Array]:
        """Which slots have a value, and the values, (slots, m) each."""
        masks, values = [], []
        for part in self.parts:
            conditions = self._conditions(part)
            given, rows = [], []
            for name, _, size in self.law.offsets:
                condition = conditions.get(name)
                if condition is None or not condition.any_essential:
                    given += [False] * size
                    rows.append(jnp.zeros((size, self.x.shape[1]), self.x.dtype))
                    continue
                given += list(condition.essential)

                def value(x: Array, c: FieldCondition = condition) -> Array:
                    return c.value(x, t).reshape(-1)

                rows.append(at_points(value, (self.x,)))
            values.append(jnp.concatenate(rows))
            masks.append(jnp.broadcast_to(jnp.array(given)[:, None], values[-1].shape))
        return self._join(masks), self._join(values)

    def mirrored(self, u: Array) -> Array:
        """States (slots, m) seen in the walls; unchanged where there is none."""
        rows = []
        for part in self.parts:
            blocks = []
            conditions = self._conditions(part)
            for name, start, size in self.law.offsets:
                block = u[start : start + size]
                condition = conditions.get(name)
                if condition is not None and condition.normal_only:
                    block = block - 2 * jnp.sum(block * self.n, axis=0) * self.n
                blocks.append(block)
            rows.append(jnp.concatenate(blocks))
        return self._join(rows)

    def outside(self, inside: Array, t: Array) -> Array:
        """The state beyond each face: prescribed, mirrored, or the one inside."""
        essential, value = self.prescribed(t)
        return jnp.where(essential, value, self.mirrored(inside))

    def walls(self) -> Array:
        """Which faces belong to walls, (m,)."""
        walls = jnp.array([self._wall(part) for part in self.parts])
        return jnp.any(self.masks & walls[:, None], axis=0)

    def ghosts(self, near: list[Array], t: Array, steep: bool) -> list[Array]:
        """Averages of cells beyond the faces, from the cells inside, nearest first.

        Odd about prescribed values, mirrored at walls; else along the line through two cells
        (`steep`), or the nearest cell's.
        """
        essential, value = self.prescribed(t)
        wall = self.walls()
        out = []
        for k, u in enumerate(near):
            free = near[0] + (k + 1) * (near[0] - near[1]) if steep else near[0]
            free = jnp.where(wall, self.mirrored(u), free)
            out.append(jnp.where(essential, 2 * value - u, free))
        return out

    def fluxes(self, through: Array, face: Array, gradient: Array, t: Array) -> Array:
        """Outward fluxes (slots, m): `through`, or what conditions prescribe.

        `face` is the state at the face, `gradient` (slots, dim, m) its gradient.
        """
        forms = self.law.problem.forms()
        rows = []
        for part in self.parts:
            conditions, wall = self._conditions(part), self._wall(part)
            blocks = []
            for name, start, size in self.law.offsets:
                block = through[start : start + size]
                condition = conditions.get(name)
                natural = (
                    condition is not None
                    and not condition.all_essential
                    and not condition.normal_only
                    and not (wall and "Outflow" in condition.kinds)
                )
                if natural:
                    assert condition is not None

                    def prescribed(u, g, x, n, c=condition, form=forms[name]):
                        return c.natural(form, self.law.point(u, x, t, g, n)).reshape(-1)

                    given = at_points(prescribed, (face, gradient, self.x, self.n))
                    essential = np.array(condition.essential)[:, None]
                    block = jnp.where(essential, block, given)
                blocks.append(block)
            rows.append(jnp.concatenate(blocks))
        return self._join(rows)
