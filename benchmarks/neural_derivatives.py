"""Derivatives of networks: the gradient of a residual loss against one written by hand, and peers.

Times are of the processor (of the wall on an accelerator), medians of interleaved pairs,
compilation apart. PHYSML_DEEPXDE_PYTHON names an interpreter that has DeepXDE; without it, and
where it is not installed here, its row says so.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._neural import Case, Judge
from benchmarks._table import Checks, Row, missing, row
from benchmarks._timing import interleaved
from physml.losses import Collocation, interior_points, stacked
from physml.networks import MLP
from physml.optimizers import GaussNewton

POINTS, WIDTH, DEPTH = 4096, 64, 4


def _gradients(
    problem: pm.Problem,
    residual: Callable,
    points: int = POINTS,
    depth: int = DEPTH,
    single: bool = False,
) -> tuple[Callable, Callable]:
    """The gradient of the mean square of one equation, ours and by hand, compiled.

    Arguments:
        residual: (u, x, t) -> the residual at one point, where u(x, t) is the network.
        single: in single precision, as DeepXDE is.
    """
    network = functools.partial(MLP, width=WIDTH, depth=depth)
    setup = pm.PINN(network=network, constraints="soft").setup(problem, 0)
    objective: Any = setup.objective
    assert isinstance(objective, Collocation)
    batch = stacked(interior_points(problem, points, 0))
    given = setup.params
    if single:
        objective, batch, given = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
            (objective, batch, given),
        )

    @eqx.filter_jit
    def ours(params: Any) -> Any:
        def loss(p: Any) -> Any:
            return sum(jnp.sum(b.residual(p) ** 2) for b in objective._equations(batch).values())

        return eqx.filter_value_and_grad(loss)(params)

    @eqx.filter_jit
    def by_hand(params: Any) -> Any:
        def loss(p: Any) -> Any:
            def u(x: Any, t: Any) -> Any:
                return objective.fields(p)(x, t)["u"]

            return jnp.mean(jax.vmap(lambda x, t: residual(u, x, t))(batch["x"], batch["t"]) ** 2)

        return eqx.filter_value_and_grad(loss)(params)

    # By hand the numbers are of the default precision: single ones are compared with the peer only.
    if not single:
        a, b = ours(given)[0], by_hand(given)[0]
        if not np.isclose(a, b, rtol=1e-9):
            raise AssertionError(f"the two losses differ: {a} and {b}")
    return functools.partial(ours, given), functools.partial(by_hand, given)


def _along(f: Callable, i: int) -> Callable:
    """∂f/∂xᵢ by forward mode."""

    def derivative(x: Any, t: Any) -> Any:
        return jax.jvp(lambda y: f(y, t), (x,), (jnp.eye(x.size)[i],))[1]

    return derivative


def _in_time(f: Callable) -> Callable:
    return lambda x, t: jax.jvp(lambda s: f(x, s), (t,), (jnp.ones_like(t),))[1]


def _burgers(u: Callable, x: Any, t: Any) -> Any:
    slope = _along(u, 0)
    return _in_time(u)(x, t) + u(x, t) * slope(x, t) - 0.01 / jnp.pi * _along(slope, 0)(x, t)


def _compared(label: str, problem: pm.Problem, residual: Callable, **options: Any) -> Iterable[Row]:
    ours, by_hand = _gradients(problem, residual, **options)
    # What an accelerator does is no time of this process.
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    pair = interleaved(ours, by_hand, clock=clock)
    note = f"{1e3 * pair.ours:.0f} ms against {1e3 * pair.theirs:.0f} ms by nested forward mode"
    yield row(f"{label}: ours / by hand", pair.ratio, 1.05, "ratio", note=note)


def burgers() -> Iterable[Row]:
    yield from _compared(
        "gradient of the loss, Burgers 4×64, 4096 points", pm.library.burgers(), _burgers
    )


def laplacian() -> Iterable[Row]:
    problem = pm.library.poisson()
    load = problem.forms()["u"].equation.source[-1]

    def residual(u: Callable, x: Any, t: Any) -> Any:
        source = load(pm.Point(x, t, {"u": u(x, t)}))
        return -sum(_along(_along(u, i), i)(x, t) for i in range(2)) - source

    yield from _compared("gradient of the loss, Laplacian in 2-D", problem, residual)


def fourth_order() -> Iterable[Row]:
    problem = pm.library.kuramoto_sivashinsky()

    def residual(u: Callable, x: Any, t: Any) -> Any:
        first = _along(u, 0)
        second = _along(first, 0)
        fourth = _along(_along(second, 0), 0)
        convection = u(x, t) * first(x, t)
        return _in_time(u)(x, t) + convection + second(x, t) + fourth(x, t)

    yield from _compared("gradient of the loss, Kuramoto–Sivashinsky, u_xxxx", problem, residual)


DIM = 100


def _square(x: Any, t: Any) -> Any:
    return jnp.sum(x**2)


def _hundred() -> pm.Problem:
    """−∇²u = −200 on [0, 1]¹⁰⁰, u = |x|² on its boundary and inside.

    Source: Dangel, Müller and Zeinhofer (2024), Poisson equation in 100 dimensions.
    """
    return pm.Problem(
        pm.library.Poisson(f=-2.0 * DIM),
        pm.Box([0.0] * DIM, [1.0] * DIM).name("surface", lambda x: True),
        boundary={"surface": pm.Dirichlet(u=_square)},
        exact={"u": _square},
        name="poisson_100",
    )


def many_directions() -> Iterable[Row]:
    def residual(u: Callable, x: Any, t: Any) -> Any:
        def bend(direction: Any) -> Any:
            slope = lambda y: jax.jvp(lambda z: u(z, t), (y,), (direction,))[1]
            return jax.jvp(slope, (x,), (direction,))[1]

        return -jnp.sum(jax.vmap(bend)(jnp.eye(DIM))) + 2.0 * DIM

    yield from _compared(
        "gradient of the loss, Laplacian in 100-D", _hundred(), residual, points=256, depth=2
    )


def _at_random(problem: pm.Problem) -> Judge:
    x = jnp.asarray(np.random.default_rng(99).random((10_000, DIM)))
    exact = jax.vmap(lambda y: _square(y, 0.0))(x)

    def error(solution: pm.Solution) -> float:
        return float(jnp.linalg.norm(solution["u"](x) - exact) / jnp.linalg.norm(exact))

    return Judge(error)


def few_points(width: int, points: int, around: int) -> pm.PINN:
    # Fewer points than parameters at a step, new ones at each: all of them count in the end.
    return pm.PINN(
        network=functools.partial(MLP, width=width, depth=1, activation="softplus"),
        points=points,
        boundary_points=around,
        sampling="uniform",
        resample=1,
        weights={"boundary": 1e2},
        optimizer=GaussNewton(geodesic=False),
        average=True,
    )


POISSON_100 = Case(
    "Poisson 100-D", _hundred, _at_random, few_points(128, 100, 900), 5e-3, 300.0, warm_up=2
)


def deepxde() -> Iterable[Row]:
    label = "gradient of the loss, Burgers 4×64, 4096 points: DeepXDE / ours"
    python = os.environ.get("PHYSML_DEEPXDE_PYTHON")
    if python is None:
        if importlib.util.find_spec("deepxde") is None:
            yield missing(
                label, "DeepXDE", "not installed; name an interpreter by PHYSML_DEEPXDE_PYTHON"
            )
            return
        python = sys.executable
    ours, _ = _gradients(pm.library.burgers(), _burgers, single=True)
    assert jax.tree.leaves(ours())[-1].dtype == jnp.float32
    script = Path(__file__).with_name("_deepxde_peer.py")
    child = subprocess.Popen(
        [python, str(script), str(POINTS), str(WIDTH), str(DEPTH)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    version = ""
    for line in child.stdout:
        version = line.split()
        if len(version) == 3 and version[1].startswith("float"):
            break
    times = []
    for _ in range(11):
        start = time.process_time()
        jax.block_until_ready(ours())
        mine = time.process_time() - start
        child.stdin.write("step\n")
        child.stdin.flush()
        times.append((mine, float(child.stdout.readline().split()[1])))
    child.stdin.close()
    child.wait(timeout=60)
    mine, theirs = np.median(np.array(times), axis=0)
    ratio = float(np.median([b / a for a, b in times]))
    note = (
        f"{1e3 * theirs:.0f} ms against {1e3 * mine:.0f} ms, {version[1]}; theirs on "
        f"{version[2]} points, with Adam's update"
    )
    yield row(label, ratio, 1.5, "ratio", at_least=True, peer=f"DeepXDE {version[0]}", note=note)


CHECKS: Checks = {
    "derivatives burgers": burgers,
    "derivatives laplacian": laplacian,
    "derivatives fourth order": fourth_order,
    "derivatives 100-D": many_directions,
    "derivatives deepxde": deepxde,
    "poisson 100-D": POISSON_100.rows,
}
