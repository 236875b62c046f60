"""Neural methods: the same promises as the numerical ones."""

from ._cpinn import CPINN
from ._neural import NeuralFields, Setup
from ._pinn import PINN
from ._random_features import RandomFeatures
from ._vpinn import VPINN

__all__ = ["CPINN", "PINN", "VPINN", "NeuralFields", "RandomFeatures", "Setup"]
