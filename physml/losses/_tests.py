"""Test functions and quadrature on box elements, as one tensor for all elements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.polynomial import legendre

Rule = tuple[np.ndarray, np.ndarray]


def gauss_legendre(count: int) -> Rule:
    """Points and weights on [−1, 1], exact to degree 2·count − 1."""
    return legendre.leggauss(count)


def gauss_lobatto(count: int) -> Rule:
    """Points and weights on [−1, 1] with both ends, exact to degree 2·count − 3.

    Raises:
        ValueError: fewer than two points.
    """
    if count < 2:
        raise ValueError(f"Gauss–Lobatto needs at least 2 points, got {count}")
    last = np.zeros(count)
    last[-1] = 1.0
    inner = legendre.legroots(legendre.legder(last)) if count > 2 else np.zeros(0)
    points = np.concatenate([[-1.0], np.sort(inner), [1.0]])
    return points, 2 / (count * (count - 1) * legendre.legval(points, last) ** 2)


RULES = {"legendre": gauss_legendre, "lobatto": gauss_lobatto}


def interior_tests(count: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polynomials that vanish at ±1 and their derivatives, each (count, points).

    (1 − ξ²) times orthogonal polynomials, orthonormal in the mean: ½∫ vᵢ vⱼ dξ = δᵢⱼ. The first
    k span what the differences of Legendre polynomials L_{j+1} − L_{j−1}, j ≤ k, span.
    """
    return _orthonormal(count, points, np.array([1.0, 0.0, -1.0]))


def legendre_tests(count: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Legendre polynomials with ½∫ vᵢ vⱼ dξ = δᵢⱼ and their derivatives, each (count, points)."""
    return _orthonormal(count, points, np.array([1.0]))


def _orthonormal(
    count: int, points: np.ndarray, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    factor_series = legendre.poly2leg(factor)
    raw = [legendre.legmul(factor_series, np.eye(count)[k]) for k in range(count)]
    exact, weights = gauss_legendre(count + len(factor))
    table = np.stack([legendre.legval(exact, series) for series in raw], axis=1)
    _, triangle = np.linalg.qr(np.sqrt(weights / 2)[:, None] * table)
    triangle *= np.sign(np.diagonal(triangle))[:, None]
    values = np.stack([legendre.legval(points, series) for series in raw])
    slopes = np.stack([legendre.legval(points, legendre.legder(series)) for series in raw])
    return np.linalg.solve(triangle.T, values), np.linalg.solve(triangle.T, slopes)


class ReferenceTests:
    """Products of one-dimensional tests on the reference box [−1, 1]^D.

    They vanish on the sides across space, where a flux is integrated by parts, and not in time.

    Attributes:
        points: (Q, D). values: (T, Q) with the weights inside, which add up to 1.
        slopes: (T, Q, dim), derivatives in space likewise.

    Arguments:
        tests, quadrature: numbers in each direction, time last. dim: directions of space.
        rule: "legendre" or "lobatto".
    """

    def __init__(
        self, tests: Sequence[int], quadrature: Sequence[int], dim: int, rule: str = "legendre"
    ):
        if rule not in RULES:
            raise ValueError(f"the quadrature rule is one of {sorted(RULES)}, got {rule!r}")
        for n, q in zip(tests, quadrature, strict=True):
            if q <= n:
                raise ValueError(
                    f"{n} tests a direction need more than {n} quadrature points, got {q}"
                )
        rules = [RULES[rule](q) for q in quadrature]
        self.points = _product([points for points, _ in rules])
        weights = np.prod(_product([w / 2 for _, w in rules]), axis=1)
        tables = [
            (interior_tests if i < dim else legendre_tests)(n, points)
            for i, (n, (points, _)) in enumerate(zip(tests, rules, strict=True))
        ]
        self.values = _tensor([v for v, _ in tables]) * weights
        self.slopes = np.stack(
            [
                _tensor([s if i == j else v for i, (v, s) in enumerate(tables)]) * weights
                for j in range(dim)
            ],
            axis=-1,
        )


def _product(axes: list[np.ndarray]) -> np.ndarray:
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def _tensor(tables: list[np.ndarray]) -> np.ndarray:
    """All products of the tables (tests, points), as (ΠT, ΠQ)."""
    total = np.ones((1, 1))
    for table in tables:
        total = np.einsum("tq,ip->tiqp", total, table).reshape(
            total.shape[0] * table.shape[0], total.shape[1] * table.shape[1]
        )
    return total


def box_elements(edges: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of each element of a tensor grid, (E, D)."""
    pairs = [list(itertools.pairwise(e)) for e in edges]
    boxes = np.array(list(itertools.product(*pairs)))
    return boxes[..., 0], boxes[..., 1]


def graded_edges(start: float, end: float, count: int, places: np.ndarray, size: np.ndarray):
    """Edges of `count` intervals that share ∫ density equally, density ∝ 1 + ⟨size⟩(x)/mean.

    `size` is given at scattered places; ⟨·⟩ is its mean in bins. Source: de Boor (1974),
    equidistribution.
    """
    bins = max(min(4 * count, len(places) // 32), 2)
    grid = np.linspace(start, end, bins + 1)
    index = np.clip(np.digitize(places, grid) - 1, 0, bins - 1)
    total = np.bincount(index, weights=size, minlength=bins)
    mean = total / np.maximum(np.bincount(index, minlength=bins), 1)
    overall = mean.mean()
    density = 1.0 + (mean / overall if np.isfinite(overall) and overall > 0 else 0 * mean)
    integral = np.concatenate([[0.0], np.cumsum(density)])
    edges = np.interp(np.linspace(0, integral[-1], count + 1), integral, grid)
    edges[0], edges[-1] = start, end
    return edges
