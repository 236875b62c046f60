"""Distributions of parameters: numbers and random functions, each draw reproducible."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Box, Domain

_MODES = {1: 64, 2: 16, 3: 8}


class Distribution(abc.ABC):
    """Something that a family draws: a number or a function of position.

    A draw is an array of latent numbers (`draw`), from which `make` builds the value. The latent
    arrays of many samples have one shape, so that they can be stacked and mapped over.
    """

    @abc.abstractmethod
    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Latent numbers of one sample, always of one shape, in float64."""

    @abc.abstractmethod
    def make(self, latent: Array) -> Any:
        """The value that `make_problem` is given."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """What it is, for JSON; two distributions that differ say different things."""


def _finite(name: str, **values: float) -> None:
    for label, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"{name}: {label} is a number, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{name}: {label} must be finite, got {value!r}")


class Uniform(Distribution):
    """U(low, high).

    Raises:
        ValueError: low is not below high, or either is not finite.
    """

    def __init__(self, low: float, high: float):
        _finite("Uniform", low=low, high=high)
        if not low < high:
            raise ValueError(f"Uniform needs low < high, got {low!r}, {high!r}")
        self.low, self.high = float(low), float(high)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return np.asarray(generator.uniform(self.low, self.high))

    def make(self, latent: Array) -> Array:
        return latent

    def describe(self) -> dict[str, Any]:
        return {"kind": "Uniform", "low": self.low, "high": self.high}


class LogUniform(Distribution):
    """log X ~ U(log low, log high).

    Raises:
        ValueError: not 0 < low < high, or not finite.
    """

    def __init__(self, low: float, high: float):
        _finite("LogUniform", low=low, high=high)
        if not 0 < low < high:
            raise ValueError(f"LogUniform needs 0 < low < high, got {low!r}, {high!r}")
        self.low, self.high = float(low), float(high)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return np.exp(generator.uniform(math.log(self.low), math.log(self.high)))

    def make(self, latent: Array) -> Array:
        return latent

    def describe(self) -> dict[str, Any]:
        return {"kind": "LogUniform", "low": self.low, "high": self.high}


class Normal(Distribution):
    """N(mean, deviation²).

    Raises:
        ValueError: a deviation that is not positive, or not finite.
    """

    def __init__(self, mean: float = 0.0, deviation: float = 1.0):
        _finite("Normal", mean=mean, deviation=deviation)
        if not deviation > 0:
            raise ValueError(f"Normal needs a positive deviation, got {deviation!r}")
        self.mean, self.deviation = float(mean), float(deviation)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return np.asarray(generator.normal(self.mean, self.deviation))

    def make(self, latent: Array) -> Array:
        return latent

    def describe(self) -> dict[str, Any]:
        return {"kind": "Normal", "mean": self.mean, "deviation": self.deviation}


class SeriesFunction(eqx.Module):
    """f(x) = g(mean + Σₖ cₖ φₖ(x)), a finite series of eigenfunctions of −∇² on a box.

    Independent of any grid and differentiable. Called with x (dim,), or as a coefficient with a
    point `p`, and with an optional time that it does not depend on.

    Attributes:
        coefficients: c, one axis a direction. mean: added to the series.
        low, high: corners of the box. kinds: "fourier", "sine" or "cosine" for each direction.
        transform: g.
    """

    coefficients: Array
    mean: float = eqx.field(static=True)
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    kinds: tuple[str, ...] = eqx.field(static=True)
    transform: Callable[[Array], Array] | None = eqx.field(static=True)

    def __call__(self, x: Any, t: Any = None) -> Array:
        position = jnp.asarray(getattr(x, "x", x))
        if position.shape != (len(self.kinds),):
            raise ValueError(
                f"this function takes one position of shape ({len(self.kinds)},), "
                f"got {position.shape}; for many use jax.vmap"
            )
        value = self.coefficients.astype(position.dtype)
        for axis, kind in enumerate(self.kinds):
            low, length = self.low[axis], self.high[axis] - self.low[axis]
            basis = eigenfunctions(
                kind, self.coefficients.shape[axis], (position[axis] - low) / length
            )
            value = jnp.tensordot(basis / math.sqrt(length), value, 1)
        value = value + self.mean
        return value if self.transform is None else self.transform(value)


def eigenfunctions(kind: str, count: int, s: Array) -> Array:
    """The first `count` orthonormal eigenfunctions of −d²/ds² on [0, 1] at s, (count,).

    "fourier": 1, √2 cos 2πs, √2 sin 2πs, √2 cos 4πs, …; "sine": √2 sin jπs, j ≥ 1;
    "cosine": 1, √2 cos jπs.
    """
    index = np.arange(count)
    root = math.sqrt(2.0)
    if kind == "sine":
        return root * jnp.sin((index + 1) * np.pi * s)
    if kind == "cosine":
        return jnp.where(index == 0, 1.0, root * jnp.cos(index * np.pi * s)).astype(s.dtype)
    angle = 2 * np.pi * ((index + 1) // 2) * s
    waves = root * jnp.where(index % 2 == 1, jnp.cos(angle), jnp.sin(angle))
    return jnp.where(index == 0, 1.0, waves).astype(s.dtype)


def _eigenvalues(kind: str, count: int, length: float) -> np.ndarray:
    index = np.arange(count)
    if kind == "sine":
        return ((index + 1) * np.pi / length) ** 2
    if kind == "cosine":
        return (index * np.pi / length) ** 2
    return (2 * np.pi * ((index + 1) // 2) / length) ** 2


class GaussianField(Distribution):
    """g(N(mean, amplitude² (−∇² + τ²)^{−power})) on a box; a draw is a function of x.

    The series Σ √s(λₖ) ξₖ φₖ of orthonormal eigenfunctions of −∇² with ξₖ ~ N(0, 1) and
    s(λ) = amplitude² (λ + τ²)^{−power}, cut at `modes`: Fourier in periodic directions; in
    others sines (zero at the ends, `boundary="dirichlet"`) or cosines (`"neumann"`).

    Arguments:
        domain: an Interval, Rectangle or Box. amplitude, tau, power: of the covariance;
            amplitude 25, τ 5 and power 2 is N(0, 625 (−∇² + 25)⁻²).
        spectrum: s as a function of λ, instead of those three.
        modes: wavenumbers kept a direction (64, 16 and 8 in 1, 2 and 3 dimensions).
        mean: added before g. transform: g, such as jnp.exp; the identity by default.

    Raises:
        TypeError: a domain that is no box. ValueError: parameters out of range; a spectrum that
            is negative or not finite, as for τ = 0 with a constant mode.

    Source: Lord, Powell, Shardlow (2014), section 7.4; Li et al. (2021), section 5.1.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        amplitude: float = 25.0,
        tau: float = 5.0,
        power: float = 2.0,
        spectrum: Callable[[Any], Any] | None = None,
        boundary: str = "dirichlet",
        modes: int | None = None,
        mean: float = 0.0,
        transform: Callable[[Array], Array] | None = None,
    ):
        if not isinstance(domain, Box):
            raise TypeError(
                f"GaussianField needs an Interval, Rectangle or Box, got {domain!r}; on another "
                "domain draw it on a box around it"
            )
        _finite("GaussianField", amplitude=amplitude, tau=tau, power=power, mean=mean)
        if boundary not in ("dirichlet", "neumann"):
            raise ValueError(f"boundary is 'dirichlet' or 'neumann', got {boundary!r}")
        modes = _MODES.get(domain.dim, 4) if modes is None else modes
        if not isinstance(modes, int) or modes < 1:
            raise ValueError(f"GaussianField needs a positive number of modes, got {modes!r}")
        low, high = domain.bounds
        self.low, self.high = tuple(low.tolist()), tuple(high.tolist())
        open_kind = "sine" if boundary == "dirichlet" else "cosine"
        self.kinds = tuple("fourier" if flag else open_kind for flag in domain.periodic)
        self.amplitude, self.tau, self.power = float(amplitude), float(tau), float(power)
        self.spectrum, self.modes, self.mean = spectrum, modes, float(mean)
        self.transform = transform
        self.deviations = self._deviations()

    def _deviations(self) -> np.ndarray:
        """√s(λ) of each term of the series."""
        total: Any = 0.0
        for axis, kind in enumerate(self.kinds):
            count = 2 * self.modes + 1 if kind == "fourier" else self.modes
            values = _eigenvalues(kind, count, self.high[axis] - self.low[axis])
            total = np.add.outer(total, values)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.spectrum is None:
                density = self.amplitude**2 * (total + self.tau**2) ** -self.power
            else:
                density = np.broadcast_to(np.asarray(self.spectrum(total), float), total.shape)
        if not np.isfinite(density).all() or (density < 0).any():
            raise ValueError(
                "GaussianField: the spectrum must be finite and not negative for every eigenvalue "
                f"of −∇²; the smallest is {float(np.min(total)):g} (for τ = 0 use "
                "boundary='dirichlet', or a small τ)"
            )
        return np.sqrt(density)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return self.deviations * generator.normal(size=self.deviations.shape)

    def make(self, latent: Array) -> SeriesFunction:
        return SeriesFunction(latent, self.mean, self.low, self.high, self.kinds, self.transform)

    def describe(self) -> dict[str, Any]:
        law: Any = {"amplitude": self.amplitude, "tau": self.tau, "power": self.power}
        if self.spectrum is not None:
            # The function itself can't be written down: its values on the series can.
            law = [float(f"{d:.8g}") for d in self.deviations.ravel()[:64]]
        transform = None
        if self.transform is not None:
            with jax.ensure_compile_time_eval():
                probe = np.asarray(self.transform(jnp.linspace(-2.0, 2.0, 5)), float)
            transform = [float(f"{v:.5g}") for v in probe.ravel()]
        return {
            "kind": "GaussianField",
            "low": list(self.low),
            "high": list(self.high),
            "series": list(self.kinds),
            "modes": self.modes,
            "mean": self.mean,
            "law": law,
            "transform": transform,
        }


class Fixed(Distribution):
    """A parameter that does not vary: what a number given in place of a distribution becomes."""

    def __init__(self, value: Any):
        self.value = np.asarray(value, dtype=float)
        if not np.isfinite(self.value).all():
            raise ValueError(f"a fixed parameter must be finite, got {value!r}")

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return self.value

    def make(self, latent: Array) -> Array:
        return latent

    def describe(self) -> dict[str, Any]:
        return {"kind": "Fixed", "value": self.value.tolist()}
