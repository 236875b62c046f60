"""What a sparse factor will take, so that one that does not fit is refused before it starts."""

from __future__ import annotations

import math

from solvers._memory import available_memory, human
from solvers._result import SolverError
from solvers.linear._pattern import SparsePattern


def factor_bytes(size: int, count: int, dim: int) -> int:
    """Bytes of SuperLU's factors of a matrix of a mesh: n log n entries in the plane, n^(4/3) in
    space (George 1973; Lipton, Rose and Tarjan 1979), with constants read off meshes."""
    if dim <= 1 or size < 2:
        entries = 4.0 * count
    elif dim == 2:
        entries = 0.35 * count * math.log2(size)
    else:
        entries = 0.9 * count * size ** (1 / 3)
    return int(12 * max(entries, count))


def refuse_factor(pattern: SparsePattern, dim: int, limit: int | None) -> None:
    """Nothing, or an error.

    Raises:
        SolverError: "too_large", with the estimate and the remedy.
    """
    needed = factor_bytes(pattern.size, pattern.count, dim)
    free = available_memory() if limit is None else limit
    if needed > free:
        raise SolverError(
            "too_large",
            f"a sparse factor of {pattern.size} unknowns in {dim} dimensions takes about "
            f'{human(needed)}, {human(free)} are available: use linear="amg", "p-multigrid" or '
            '"stokes" (iterative), or a coarser mesh',
        )
