"""Spectral methods."""

from solvers.spectral.chebyshev import Chebyshev
from solvers.spectral.fourier import Fourier
from solvers.spectral.fourier_batch import trajectory
from solvers.spectral.ultraspherical import Ultraspherical

__all__ = ["Chebyshev", "Fourier", "Ultraspherical", "trajectory"]
