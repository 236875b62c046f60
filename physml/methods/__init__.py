"""Neural methods: the same promises as the numerical ones."""

from ._cpinn import CPINN
from ._curriculum import Curriculum
from ._neural import NeuralFields, Setup
from ._pinn import PINN
from ._random_features import RandomFeatures
from ._time_slabs import TimeSlabs
from ._vpinn import VPINN

__all__ = [
    "CPINN",
    "PINN",
    "VPINN",
    "Curriculum",
    "NeuralFields",
    "RandomFeatures",
    "Setup",
    "TimeSlabs",
]
