"""The map from the reference cell to each cell: Jacobians, measures, normals."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array


def inverse(jacobian: list[list[Array]]) -> tuple[list[list[Array]], Array]:
    """Inverse and determinant of matrices given by entries, each an array over points.

    By entries rather than by a batched routine, so that everything stays elementwise.
    """
    dim = len(jacobian)
    if dim == 1:
        det = jacobian[0][0]
        return [[1.0 / det]], det
    if dim == 2:
        (a, b), (c, d) = jacobian
        det = a * d - b * c
        over = 1.0 / det
        return [[d * over, -b * over], [-c * over, a * over]], det
    (a, b, c), (d, e, f), (g, h, i) = jacobian
    cofactors = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    det = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    over = 1.0 / det
    return [[entry * over for entry in row] for row in cofactors], det


def jacobians(corners: Array, table: Array) -> list[list[Array]]:
    """Entries ∂x_k/∂ξ_r, each (q, cells).

    Arguments:
        corners: geometry nodes, (nodes, cells, dim). table: reference gradients of the geometry
            basis, (q, dim, nodes), or (cells, q, dim, nodes) where they differ by cell.
    """
    subscripts = "qrv,vck->krqc" if table.ndim == 3 else "cqrv,vck->krqc"
    entries = jnp.einsum(subscripts, table, corners)
    dim = corners.shape[-1]
    return [[entries[k, r] for r in range(dim)] for k in range(dim)]


def pull_back(inverse: list[list[Array]], physical: Sequence[Array | None]) -> list[Array | None]:
    """J⁻¹ applied to a vector given by components: Σ_k (∂ξ_r/∂x_k) v_k for each r.

    None stands for zero.
    """
    out: list[Array | None] = []
    for row in inverse:
        total = None
        for entry, component in zip(row, physical, strict=True):
            if component is not None:
                term = entry * component
                total = term if total is None else total + term
        out.append(total)
    return out
