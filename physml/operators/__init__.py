"""Neural operators: maps from functions to functions, for any resolution.

`FNO` acts on functions sampled on a uniform grid in one or two dimensions; `DeepONet` gives its
output at any point. Both act on one function; batches are `jax.vmap`.
"""

from physml.operators._deeponet import DeepONet
from physml.operators._fno import FNO

__all__ = ["FNO", "DeepONet"]
