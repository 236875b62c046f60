"""How problems are solved numerically, and what every method shares."""

from solvers._eigen import Eigenmodes, eigenvalues
from solvers._method import Method, Run
from solvers._result import NotApplicable, SolverError
from solvers._solution import FieldFunction, KnownTimes, Representation, Solution, Stats
from solvers._system import SplitSystem, System

__all__ = [
    "Eigenmodes",
    "FieldFunction",
    "KnownTimes",
    "Method",
    "NotApplicable",
    "Representation",
    "Run",
    "Solution",
    "SolverError",
    "SplitSystem",
    "Stats",
    "System",
    "eigenvalues",
]
