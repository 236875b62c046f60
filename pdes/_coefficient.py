"""Coefficients of an equation: number, array, callable, table by region or cell, or network."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pdes._point import Point


class AbstractCoefficient(eqx.Module):
    """A value at a point: `coefficient(p)`.

    Each kind can stand for another, so an equation is written once and its coefficient
    may be a number today and a network tomorrow.
    """

    @abc.abstractmethod
    def __call__(self, p: Point) -> Array:
        """The value at the point `p`."""


if TYPE_CHECKING:
    # A PDE converts what it is given, so that Burgers(nu=0.1) is right for type checkers as well.
    Coefficient = Any
else:
    Coefficient = AbstractCoefficient


class Constant(AbstractCoefficient):
    """The same number or array everywhere."""

    value: Array

    def __init__(self, value: Any):
        self.value = jnp.asarray(value, dtype=jnp.result_type(float))

    def __call__(self, p: Point) -> Array:
        return self.value


class Function(AbstractCoefficient):
    """A callable of the point; its arrays, if it is an Equinox module, are parameters."""

    function: Callable[[Point], Any]

    def __call__(self, p: Point) -> Array:
        return jnp.asarray(self.function(p))


class ByRegion(AbstractCoefficient):
    """One value for each named material of a mesh domain, `ByRegion({"steel": 210.0, …})`.

    The names are matched with the mesh's regions when the problem is made.

    Raises:
        ValueError: no region given; or, when the problem is made, a region without a value.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    values: Array
    slots: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(self, values: Mapping[str, Any], *, slots: tuple[int, ...] | None = None):
        if not values:
            raise ValueError("ByRegion needs at least one region: ByRegion({'steel': 210.0})")
        self.names = tuple(values)
        self.values = jnp.stack(
            [jnp.asarray(v, dtype=jnp.result_type(float)) for v in values.values()]
        )
        self.slots = slots

    def bind(self, regions: tuple[str, ...]) -> ByRegion:
        """The same coefficient with its values in the order of a mesh's `regions`."""
        missing = [name for name in regions if name not in self.names]
        if missing:
            raise ValueError(
                f"no value for the material {missing[0]!r}: ByRegion has {list(self.names)}, "
                f"the mesh has {list(regions)}; add the missing ones"
            )
        slots = tuple(self.names.index(name) for name in regions)
        return ByRegion(dict(zip(self.names, self.values, strict=True)), slots=slots)

    def __call__(self, p: Point) -> Array:
        if p.region is None or self.slots is None:
            raise ValueError(
                f"ByRegion({list(self.names)}) needs a domain with named materials; this one has "
                "none: use pm.MeshDomain with physical groups, or a function of the point"
            )
        return self.values[jnp.asarray(np.array(self.slots))[p.region]]


class CellData(AbstractCoefficient):
    """One value a mesh cell, in the mesh's order: array of shape (cells, …)."""

    values: Array

    def __init__(self, values: Any):
        self.values = jnp.asarray(values, dtype=jnp.result_type(float))

    def __call__(self, p: Point) -> Array:
        if p.cell is None:
            raise ValueError(
                "CellData needs a method that works on mesh cells (pm.FiniteElement, pm.VPINN)"
            )
        return self.values[p.cell]


class NetworkCoefficient(AbstractCoefficient):
    """A network of chosen inputs of the point, a field or a learned closure.

    Arguments:
        network: any Equinox module from a vector to a vector or a number.
        inputs: what it is given, a function of the point; by default the position `p.x`.
        transform: applied to its output, for example `jax.nn.softplus` for positivity.
    """

    network: Callable
    inputs: Callable[[Point], Any]
    transform: Callable[[Array], Array]

    def __init__(
        self,
        network: Callable,
        inputs: Callable[[Point], Any] = lambda p: p.x,
        transform: Callable[[Array], Array] = lambda y: y,
    ):
        self.network = network
        self.inputs = inputs
        self.transform = transform

    def __call__(self, p: Point) -> Array:
        output = self.transform(self.network(jnp.atleast_1d(jnp.asarray(self.inputs(p)))))
        return output[0] if output.shape == (1,) else output


def as_coefficient(value: Any) -> AbstractCoefficient:
    """Number, array, callable or coefficient -> Coefficient.

    Raises:
        TypeError: anything else.
        ValueError: a number that is not finite.
    """
    if isinstance(value, AbstractCoefficient):
        return value
    if callable(value):
        return Function(value)
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(
            f"a coefficient is a number, an array, a function of the point or a network, "
            f"got {value!r}"
        )
    if not isinstance(value, Tracer):
        array = np.asarray(value)
        if array.dtype == object or not np.issubdtype(array.dtype, np.number):
            raise TypeError(
                "a coefficient is a number, an array, a function of the point or a network, "
                f"got {type(value).__name__}"
            )
        if not np.all(np.isfinite(array)):
            raise ValueError(f"a coefficient must be finite, got {value!r}")
    return Constant(value)


def coefficient(default: Any = None) -> Any:
    """A coefficient of a PDE, as a field of its class: `nu: Coefficient = coefficient(0.01)`.

    Without a default the user must give one when making the PDE.
    """
    if default is None:
        return eqx.field(converter=as_coefficient)
    return eqx.field(default=default, converter=as_coefficient)
