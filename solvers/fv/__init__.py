"""Finite volumes for balance laws."""

from solvers.fv._finite_volume import FiniteVolume

__all__ = ["FiniteVolume"]
