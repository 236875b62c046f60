"""Every optimizer trains a PINN, whose blocks are not written for it."""

import functools

import numpy as np
import pytest

import physml as pm
from physml.networks import MLP
from physml.optimizers import SOAP
from physml.training import Phase
from solvers import Run

OPTIMIZERS = (
    SOAP(1e-3),
    pm.FOOF(),
    pm.KFAC(),
    pm.HessianFree(rank=4),
    pm.EnergyNaturalGradient(),
    pm.DSGNAR(size=20),
    pm.SelfScaledBFGS(),
    pm.SelfScaledBroyden(),
)


def test_a_pinn_takes_each_of_them():
    problem = pm.library.poisson()
    phases = [Phase(optimizer, steps=3) for optimizer in OPTIMIZERS]
    method = pm.PINN(
        network=functools.partial(MLP, width=6, depth=1), optimizer=phases, points=60, resample=5
    )
    solution = method.solve(problem, Run(seed=0, steps=24))
    assert solution.stats.iterations == 24
    losses = np.array([loss for _, _, loss in solution.stats.history])
    assert np.isfinite(losses).all() and losses[-1] < 0.1 * losses[0]
    assert "K-FAC" in " ".join(solution.stats.notes) or "KFAC" in " ".join(solution.stats.notes)


def test_a_matrix_that_does_not_fit_is_named_before_training():
    method = pm.PINN(optimizer=pm.SelfScaledBroyden(memory=1e4), points=60)
    with pytest.raises(ValueError, match="inverse Hessian of .* use .* LBFGS"):
        method.solve(pm.library.poisson(), Run(seed=0, steps=2))
