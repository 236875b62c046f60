"""A second run of a method, with another seed, finds every program compiled."""

import functools

import jax
import pytest

import physml as pm
from pdes import library

EVENT = "/jax/core/compile/backend_compile_duration"
SMALL = functools.partial(pm.MLP, width=4, depth=1)
DISK = pm.Problem(library.Poisson(f=1.0), pm.Disk(), boundary={"all": pm.Dirichlet(u=0.0)})
HALVES = [pm.Rectangle((0.0, 0.0), (0.5, 1.0)), pm.Rectangle((0.5, 0.0), (1.0, 1.0))]


@pytest.mark.parametrize(
    ("problem", "method"),
    [
        # The default network is made anew for each run.
        (library.poisson(), pm.PINN(points=30)),
        (library.poisson(), pm.FBPINN(network=SMALL, points=30)),
        (library.poisson(), pm.CPINN(network=SMALL, points=40)),
        (library.poisson(), pm.XPINN(partition=HALVES, network=[SMALL, SMALL], points=[20, 20])),
        # A distance is a function, and functions are equal only to themselves.
        (DISK, pm.MeshVPINN(network=SMALL, cells=4)),
    ],
    ids=["pinn", "fbpinn", "cpinn", "xpinn", "mesh"],
)
def test_a_second_run_compiles_nothing(problem, method):
    pm.solve(problem, method, seed=0, steps=2)
    compiled = []
    listen = lambda event, duration, **known: compiled.append(event) if event == EVENT else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        pm.solve(problem, method, seed=1, steps=2)
        assert not compiled
        # What is counted is there.
        jax.block_until_ready(jax.jit(lambda x: x + 1.2345)(1.0))
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
