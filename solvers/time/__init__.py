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
from solvers.time._exponential import ETDRK, Blocks, Diagonal
from solvers.time._generalized_alpha import GeneralizedAlpha, generalized_alpha
from solvers.time._imex import IMEX, ImexTableau
from solvers.time._implicit import ImplicitStepper, SystemTerm
from solvers.time._integrate import Evolution, integrate
from solvers.time._ladder import AdaptiveETDRK, Ladder
from solvers.time._sbdf import SBDF
from solvers.time._scheme import Scheme
from solvers.time._series import TimeSeries
from solvers.time._split import SplitInterpolation, SplitStepper, SplitTerm
from solvers.time._tableau import DIRKTableau

__all__ = [
    "BDF2",
    "DIRK",
    "ETDRK",
    "IMEX",
    "SBDF",
    "SSPRK3",
    "AdaptiveETDRK",
    "Blocks",
    "CFLController",
    "DIRKTableau",
    "Diagonal",
    "Evolution",
    "GeneralizedAlpha",
    "ImexTableau",
    "ImplicitStepper",
    "Ladder",
    "Scheme",
    "SplitInterpolation",
    "SplitStepper",
    "SplitTerm",
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
