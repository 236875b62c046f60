"""Each kind of optimizer trains a PINN, whose blocks are not written for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from physml.networks import MLP
from physml.training import Phase
from solvers import Run

# One of each kind: of the others the compiled parts are the same.
OPTIMIZERS = (pm.KFAC(), pm.HessianFree(rank=4), pm.DSGNAR(size=20), pm.SelfScaledBroyden())


def test_a_pinn_takes_each_of_them():
    problem = pm.library.poisson(1)
    phases = [Phase(optimizer, steps=3) for optimizer in OPTIMIZERS]
    method = pm.PINN(
        network=functools.partial(MLP, width=6, depth=1), optimizer=phases, points=60, resample=5
    )
    solution = method.solve(problem, Run(seed=0, steps=12))
    assert solution.stats.iterations == 12
    losses = np.array([loss for _, _, loss in solution.stats.history])
    assert np.isfinite(losses).all() and losses[-1] < 0.1 * losses[0]
    assert "KFAC, 2 layers" in " ".join(solution.stats.notes)


def test_a_matrix_that_does_not_fit_is_named_before_training():
    method = pm.PINN(optimizer=pm.SelfScaledBroyden(memory=1e4), points=60)
    with pytest.raises(ValueError, match=r"inverse Hessian of .* use .* LBFGS"):
        method.solve(pm.library.poisson(1), Run(seed=0, steps=2))


TINY = functools.partial(MLP, width=3, depth=1)


@pytest.mark.parametrize(
    "method",
    [
        pm.PINN(network=TINY, points=12),
        pm.CPINN(network=TINY, points=12, partition=(2, 1)),
        pm.FBPINN(network=TINY, points=12),
        pm.SPINN(network=TINY, points=5, rank=2),
        pm.VPINN(network=TINY, elements=2),
        pm.MeshVPINN(network=TINY, cells=2),
        pm.RobustVPINN(network=TINY, cells=2, degree=2),
    ],
    ids=lambda method: method.name,
)
def test_rows_are_projected_as_they_are_made(method):
    """What a sketched optimizer asks of each block: `automatic` takes one for large networks."""
    setup = method.setup(pm.library.poisson(), 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    count = ravel_pytree(setup.params)[0].size
    sketch = jnp.asarray(np.random.default_rng(0).normal(size=(count, 4)))
    for name, block in setup.objective.blocks(batch).items():
        residual, jacobian = block.jacobian(setup.params)
        again, projected = block.jacobian(setup.params, lambda rows: rows @ sketch)
        expected = np.asarray(jacobian @ sketch)
        size = np.abs(expected).max()
        np.testing.assert_allclose(again, residual, rtol=1e-12, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(projected, expected, rtol=0, atol=1e-12 * size, err_msg=name)
