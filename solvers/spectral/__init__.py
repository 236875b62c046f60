"""Spectral methods."""

from solvers.spectral._dealias import ExponentialFilter
from solvers.spectral.chebyshev import Chebyshev
from solvers.spectral.fourier import Fourier
from solvers.spectral.fourier_batch import trajectory
from solvers.spectral.fourier_diagnostics import autocorrelation, dissipation, energy, spectrum

__all__ = [
    "Chebyshev",
    "ExponentialFilter",
    "Fourier",
    "autocorrelation",
    "dissipation",
    "energy",
    "spectrum",
    "trajectory",
]
