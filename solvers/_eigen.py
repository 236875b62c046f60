"""eigenvalues: modes e^{λt} v(x) of a problem, linearised by automatic differentiation.

λ M v = J v with M = m′(z₀) and J = R′(z₀) of the System that a method makes. M is singular where
equations have no time derivative (boundary values, definitions, incompressibility); these rows
are solved for exactly, again until no more appear, so that no infinite eigenvalue is computed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pdes import Problem
from pdes._data import as_datum
from pdes._equation import term_name
from solvers._eigen_traced import traced_eigenvalues
from solvers._method import Method
from solvers._pencil import finite_eigenvalues
from solvers._result import NotApplicable
from solvers._solution import Representation, Solution, Stats
from solvers._system import System
from solvers.spectral._chebyshev_blocks import Blocks
from solvers.time._compiled import is_traced
from solvers.time._series import TimeSeries

_LARGEST = 6000
_EQUILIBRIUM = 1e-6


@dataclasses.dataclass(frozen=True)
class Eigenmodes(Sequence):
    """What `eigenvalues` returns: a sequence of Solutions, one a mode.

    Attributes:
        values: λ, complex (count,). solutions: Re(e^{λ(t − t₀)} v(x)) as functions of x and t,
            with the largest entry of v real and of size 1; t₀ is the problem's start.
        residuals: |J v − λ M v| relative to |J||v|, (count,). unknowns: size of the pencil.
    """

    values: Any
    solutions: tuple[Solution, ...]
    residuals: Any
    unknowns: int

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.solutions[index]


class _Oscillation(Representation):
    """Re(e^{λ(t − t₀)} (a + ib)(x))."""

    real: Representation
    imaginary: Representation
    value: Array
    start: float = eqx.field(static=True)

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        growth = jnp.exp(self.value[0] * (t - self.start))
        angle = self.value[1] * (t - self.start)
        zero = jnp.zeros_like(t)
        first, second = self.real.values(x, zero), self.imaginary.values(x, zero)
        return {
            name: growth * (jnp.cos(angle) * first[name] - jnp.sin(angle) * second[name])
            for name in first
        }

    def frames(self) -> Array | None:
        return None


def eigenvalues(
    problem: Problem,
    method: Method,
    *,
    count: int = 6,
    target: complex | None = None,
    about: Any = None,
) -> Eigenmodes:
    """The modes e^{λt} v(x) of a problem in time, by any method that makes a System.

    A problem that is not linear is linearised about a steady state: so the growth of waves on a
    flow follows from the equations of the flow. On a domain that is periodic the modes are sought
    wavenumber by wavenumber where the state allows it.

    Under `jax.grad` and `jax.jit` the values come as an array, differentiable where they are
    simple, with no Solutions.

    Arguments:
        problem: with a time interval, whose start is where coefficients are evaluated.
        count: how many. target: those nearest to it; by default those that grow fastest.
        about: the state: a Solution, or from each field to a number or a function of x (fields left
            out are zero).

    Raises:
        ValueError: a steady problem; one that is not linear without `about`; a state that is not
            steady; a count below 1.
        NotApplicable: a method without a System of equations, or more than 6000 unknowns.
        SolverError: "singular_pencil": the modes are not determined.

    Source: the reduction is Wilkinson's (1979).
    """
    if count < 1:
        raise ValueError(f"count is at least 1, got {count}")
    if problem.steady:
        raise ValueError(
            f"{problem.name!r} is steady and e^{{λt}} has no time derivative to act on: give the "
            "problem time=(0.0, 1.0) and initial data (their values don't matter)"
        )
    _check_linear(problem, about)
    system = method.discretize(problem)
    if not isinstance(system, System):
        raise NotApplicable(
            f"{method.name} makes no matrices of a problem: use pm.Chebyshev or pm.FiniteElement"
        )
    assert problem.time is not None
    t = jnp.asarray(problem.time[0], jnp.result_type(float))
    given = method.state(problem, system, _functions(problem, about or {}))
    if is_traced(system, given):
        values = _traced_values(system, given, t, count, target)
        return Eigenmodes(values, (), jnp.zeros(0), given.size)
    if about is not None:
        _check_steady(system, given, t)
    found = _modes(system, given, t)
    order = np.argsort([_key(value, target) for value, _, _ in found], kind="stable")
    chosen = [found[i] for i in order[:count]]
    values = np.array([value for value, _, _ in chosen], complex)
    solutions = tuple(
        _solution(problem, method, system, value, vector, given.size) for value, vector, _ in chosen
    )
    return Eigenmodes(values, solutions, np.array([r for _, _, r in chosen]), given.size)


def _key(value: complex, target: complex | None) -> float:
    return -value.real if target is None else abs(value - target)


def _check_linear(problem: Problem, about: Any) -> None:
    if about is not None:
        return
    for name, form in problem.forms().items():
        for term in form.all_terms():
            if not form.dependence(term).affine:
                raise ValueError(
                    f"{problem.name!r} is not linear: the term {term_name(term)!r} of {name!r} is "
                    "not affine in the fields. Its modes are those about a steady state: give "
                    "about=…, a Solution or functions of x by field, {'u': lambda x: …}"
                )


def _functions(problem: Problem, about: Any) -> dict[str, Callable]:
    """The given state as functions of x."""
    if isinstance(about, Solution):
        t = 0.0 if about.problem.steady else about.problem.time[1]  # type: ignore[index]
        return {name: lambda x, n=name: about[n](x, t) for name in problem.shapes}
    if not isinstance(about, Mapping):
        raise TypeError(f"about is a Solution or a dictionary by field, got {about!r}")
    for name in about:
        if name not in problem.shapes:
            raise ValueError(f"about: no field {name!r}; the fields are {sorted(problem.shapes)}")
    return {
        name: as_datum(value, problem.shapes[name], problem.dim, f"about[{name!r}]", time=False)
        for name, value in about.items()
    }


def _check_steady(system: System, z: Array, t: Array) -> None:
    """Raises ValueError where R(z) is more than round-off and discretisation explain."""
    rest, size = _imbalance(system, z, t)
    if not float(rest) <= _EQUILIBRIUM * float(size):
        raise ValueError(
            f"the state given as about=… is not steady: its rate of change is {float(rest):.1e}, "
            f"beside terms of size {float(size):.1e}. Give every field (a pressure that balances "
            "the forces too), on enough points, or a steady solution pm.solve(…)"
        )


@eqx.filter_jit
def _imbalance(system: System, z: Array, t: Array) -> tuple[Array, Array]:
    # J z and R(0) are what the terms add up to, taken apart enough to see their size.
    product = jax.jvp(lambda y: system.rate(y, t), (z,), (z,))[1]
    start = system.rate(jnp.zeros_like(z), t)
    rest = jnp.max(jnp.abs(system.rate(z, t)))
    size = jnp.maximum(jnp.max(jnp.abs(product)), jnp.max(jnp.abs(start)))
    return rest, jnp.maximum(size, jnp.max(jnp.abs(z)))


def _modes(system: System, z: Array, t: Array) -> list[tuple[complex, Array, float]]:
    """(λ, v of the state's shape, residual) of all modes."""
    periodic = getattr(system, "periodic", ())
    if periodic:
        found = _by_wavenumber(system, z, t, periodic)
        if found is not None:
            return found
    if z.size > _LARGEST:
        raise NotApplicable(
            f"the eigenproblem has {z.size} unknowns, of at most {_LARGEST} for dense matrices: "
            "use fewer points or cells"
        )
    jacobian, mass = (np.asarray(m) for m in _dense(system, z, t))
    # Padding of a state is in no equation and no equation is its own.
    used = np.any(jacobian, axis=0) | np.any(jacobian, axis=1) | np.any(mass, axis=1)
    places = np.ix_(used, used)
    out = []
    for value, vector, rest in _pairs(jacobian[places], mass[places]):
        full = np.zeros(z.size, vector.dtype)
        full[used] = vector
        out.append((value, full.reshape(z.shape), rest))
    return out


@eqx.filter_jit
def _dense(system: System, z: Array, t: Array) -> tuple[Array, Array]:
    def flat(function: Callable) -> Array:
        return jax.jacfwd(lambda y: function(y.reshape(z.shape), t).reshape(-1))(z.reshape(-1))

    return flat(system.rate), flat(system.storage)


@eqx.filter_jit
def _blocks(system: Any, z: Array, t: Array, periodic: tuple[int, ...]) -> tuple[Blocks, Blocks]:
    rate = Blocks.of(lambda y: system.rate(y, t), z, periodic)
    return rate, Blocks.of(lambda y: system.storage(y, t), z, periodic)


def _traced_values(system: System, z: Array, t: Array, count: int, target: complex | None) -> Array:
    periodic = getattr(system, "periodic", ())
    if not periodic:
        jacobian, mass = _dense(system, z, t)
        return traced_eigenvalues(jacobian[None], mass[None], (False,), count, target)
    rate, stored = _blocks(system, z, t, periodic)
    v = jax.random.normal(jax.random.key(0), z.shape, z.dtype)
    values = eqx.error_if(
        rate.values,
        ~(_mismatch(system, z, t, rate, v) < 1e-9),
        "[not_uniform] the state changes along a periodic direction: its modes have no wavenumber, "
        "and can't be differentiated",
    )
    doubled = tuple(bool(wave[-1] != 0) for wave in rate.wavenumbers())
    return traced_eigenvalues(values, stored.values, doubled, count, target)


@eqx.filter_jit
def _mismatch(system: System, z: Array, t: Array, rate: Blocks, v: Array) -> Array:
    exact = jax.jvp(lambda y: system.rate(y, t), (z,), (v,))[1]
    return jnp.max(jnp.abs(rate.solve(v) - exact)) / jnp.max(jnp.abs(exact))


def _by_wavenumber(system: Any, z: Array, t: Array, periodic: tuple[int, ...]):
    """All modes, or None where the linearisation changes along a periodic direction."""
    rate, mass = _blocks(system, z, t, periodic)
    v = jax.random.normal(jax.random.key(0), z.shape, z.dtype)
    if not float(_mismatch(system, z, t, rate, v)) < 1e-9:
        return None
    if rate.values.shape[1] > _LARGEST:
        raise NotApplicable(
            f"each wavenumber has {rate.values.shape[1]} unknowns, of at most {_LARGEST}"
        )
    out = []
    for k, wave in enumerate(rate.wavenumbers()):
        real = not wave.any()
        a: Any = np.asarray(rate.values[k])
        m: Any = np.asarray(mass.values[k])
        if real:
            a, m = a.real, m.real
        for value, vector, rest in _pairs(a, m):
            field = rate.wave(vector, wave)
            out.append((value, field, rest))
            if wave[-1] != 0:
                # The other half of the wavenumbers are the conjugates of these.
                out.append((np.conj(value), np.conj(field), rest))
    return out


def _pairs(jacobian: NDArray, mass: NDArray) -> list[tuple[complex, NDArray, float]]:
    values, vectors = finite_eigenvalues(jacobian, mass)
    left, right = jacobian @ vectors, (mass @ vectors) * values
    size = np.abs(jacobian) @ np.abs(vectors) + np.abs(mass) @ np.abs(vectors * values)
    rest = np.abs(left - right).max(axis=0) / size.max(axis=0)
    return list(zip(values.astype(complex), vectors.T, rest, strict=True))


def _solution(problem, method, system, value, vector, unknowns) -> Solution:
    vector = vector / vector.reshape(-1)[np.abs(vector).argmax()]
    start = float(problem.time[0])
    parts = []
    for part in (vector.real, vector.imag):
        state = jnp.asarray(part)[None]
        series = TimeSeries(jnp.zeros(1), state, jnp.zeros_like(state))
        parts.append(method.functions(problem, system, series))
    functions = _Oscillation(parts[0], parts[1], jnp.array([value.real, value.imag]), start)
    stats = Stats(unknowns=unknowns, extra={"eigenvalue": complex(value)})
    return Solution(problem, functions, method, stats)


__all__ = ["Eigenmodes", "eigenvalues"]
