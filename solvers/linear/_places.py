"""Places: a sparsity pattern as arguments of a compiled program, which other patterns share."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jaxtyping import Array

from pdes._arrays import on_device
from solvers._same import Handle, handle, padded, padded_size
from solvers.linear._pattern import SparsePattern


class Places(eqx.Module):
    """Rows and columns of a matrix's values, padded, with the pattern itself by number.

    Programs see arrays and sizes only, so that a pattern of about the same size needs no new one.
    Values beyond those of the pattern are zero.

    Attributes:
        rows, columns: (count,). pattern: the handle of the `SparsePattern`.
        tables: what a solver in JAX reads of the pattern, made by `LinearSolver.tables`.
        size: rows and columns of the matrix.
    """

    rows: Array
    columns: Array
    pattern: Handle
    tables: Any
    size: int = eqx.field(static=True)

    @property
    def count(self) -> int:
        """Number of values, padding included."""
        return self.rows.shape[0]

    @property
    def host(self) -> SparsePattern:
        """The pattern, on the host; not to be used while a program is traced."""
        return self.pattern.keeper.value


def places_of(pattern: SparsePattern, tables: Any = None, *, exact: bool = False) -> Places:
    """The pattern as an argument.

    Arguments:
        tables: see `Places`. exact: nothing is padded.
    """
    count = pattern.count if exact else padded_size(pattern.count, "values")
    return Places(
        on_device(padded(pattern.rows, count)),
        on_device(padded(pattern.indices, count)),
        handle(pattern),
        tables,
        pattern.size,
    )
