"""Finite volumes on triangles: averages, limited gradients, fluxes through faces.

|T| dU/dt = −Σ_faces |f| F(U⁻, U⁺)·n + |T| s(U): what leaves a cell enters its neighbour.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Problem
from pdes._arrays import on_device
from pdes.domain import Mesh
from solvers._pointwise import at_points
from solvers._same import Hidden
from solvers._system import System
from solvers.fv._border import Border
from solvers.fv._law import Law
from solvers.fv._reconstruction import scaled
from solvers.fv._triangulation import triangulation

# Dunavant's rule of degree 4: barycentric coordinates (a, a, 1 − 2a) in turn, and weights.
_RULE = ((0.445948490915965, 0.223381589678011), (0.091576213509771, 0.109951743655322))


class TriangleSystem(System):
    """A problem after discretisation on triangles; z has shape (slots, cells).

    Attributes:
        reconstruction: "muscl" or "constant". limiter: "venkatakrishnan" or "barth_jespersen".
        riemann, courant: as on boxes. border: the faces of the boundary, None where there are
            none. `geometry` holds the arrays of `Triangulation`.
    """

    law: Law
    geometry: dict[str, Array]
    border: Border | None
    mesh: Hidden = eqx.field(static=True)
    reconstruction: str = eqx.field(static=True)
    limiter: str = eqx.field(static=True)
    riemann: str = eqx.field(static=True)
    courant: float = eqx.field(static=True)

    def __init__(
        self,
        law: Law,
        mesh: Mesh,
        reconstruction: str,
        limiter: str,
        riemann: str,
        courant: float,
    ):
        made = triangulation(mesh)
        self.law, self.mesh = law, Hidden(mesh)
        self.reconstruction, self.limiter = reconstruction, limiter
        self.riemann, self.courant = riemann, courant
        names = [
            "areas",
            "centroids",
            "behind",
            "ahead",
            "offsets",
            "faces",
            "signs",
            "middles",
            "normals",
            "lengths",
            "gaps",
            "neighbours",
            "weights",
        ]
        self.geometry = {name: on_device(getattr(made, name)) for name in names}
        count = len(made.areas)
        self.geometry["at_behind"] = on_device(made.slots[0] * count + made.behind)
        self.geometry["at_ahead"] = on_device(made.slots[1] * count + made.ahead)
        self.geometry["corners"] = on_device(mesh.points[mesh.cells].transpose(1, 2, 0))
        self.border = None
        if len(made.parts):
            inner = made.inner
            self.border = Border(
                law, made.middles[:, inner:], made.normals[:, inner:], np.asarray(made.parts)
            )

    @property
    def problem(self) -> Problem:
        return self.law.problem

    @property
    def widths(self) -> Array:
        """Area of each cell, (cells,)."""
        return self.geometry["areas"]

    def initial_state(self) -> Array:
        """Cell averages of the initial data by six points a cell."""
        corners = self.geometry["corners"]
        places, weights = [], []
        for a, weight in _RULE:
            for k in range(3):
                shares = np.full(3, a)
                shares[k] = 1 - 2 * a
                places.append(shares)
                weights.append(weight)

        def add(total: Array, point: tuple[Array, Array]) -> tuple[Array, None]:
            place, weight = point
            return total + weight * self.law.initial_values(jnp.tensordot(place, corners, 1)), None

        nothing = jnp.zeros((self.law.slots, corners.shape[-1]), corners.dtype)
        points = on_device(np.stack(places)), on_device(np.array(weights))
        return jax.lax.scan(add, nothing, points)[0]

    def storage(self, z: Array, t: Array) -> Array:
        return z

    def algebraic(self) -> Array | None:
        return None

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        raise NotImplementedError("finite volumes take explicit steppers only, such as SSPRK3")

    # Reconstruction.

    def gradients(self, z: Array) -> tuple[Array, Array]:
        """Least-squares gradients (slots, 2, cells), and the share of them that is kept."""
        g = self.geometry
        if self.reconstruction == "constant" and not self.law.diffusive:
            return jnp.zeros((z.shape[0], 2, z.shape[1]), z.dtype), jnp.ones_like(z)
        around = [z[:, index] for index in g["neighbours"]]
        gradient = jnp.zeros((z.shape[0], 2, z.shape[1]), z.dtype)
        high = low = z
        for u, w in zip(around, g["weights"], strict=True):
            gradient = gradient + (u - z)[:, None] * w
            high, low = jnp.maximum(high, u), jnp.minimum(low, u)
        share = jnp.ones_like(z)
        # Differences below this, of smooth solutions near extrema, are not limited.
        spread = jnp.max(z, axis=1, keepdims=True) - jnp.min(z, axis=1, keepdims=True)
        size = jnp.sqrt(g["areas"] / jnp.sum(g["areas"]))
        # In flat states its inverse square is finite in single precision as well, for gradients.
        small = (2 * size) ** 3 * spread**2 + jnp.finfo(z.dtype).tiny ** 0.4
        for offset in g["offsets"]:
            change = jnp.sum(gradient * offset, axis=1)
            room = jnp.where(change > 0, high - z, low - z)
            if self.limiter == "barth_jespersen":
                still = change == 0
                kept = jnp.where(still, 1.0, room / jnp.where(still, 1.0, change))
                share = jnp.minimum(share, jnp.minimum(kept, 1.0))
            else:
                top = room**2 + 2 * room * change + small
                share = jnp.minimum(share, top / (top + 2 * change**2 - room * change))
        if self.reconstruction == "constant":
            share = jnp.zeros_like(z)
        return gradient, share

    def slopes(self, z: Array, t: Array) -> Array:
        """Gradients as limited, (slots, 2, cells)."""
        gradient, share = self.gradients(z)
        return gradient * share[:, None]

    def _faces(self, z: Array, limited: Array, t: Array) -> Array:
        """States at the middles of each cell's faces, (slots, 3 · cells)."""
        g = self.geometry
        states = [z + jnp.sum(limited * offset, axis=1) for offset in g["offsets"]]
        if "admissible" in self.law.given and self.reconstruction != "constant":

            def draw(mean, faces, x):
                return scaled(self.law, mean, faces, x, t, 1 / 3)

            states = at_points(draw, (z, tuple(states), g["centroids"]))
        return jnp.concatenate(states, axis=1)

    def rate(self, z: Array, t: Array) -> Array:
        g = self.geometry
        t = jnp.asarray(t, z.dtype)
        gradient, share = self.gradients(z)
        faces = self._faces(z, gradient * share[:, None], t)
        left, right = faces[:, g["at_behind"]], faces[:, g["at_ahead"]]
        inner = right.shape[1]
        border = self.border
        if border is not None:
            right = jnp.concatenate([right, border.outside(left[:, inner:], t)], axis=1)

        def through(u_left, u_right, x, n):
            return self.law.through(self.riemann, u_left, u_right, x, t, n)

        flux = at_points(through, (left, right, g["middles"], g["normals"]))
        normal_gradient = None
        middle = (left + right) / 2
        if self.law.diffusive:
            normal_gradient, middle = self._central_states(z, gradient, middle, t)

            def central(u, k, x, n):
                return self.law.flux(self.law.point(u, x, t, k), central=True) @ n

            flux = flux + at_points(central, (middle, normal_gradient, g["middles"], g["normals"]))
        if border is not None:
            essential, value = border.prescribed(t)
            face = jnp.where(essential, value, middle[:, inner:])
            if normal_gradient is None:
                k = jnp.zeros((z.shape[0], 2, face.shape[1]), z.dtype)
            else:
                k = normal_gradient[..., inner:]
            flux = flux.at[:, inner:].set(border.fluxes(flux[:, inner:], face, k, t))
        flux = flux * g["lengths"]
        out = -sum(flux[:, f] * s for f, s in zip(g["faces"], g["signs"], strict=True)) / g["areas"]
        if self.law.sources:
            found = at_points(lambda u, x: self.law.source(u, x, t), (z, g["centroids"]))
            out = out + found
        return jnp.asarray(out)

    def _central_states(self, z, gradient, middle, t) -> tuple[Array, Array]:
        """Gradients (slots, 2, faces) and states at faces for terms with gradients.

        The mean of both cells' gradients, its part from centre to centre replaced by the
        difference of the averages.
        """
        g = self.geometry
        inner = g["ahead"].shape[0]
        behind, ahead = g["behind"][:inner], g["ahead"]
        mean = (gradient[..., behind] + gradient[..., ahead]) / 2
        gap = g["gaps"]
        jump = z[:, ahead] - z[:, behind] - jnp.sum(mean * gap, axis=1)
        found = mean + jump[:, None] * gap / jnp.sum(gap * gap, axis=0)
        if self.border is None:
            return found, middle
        cell = g["behind"][inner:]
        u, k, n = z[:, cell], gradient[..., cell], g["normals"][:, inner:]
        arm = g["middles"][:, inner:] - g["centroids"][:, cell]
        reach = jnp.sum(arm * n, axis=0)
        mirrored = (self.border.mirrored(u) - u) / (2 * reach)
        wall = k + (mirrored - jnp.sum(k * n, axis=1))[:, None] * n
        k = jnp.where(self.border.walls(), wall, k)
        essential, value = self.border.prescribed(t)
        steep = value - u - jnp.sum(k * arm, axis=1)
        fixed = k + steep[:, None] * n / reach
        k = jnp.where(essential[:, None], fixed, k)
        found = jnp.concatenate([found, k], axis=-1)
        face = jnp.where(essential, value, middle[:, inner:])
        return found, jnp.concatenate([middle[:, :inner], face], axis=1)

    # Steps.

    def stable_step(self, z: Array, t: Array, courant: float | None = None) -> Array:
        """1 / (Σ_faces ½ s |f| / (C |T|) + 2.3 Σ_faces D |f|² / (2.5 |T|²)) over all cells."""
        g = self.geometry
        courant = self.courant if courant is None else courant
        gradient = self.gradients(z)[0] if self.law.diffusive else None
        rates = jnp.zeros_like(g["areas"])
        for face in g["faces"]:
            length = g["lengths"][face]

            def speed(u, x, n):
                low, high = self.law.speeds(u, x, t, n)
                return jnp.maximum(jnp.abs(low), jnp.abs(high))

            at = (z, g["centroids"], g["normals"][:, face])
            rates = rates + 0.5 * at_points(speed, at) * length / (courant * g["areas"])
            if gradient is not None:

                def diffusion(u, k, x, n):
                    return self.law.diffusivity(u, k, x, t, n)

                d = at_points(diffusion, (z, gradient, *at[1:]))
                rates = rates + 2.3 * d * (length / g["areas"]) ** 2 / 2.5
        return 1 / jnp.maximum(jnp.max(rates), 1e-12 / jnp.sqrt(jnp.sum(g["areas"])))

    def admissible(self, z: Array, t: Array) -> Array:
        """Whether the averages are finite and every quantity of the PDE is positive."""
        finite = jnp.all(jnp.isfinite(z))
        if "admissible" not in self.law.given:
            return finite
        return finite & jnp.all(self.least(z, t) > 0)

    def least(self, z: Array, t: Array) -> Array:
        """The least value of each quantity that must stay positive, (quantities,)."""
        at = (z, self.geometry["centroids"])
        found = at_points(lambda u, y: jnp.stack(self.law.quantities(u, y, t)), at)
        return jnp.min(found, axis=1)
