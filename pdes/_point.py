"""The point that every term of an equation receives."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

RESERVED = ("x", "t", "n", "grad", "div", "region", "cell", "values", "gradients")


class _Gradients:
    """`p.grad.u`: the gradient of the field u, shape (*u.shape, dim)."""

    def __init__(self, gradients: dict[str, Array] | None):
        self._gradients = gradients

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._gradients is None:
            raise AttributeError(
                f"the gradient of {name!r} was asked for at a point that has no gradients: "
                "data functions and storage terms may use values only"
            )
        if name not in self._gradients:
            raise AttributeError(
                f"the point has no gradient of {name!r}; its fields are {sorted(self._gradients)}"
            )
        return self._gradients[name]


class _Divergences:
    """`p.div.u`: the divergence Σᵢ ∂uᵢ/∂xᵢ of a vector field u."""

    def __init__(self, gradients: _Gradients):
        self._gradients = gradients

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_"):
            raise AttributeError(name)
        return jnp.trace(getattr(self._gradients, name), axis1=-2, axis2=-1)


class Point(eqx.Module):
    """One point of space and time, with the fields there.

    Attributes:
        x: position, shape (dim,).
        t: time, shape (); 0 where nothing depends on time.
        n: outward unit normal, shape (dim,), at a boundary; elsewhere None.
        region: index of the material region (mesh domains), else None; see `ByRegion`.
        cell: index of the mesh cell, else None; see `CellData`.
        values, gradients: every field by name; usually reached as `p.u`, `p.grad.u`, `p.div.u`.
    """

    x: Array
    t: Array
    values: dict[str, Array]
    gradients: dict[str, Array] | None = None
    n: Any = None
    region: Any = None
    cell: Any = None

    @property
    def grad(self) -> Any:
        return _Gradients(self.gradients)

    @property
    def div(self) -> Any:
        return _Divergences(_Gradients(self.gradients))

    def __getattr__(self, name: str) -> Any:
        # Reached only when normal lookup fails, so a field can't shadow x, t, n, …
        if name.startswith("_"):
            raise AttributeError(name)
        values = object.__getattribute__(self, "values")
        if name in values:
            return values[name]
        raise AttributeError(f"the point has no field {name!r}; its fields are {sorted(values)}")
