"""Neural methods: the same promises as the numerical ones."""

from ._cpinn import CPINN
from ._curriculum import Curriculum
from ._deep_ritz import DeepRitz
from ._fbpinn import FBPINN
from ._mesh_vpinn import MeshVPINN
from ._neural import NeuralFields, Setup
from ._pinn import PINN
from ._random_features import RandomFeatures
from ._robust_vpinn import RobustVPINN
from ._spectral_pinn import SpectralPINN
from ._spinn import SPINN
from ._time_slabs import TimeSlabs
from ._vpinn import VPINN
from ._xpinn import XPINN

__all__ = [
    "CPINN",
    "FBPINN",
    "PINN",
    "SPINN",
    "VPINN",
    "XPINN",
    "Curriculum",
    "DeepRitz",
    "MeshVPINN",
    "NeuralFields",
    "RandomFeatures",
    "RobustVPINN",
    "Setup",
    "SpectralPINN",
    "TimeSlabs",
]
