"""Each kind of optimizer trains a PINN, whose blocks are not written for it."""

import functools

import numpy as np
import pytest

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
