"""A small Fourier solver of scalar periodic problems in one dimension, for tests only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physml.surrogates._interpolation import GridFunction
from solvers import Method, Representation, Run, Solution, Stats


class Frames(Representation):
    """Frames at the kept times, linear between them."""

    frames_on_grid: list[GridFunction]
    times: jax.Array

    def values(self, x, t):
        stacked = jnp.stack([f(x)[0] for f in self.frames_on_grid])
        return {"u": jnp.interp(t, self.times, stacked)}

    def frames(self):
        return self.times


class PeriodicBurgers(Method):
    """ν u_xx exactly, ½(u²)_x pseudo-spectrally; integrating-factor Runge–Kutta 4."""

    nu: float = 0.1
    n: int = 64
    steps: int = 100
    frames: int = 4

    @property
    def name(self) -> str:
        return "test spectral"

    @property
    def neural(self) -> bool:
        return False

    def inapplicable(self, problem) -> str | None:
        return None if problem.domain.periodic == (True,) else "not periodic: use something else"

    def discretize(self, problem) -> Any:
        x = jnp.arange(self.n) / self.n
        return jax.vmap(lambda y: problem.initial_value("u", y[None]))(x)

    def solve(self, problem, run: Run = Run()) -> Solution:  # noqa: B008
        n, h = self.n, problem.time[1] / self.steps
        k = 2j * np.pi * np.arange(n // 2 + 1)
        keep = np.arange(n // 2 + 1) < n // 3
        whole, half = np.exp(self.nu * k**2 * h).real, np.exp(self.nu * k**2 * h / 2).real

        def slope(v):
            return -0.5 * k * keep * jnp.fft.rfft(jnp.fft.irfft(v, n) ** 2)

        def step(v, _):
            a = slope(v)
            b = slope(half * (v + h / 2 * a))
            c = slope(half * v + h / 2 * b)
            d = slope(whole * v + h * half * c)
            v = whole * v + h / 6 * (whole * a + 2 * half * (b + c) + d)
            return v, v

        start = jnp.fft.rfft(self.discretize(problem))
        _, states = jax.lax.scan(step, start, None, length=self.steps)
        every = self.steps // self.frames
        kept = jnp.concatenate([start[None], states[every - 1 :: every]])
        grids = jnp.fft.irfft(kept, n)[..., None]
        functions = [GridFunction(g, (0.0,), (1.0,), (True,)) for g in grids]
        times = jnp.linspace(0.0, problem.time[1], self.frames + 1)
        return Solution(problem, Frames(functions, times), self, Stats(unknowns=n))
