"""Certificates: how far a solution is from the exact one, without knowing it."""

from solvers.certify._certificate import Certificate
from solvers.certify._certify import certify

__all__ = ["Certificate", "certify"]
