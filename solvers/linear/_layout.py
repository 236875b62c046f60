"""Layout: what the unknowns of a matrix mean, for those solvers that can use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """The unknowns of one field: `components` of a node together, from `start` on.

    Attributes:
        coordinates: of the nodes, (nodes, dim). degree: of the elements.
        multiplier: it is the multiplier of a constraint.
        linear: makes the interpolation from the elements of degree 1 on the same mesh,
            (nodes, vertices); None where there is none.
        mass: makes the diagonal of its mass matrix and that of its Laplacian, (nodes,) each.
        couplings: makes a matrix with an entry for all pairs of nodes that −∇·(k∇u) couples for
            any k; None where that is all neighbours, or not known.
    """

    name: str
    start: int
    components: int
    coordinates: Floats
    degree: int = 1
    multiplier: bool = False
    linear: Callable[[], sp.csr_matrix] | None = None
    mass: Callable[[], tuple[Floats, Floats]] | None = None
    couplings: Callable[[], sp.csr_matrix] | None = None

    @property
    def size(self) -> int:
        return len(self.coordinates) * self.components

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def vector(self) -> bool:
        """Whether rotations make sense."""
        return self.components == self.coordinates.shape[1] > 1


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """The blocks of all fields side by side; unknowns beyond them are multipliers of mean values.

    Two layouts are equal only if they are the same object, so a layout may be static under jit.
    """

    blocks: tuple[Block, ...]

    @property
    def multipliers(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.multiplier)

    def modes(self, size: int, rotations: bool) -> tuple[Floats, list[str]]:
        """Fields that cost nothing where nothing holds them: constants by component and, of
        vectors, rotations; as columns (size, modes), with their names."""
        columns: list[Floats] = []
        names: list[str] = []
        for block in self.blocks:
            for values, name in _modes(block, rotations):
                column = np.zeros(size)
                column[block.start : block.stop] = values.ravel()
                columns.append(column)
                names.append(name)
        return np.stack(columns, axis=1), names


def _modes(block: Block, rotations: bool) -> list[tuple[Floats, str]]:
    axes = "xyz"
    count, dim = block.coordinates.shape
    out = []
    for i in range(block.components):
        values = np.zeros((count, block.components))
        values[:, i] = 1.0
        label = f"_{axes[i]}" if block.vector else f"[{i}]"
        out.append((values, block.name + (label if block.components > 1 else "")))
    if not (rotations and block.vector):
        return out
    centred = block.coordinates - block.coordinates.mean(axis=0)
    centred = centred / max(float(np.abs(centred).max()), 1e-300)
    for i in range(dim):
        for j in range(i + 1, dim):
            values = np.zeros((count, dim))
            values[:, i], values[:, j] = -centred[:, j], centred[:, i]
            out.append((values, f"rotation of {block.name} in the {axes[i]}{axes[j]} plane"))
    return out


def plain_layout(size: int, components: int = 1) -> Layout:
    """One field of which only the number of components is known."""
    components = components if components > 0 and size % components == 0 else 1
    return Layout((Block("u", 0, components, np.zeros((size // components, 1))),))
