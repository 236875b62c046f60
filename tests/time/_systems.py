"""Small systems with known solutions."""

import jax
import jax.numpy as jnp

from solvers import System


class Forced(System):
    """u = cos t and w = u² from (u + 0.3 w)′ = −λ (u − cos t) + w − cos² t + …, 0 = w − u².

    Stiff for a large λ; storage is nonlinear through w, and the second row is algebraic.
    """

    stiffness: jax.Array
    converges_until: float = 1e9

    def initial_state(self):
        return jnp.array([1.0, 1.0])

    def storage(self, z, t):
        return jnp.array([z[0] + 0.3 * z[1], 0.0])

    def rate(self, z, t):
        u, w = z
        forcing = -jnp.sin(t) * (1 + 0.6 * jnp.cos(t))
        pull = -self.stiffness * (u - jnp.cos(t))
        return jnp.array([pull + forcing + w - jnp.cos(t) ** 2, w - u**2])

    def implicit_solve(self, right, t, alpha, guess):
        def residual(z):
            rate = self.rate(z, t)
            return jnp.array([self.storage(z, t)[0] - right[0] - alpha * rate[0], rate[1]])

        z = guess
        for _ in range(6):
            z = z - jnp.linalg.solve(jax.jacfwd(residual)(z), residual(z))
        return z, (jnp.max(jnp.abs(residual(z))) < 1e-8) & (t < self.converges_until)

    def algebraic(self):
        return jnp.array([False, True])

    @staticmethod
    def exact(t):
        return jnp.stack([jnp.cos(t), jnp.cos(t) ** 2], axis=-1)


class Oscillator(System):
    """u″ = −u as two rows, with u = cos t; m is the identity."""

    def initial_state(self):
        return jnp.array([1.0, 0.0])

    def storage(self, z, t):
        return z

    def rate(self, z, t):
        return jnp.array([z[1], -z[0]])

    def implicit_solve(self, right, t, alpha, guess):
        matrix = jnp.array([[1.0, -alpha], [alpha, 1.0]])
        return jnp.linalg.solve(matrix, right), jnp.asarray(True)

    def algebraic(self):
        return None


class Blowup(System):
    """u′ = u² from u = 1: ceases to exist at t = 1."""

    def initial_state(self):
        return jnp.array([1.0])

    def storage(self, z, t):
        return z

    def rate(self, z, t):
        return z**2

    def implicit_solve(self, right, t, alpha, guess):
        # The root of u − αu² = right that continues u = right; there is none beyond 4αr = 1.
        inside = 1 - 4 * alpha * right
        root = 2 * right / (1 + jnp.sqrt(jnp.maximum(inside, 0.0)))
        return root, inside[0] >= 0

    def algebraic(self):
        return None
