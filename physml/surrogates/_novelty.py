"""Whether an input lies where the surrogate was trained."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

_COMPONENTS = 32
_SLACK = 1.25


class Novelty(eqx.Module):
    """Principal components of the training inputs, and how far from their middle those were.

    Three measures: the largest component in units of its deviation; the root mean square of all
    components in these units (the Mahalanobis distance, 1 for a typical input); and the norm of
    what lies outside these components, as a share of the typical norm. Limits are a quarter
    above the largest seen in training.
    """

    mean: Array
    components: Array
    deviations: Array
    scale: Array
    limits: Array

    @classmethod
    def of(cls, inputs: np.ndarray) -> Novelty:
        """From training inputs (n, …)."""
        flat = np.asarray(inputs, float).reshape(len(inputs), -1)
        mean = flat.mean(axis=0)
        centred = flat - mean
        rank = max(1, min(_COMPONENTS, len(flat) // 10, flat.shape[1]))
        _, singular, rows = np.linalg.svd(centred, full_matrices=False)
        deviations = singular[:rank] / np.sqrt(max(len(flat) - 1, 1))
        keep = deviations > 1e-6 * (deviations[0] if deviations[0] > 0 else 1.0)
        scale = np.linalg.norm(centred, axis=1).mean() or 1.0
        parts = (mean, rows[:rank][keep], deviations[keep], scale, np.ones(3))
        found = cls(*(jnp.asarray(part) for part in parts))
        limits = _SLACK * found.measure(flat).max(axis=0) + 1e-6
        return eqx.tree_at(lambda f: f.limits, found, jnp.asarray(limits))

    def measure(self, samples: np.ndarray) -> np.ndarray:
        """The three measures of inputs (n, …), (n, 3)."""
        flat = np.asarray(samples, float).reshape(len(samples), -1)
        centred = flat - np.asarray(self.mean)
        components = np.asarray(self.components)
        parts = centred @ components.T
        rest = np.linalg.norm(centred - parts @ components, axis=1) / float(self.scale)
        whitened = np.abs(parts) / np.asarray(self.deviations)
        if not whitened.shape[1]:
            return np.stack([0 * rest, 0 * rest, rest], axis=1)
        return np.stack([whitened.max(axis=1), np.sqrt((whitened**2).mean(axis=1)), rest], axis=1)

    def warning(self, sample: np.ndarray) -> str | None:
        """Why an input is unlike those of the training, None if it is not."""
        found, limits = self.measure(sample[None])[0], np.asarray(self.limits)
        seen = limits / _SLACK
        texts = (
            f"one component is {found[0]:.3g} deviations from the middle, at most {seen[0]:.3g}",
            f"its Mahalanobis distance is {found[1]:.3g}, at most {seen[1]:.3g}",
            f"a part of {found[2]:.3g} of the usual norm is of other shapes, at most {seen[2]:.3g}",
        )
        for i, text in enumerate(texts):
            if found[i] > limits[i]:
                return f"the input lies outside the training distribution: {text} in training"
        return None
