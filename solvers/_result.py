"""Failures by name: what went wrong, where, and the remedy."""

from __future__ import annotations


class SolverError(RuntimeError):
    """A solver that did not reach its answer.

    Attributes:
        reason: short name such as "newton_diverged", "step_too_small", "not_finite",
            "singular_matrix", "max_iterations".
        history: residual norms or step sizes up to the failure.
    """

    def __init__(self, reason: str, message: str, history: tuple[float, ...] = ()):
        super().__init__(f"[{reason}] {message}")
        self.reason = reason
        self.history = tuple(float(value) for value in history)


class NotApplicable(ValueError):
    """A method asked to solve a problem that it is not made for; says why and what is."""
