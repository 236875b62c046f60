"""Inverse problems: coefficients from observations, and how well these determine them."""

from physml.inverse._fit import Fit, fit, laplace
from physml.inverse._posterior import Posterior

__all__ = ["Fit", "Posterior", "fit", "laplace"]
