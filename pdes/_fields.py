"""Kinds of unknown fields: scalar, vector, a list of components."""

from __future__ import annotations

import abc
import dataclasses


class FieldKind(abc.ABC):
    """The shape of one unknown field in a domain of dimension `dim`."""

    @abc.abstractmethod
    def shape(self, dim: int) -> tuple[int, ...]:
        """Shape of the value; the gradient and the flux have shape `(*shape, dim)`."""


@dataclasses.dataclass(frozen=True)
class Scalar(FieldKind):
    """A scalar field: value (), gradient (dim,), flux (dim,)."""

    def shape(self, dim: int) -> tuple[int, ...]:
        return ()


@dataclasses.dataclass(frozen=True)
class Vector(FieldKind):
    """A vector: value (dim,), gradient (dim, dim) as [component, direction], flux likewise."""

    def shape(self, dim: int) -> tuple[int, ...]:
        return (dim,)


@dataclasses.dataclass(frozen=True)
class Components(FieldKind):
    """`count` components: value (count,), gradient (count, dim), flux (count, dim)."""

    count: int

    def __post_init__(self):
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"Components needs a positive whole number, got {self.count!r}")

    def shape(self, dim: int) -> tuple[int, ...]:
        return (self.count,)
