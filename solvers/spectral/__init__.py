"""Spectral methods."""

from solvers.spectral._dealias import ExponentialFilter
from solvers.spectral.chebyshev import Chebyshev
from solvers.spectral.fourier import Fourier
from solvers.spectral.fourier_batch import trajectory
from solvers.spectral.fourier_diagnostics import autocorrelation, dissipation, energy, spectrum
from solvers.spectral.ultraspherical import Ultraspherical

__all__ = [
    "Chebyshev",
    "ExponentialFilter",
    "Fourier",
    "Ultraspherical",
    "autocorrelation",
    "dissipation",
    "energy",
    "spectrum",
    "trajectory",
]
