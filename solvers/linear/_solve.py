"""solve_sparse: A x = b by any back end, differentiable by one more solve with Aᵀ."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers._host_call import HostFunction, host_call
from solvers._same import Hidden, held
from solvers.linear._pattern import SparsePattern
from solvers.linear._places import Places, places_of
from solvers.linear._solver import LinearSolver


def solve_sparse(
    pattern: SparsePattern | Places,
    values: Array,
    b: Array,
    solver: LinearSolver | None = None,
    reduction: Array | None = None,
) -> Array:
    """x with A x = b, A having `values` at the places of `pattern`.

    Works under jit, grad and vmap; derivatives in A and in b by one solve with A or Aᵀ, which
    reuses the factor. Where A is singular, or an iteration does not converge, x is NaN: callers
    report it by name.

    Arguments:
        pattern: as `Places`, where one compiled program is to serve many patterns; the solver
            must then be chosen already.
        values: (pattern.count,). b: (pattern.size,).
        reduction: of the residual at which an iteration on the host may stop already, where it is
            looser than the solver's tolerance. Derivatives are solved to the tolerance.
    """
    solver = solver or LinearSolver()
    if isinstance(pattern, SparsePattern):
        solver = solver.chosen(pattern, 2, False)
        places = places_of(pattern, solver.tables(pattern), exact=True)
    else:
        places = pattern
    rows, columns = places.rows, places.columns

    def matvec(x: Array) -> Array:
        return jnp.zeros_like(x).at[rows].add(values * x[columns], indices_are_sorted=True)

    fixed = jax.lax.stop_gradient(values)
    enough = jnp.zeros((), b.dtype) if reduction is None else jax.lax.stop_gradient(reduction)
    if solver.in_jax:

        def iterate(_, right: Array) -> Array:
            return solver.iterate(places, fixed, right)

        return jax.lax.custom_linear_solve(matvec, b, iterate, symmetric=True)

    def forward(_, right: Array) -> Array:
        return _on_host(places, fixed, right, enough, solver, False)

    def backward(_, right: Array) -> Array:
        return _on_host(places, fixed, right, jnp.zeros_like(enough), solver, True)

    return jax.lax.custom_linear_solve(matvec, b, forward, backward)


@dataclasses.dataclass(frozen=True)
class _HostSolve(HostFunction):
    """(number of a pattern, values, b, enough) ↦ A⁻¹b or A⁻ᵀb with the factor the pattern keeps.

    b may be a stack. The keeper is some pattern of this size, which the program then keeps alive.
    """

    solver: LinearSolver
    transpose: bool
    keeper: Hidden

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray]:
        number, values, b, enough = arrays
        pattern: SparsePattern = held(number)
        right = np.asarray(b, np.float64)
        factor = pattern.factor(
            repr(self.solver),
            values[: pattern.count],
            lambda data: self.solver.factor(pattern, data),
        )
        if factor.singular or not np.isfinite(right).all():
            return (np.full(right.shape, np.nan, b.dtype),)
        rows = right.reshape(-1, right.shape[-1])
        solved = np.stack([factor.solve(row, self.transpose, float(enough)) for row in rows])
        return (solved.reshape(b.shape).astype(b.dtype),)

    @property
    def stacks(self) -> tuple[bool, ...]:
        return (False, False, True, False)


def _on_host(
    places: Places,
    values: Array,
    b: Array,
    enough: Array,
    solver: LinearSolver,
    transpose: bool,
) -> Array:
    out = [jax.ShapeDtypeStruct(b.shape, b.dtype)]
    function = _HostSolve(solver, transpose, places.pattern.keeper)
    return host_call(function, out, places.pattern.number, values, b, enough)[0]
