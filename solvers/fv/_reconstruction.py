"""From averages to the states at both faces of a cell, at one cell along one direction."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

from solvers.fv._law import Law
from solvers.fv._limiter import LIMITERS
from solvers.fv._weno import weno5

# How many neighbours on each side a reconstruction reads.
REACH = {"constant": 0, "muscl": 1, "weno5": 2}
# Weight of an end point in a quadrature rule that is exact for the reconstruction (Gauss–Lobatto):
# the average is a convex combination of both face states and one more state.
_END_WEIGHT = {"muscl": 1 / 2, "weno5": 1 / 12}
# Least share of its average that a positive quantity keeps at a face.
_FLOOR = 1e-6


def face_states(
    law: Law, kind: str, limiter: str, n: Array
) -> Callable[[tuple[Array, ...], Array, Array, Array], tuple[Array, Array]]:
    """The kernel (averages, widths, x, t) -> states at the lower and upper face.

    `averages` are 2 reach + 1 states along n, the cell's own in the middle, `widths` the sizes of
    the cells just before, at and after it. Waves are limited one by one where the PDE gives its
    characteristics, else slots.
    """

    def split(values, widths):
        if kind == "muscl":
            before, here, after = values
            slope = LIMITERS[limiter](
                (here - before) / ((widths[0] + widths[1]) / 2),
                (after - here) / ((widths[1] + widths[2]) / 2),
            )
            return here - slope * widths[1] / 2, here + slope * widths[1] / 2
        return weno5(*values)

    def kernel(averages, widths, x, t):
        mean = averages[len(averages) // 2]
        if kind == "constant":
            return mean, mean
        if "characteristics" in law.given:
            found = law.problem.pde.characteristics(law.point(mean, x, t), n)
            assert found is not None
            rows, columns = found
            # Differences, since the cell's own average then loses nothing to round-off.
            waves = tuple(rows @ (u - mean) for u in averages)
            low, high = (mean + columns @ w for w in split(waves, widths))
        else:
            low, high = split(averages, widths)
        if "admissible" in law.given:
            low, high = scaled(law, mean, (low, high), x, t, _END_WEIGHT[kind])
        return low, high

    return kernel


def scaled(
    law: Law, mean: Array, faces: tuple[Array, ...], x: Array, t: Array, weight: float
) -> tuple[Array, ...]:
    """Face states drawn to the average until every quantity is positive at them and inside.

    θ = (q̄ − ε)/(q̄ − min q) bounds a concave q from below: no root is sought.

    Source: Zhang & Shu (2010); Wang, Zhang, Shu, Ning (2012).
    """
    inside = 1 - len(faces) * weight
    for i, average in enumerate(law.quantities(mean, x, t)):
        states = faces
        if inside > 1e-9:
            total = sum(u - mean for u in faces)
            states = (*faces, mean - weight / inside * total)
        least = average
        for u in states:
            least = jnp.minimum(least, law.quantities(u, x, t)[i])
        floor = _FLOOR * average
        low = least < floor
        theta = jnp.where(low, (average - floor) / jnp.where(low, average - least, 1.0), 1.0)
        faces = tuple(mean + theta * (u - mean) for u in faces)
    return faces
