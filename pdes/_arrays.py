"""NumPy arrays as JAX arrays, with nothing compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def on_device(array: Any) -> Array:
    """A NumPy array on the device, floats in the precision that JAX is set to.

    Of a NumPy array without a type `jnp.asarray` compiles a program for every new shape (JAX 0.10).
    """
    if isinstance(array, jax.Array):
        return array
    if not isinstance(array, np.ndarray):
        return jnp.asarray(array)
    return jnp.asarray(array, jax.dtypes.canonicalize_dtype(array.dtype))
