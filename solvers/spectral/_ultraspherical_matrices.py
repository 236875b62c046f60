"""Sparse operators on Chebyshev and ultraspherical coefficients, on [−1, 1].

    d/dξ Tₖ = k C⁽¹⁾ₖ₋₁,  d/dξ C⁽¹⁾ₖ = 2 C⁽²⁾ₖ₋₁,
    Tₖ = ½ (C⁽¹⁾ₖ − C⁽¹⁾ₖ₋₂),  C⁽¹⁾ₖ = (C⁽²⁾ₖ − C⁽²⁾ₖ₋₂)/(k + 1).

Source: Olver and Townsend (2013), section 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp


def _bands(n: int, diagonals: dict[int, np.ndarray]) -> sp.csr_matrix:
    made: Any = sp.diags
    return sp.csr_matrix(made(list(diagonals.values()), list(diagonals), (n, n)))


def first_derivative(n: int) -> sp.csr_matrix:
    """From T to C⁽¹⁾."""
    return _bands(n, {1: np.arange(1.0, n)})


def second_derivative(n: int) -> sp.csr_matrix:
    """From C⁽¹⁾ to C⁽²⁾."""
    return _bands(n, {1: np.full(n - 1, 2.0)})


def first_conversion(n: int) -> sp.csr_matrix:
    """From T to C⁽¹⁾."""
    diagonal = np.full(n, 0.5)
    diagonal[0] = 1.0
    return _bands(n, {0: diagonal, 2: np.full(n - 2, -0.5)})


def second_conversion(n: int) -> sp.csr_matrix:
    """From C⁽¹⁾ to C⁽²⁾."""
    diagonal = 1.0 / (1.0 + np.arange(n))
    return _bands(n, {0: diagonal, 2: -diagonal[2:]})


def multiplication(coefficients: np.ndarray, n: int, tolerance: float) -> sp.csr_matrix:
    """Product with Σ aⱼ Tⱼ, from C⁽¹⁾ to C⁽¹⁾: Tⱼ C⁽¹⁾ₖ = ½ (C⁽¹⁾ₖ₊ⱼ + C⁽¹⁾ₖ₋ⱼ).

    C⁽¹⁾₋ₘ = −C⁽¹⁾ₘ₋₂ folds what would be negative. Coefficients below `tolerance` of the largest
    are round-off and dropped: their number is the bandwidth.
    """
    a = np.asarray(coefficients)
    large = np.flatnonzero(np.abs(a) > tolerance * max(np.abs(a).max(), 1e-300))
    if len(large) == 0:
        return sp.csr_matrix((n, n))
    columns = np.arange(n)
    rows_all, columns_all, values = [], [], []
    for j in range(large[-1] + 1):
        for shifted in (columns + j, columns - j):
            folded = np.where(shifted < 0, -shifted - 2, shifted)
            size = np.where(shifted < 0, -0.5, 0.5) * a[j]
            keep = (folded >= 0) & (folded < n) & (shifted != -1)
            rows_all.append(folded[keep])
            columns_all.append(columns[keep])
            values.append(size[keep])
    return sp.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows_all), np.concatenate(columns_all))), (n, n)
    )
