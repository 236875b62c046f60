"""Reach: a reduced matrix with what is known of its unknowns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.linear._layout import Block, Layout


@dataclasses.dataclass(frozen=True, eq=False)
class Reach:
    """A matrix with what is known of its unknowns.

    Attributes:
        matrix: (n, n). keep: its unknowns' numbers in the layout. size: of the layout's vector.
    """

    matrix: Any
    keep: NDArray[np.integer]
    size: int
    layout: Layout

    def only(self, block: Block) -> Reach:
        """The diagonal block of one field."""
        inside = (self.keep >= block.start) & (self.keep < block.stop)
        where = np.flatnonzero(inside)
        layout = Layout((block,))
        return Reach(self.matrix[where][:, where].tocsr(), self.keep[where], self.size, layout)

    @property
    def block(self) -> Block | None:
        """The field, where there is only one and no multiplier beside it."""
        one = self.layout.blocks[0] if len(self.layout.blocks) == 1 else None
        if one is None or (len(self.keep) and self.keep[-1] >= one.stop):
            return None
        return one

    @property
    def components(self) -> int:
        """Components of a node, if the unknowns are whole nodes of one field; else 1."""
        return self.block.components if self.block is not None else 1
