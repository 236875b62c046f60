"""Starting one solve from the network of another."""

from __future__ import annotations

import dataclasses
from typing import Any

from physml.losses import Trial
from physml.methods._neural import NeuralFields
from solvers import Solution


def warm_started(method: Any, solution: Solution) -> Any:
    """The method with the trained network of a solution as its network.

    Methods of several networks, which take a factory, are given back as they are.
    """
    fields = solution.representation
    if isinstance(fields, NeuralFields) and isinstance(fields.trial, Trial):
        return dataclasses.replace(method, network=fields.network)
    return method


def share(total: int, parts: int) -> list[int]:
    """A whole number in nearly equal parts, each at least 1."""
    return [max((k + 1) * total // parts - k * total // parts, 1) for k in range(parts)]
