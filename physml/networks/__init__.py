"""Networks: pure functions of one point, (in_size,) → (out_size,).

Every class is built as `Class(in_size, out_size, *, key, ...options)`; an architecture is that
with its options chosen, `functools.partial(MLP, width=30, depth=3)`. Wrappers (`Rescale`,
`Periodic`, `Select`, `FourierFeatures`) take an architecture as `inner` and are architectures
themselves.

`params, static = partition(model)` gives the trained arrays; `combine(params, static)` the model.
"""

from ._composite import MultiscaleFourier, MultiStage, Scaled, SeparableNetwork
from ._dense import Dense
from ._enriched import Enriched
from ._fourier_series import FourierSeries, check_parity
from ._inputs import FourierFeatures, Periodic, Rescale, Select
from ._mlp import MLP, SIREN, ModifiedMLP
from ._network import Frozen, Network, NetworkFactory, combine, partition
from ._orthonormal import OrthonormalSines
from ._pirate import PirateNet
from ._random_features import RandomFeatures

__all__ = [
    "MLP",
    "SIREN",
    "Dense",
    "Enriched",
    "FourierFeatures",
    "FourierSeries",
    "Frozen",
    "ModifiedMLP",
    "MultiStage",
    "MultiscaleFourier",
    "Network",
    "NetworkFactory",
    "OrthonormalSines",
    "Periodic",
    "PirateNet",
    "RandomFeatures",
    "Rescale",
    "Scaled",
    "Select",
    "SeparableNetwork",
    "check_parity",
    "combine",
    "partition",
]
