"""Variants of residual methods end to end: the error that each reaches, on three seeds."""

import functools

import pytest

import physml as pm
from physml.cli._methods import METHODS
from physml.networks import MLP
from solvers import Run
from tests.neural.test_neural import POISSON, relative_l2

SMALL = functools.partial(MLP, width=8, depth=2)
METHODS_AND_BOUNDS = {
    "robust": (pm.RobustVPINN(network=SMALL, cells=4), 1e-4),
    "ritz": (pm.DeepRitz(network=SMALL, cells=5), 1e-3),
}


@pytest.mark.parametrize("name", list(METHODS_AND_BOUNDS))
def test_poisson(name):
    method, bound = METHODS_AND_BOUNDS[name]
    for seed in (0, 1, 2):
        assert relative_l2(method.solve(POISSON, Run(seed=seed, steps=20))) < bound, seed


def test_the_command_line_has_them():
    for name in ("mesh-vpinn", "robust-vpinn", "ritz", "xpinn", "fbpinn", "spinn"):
        assert METHODS[name].make(2).neural
        assert METHODS[name].public in pm.__all__
