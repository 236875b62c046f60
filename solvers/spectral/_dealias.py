"""De-aliasing: the degree of a term in the fields, read off its jaxpr, and the modes to keep."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex_core
from numpy.typing import NDArray

from pdes import Point

_LINEAR = {
    "neg", "reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "copy",
    "reduce_sum", "cumsum", "convert_element_type", "rev", "copy_p", "stop_gradient", "real",
    "gather", "dynamic_slice", "split", "unstack",
}  # fmt: skip
_SUM = {"add", "sub", "concatenate", "stack", "pad", "add_any", "dynamic_update_slice", "select_n"}
_PRODUCT = {"mul", "dot_general"}
_CALLS = {"pjit", "jit", "closed_call", "remat", "checkpoint"}


def polynomial_degree(term: Callable[[Point], Any], point: Point) -> float:
    """Degree of `term` as a polynomial in the fields and gradients; ∞ where it is none.

    An upper bound: terms that cancel count.
    """

    def call(values, gradients):
        p = Point(point.x, point.t, values, gradients, point.n, point.region, point.cell)
        return jnp.asarray(term(p))

    closed = jax.make_jaxpr(call)(point.values, point.gradients)
    jaxpr = closed.jaxpr
    return max(_degrees(jaxpr, [1.0] * len(jaxpr.invars)), default=0.0)


def _degrees(jaxpr: Any, inputs: Sequence[float]) -> list[float]:
    """Degrees of a jaxpr's outputs from those of its inputs."""
    degree: dict[Any, float] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(var: Any) -> float:
        return 0.0 if isinstance(var, jex_core.Literal) else degree.get(var, 0.0)

    for eqn in jaxpr.eqns:
        given = [of(var) for var in eqn.invars]
        inner = eqn.params.get("jaxpr") if eqn.primitive.name in _CALLS else None
        if inner is not None:
            found = _degrees(getattr(inner, "jaxpr", inner), given)
        else:
            found = [_rule(eqn, given)] * len(eqn.outvars)
        degree.update(zip(eqn.outvars, found, strict=True))
    return [of(var) for var in jaxpr.outvars]


def _rule(eqn: Any, given: Sequence[float]) -> float:
    name = eqn.primitive.name
    highest = max(given, default=0.0)
    if highest == 0:
        return 0.0
    if name in _LINEAR:
        return given[0] if max(given[1:], default=0.0) == 0 else math.inf
    if name == "select_n":
        return highest if given[0] == 0 else math.inf
    if name in _SUM:
        return highest
    if name in _PRODUCT:
        return given[0] + given[1]
    if name == "square":
        return 2 * given[0]
    if name == "integer_pow" and eqn.params["y"] >= 0:
        return eqn.params["y"] * given[0]
    if name == "div" and given[1] == 0:
        return given[0]
    return math.inf


def fraction_for(degree: float) -> float:
    """The part of the modes that a pointwise product of this degree leaves free of aliases.

    2/(p + 1) for degree p: 2/3 for quadratic terms, 1/2 for cubic ones. Linear terms with
    coefficients that vary in space count as quadratic; what is no polynomial gets 1/2.
    """
    if degree == 0:
        return 1.0
    if not math.isfinite(degree):
        return 0.5
    return 2.0 / (max(degree, 2.0) + 1.0)


def kept_modes(points: tuple[int, ...], fraction: float) -> NDArray[np.bool_] | None:
    """Mask of the modes of a real transform with |kᵢ| ≤ fraction·Nᵢ/2 − 1; None keeps all.

    The same modes as exponax's mask keeps; one fewer than the least that aliases.
    """
    if fraction >= 1.0:
        return None
    mask = np.ones((1,) * len(points), bool)
    largest = largest_modes(points, fraction)
    for axis, count in enumerate(points):
        last = axis == len(points) - 1
        modes = np.arange(count // 2 + 1) if last else np.abs(np.fft.fftfreq(count, 1 / count))
        kept = modes <= largest[axis]
        mask = mask & kept.reshape((-1,) + (1,) * (len(points) - 1 - axis))
    return mask


def largest_modes(points: tuple[int, ...], fraction: float) -> tuple[int, ...]:
    """The largest |kᵢ| of `kept_modes`; −1 where none is kept."""
    return tuple(math.floor(fraction * (count // 2) - 1 + 1e-9) for count in points)


@dataclasses.dataclass(frozen=True)
class ExponentialFilter:
    """Modes in pointwise terms are multiplied by ∏ᵢ exp(−α ηᵢᵖ), ηᵢ = |kᵢ| / kᵢ,max.

    In place of the sharp 2/3 rule: `Fourier(dealias=ExponentialFilter())` keeps more modes, of
    which those near the grid's limit fade. Products are then not quite free of aliases, but where a
    front is barely resolved it oscillates less.

    Arguments:
        strength: α; 36 makes the last mode as small as round-off. order: p.

    Source: Hou & Li (2007), equation 13, α = p = 36.

    Raises:
        ValueError: α or p that is not positive.
    """

    strength: float = 36.0
    order: float = 36.0

    def __post_init__(self):
        if not (self.strength > 0 and self.order > 0):
            raise ValueError(
                f"strength and order must be positive, got {self.strength!r} and {self.order!r}"
            )

    def weights(self, points: tuple[int, ...]) -> NDArray[np.floating]:
        """For each mode of a real transform."""
        total = np.ones((1,) * len(points))
        for axis, count in enumerate(points):
            last = axis == len(points) - 1
            modes = np.arange(count // 2 + 1) if last else np.abs(np.fft.fftfreq(count, 1 / count))
            sigma = np.exp(-self.strength * (modes / (count // 2)) ** self.order)
            total = total * sigma.reshape((-1,) + (1,) * (len(points) - 1 - axis))
        return total
