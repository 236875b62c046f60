"""Chebyshev: eigenproblems and convection on Fourier × Chebyshev grids; ultraspherical layers."""

from __future__ import annotations

from collections.abc import Iterable

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row

ORSZAG = 0.00373967
ONSET = 1707.762
ONSET_WAVENUMBER = 3.1163
CLEVER_BUSSE = {5000.0: 2.116, 10_000.0: 2.661}


class ConvectionDiffusion(pm.PDE):
    """d/dx (u − ε du/dx) = 0."""

    eps: pm.Coefficient = pm.coefficient(1e-4)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.flow,), storage=pm.NoStorage)}

    def flow(self, p):
        return p.u * jnp.ones_like(p.x) - self.eps(p) * p.grad.u


def layer() -> Iterable[Row]:
    """u = e^{(x − 1)/ε}, also where the layer is."""
    problem = pm.Problem(
        ConvectionDiffusion(eps=1e-4),
        pm.Interval(-1.0, 1.0),
        boundary={"left": pm.Dirichlet(u=0.0), "right": pm.Dirichlet(u=1.0)},
    )
    solution = pm.solve(problem, pm.Ultraspherical())
    x = 1.0 - np.concatenate([np.linspace(0.0, 2.0, 1001), np.logspace(-10, -2, 4000)])
    error = np.abs(np.asarray(solution["u"](x[:, None])) - np.exp((x - 1.0) / 1e-4)).max()
    yield row(
        "ultraspherical, boundary layer, ε = 1e-4, largest error", error, 1e-12,
        note=f"{solution.stats.extra['points']} coefficients, chosen",
    )  # fmt: skip


def orr_sommerfeld() -> Iterable[Row]:
    """Navier–Stokes about Poiseuille flow, one wave long."""
    problem = pm.library.poiseuille(reynolds=10_000.0, wavenumber=1.0)
    modes = pm.eigenvalues(problem, pm.Chebyshev(points=(3, 64)), count=1, about=problem.exact)
    found = modes.values[0].real
    yield row(
        "Orr–Sommerfeld, Re 10 000, α = 1, error of the growth rate", abs(found - ORSZAG), 1e-8,
        peer="Orszag (1971)", note=f"{found:.11f} against {ORSZAG}",
    )  # fmt: skip


def onset() -> Iterable[Row]:
    """Where the Boussinesq equations about conduction neither grow nor decay."""
    problem = pm.library.rayleigh_benard(1700.0, 1.0, 2 * np.pi / ONSET_WAVENUMBER)
    method = pm.Chebyshev(points=(3, 22))

    def growth(rayleigh: float) -> float:
        pde = eqx.tree_at(lambda p: p.rayleigh.value, problem.pde, jnp.asarray(rayleigh))
        moved = problem.replace(pde=pde)
        rest = pm.library.conduction(moved)
        return float(pm.eigenvalues(moved, method, count=1, about=rest).values[0].real)

    before, now = 1700.0, 1715.0
    last, size = growth(before), growth(now)
    for _ in range(4):
        before, now, last = now, now - size * (now - before) / (size - last), size
        if abs(now - before) < 1e-6:
            break
        size = growth(now)
    yield row(
        "Rayleigh–Bénard onset, critical Ra, relative error", abs(now / ONSET - 1), 1e-5,
        peer="Chandrasekhar (1961)", note=f"{now:.5f} at wavenumber {ONSET_WAVENUMBER}",
    )  # fmt: skip


def _nusselt(rayleigh: float, points: tuple[int, int], dt: float, time: float) -> tuple:
    """Nu at both plates at the end, how it still changes, and seconds."""
    problem = pm.library.rayleigh_benard(rayleigh, 0.71, 2.016, time)
    method = pm.Chebyshev(points=points, stepper="sbdf2", dt=dt, frames=9)
    solution = pm.solve(problem, method)
    x = np.linspace(0.0, 2.016, 64, endpoint=False)

    def at(height: float, t: float) -> float:
        place = jnp.stack([jnp.asarray(x), jnp.full(64, height)], axis=1)
        return float(-solution.evaluate(lambda p: p.grad.T[1], place, t).mean())

    low, high = at(0.0, time), at(1.0, time)
    return low, abs(low - high), abs(low - at(0.0, 0.875 * time)), solution.stats.run_seconds


def convection() -> Iterable[Row]:
    """Steady rolls of the nonlinear equations, no-slip, Pr 0.71, wavelength 2.016."""
    for rayleigh, grids in (
        (5000.0, (((17, 20), 4e-3), ((25, 30), 2.5e-3))),
        (10_000.0, (((21, 24), 1.25e-3), ((31, 36), 8e-4))),
    ):
        name = f"Rayleigh–Bénard, Ra {rayleigh:.0f}"
        published = CLEVER_BUSSE[rayleigh]
        coarse, *_ = _nusselt(rayleigh, *grids[0], 2.0)
        fine, apart, moving, seconds = _nusselt(rayleigh, *grids[1], 2.0)
        yield row(
            f"{name}, Nu on two grids, relative difference", abs(coarse / fine - 1), 5e-3,
            note=f"{coarse:.6f} and {fine:.6f}; {seconds:.1f} s of running",
        )  # fmt: skip
        yield row(
            f"{name}, Nu against the published one, relative", abs(fine / published - 1), 5e-3,
            peer="Clever and Busse (1974)", note=f"{fine:.5f} against {published}",
        )  # fmt: skip
        yield row(
            f"{name}, Nu at both plates and in the last eighth of the time, difference",
            max(apart, moving), 1e-6,
        )  # fmt: skip


def constrained() -> Iterable[Row]:
    """P_N–P_{N−2} on a square."""
    problem = pm.library.kovasznay()
    solution = pm.solve(problem, pm.Chebyshev(points=28))
    low, high = problem.domain.bounds
    axes = [np.linspace(a, b, 21) for a, b in zip(low, high, strict=True)]
    x = jnp.asarray(np.stack(np.meshgrid(*axes), -1).reshape(-1, 2))
    for field in ("u", "p"):
        exact = jnp.stack([problem.exact_value(field, y, 0.0) for y in x])
        error = float(jnp.abs(solution[field](x) - exact).max() / jnp.abs(exact).max())
        yield row(f"Kovasznay flow, Chebyshev 28 x 28, {field}, relative", error, 1e-8)


CHECKS: Checks = {
    "ultraspherical layer": layer,
    "orr sommerfeld": orr_sommerfeld,
    "convection onset": onset,
    "convection rolls": convection,
    "chebyshev constrained": constrained,
}
