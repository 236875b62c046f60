"""Variants of residual methods end to end: the error that each reaches, on three seeds."""

import functools

import jax.numpy as jnp
import pytest

import physml as pm
from pdes import library
from physml.cli._methods import METHODS
from physml.networks import MLP
from solvers import Run
from tests.neural.test_neural import POISSON, relative_l2

SMALL = functools.partial(MLP, width=8, depth=2)
METHODS_AND_BOUNDS = {
    "mesh": (pm.MeshVPINN(network=SMALL, cells=2, tests=5, cell_shape="quadrilateral"), 1e-4),
    "robust": (pm.RobustVPINN(network=SMALL, cells=4), 1e-4),
    "ritz": (pm.DeepRitz(network=SMALL, cells=5), 1e-3),
    "windows": (
        pm.FBPINN(network=functools.partial(MLP, width=6, depth=1), windows=(2, 1), points=200),
        1e-3,
    ),
    "separable": (pm.SPINN(network=SMALL, rank=3, points=10), 1e-4),
}


@pytest.mark.parametrize("name", list(METHODS_AND_BOUNDS))
def test_poisson(name):
    method, bound = METHODS_AND_BOUNDS[name]
    for seed in (0, 1, 2):
        assert relative_l2(method.solve(POISSON, Run(seed=seed, steps=20))) < bound, seed


def test_dual_norm_is_reported():
    solution = pm.RobustVPINN(network=SMALL, cells=2).solve(POISSON, Run(steps=2))
    found = solution.stats.extra["dual_norm"]["u"]
    assert found == pytest.approx(solution.stats.extra["loss"] ** 0.5, rel=1e-6)


def test_a_disk_by_its_distance():
    """u = 1 − r² is the distance itself, on cells that follow the circle."""
    solution = pm.MeshVPINN(network=SMALL, cells=2, tests=2).solve(
        library.poisson_disk(), Run(steps=10)
    )
    rim = jnp.array([[jnp.cos(0.3), jnp.sin(0.3)]])
    assert abs(float(solution["u"](rim)[0])) < 1e-14
    assert relative_l2(solution) < 1e-4


def test_the_command_line_has_them():
    for name in ("mesh-vpinn", "robust-vpinn", "ritz", "xpinn", "fbpinn", "spinn"):
        assert METHODS[name].make(2).neural
        assert METHODS[name].public in pm.__all__
