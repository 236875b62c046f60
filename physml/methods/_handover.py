"""The state at the end of one slab of time as initial data of the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Interval, Problem
from pdes._fourier_sum import fourier_sum
from solvers import Representation

# A spectrum is resolved when its last tenth is so small, relative to its largest coefficient;
# what lies below the round-off is noise, which high derivatives would blow up.
_RESOLVED, _ROUND_OFF = 1e-10, 1e-15
FEWEST, _MOST = 64, 4096


class Series(eqx.Module):
    """A function of one coordinate by its Fourier or Chebyshev series, (components,).

    Periodic: Σ aₖ cos kθ + bₖ sin kθ, θ = 2π(x − lower)/(upper − lower); else Σ aₖ Tₖ(ξ), ξ ∈
    [−1, 1], by the recurrence of Clenshaw (1955).
    """

    cosines: Array
    sines: Array
    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def smooth(self) -> bool:
        """That it needs no test of whether its values have a kink."""
        return True

    def mean_square(self) -> float:
        """Of a periodic one, by Parseval."""
        squares = np.sum(np.asarray(self.cosines) ** 2 + np.asarray(self.sines) ** 2, axis=1)
        return float(squares[0] + 0.5 * np.sum(squares[1:]))

    def __call__(self, x: Array) -> Array:
        unit = (x[0] - self.lower) / (self.upper - self.lower)
        a, b = self.cosines.astype(x.dtype), self.sines.astype(x.dtype)
        if self.periodic:
            value = a[0] + fourier_sum(2 * np.pi * unit, a[1:].T, b[1:].T)
        else:
            value = _clenshaw(a, 2 * unit - 1)
        return value.reshape(self.shape)


def _clenshaw(coefficients: Array, xi: Array) -> Array:
    """Σ aₖ Tₖ(ξ), (components,)."""

    def down(pair: tuple[Array, Array], a: Array) -> tuple[tuple[Array, Array], None]:
        later, latest = pair
        return (a + 2 * xi * later - latest, later), None

    # A loop, since its program is as short for a thousand terms as for two.
    zero = jnp.zeros_like(coefficients[0])
    (first, second), _ = jax.lax.scan(down, (zero, zero), coefficients[:0:-1])
    return coefficients[0] + xi * first - second


class Previous(eqx.Module):
    """The state itself at one time, for domains without a series."""

    representation: Representation
    time: Array
    pace: Array
    field: str = eqx.field(static=True)
    rate: bool = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        value = _at(self.representation, self.field, self.rate, x, self.time)
        return value / self.pace.astype(value.dtype)


class Start(Representation):
    """What a problem starts from, as if it went on at its rate."""

    problem: Problem

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        rates = self.problem.initial_rate
        found = {n: self.problem.initial_value(n, x) for n in self.problem.initial}
        return {n: v + t * rates[n](x) if n in rates else v for n, v in found.items()}

    def frames(self) -> Array | None:
        return None


def _at(representation: Representation, field: str, rate: bool, x: Array, t: Array) -> Array:
    t = jnp.asarray(t, x.dtype)
    if not rate:
        return representation.values(x, t)[field]
    return jax.jvp(lambda s: representation.values(x, s)[field], (t,), (jnp.ones_like(t),))[1]


def handover(
    problem: Problem,
    representation: Representation,
    time: float,
    least: int = FEWEST,
    pace: float = 1.0,
) -> tuple[dict[str, Callable], dict[str, Callable], int]:
    """Initial data and rates at `time` of a representation, and the length of their series.

    On an interval they are series as short as they can be, but not shorter than `least`: then
    their cost does not grow from slab to slab, and all slabs are one compiled program. Where the
    domain is no interval, or 4096 terms do not resolve the state, the representation itself is
    kept. Rates are divided by `pace`, the length of a unit of the representation's clock.
    """
    states = [(name, False) for name in problem.initial]
    states += [(name, True) for name in problem.initial_rate]
    found: dict[tuple[str, bool], Callable] = {}
    count = least
    if isinstance(problem.domain, Interval) or problem.dim == 1:
        while count <= _MOST:
            series = {s: _series(problem, representation, time, s, count, pace) for s in states}
            if all(done for _, done in series.values()):
                found = {s: made for s, (made, _) in series.items()}
                break
            count *= 2
    if not found:
        count = least
        found = {
            (name, rate): Previous(
                representation, jnp.asarray(time), jnp.asarray(pace if rate else 1.0), name, rate
            )
            for name, rate in states
        }
    values = {name: f for (name, rate), f in found.items() if not rate}
    rates = {name: f for (name, rate), f in found.items() if rate}
    return values, rates, count


def start_series(
    problem: Problem, least: int, waves: int
) -> tuple[dict[str, Callable], dict[str, Callable], int, float]:
    """As `handover`, of the projection of the initial data on waves up to `waves`.

    The last is what the projection leaves out: its root mean square, relative, the largest of all.
    """
    data, rates, terms = handover(problem, Start(problem), 0.0, least)
    resolved = not any(isinstance(f, Previous) for f in [*data.values(), *rates.values()])
    # Of data with a kink or a jump no series is short: the longest is taken for them.
    terms, long = (terms, terms) if resolved else (least, _MOST)
    found: dict[bool, dict[str, Callable]] = {False: {}, True: {}}
    missing = [0.0]
    for rate, names in ((False, problem.initial), (True, problem.initial_rate)):
        for name in names:
            whole, _ = _series(problem, Start(problem), 0.0, (name, rate), long, 1.0)
            a, b = (np.asarray(c) for c in (whole.cosines, whole.sines))
            kept = [np.zeros((terms, c.shape[1])) for c in (a, b)]
            for short, c in zip(kept, (a, b), strict=True):
                short[: waves + 1] = c[:terms][: waves + 1]
            part = dataclasses.replace(
                whole, cosines=jnp.asarray(kept[0]), sines=jnp.asarray(kept[1])
            )
            found[rate][name] = part
            left = max(whole.mean_square() - part.mean_square(), 0.0)
            missing.append(float(np.sqrt(left / max(whole.mean_square(), 1e-300))))
    return found[False], found[True], terms, max(missing)


def _series(
    problem: Problem,
    representation: Representation,
    time: float,
    state: tuple[str, bool],
    n: int,
    pace: float,
) -> tuple[Series, bool]:
    """The interpolating series of n terms, and whether it is resolved."""
    name, rate = state
    low, high = (float(end[0]) for end in problem.domain.bounds)
    periodic = problem.domain.periodic[0]
    nodes = _nodes(n, periodic)
    x = jnp.asarray(low + nodes * (high - low))[:, None]
    values = np.asarray(_values(representation, name, rate, x, jnp.asarray(time)), float)
    if rate:
        values = values / pace
    a, b = _coefficients(values.reshape(len(nodes), -1), n, periodic)
    size = np.hypot(a, b).max(axis=1)
    largest = max(float(size.max()), 1e-300)
    tail = float(size[-max(n // 10, 2) :].max())
    small = (size < _ROUND_OFF * largest)[:, None]
    a, b = np.where(small, 0.0, a), np.where(small, 0.0, b)
    made = Series(jnp.asarray(a), jnp.asarray(b), low, high, periodic, problem.shapes[name])
    return made, tail <= _RESOLVED * largest


@eqx.filter_jit
def _values(representation, name, rate, x, time):
    return jax.vmap(lambda y: _at(representation, name, rate, y, time))(x)


def _nodes(n: int, periodic: bool) -> np.ndarray:
    """Interpolation nodes in [0, 1]: 2n equispaced ones, or n Chebyshev extrema."""
    if periodic:
        return np.arange(2 * n) / (2 * n)
    return 0.5 * (1 - np.cos(np.pi * np.arange(n) / (n - 1)))


def _coefficients(values: np.ndarray, n: int, periodic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cosine (or Chebyshev) and sine coefficients (n, components) of values at the nodes."""
    if periodic:
        modes = np.fft.rfft(values, axis=0)[:n] / len(values)
        a, b = 2 * modes.real, -2 * modes.imag
        a[0] /= 2
        return a, b
    # Extrema in ascending order are those of cos(πj/m) reversed.
    even = np.concatenate([values[::-1], values[1:-1]])
    a = np.fft.rfft(even, axis=0).real[:n] / (n - 1)
    a[0] /= 2
    a[-1] /= 2
    return a, np.zeros_like(a)
