"""Points in the unit cube and in shapes: low-discrepancy, independent or on a grid."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import qmc

from pdes.domain._base import Floats

if TYPE_CHECKING:
    from pdes.domain._base import Domain


def unit_points(count: int, dim: int, seed: int, scheme: str) -> Floats:
    """`count` points of [0, 1]^dim, shape (count, dim).

    Raises:
        ValueError: an unknown scheme or a count that is not positive.
    """
    if count < 1:
        raise ValueError(f"the number of points must be positive, got {count}")
    if dim == 0:
        return np.zeros((count, 0))
    if scheme == "sobol":
        with warnings.catch_warnings():
            # Balance properties want powers of two; any count is still low-discrepancy.
            warnings.simplefilter("ignore", UserWarning)
            # `seed` is called `rng` from SciPy 1.15 on, which still takes the old name.
            sobol = qmc.Sobol(dim, scramble=True, seed=seed)  # pyright: ignore[reportCallIssue]
            return sobol.random(count)
    if scheme == "uniform":
        return np.random.default_rng(seed).random((count, dim))
    if scheme == "grid":
        side = int(np.ceil(count ** (1 / dim)))
        axis = (np.arange(side) + 0.5) / side
        points = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim)
        keep = np.linspace(0, len(points) - 1, count).round().astype(int)
        return points[keep]
    raise ValueError(f"unknown sampling scheme {scheme!r}: use 'sobol', 'uniform' or 'grid'")


def rejection(domain: Domain, count: int, seed: int, scheme: str) -> Floats:
    """`count` points of the domain: those of its bounding box that it contains, (count, dim).

    Raises:
        ValueError: hardly any point of the box lies in the domain.
    """
    low, high = domain.bounds
    if count < 1:
        raise ValueError(f"the number of points must be positive, got {count}")
    tries = int(1.1 * count * np.prod(high - low) / max(domain.volume, 1e-300)) + 16
    for _ in range(8):
        if tries > 200_000_000:
            break
        x = low + unit_points(tries, domain.dim, seed, scheme) * (high - low)
        found = x[domain.contains(x, 0.0)]
        if len(found) >= count:
            if scheme == "grid":
                return found[np.linspace(0, len(found) - 1, count).round().astype(int)]
            return found[:count]
        tries *= 2
    raise ValueError(f"{domain!r} fills almost nothing of its bounding box; it can't be sampled")


def cell_size(domain: Domain, cells: Any, size: Any, default: float) -> float:
    """The length of a cell from either of the ways to give it.

    Raises:
        ValueError: both are given, or one that is not a positive number.
    """
    if cells is not None and size is not None:
        raise ValueError(f"give cells or size, not both; got cells={cells!r} and size={size!r}")
    if cells is not None:
        if not isinstance(cells, (int, np.integer)) or cells < 1:
            raise ValueError(
                f"{domain!r} takes one number of cells along its longest side, at least 1, got "
                f"{cells!r}"
            )
        low, high = domain.bounds
        return float((high - low).max()) / int(cells)
    if size is None:
        return default
    if not (np.isfinite(size) and size > 0):
        raise ValueError(f"size is the length of a cell, a positive number, got {size!r}")
    return float(size)


def shares(count: int, measures: Floats) -> list[int]:
    """How many of `count` points each piece gets, in proportion, one at least."""
    if count < 1:
        raise ValueError(f"the number of points must be positive, got {count}")
    exact = count * measures / measures.sum()
    numbers = np.maximum(np.floor(exact).astype(int), 1)
    # What is left goes to the largest remainders, so that the density stays even.
    order = np.argsort(numbers - exact, kind="stable")
    for i in range(max(count - int(numbers.sum()), 0)):
        numbers[order[i % len(order)]] += 1
    return numbers.tolist()


def spread_grid(domain: Domain, count: int) -> Floats:
    """About `count` evenly spread points of the closed domain, (n, dim)."""
    low, high = domain.bounds
    spacing = (domain.volume / max(count, 1)) ** (1 / domain.dim)
    axes = [
        np.linspace(a, b, max(round((b - a) / spacing) + 1, 2))
        for a, b in zip(low, high, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, domain.dim)
    return points[domain.contains(points, 1e-12)]
