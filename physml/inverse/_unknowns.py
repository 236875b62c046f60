"""What is identified, as a vector of numbers z, and the predictions of the data at z."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from pdes import Observations, Problem
from solvers import Method, Solution, SolverError

# Steps of differences, where a method has no forward derivatives.
_STEP = 1e-3


@dataclasses.dataclass(frozen=True)
class Unknowns:
    """The numbers in `where(problem.pde)`, each in its own unit of size.

    x = x₀ + s z with s = |x₀| (1 where that is 0), or x = x₀ eᶻ where they are kept positive.

    Attributes:
        start: x₀, (P,). labels: what each is called in messages.
    """

    problem: Problem
    where: Callable[[Any], Any]
    positive: bool
    start: np.ndarray
    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.start)

    @property
    def scale(self) -> np.ndarray:
        """s, (P,)."""
        return np.asarray(_scale(self.start, self.positive))

    def physical(self, z: Any) -> np.ndarray:
        """x at z."""
        return np.asarray(_physical(self.start, z, self.positive))

    def placed(self, z: Any) -> Problem:
        """The problem with these numbers in place."""
        return placed(self.problem, self.where, jnp.asarray(z), self.positive)


def unknowns_of(problem: Problem, where: Callable[[Any], Any], positive: bool) -> Unknowns:
    """Raises TypeError, ValueError: nothing to identify, or a start that is not positive."""
    if not callable(where):
        raise TypeError(f"where is a function such as lambda pde: pde.nu, got {where!r}")
    chosen = where(problem.pde)
    arrays = eqx.filter(chosen, eqx.is_inexact_array)
    if not jax.tree.leaves(arrays):
        raise ValueError(
            f"where(pde) has no numbers to identify: it is {chosen!r}; choose a coefficient that "
            "is a number, an array or a network"
        )
    start = np.asarray(ravel_pytree(arrays)[0])
    if positive and not (start > 0).all():
        raise ValueError(f"positive=True needs a start above zero, got {start}")
    return Unknowns(problem, where, positive, start, _labels(arrays))


def numbers_of(value: Any) -> np.ndarray:
    """All numbers of what is identified, flattened, (P,)."""
    return np.asarray(ravel_pytree(eqx.filter(value, eqx.is_inexact_array))[0])


def _labels(arrays: Any) -> tuple[str, ...]:
    found = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(arrays)[0]:
        name = jax.tree_util.keystr(path).lstrip(".") or "value"
        if leaf.size == 1:
            found.append(name)
            continue
        places = np.ndindex(leaf.shape)
        found += [f"{name}[{', '.join(str(i) for i in place)}]" for place in places]
    return tuple(found)


def _scale(start: Any, positive: bool) -> Array:
    start = jnp.asarray(start)
    return jnp.ones_like(start) if positive else jnp.where(start == 0, 1.0, jnp.abs(start))


def _physical(start: Any, z: Any, positive: bool) -> Array:
    return jnp.asarray(start) * jnp.exp(z) if positive else start + _scale(start, positive) * z


def placed(problem: Problem, where: Callable, z: Array, positive: bool) -> Problem:
    """`problem` with its unknowns at z; traceable."""
    arrays, rest = eqx.partition(where(problem.pde), eqx.is_inexact_array)
    start, unravel = ravel_pytree(arrays)
    value = eqx.combine(unravel(_physical(start, z, positive)), rest)
    return eqx.tree_at(lambda p: where(p.pde), problem, value)


def whitened(solution: Solution, data: Sequence[Observations]) -> Array:
    """(u(xᵢ, tᵢ) − dᵢ)/σᵢ of all data, flattened; σ = 1 where it is not known."""
    parts = []
    for part in data:
        gap = solution[part.field](part.x, part.t) - part.values
        noise = jnp.ones(()) if part.noise is None else part.noise
        spread = jnp.broadcast_to(noise, gap.shape[:1]).reshape(-1, *(1,) * (gap.ndim - 1))
        parts.append((gap / spread).reshape(-1))
    return jnp.concatenate(parts)


def misfit(solution: Solution, data: Sequence[Observations]) -> Array:
    """½ Σ ((u(xᵢ, tᵢ) − dᵢ)/σᵢ)² of a solution."""
    return 0.5 * jnp.sum(whitened(solution, data) ** 2)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """r(z), the whitened misfits of a numerical method's solution, and their derivatives.

    The programs belong to the method, the data's shapes and `where`: other data, a start or a
    value of the same shapes need no new ones.
    """

    unknowns: Unknowns
    method: Method
    data: tuple[Observations, ...]

    def residual(self, z: Any) -> np.ndarray:
        """r(z), (n,). Raises SolverError where the solver fails."""
        return _checked(lambda: _residual(*self._arguments(z)))

    def jacobian(self, z: Any) -> tuple[np.ndarray, str]:
        """∂r/∂z, (n, P), and how it was found."""
        if self.unknowns.problem.steady:
            try:
                return _checked(lambda: _forward(*self._arguments(z))), "forward derivatives"
            except TypeError as error:
                # Some methods have reverse derivatives alone, one solve for each datum.
                if "forward-mode" not in str(error):
                    raise
        z = np.asarray(z, float)
        # The derivatives of a march in time are in reverse mode, one march for each datum.
        columns = []
        for i in range(self.unknowns.size):
            step = np.zeros_like(z)
            step[i] = _STEP
            near = self.residual(z + step) - self.residual(z - step)
            far = self.residual(z + 2 * step) - self.residual(z - 2 * step)
            columns.append((8 * near - far) / (12 * _STEP))
        return np.stack(columns, axis=1), "central differences of fourth order"

    def _arguments(self, z: Any) -> tuple:
        u = self.unknowns
        return u.problem, self.method, self.data, u.where, u.positive, jnp.asarray(z, float)


def _checked(function: Callable) -> np.ndarray:
    try:
        values = np.asarray(function())
    except eqx.EquinoxRuntimeError as error:
        raise SolverError("solve_failed", str(error).strip().splitlines()[0]) from error
    if not np.isfinite(values).all():
        raise SolverError("not_finite", "the predictions or their derivatives are not finite")
    return values


@eqx.filter_jit
def _residual(problem, method, data, where, positive, z):
    return whitened(method.solve(placed(problem, where, z, positive)), data)


@eqx.filter_jit
def _forward(problem, method, data, where, positive, z):
    _, push = jax.linearize(
        lambda y: whitened(method.solve(placed(problem, where, y, positive)), data), z
    )
    return jax.lax.map(push, jnp.eye(z.size, dtype=z.dtype)).T


@eqx.filter_jit
def value_and_gradient(problem, method, data, where, positive, z):
    """½|r|² and its gradient, by the adjoint."""

    def value(y):
        return misfit(method.solve(placed(problem, where, y, positive)), data)

    return jax.value_and_grad(value)(z)
