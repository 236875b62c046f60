"""The finite eigenvalues of λ M v = J v with a singular M, by dense linear algebra on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

from solvers._result import SolverError

Matrix = NDArray[np.inexact]

_RANK = 1e-10
# What these return depends on their options, which type checkers don't follow.
_eig: Any = sla.eig
_qr: Any = sla.qr


def finite_eigenvalues(jacobian: Matrix, mass: Matrix) -> tuple[NDArray, Matrix]:
    """λ (k,) and v as columns (n, k).

    Where M has no rows, U₂ᵀM = 0, every mode has U₂ᵀJ v = 0: it lies in that null space, and the
    equations left act there. An incompressible flow needs this twice, for ∇·u = 0 and then for
    the pressure's own equation.

    Raises:
        SolverError: "singular_pencil": some unknown is in no equation.

    Source: Wilkinson (1979), Kronecker's canonical form and the QZ algorithm.
    """
    basis: Matrix | None = None
    for _ in range(4):
        left, rank = _range(mass)
        if rank == mass.shape[0]:
            values, vectors = _eig(sla.solve(mass, jacobian))
            return values, vectors if basis is None else basis @ vectors
        hold = left[:, rank:].conj().T @ jacobian
        allowed = _null_space(hold)
        keep = left[:, :rank].conj().T
        jacobian, mass = keep @ jacobian @ allowed, keep @ mass @ allowed
        basis = allowed if basis is None else basis @ allowed
        if rank == 0:
            return np.zeros(0, complex), basis[:, :0]
    raise SolverError(
        "singular_pencil",
        "the modes are not determined: an unknown is in no equation; give a gauge to fields that "
        "are fixed up to a constant, and check the boundary conditions",
    )


def _range(mass: Matrix) -> tuple[Matrix, int]:
    """A unitary matrix whose first columns span what M can give, and how many they are."""
    rows = np.abs(mass).max(axis=1) > 0
    if (
        not rows.all()
        and np.linalg.matrix_rank(mass[rows], _RANK * np.abs(mass).max()) == rows.sum()
    ):
        # Algebraic rows as they stand: no rotation of the others.
        order = np.argsort(~rows, kind="stable")
        return np.eye(len(mass))[:, order], int(rows.sum())
    left, sizes, _ = sla.svd(mass)
    return left, int((sizes > _RANK * sizes[0]).sum()) if sizes.size and sizes[0] > 0 else 0


def _null_space(rows: Matrix) -> Matrix:
    """Orthonormal columns that span the null space of rows that are independent."""
    # Rows of very different size (p = 0 beside ∂²u/∂x²) are brought to one.
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (sizes > 0).all():
        raise SolverError(
            "singular_pencil",
            "the modes are not determined: an equation without a time derivative holds for any "
            "state; give a gauge to fields that are fixed up to a constant",
        )
    q, r, _ = _qr((rows / sizes).conj().T, pivoting=True)
    diagonal = np.abs(np.diag(r))
    if diagonal.size and diagonal[-1] < 1e-13 * diagonal[0]:
        raise SolverError(
            "singular_pencil",
            "the modes are not determined: equations without a time derivative depend on each "
            "other; give a gauge to fields that are fixed up to a constant",
        )
    return q[:, rows.shape[0] :]
