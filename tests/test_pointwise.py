"""Point functions evaluated by components equal those under vmap, with their derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physml.networks import MLP
from solvers._pointwise import at_points

NETWORK = MLP(3, 2, width=8, depth=2, key=jax.random.key(0))


def navier_stokes(u, g):
    convection = u[:, None] * u[None, :] - u[-1] ** 2 * jnp.eye(3)
    return convection - 0.1 * (g + g.T), jnp.trace(g), g @ u


def neo_hookean(u, g):
    f = jnp.eye(3) + g

    def energy(f):
        return 0.5 * jnp.sum(f**2) - jnp.log(jnp.linalg.det(f)) + jnp.sum(jnp.linalg.inv(f))

    return jax.grad(energy)(f), jnp.linalg.solve(f, u)


def branches(u, g):
    size = jnp.sqrt(1e-3 + jnp.sum(g**2))
    safe = jnp.where(u > 0, jnp.sqrt(jnp.abs(u)), u**3)
    return jnp.maximum(safe, size), jax.nn.softplus(u), jax.nn.relu(g), jnp.cumsum(u)[::-1]


def indices(u, g):
    order = jnp.array([2, 0, 1])
    stacked = jnp.concatenate([u[order], jnp.stack([u[0], g[1, 2]]), jnp.zeros(2)])
    return stacked, jnp.einsum("ij,jk->ik", g, g), jnp.cross(u, g[0]), u.at[1].set(g[0, 0])


def loops(u, g):
    step = lambda c, _: (jnp.tanh(g @ c), c[0])
    end, path = jax.lax.scan(step, u, None, length=3)
    return end, path, jax.lax.cond(u[0] > 0, lambda: u, lambda: -g[0]), NETWORK(u)


@pytest.mark.parametrize("function", [navier_stokes, neo_hookean, branches, indices, loops])
def test_equals_vmap_with_derivatives(function):
    keys = jax.random.split(jax.random.key(1), 4)
    u, du = jax.random.normal(keys[0], (2, 3, 7))
    g, dg = 0.3 * jax.random.normal(keys[1], (2, 3, 3, 7))

    def ours(u, g):
        return at_points(function, (u, g))

    def theirs(u, g):
        return jax.vmap(function, -1, -1)(u, g)

    @jax.jit
    def forward_and_backward(u, g, du, dg):
        def slopes(f):
            return jax.grad(lambda u, g: sum(jnp.sum(jnp.sin(a)) for a in f(u, g)), (0, 1))(u, g)

        return [(jax.jvp(f, (u, g), (du, dg)), slopes(f)) for f in (ours, theirs)]

    (found, slopes), (expected, others) = forward_and_backward(u, g, du, dg)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    for a, b in zip(slopes, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_closures_and_what_has_no_points():
    """A coefficient that is being differentiated, and an argument without the points' axis."""
    u = jnp.linspace(0.1, 1.0, 12).reshape(2, 6)

    def total(k, module):
        f = lambda u, shift: (k @ u + shift, module(jnp.append(u, k[0, 0])), jnp.ones(2), 3.0)
        linear, network, ones, three = at_points(f, (u, jnp.array([1.0, 2.0])), (True, False))
        assert ones.shape == (2, 6) and three.shape == (6,)
        return jnp.sum(linear**2) + jnp.sum(network) + jnp.sum(ones * three)

    def plainly(k, module):
        f = lambda u: (k @ u + jnp.array([1.0, 2.0]), module(jnp.append(u, k[0, 0])))
        linear, network = jax.vmap(f, -1, -1)(u)
        return jnp.sum(linear**2) + jnp.sum(network) + 36.0

    k = jnp.array([[0.3, -1.0], [2.0, 0.5]])

    @eqx.filter_jit
    def all_of(k, module):
        return [
            (*jax.value_and_grad(f)(k, module), eqx.filter_grad(lambda m, f=f: f(k, m))(module))
            for f in (total, plainly)
        ]

    (ours, slope, slopes), (theirs, other, others) = all_of(k, NETWORK)
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    np.testing.assert_allclose(slope, other, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_identity_matrices_cost_nothing():
    """Products with zeros of a constant vanish from the program."""
    program = jax.make_jaxpr(lambda p: at_points(lambda p: p * jnp.eye(3), (p,)))(jnp.ones(5))
    names = [eqn.primitive.name for eqn in program.eqns]
    assert "mul" not in names and "dot_general" not in names


def test_precision_is_kept():
    u = jnp.ones((3, 4), jnp.float32)
    found = at_points(lambda u: (u * 2.0, jnp.sum(u), u > 0, jnp.arange(3) * u), (u,))
    assert [a.dtype for a in found] == [jnp.float32, jnp.float32, jnp.bool_, jnp.float32]
