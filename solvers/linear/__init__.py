"""Sparse linear systems behind one interface, whichever back end does the work."""

from solvers.linear._layout import Block, Layout
from solvers.linear._pattern import SparsePattern, pattern_of
from solvers.linear._places import Places, places_of
from solvers.linear._solve import solve_sparse
from solvers.linear._solver import LinearSolver

__all__ = [
    "Block",
    "Layout",
    "LinearSolver",
    "Places",
    "SparsePattern",
    "pattern_of",
    "places_of",
    "solve_sparse",
]
