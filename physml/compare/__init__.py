"""Comparison of methods on one problem: the same points, the same clock, the same reference."""

from physml.compare._compare import compare
from physml.compare._comparison import Comparison
from physml.compare._row import Row, Trial
from physml.compare._yardstick import Error, Yardstick

__all__ = ["Comparison", "Error", "Row", "Trial", "Yardstick", "compare"]
