"""Steps on the modes that de-aliasing keeps alone: the same as on all."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from solvers.spectral._dealias import kept_modes, largest_modes
from solvers.spectral.fourier_pointwise import Block
from solvers.time import ETDRK


@pytest.mark.parametrize("points", [(12, 16), (16, 12, 10)])
@pytest.mark.parametrize("lines", [False, True])
def test_transforms_of_a_block_are_those_of_all_modes(points, lines, monkeypatch):
    monkeypatch.setattr(Block, "_by_lines", staticmethod(lambda points: lines))
    grid = (*points[:-1], points[-1] // 2 + 1)
    block = Block(grid, largest_modes(points, 2 / 3))
    axes = tuple(range(1, len(points) + 1))
    u = np.random.default_rng(0).standard_normal((3, *points))
    z = np.fft.rfftn(u, axes=axes)
    mask = kept_modes(points, 2 / 3)
    kept = block.forward(jnp.asarray(u))
    assert kept.size == 3 * mask.sum()
    np.testing.assert_allclose(block.take(jnp.asarray(z)), kept, atol=1e-12)
    np.testing.assert_allclose(block.put(jnp.zeros_like(z), kept), mask * z, atol=1e-12)
    np.testing.assert_allclose(
        block.backward(kept, points), np.fft.irfftn(mask * z, s=points, axes=axes), atol=1e-14
    )


class Forced(pm.PDE):
    """∂u/∂t + u ∂u/∂x = ν∇²u + f(x)."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.diffusion,), source=(self.convection, self.force))}

    def diffusion(self, p):
        return -0.1 * p.grad.u

    def convection(self, p):
        return -p.u * p.grad.u[0]

    def force(self, p):
        return jnp.cos(2 * p.x[0]) + 0.3 * jnp.sin(7 * p.x[0] + p.x[1])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_step_on_the_block_is_one_on_all_modes(order):
    """Modes outside, of the data and of the source (7 of 16 points), follow the linear part."""
    problem = pm.Problem(
        Forced(),
        pm.Rectangle((0.0, 0.0), (2 * np.pi, 2 * np.pi), periodic=True),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.sin(x[0]) * jnp.cos(x[1]) + 0.1 * jnp.cos(6 * x[1])},
    )
    system = pm.Fourier(points=16).discretize(problem)
    assert system.inside() is not None
    whole = eqx.tree_at(lambda s: s.kept, system, None, is_leaf=lambda x: x is None)
    step = eqx.filter_jit(lambda s, z: ETDRK(s.linear(), 0.02, order).advance(s, 0.0, z))
    z = system.initial_state()
    for _ in range(3):
        z = step(system, z)
    expected = system.initial_state()
    for _ in range(3):
        expected = step(whole, expected)
    np.testing.assert_allclose(z, expected, atol=1e-12 * float(jnp.abs(expected).max()))
