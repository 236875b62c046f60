"""Inverse problems: coefficients from few noisy data, against the Cramér–Rao bound; coverage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import physml as pm
from benchmarks._table import Checks, Row, row
from pdes import Observations, Problem
from solvers import Method

SEEDS = (0, 1, 2)
BUDGET = 120.0
TRUTH = 0.01 / np.pi
START = 0.02
NOISE = 0.01


def burgers_data(noise: float | None, seed: int, count: int = 100) -> Observations:
    """u of Burgers' equation at random points of [−1, 1] × [0.1, 1], exact by Cole–Hopf."""
    rng = np.random.default_rng(seed)
    x, t = rng.uniform(-1.0, 1.0, (count, 1)), rng.uniform(0.1, 1.0, count)
    exact = pm.library.burgers(TRUTH).exact["u"]
    values = np.asarray(jax.jit(jax.vmap(exact))(jnp.asarray(x), jnp.asarray(t)))
    if noise is not None:
        values = values + noise * rng.standard_normal(count)
    return pm.Observations(x, t, values, "u", noise=noise)


def viscosity(pde):
    return pde.nu


def elements() -> Method:
    """Finite elements that solve the forward problem well below what is asked of ν."""
    return pm.FiniteElement(degree=4, cells=256, dt=0.01)


def clean(seeds: Sequence[int] = SEEDS, budget: float = BUDGET) -> Iterable[Row]:
    """ν within 0.1 % of 0.01/π, from 0.02."""
    _compile(burgers_data(None, 0))
    for seed in seeds:
        data = burgers_data(None, seed)
        yield from _found("Burgers ν, clean, PINN", pm.PINN(), data, seed, budget)
    data = burgers_data(None, 0)
    yield from _found("Burgers ν, clean, FEM", elements(), data, 0, None)


def _compile(data: Observations) -> None:
    """A short fit, so that those of all seeds have their programs before their time begins."""
    pm.fit(pm.library.burgers(START), data, pm.PINN(), viscosity, steps=32).posterior()


def _found(label: str, method: Method, data, seed: int, budget: float | None) -> Iterable[Row]:
    start = time.perf_counter()
    found = pm.fit(
        pm.library.burgers(START), data, method, viscosity,
        positive=not method.neural, seed=seed, budget=budget,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    note = f"ν = {found.number:.6f}, {found.evaluations} evaluations or steps, {seconds:.0f} s"
    yield row(f"{label}, seed {seed}", 100 * abs(found.number / TRUTH - 1), 0.1, "%", note=note)


def noisy(seeds: Sequence[int] = SEEDS, budget: float = BUDGET) -> Iterable[Row]:
    """ν with 1 % noise, in deviations of the Cramér–Rao bound."""
    _compile(burgers_data(NOISE, 0))
    for seed in seeds:
        data = burgers_data(NOISE, seed)
        bound = pm.laplace(pm.library.burgers(TRUTH), data, elements(), viscosity)
        deviation = float(bound.deviations[0])
        for name, method in (("PINN", pm.PINN()), ("FEM", elements())):
            found = pm.fit(
                pm.library.burgers(START), data, method, viscosity,
                positive=not method.neural, seed=seed, budget=budget if method.neural else None,
            )  # fmt: skip
            note = f"ν = {found.number:.6f}; Cramér–Rao {deviation:.2e}"
            off = abs(found.number - TRUTH) / deviation
            label = f"Burgers ν, 1 % noise, {name}, seed {seed}"
            yield row(label, off, 3.0, "σ", note=note)
            own = float(found.posterior().deviations[0])
            # The bound is of exact equations. A network that trades their residuals for the data
            # is off by more, and so is its posterior.
            yield row(f"{label}: posterior by bound", own / deviation, within=(0.7, 1.5))


def darcy(coefficients=None) -> Problem:
    """−∇·(k ∇u) = 1 on the unit square, log k of 16 Karhunen–Loève modes."""
    k = pm.KarhunenLoeve(pm.Rectangle(), 16, length=0.3, coefficients=coefficients)
    return pm.Problem(
        pm.library.Poisson(k=k, f=1.0),
        pm.Rectangle(),
        boundary={"all": pm.Dirichlet(u=0.0)},
        name="darcy",
    )


def log_conductivity(seeds: Sequence[int] = SEEDS) -> Iterable[Row]:
    """Relative L² error of log k from 200 points of u with noise of 1 % of its largest value."""
    method, finer = pm.FiniteElement(cells=16), pm.FiniteElement(cells=32)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 41)] * 2), -1).reshape(-1, 2)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        truth = rng.standard_normal(16)
        x = rng.uniform(0.0, 1.0, (200, 2))
        clean = np.asarray(pm.solve(darcy(truth), finer)["u"](x))
        noise = NOISE * float(np.abs(clean).max())
        data = pm.Observations(x, 0.0, clean + noise * rng.standard_normal(200), "u", noise=noise)
        modes = jax.vmap(darcy().pde.k.basis)(jnp.asarray(grid))  # pyright: ignore[reportAttributeAccessIssue]
        basis = np.asarray(modes)
        size = np.linalg.norm(basis @ truth)
        for label, prior in (("", None), (", prior N(0, 1)", 1.0)):
            found = pm.fit(darcy(), data, method, lambda pde: pde.k, prior=prior)
            bound = pm.laplace(darcy(truth), data, method, lambda pde: pde.k, prior=prior)
            expected = np.sqrt(np.trace(basis @ bound.covariance @ basis.T)) / size
            error = np.linalg.norm(basis @ (found.numbers - truth)) / size
            yield row(
                f"Darcy log k, 16 modes, 200 points{label}, seed {seed}",
                100 * error,
                100 * max(0.05, 1.5 * expected),
                "%",
                note=f"Cramér–Rao {100 * expected:.2g} %, {found.evaluations} evaluations; "
                "target 5 %, or 1.5 times the bound where that is more",
            )


def coverage(draws: int = 200) -> Iterable[Row]:
    """How often the 90 % interval of a full refit holds the truth: two modes of log k, 40 data."""
    truth, method = np.array([0.5, -0.8]), pm.FiniteElement(cells=16)

    def problem(coefficients):
        k = pm.KarhunenLoeve(pm.Interval(0.0, 1.0), 2, length=0.5, coefficients=coefficients)
        return pm.Problem(
            pm.library.Poisson(k=k, f=10.0),
            pm.Interval(0.0, 1.0),
            boundary={"all": pm.Dirichlet(u=0.0)},
        )

    x = np.linspace(0.02, 0.98, 40)[:, None]
    clean = np.asarray(pm.solve(problem(truth), method)["u"](x))
    noise = 0.03 * float(np.abs(clean).max())
    rng, start, where = np.random.default_rng(0), problem(np.zeros(2)), lambda pde: pde.k
    held = []
    for _ in range(draws):
        data = pm.Observations(x, 0.0, clean + noise * rng.standard_normal(40), "u", noise=noise)
        interval = pm.fit(start, data, method, where).posterior().interval(0.9)
        held.append((interval[:, 0] <= truth) & (truth <= interval[:, 1]))
    share = 100 * np.mean(held, axis=0)
    for i, value in enumerate(share):
        yield row(
            f"posterior by Laplace: coverage of 90 %, mode {i}", value, within=(85.0, 95.0),
            unit="%", note=f"{draws} draws of the noise, each refitted",
        )  # fmt: skip


CHECKS: Checks = {
    "inverse burgers clean": clean,
    "inverse burgers noisy": noisy,
    "inverse darcy": log_conductivity,
    "inverse coverage": coverage,
}
