"""A smooth distance to many straight facets, for domains that a mesh gives."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes.domain._base import Floats


def facet_distance(corners: Floats) -> Callable[[Array], Array]:
    """φ(x) = (½ ∫ ds(y)/|x − y|³)^(−½), over straight facets of the plane.

    It vanishes on the facets and nowhere else, is smooth away from them, has |∇φ| = 1 on each
    and does not depend on how a side is cut into facets. The integral over a facet from a to b is
    |b − a| (1/|a| + 1/|b|)/(|a||b| + a·b), with a, b as seen from x.

    Source: Belyaev, Fayolle and Pasko (2013), L_p-distance fields, with p = 2.

    Arguments:
        corners: both ends of each facet, (facets, 2, 2).
    """
    length = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)

    def distance(x: Array) -> Array:
        tiny = jnp.finfo(x.dtype).tiny ** 0.25

        def add(total: Array, facet: tuple[Array, Array]) -> tuple[Array, None]:
            ends, size = facet
            a, b = ends[0] - x, ends[1] - x
            # A point on a facet has 1/0: kept finite, so that φ is as good as 0 there.
            near, far = (jnp.sqrt(v[0] ** 2 + v[1] ** 2 + tiny**2) for v in (a, b))
            dot, cross = a[0] * b[0] + a[1] * b[1], a[0] * b[1] - a[1] * b[0]
            # Close to a facet |a||b| + a·b cancels, and is (a × b)²/(|a||b| − a·b).
            beside = cross**2 / (near * far + jnp.abs(dot))
            facing = jnp.where(dot < 0, beside, near * far + dot) + tiny
            return total + size * (1 / near + 1 / far) / facing, None

        # A facet at a time: batched over points, each step is elementwise over all of them.
        facets = (jnp.asarray(corners, x.dtype), jnp.asarray(length, x.dtype))
        total, _ = jax.lax.scan(add, jnp.zeros((), x.dtype), facets)
        return jnp.sqrt(2 / total)

    return distance
