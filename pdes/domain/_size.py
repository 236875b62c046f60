"""How long cells should be: one number, a count, or a function of the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pdes.domain._base import Floats
from pdes.domain._sampling import cell_size

if TYPE_CHECKING:
    from pdes.domain._base import Domain

SizeField = Callable[[Floats], Floats]


def size_range(
    domain: Domain, cells: Any, size: Any, default: float
) -> tuple[float, SizeField | None, float]:
    """Greatest length of a cell, the local length if it varies, and its least value.

    Arguments:
        cells: number along the longest side, or None. size: a length, a function of the point
            (dim,), or None. With both, `cells` bounds the function from above.

    Raises:
        ValueError: both are given as numbers; a length that is not positive and finite.
    """
    if not callable(size):
        h = cell_size(domain, cells, size, default)
        return h, None, h
    field = _Pointwise(size)
    # What `grid` misses between its points, the mesher sees later: this only bounds the range.
    found = field(domain.grid(2000))
    largest = float(found.max()) if cells is None else cell_size(domain, cells, None, default)
    return largest, field, min(float(found.min()), largest)


class _Pointwise:
    """A user's function of one point as a function of many, (n, dim) -> (n,).

    Written with x[0], x[1], … it takes all points at once as (dim, n); whether that is what it
    does is checked at the ends, and every point is asked by itself if not.
    """

    def __init__(self, function: Callable[[Floats], Any]):
        self._function = function

    def __call__(self, x: Floats) -> Floats:
        if not len(x):
            return np.zeros(0)
        values = self._together(x)
        if values is None:
            values = np.array([float(self._function(y)) for y in x])
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            i = int(np.argmax(bad))
            raise ValueError(
                f"size gives {values[i]:g} at {np.round(x[i], 6).tolist()}; the length of a cell "
                "is a positive number everywhere"
            )
        return values

    def _together(self, x: Floats) -> Floats | None:
        try:
            values = np.asarray(self._function(np.ascontiguousarray(x.T)), float)
            ends = [float(self._function(x[0])), float(self._function(x[-1]))]
        except (TypeError, ValueError, IndexError):
            return None
        if values.shape != (len(x),) or not np.allclose(values[[0, -1]], ends, rtol=1e-6):
            return None
        return values
