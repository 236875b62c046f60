"""Posterior: how well the data determine what was identified.

Laplace's approximation is the Gaussian of covariance (Jᵀ J + P⁻¹)⁻¹ about the best fit, with J the
derivatives of the predictions by σ and P the prior's covariance. Without a prior and at the true
values it is the Cramér–Rao bound. Sources: MacKay (1992); Kay (1993), section 3.7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import special

# Singular values of the scaled J below this part of the largest are nothing but round-off.
_SINGULAR = {"forward derivatives": 1e-9, "central differences of fourth order": 1e-7}


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian of the identified numbers, or of their logarithms where they are positive.

    Attributes:
        mean: (P,). covariance: (P, P), of the numbers; of positive ones to first order.
        labels: what the numbers are. kind: "laplace" or "ensemble". explanation: how it was found.
        draws: the members of an ensemble, (n, P), else None.
    """

    mean: np.ndarray
    covariance: np.ndarray
    labels: tuple[str, ...]
    kind: str
    explanation: str
    positive: bool = False
    draws: np.ndarray | None = None

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviations, (P,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> np.ndarray:
        """(P, P), 1 on the diagonal."""
        d = self.deviations
        return self.covariance / (d[:, None] * d)

    def sample(self, key, n: int) -> np.ndarray:
        """n draws, (n, P); `key` is JAX's. Positive numbers are log-normal."""
        import jax

        if not isinstance(n, int) or n < 1:
            raise ValueError(f"a sample takes a positive whole number of draws, got {n!r}")
        normal = np.asarray(jax.random.normal(key, (n, len(self.mean))), float)
        root = _root(self._inner())
        if self.positive:
            return self.mean * np.exp(normal @ root.T)
        return self.mean + normal @ root.T

    def interval(self, level: float = 0.9) -> np.ndarray:
        """Credible interval of each number alone, (P, 2), with the probability `level`."""
        if not 0 < level < 1:
            raise ValueError(f"a level is between 0 and 1, got {level!r}")
        reach = float(special.ndtri(0.5 * (1 + level))) * np.sqrt(np.diag(self._inner()))
        if self.positive:
            return np.stack([self.mean * np.exp(-reach), self.mean * np.exp(reach)], axis=1)
        return np.stack([self.mean - reach, self.mean + reach], axis=1)

    def _inner(self) -> np.ndarray:
        """The covariance of the Gaussian itself: of logarithms where numbers are positive."""
        if not self.positive:
            return self.covariance
        return self.covariance / (self.mean[:, None] * self.mean)

    def __str__(self) -> str:
        rows = list(zip(self.labels, self.mean, self.deviations, strict=True))
        shown = [f"  {label} = {m:.6g} ± {s:.2g}" for label, m, s in rows[:24]]
        if len(rows) > 24:
            shown.append(f"  … and {len(rows) - 24} more")
        return "\n".join([f"posterior by {self.kind}: {self.explanation}", *shown])


def gaussian_covariance(
    jacobian: np.ndarray,
    labels: Sequence[str],
    prior: np.ndarray | None,
    how: str = "forward derivatives",
) -> np.ndarray:
    """(JᵀJ + diag prior⁻²)⁻¹ by a singular value decomposition, (P, P).

    Arguments:
        jacobian: (n, P), by the deviations of the data. prior: deviations, (P,), or None.

    Raises:
        ValueError: the data do not determine all numbers; names those that they don't.
    """
    count = jacobian.shape[1]
    rows = jacobian if prior is None else np.concatenate([jacobian, np.diag(1.0 / prior)])
    size = np.linalg.norm(rows, axis=0)
    largest = float(size.max(initial=0.0))
    blind = np.flatnonzero(size <= 1e-13 * largest) if largest > 0 else np.arange(count)
    if len(blind):
        names = ", ".join(labels[int(i)] for i in blind[:6])
        raise ValueError(
            f"the observations do not depend on {names}: their number is not determined; observe "
            "where it matters, leave it out of `where`, or give prior=… (deviations)"
        )
    _, values, directions = np.linalg.svd(rows / size, full_matrices=False)
    missing = len(values) < count
    if missing or values[-1] < _SINGULAR.get(how, 1e-9) * values[0]:
        raise ValueError(_undetermined(rows / size, size, labels, len(jacobian), prior is None))
    scaled = (directions.T / values) / size[:, None]
    return scaled @ scaled.T


def _undetermined(scaled, size, labels, data: int, bare: bool) -> str:
    """Which combination leaves all predictions as they are."""
    _, _, directions = np.linalg.svd(scaled, full_matrices=True)
    direction = directions[-1] / size
    direction = direction / np.abs(direction).max()
    order = np.argsort(-np.abs(directions[-1]))[:4]
    terms = " ".join(f"{direction[i]:+.2g}·{labels[i]}" for i in sorted(order))
    more = "" if len(labels) <= 4 else " …"
    return (
        f"{data} observations do not determine all {len(labels)} numbers: the combination "
        f"{terms}{more} changes no prediction. Observe more, identify fewer numbers"
        + (", or give prior=… (deviations)" if bare else "")
    )


def _root(matrix: np.ndarray) -> np.ndarray:
    """A square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return vectors * np.sqrt(np.maximum(values, 0.0))
