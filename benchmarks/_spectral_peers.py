"""Peers of the vorticity step that are not in the extra: jax-cfd and Dedalus, where they install.

Each gives (run, version) for `steps` steps of Kolmogorov flow on n² points, Re = 40, drag 0.1, or
raises ImportError. `run(vorticity)` takes values on the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

Runner = tuple[Callable[[Any], Any], str]


def jax_cfd_steps(points: int, dt: float, steps: int) -> Runner:
    """Crank–Nicolson with RK4 for convection; its own equation has drag 0.1 and the force."""
    import jax
    import jax.numpy as jnp
    import jax_cfd.base as cfd
    from jax_cfd import spectral

    domain = ((0.0, 2 * np.pi), (0.0, 2 * np.pi))
    grid = cfd.grids.Grid((points, points), domain=domain)
    equation = spectral.equations.ForcedNavierStokes2D(1 / 40, grid, smooth=True)
    step = spectral.time_stepping.crank_nicolson_rk4(equation, dt)

    @jax.jit
    def run(vorticity):
        start = jnp.fft.rfftn(vorticity)
        return jax.lax.scan(lambda z, _: (step(z), None), start, None, length=steps)[0]

    return run, metadata.version("jax-cfd")


def dedalus_steps(points: int, dt: float, steps: int) -> Runner:
    """RK443 of Dedalus 3, vorticity and stream function, de-aliased by 3/2."""
    import dedalus.public as d3

    coordinates = d3.CartesianCoordinates("x", "y")
    distributor = d3.Distributor(coordinates, dtype=np.float64)
    bases = tuple(
        d3.RealFourier(coordinates[name], size=points, bounds=(0, 2 * np.pi), dealias=3 / 2)
        for name in ("x", "y")
    )
    omega = distributor.Field(name="omega", bases=bases)
    psi = distributor.Field(name="psi", bases=bases)
    mean = distributor.Field(name="mean")
    force = distributor.Field(name="force", bases=bases)
    y = distributor.local_grids(*bases)[1]
    force["g"] = -4.0 * np.cos(4 * y) + 0.0 * distributor.local_grids(*bases)[0]
    x_hat, y_hat = coordinates["x"], coordinates["y"]
    names = {
        "omega": omega, "psi": psi, "mean": mean, "force": force, "nu": 1 / 40, "mu": 0.1,
        "lap": d3.Laplacian, "integ": d3.Integrate,
        "dx": lambda f: d3.Differentiate(f, x_hat), "dy": lambda f: d3.Differentiate(f, y_hat),
    }  # fmt: skip
    problem = d3.IVP([omega, psi, mean], namespace=names)
    problem.add_equation(
        "dt(omega) - nu*lap(omega) + mu*omega = dx(psi)*dy(omega) - dy(psi)*dx(omega) + force"
    )
    problem.add_equation("lap(psi) + omega + mean = 0")
    problem.add_equation("integ(psi) = 0")
    solver = problem.build_solver(d3.RK443)

    def run(vorticity):
        omega.change_scales(1)
        omega["g"] = np.asarray(vorticity)
        for _ in range(steps):
            solver.step(dt)
        return omega["c"]

    return run, metadata.version("dedalus")
