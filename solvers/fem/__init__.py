"""Finite elements on meshes of one shape of cell, continuous and discontinuous."""

from solvers.fem._adapt import AdaptiveFiniteElement
from solvers.fem._discontinuous import DiscontinuousGalerkin
from solvers.fem._estimate import Estimate, estimate
from solvers.fem._functionals import integrate, reaction
from solvers.fem._method import FiniteElement
from solvers.fem._system import FEMSystem

__all__ = [
    "AdaptiveFiniteElement",
    "DiscontinuousGalerkin",
    "Estimate",
    "FEMSystem",
    "FiniteElement",
    "estimate",
    "integrate",
    "reaction",
]
