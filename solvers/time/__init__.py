"""Time steppers that diffrax lacks, as diffrax solvers, and how they are run."""

from solvers.time._bdf import BDF2, bdf2
from solvers.time._dirk import (
    DIRK,
    esdirk3,
    esdirk4,
    esdirk5,
    implicit_euler,
    sdirk2,
    trapezoidal,
)
from solvers.time._explicit import SSPRK3, CFLController
from solvers.time._generalized_alpha import GeneralizedAlpha, generalized_alpha
from solvers.time._implicit import ImplicitStepper, SystemTerm
from solvers.time._integrate import Evolution, integrate
from solvers.time._series import TimeSeries
from solvers.time._tableau import DIRKTableau

__all__ = [
    "BDF2",
    "DIRK",
    "SSPRK3",
    "CFLController",
    "DIRKTableau",
    "Evolution",
    "GeneralizedAlpha",
    "ImplicitStepper",
    "SystemTerm",
    "TimeSeries",
    "bdf2",
    "esdirk3",
    "esdirk4",
    "esdirk5",
    "generalized_alpha",
    "implicit_euler",
    "integrate",
    "sdirk2",
    "trapezoidal",
]
