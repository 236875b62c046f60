"""Known functions beside a network."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm

KEY = jax.random.key(0)
PLAIN = functools.partial(pm.MLP, width=4, depth=1)


def test_value_is_the_network_and_the_functions_times_their_coefficients():
    functions = (lambda x: x[0] ** 2, lambda x: jnp.sin(x[1]))
    made = pm.networks.Enriched(2, 3, key=KEY, network=PLAIN, functions=functions)
    x = jnp.asarray([0.2, -0.7])
    plain = PLAIN(2, 3, key=KEY)
    np.testing.assert_array_equal(made(x), plain(x))
    c = jnp.asarray([[1.0, 0.0], [0.0, 2.0], [3.0, -1.0]])
    made = eqx.tree_at(lambda n: n.coefficients, made, c)
    known = jnp.asarray([0.04, jnp.sin(-0.7)])
    np.testing.assert_allclose(made(x), plain(x) + c @ known, rtol=1e-6)


def test_a_boundary_layer_that_is_known_but_for_its_size_is_found():
    """−ε u″ + u′ = 0, u(0) = 0, u(1) = 1: u = (e^{(x−1)/ε} − e^{−1/ε}) / (1 − e^{−1/ε})."""
    eps = 0.01
    problem = pm.Problem(
        pm.library.AdvectionDiffusion(a=jnp.array([1.0]), nu=eps),
        pm.Interval(0.0, 1.0),
        boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=1.0)},
    )
    layer = lambda x: jnp.exp((x[0] - 1.0) / (2 * eps))
    network = functools.partial(pm.networks.Enriched, network=PLAIN, functions=(layer,))
    solution = pm.solve(
        problem,
        pm.PINN(network=network, optimizer=pm.GaussNewton(), constraints="soft", points=200),
        steps=30,
    )
    x = jnp.linspace(0.0, 1.0, 201)
    exact = (jnp.exp((x - 1) / eps) - jnp.exp(-1 / eps)) / (1 - jnp.exp(-1 / eps))
    assert float(jnp.abs(jax.vmap(solution["u"])(x[:, None]) - exact).max()) < 1e-8


def test_functions_that_are_none_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        pm.networks.Enriched(1, 1, key=KEY, network=PLAIN, functions=())
    with pytest.raises(ValueError, match=r"functions\[0\] must give a number.*\(1,\)"):
        pm.networks.Enriched(1, 1, key=KEY, network=PLAIN, functions=(lambda x: x,))
