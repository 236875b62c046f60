"""Burgers and Allen–Cahn by waves of one parity, one by one in the dual norm of their residual.

Rows as in `neural_time`, with its references, grids of error and budgets, against the numbers that
the table calls a stretch, and with more waves against those that it asks of an accelerator (the
records of self-scaled Broyden on a GPU are 1.6e-8 and 9.4e-7: Urbán, Stefanou and Pons, 2025).
What the method is told besides the problem stands in each row: that Burgers from −sin πx is
periodic and odd, that Allen–Cahn is even, and, since its data have a kink at the ends of the
period, what the heat equation makes of them. Allen–Cahn as the library has it, with nothing told,
is a row besides.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import physml as pm
from benchmarks import neural_time
from benchmarks._neural import Case, Judge
from benchmarks._table import Checks
from pdes import Problem
from solvers import Solution

ODD = "odd and periodic"
EVEN = "even in x; what the heat equation makes of the data is taken out"


def odd_burgers() -> Problem:
    """Burgers' problem as a periodic one: −sin πx and the solution are odd about both ends."""
    walls = pm.library.burgers()
    assert walls.time is not None
    return Problem(
        walls.pde,
        pm.Interval(-1.0, 1.0, periodic=True),
        time=walls.time,
        initial={"u": lambda x: -jnp.sin(jnp.pi * x[0])},
        name="burgers, odd",
    )


# Those beyond are gone at the first Gauss point of time.
_MODES = 2048


def data_by_heat(x: Array, t: Array) -> Array:
    """v(x, t) with ∂v/∂t = 10⁻⁴ ∂²v/∂x² and v = x² cos πx at the start, periodic on [−1, 1].

    Σ aₙ e^{−10⁻⁴(nπ)²t} cos nπx, where aₙ = ½(Iₙ₋₁ + Iₙ₊₁) with Iₘ = ∫ x² cos mπx dx =
    4(−1)ᵐ/(mπ)², I₀ = 2/3. At t = 0 it would converge slowly, at the kink.
    """
    n = np.arange(_MODES + 1)

    def integral(m: np.ndarray) -> np.ndarray:
        return np.where(m == 0, 2 / 3, 4 * (-1.0) ** m / (np.maximum(np.abs(m), 1) * np.pi) ** 2)

    amplitude = 0.5 * (integral(n - 1) + integral(n + 1))
    amplitude[0] *= 0.5
    waves = jnp.exp(-1e-4 * (np.pi * n) ** 2 * t) * jnp.cos(np.pi * n * x[0])
    return jnp.where(t > 0, jnp.sum(amplitude * waves), x[0] ** 2 * jnp.cos(np.pi * x[0]))


class FromHeat(pm.PDE):
    """∂w/∂t = 10⁻⁴ ∇²w + 5u − 5u³ with u = w + v: Allen–Cahn's change of its data by heat."""

    fields = {"w": pm.Scalar()}

    def equations(self):
        return {"w": pm.Balance(flux=(self.diffusion,), source=(self.reaction,))}

    def diffusion(self, p):
        return -1e-4 * p.grad.w

    def reaction(self, p):
        u = p.w + data_by_heat(p.x, p.t)
        return 5 * u - 5 * u**3


def allen_cahn_from_heat() -> Problem:
    return Problem(
        FromHeat(),
        pm.Interval(-1.0, 1.0, periodic=True),
        time=(0.0, 1.0),
        initial={"w": 0.0},
        name="allen-cahn from the heat equation",
    )


@functools.cache
def _heat() -> tuple[Array, Array, np.ndarray]:
    """The grid of Allen–Cahn, and v there."""
    case = neural_time.CASES["allen-cahn"]
    x, t = case.grid(case.problem())
    return x, t, np.asarray(jax.jit(lambda: jax.lax.map(lambda at: data_by_heat(*at), (x, t)))())


def from_heat_error(solution: Solution) -> float:
    """Of u = w + v."""
    x, t, known = _heat()
    exact, _ = neural_time.reference("allen-cahn")
    found = np.asarray(solution["w"](x, t)) + known
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def from_heat(problem: Problem) -> Judge:
    return Judge(
        from_heat_error, f"reference to itself {neural_time.reference('allen-cahn')[1]:.1e}"
    )


def odd_waves(harmonics: int, accuracy: float) -> pm.SpectralPINN:
    return pm.SpectralPINN(harmonics=harmonics, parity="odd", accuracy=accuracy)


def even_waves(harmonics: int, accuracy: float) -> pm.SpectralPINN:
    return pm.SpectralPINN(harmonics=harmonics, parity="even", accuracy=accuracy)


CASES = {
    "burgers by odd waves": Case(
        "burgers by odd waves",
        odd_burgers,
        functools.partial(neural_time.judge, "burgers"),
        odd_waves(360, 3e-7),
        1e-6,
        300.0,
        told=ODD,
    ),
    "allen-cahn by even waves": Case(
        "allen-cahn by even waves",
        allen_cahn_from_heat,
        from_heat,
        even_waves(192, 1e-6),
        1e-5,
        300.0,
        told=EVEN,
    ),
    "allen-cahn by waves": dataclasses.replace(
        neural_time.case("allen-cahn"),
        label="allen-cahn by waves",
        method=pm.SpectralPINN(),
        told="",
    ),
}
_MORE = {
    "burgers by odd waves": (odd_waves(600, 1e-9), 1e-8),
    "allen-cahn by even waves": (even_waves(384, 1e-7), 1e-6),
}
RECORDS = {
    name: dataclasses.replace(CASES[name], method=method, target=target, budget=180.0)
    for name, (method, target) in _MORE.items()
}

CHECKS: Checks = {
    **{name: case.rows for name, case in CASES.items()},
    **{f"record {name}": case.rows for name, case in RECORDS.items()},
}
