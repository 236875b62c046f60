"""FEMSystem: the equations in the degrees of freedom, steady or in time."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array

from solvers._newton import NewtonOptions, NewtonResult, NonlinearEquations, newton
from solvers._same import Hidden
from solvers._system import System
from solvers.fem._assembly import Integral
from solvers.fem._constraints import Essential
from solvers.fem._density import Scales
from solvers.fem._space import Space
from solvers.linear import LinearSolver, Places, SparsePattern, solve_sparse


class Mean(eqx.Module):
    """∫ field component = value, held by a multiplier.

    Attributes:
        dofs: of the component. weights: integrals of their basis functions. row: the
        multiplier's place. slots: in the matrix's values, of the column and of the row.
    """

    dofs: Array
    weights: Array
    value: Array
    row: int = eqx.field(static=True)
    slots: tuple[Array, Array]


class Initial(eqx.Module):
    """u₀ and ∂ₜu₀ of one field at its nodes."""

    value: Any
    rate: Any
    x: Array
    field: str = eqx.field(static=True)

    def at_nodes(self, function: Any) -> Array:
        values = jax.vmap(lambda x: jnp.atleast_1d(function(x)).reshape(-1))(self.x)
        return values.reshape(-1)


class FEMSystem(System):
    """Finite elements for one problem: M ∂ₜz and R by integrals, with prescribed entries.

    The state holds the degrees of freedom of all fields, each padded (see `Space`), then the
    multipliers of mean values, then the rates of fields of second order in time. A compiled
    program depends on padded sizes only: meshes of about the same size share it.

    Attributes:
        places: of the matrix's values. length: of the state without rates, padding included.
        slices: of the fields in it, (name, start, stop).
        hidden_space: the space on the host, which compiled programs don't depend on.
    """

    points: Array
    integrals: tuple[Integral, ...]
    storages: Integral | None
    essential: tuple[Essential, ...]
    means: tuple[Mean, ...]
    initial: tuple[Initial, ...]
    fixed: Array
    kept: Array
    diagonal: Array
    algebraic_rows: Array
    given: Array
    start_time: Array
    places: Places
    hidden_space: Hidden = eqx.field(static=True)
    slices: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    inertial: tuple[str, ...] = eqx.field(static=True)
    linear: LinearSolver = eqx.field(static=True)
    options: NewtonOptions = eqx.field(static=True)
    horizon: float = eqx.field(static=True)
    constrained: bool = eqx.field(static=True)
    incomplete: bool = eqx.field(static=True)

    @property
    def space(self) -> Space:
        """On the host; not for use in a compiled program."""
        return self.hidden_space.value

    @property
    def pattern(self) -> SparsePattern:
        """On the host; not for use in a compiled program."""
        return self.places.host

    @property
    def size(self) -> int:
        """Degrees of freedom and multipliers that exist, rates left out."""
        return self.space.size + len(self.means)

    @property
    def length(self) -> int:
        """Of the state without rates, padding included."""
        return self.places.size

    @property
    def real(self) -> np.ndarray:
        """Places in the state of the unknowns that exist."""
        extra = self.space.length + np.arange(len(self.means))
        return np.concatenate([self.space.real, extra])

    def slice(self, field: str) -> slice:
        """Of a field in the state, padding included."""
        return next(slice(start, stop) for name, start, stop in self.slices if name == field)

    def lift(self, z: Array, t: Array) -> Array:
        """z with the prescribed values at time t."""
        for group in self.essential:
            z = group.set(z, t)
        return z

    def residual(self, z: Array, t: Array, anchors: Any, scales: Scales) -> Array:
        """σ m + α × weak residual, in all rows; prescribed ones included."""
        out = jnp.zeros_like(z)
        for integral in self.integrals:
            out = integral.residual(out, self.points, z, t, (anchors, scales))
        return self._add_means(out, z, scales.spatial)

    def linearize(self, z: Array, t: Array, anchors: Any, scales: Scales) -> tuple[Array, Array]:
        """The residual and the values of its Jacobian, nothing prescribed."""
        out, data = jnp.zeros_like(z), jnp.zeros(self.places.count, z.dtype)
        for integral in self.integrals:
            out, data = integral.tangent(out, data, self.points, z, t, (anchors, scales))
        out = self._add_means(out, z, scales.spatial)
        return out, self._border(data, scales.spatial)

    def _border(self, data: Array, scale: Array) -> Array:
        for mean in self.means:
            for slots in mean.slots:
                data = data.at[slots].add(scale * mean.weights)
        return data

    def stiffness(self, t: Array, scales: Scales) -> Array:
        """The values of the Jacobian of equations that are affine in the fields."""
        data = jnp.zeros(self.places.count, self.points.dtype)
        for integral in self.integrals:
            data = integral.matrix(data, self.points, t, (self.no_anchors(), scales))
        return self._border(data, scales.spatial)

    def apply(self, z: Array, v: Array, t: Any = 0.0) -> Array:
        """The Jacobian of the weak residual at z times v, without a matrix, on any device.

        Prescribed rows and columns are those of the identity, as in the matrix that is solved.
        """
        t = jnp.asarray(t, z.dtype)
        scales = self.scales(0.0, 1.0, 0.0)
        free = jnp.where(self.fixed, 0.0, v)
        anchors = self.no_anchors()
        out = jax.jvp(lambda y: self.residual(y, t, anchors, scales), (z,), (free,))[1]
        return jnp.where(self.fixed, v, out)

    def _add_means(self, out: Array, z: Array, scale: Array) -> Array:
        for mean in self.means:
            out = out.at[mean.dofs].add(scale * z[mean.row] * mean.weights)
            out = out.at[mean.row].add(scale * (mean.weights @ z[mean.dofs] - mean.value))
        return out

    def condense(self, data: Array) -> Array:
        """Prescribed rows and columns replaced by those of the identity: symmetry stays."""
        data = jnp.where(self.kept, data, 0.0)
        return data.at[self.diagonal].add(jnp.where(self.fixed, 1.0, 0.0))

    def scales(self, storage: Any, spatial: Any, rate: Any) -> Scales:
        dtype = self.points.dtype
        return Scales(*(jnp.asarray(v, dtype) for v in (storage, spatial, rate)))

    def no_anchors(self) -> dict[str, Array]:
        return {name: jnp.zeros(self.length, self.points.dtype) for name in self.inertial}

    def solve_steady(self, guess: Array, t: Array) -> NewtonResult:
        """R(z) = 0."""
        zero = jnp.zeros_like(guess)
        scales = self.scales(0.0, 1.0, 0.0)
        return newton(Stage(self, zero, t, self.no_anchors(), scales), guess, self.options)

    def matrix(self, z: Array | None = None, t: float = 0.0) -> sp.csr_matrix:
        """The Jacobian of the weak residual at z (by default 0), nothing prescribed, in the
        unknowns that exist."""
        z = jnp.zeros(self.length, self.points.dtype) if z is None else z[: self.length]
        _, data = _linearized(self, z, jnp.asarray(t, z.dtype))
        pattern = self.pattern
        matrix = pattern.matrix(np.asarray(data)[: pattern.count])
        return matrix[self.real][:, self.real]

    # What a time stepper needs.

    def split(self, z: Array) -> tuple[Array, dict[str, Array]]:
        """Degrees of freedom, and the rates as vectors of the same length."""
        main, start, rates = z[: self.length], self.length, {}
        for name in self.inertial:
            where = self.slice(name)
            length = where.stop - where.start
            rates[name] = jnp.zeros_like(main).at[where].set(z[start : start + length])
            start += length
        return main, rates

    def join(self, main: Array, rates: dict[str, Array]) -> Array:
        return jnp.concatenate([main, *(rates[n][self.slice(n)] for n in self.inertial)])

    def storage(self, z: Array, t: Array) -> Array:
        main, rates = self.split(z)
        out = jnp.zeros_like(main)
        if self.storages is not None:
            extra = (rates, self.scales(1.0, 0.0, 1.0))
            out = self.storages.residual(out, self.points, main, t, extra)
        out = jnp.where(self.algebraic_rows, 0.0, out)
        return self.join(out, {name: main for name in self.inertial})

    def rate(self, z: Array, t: Array) -> Array:
        main, rates = self.split(z)
        out = -self.residual(main, t, self.no_anchors(), self.scales(0.0, 1.0, 0.0))
        out = jnp.where(self.fixed, self.lift(main, t) - main, out)
        return self.join(out, rates)

    def implicit_solve(
        self, right: Array, t: Array, alpha: Array, guess: Array
    ) -> tuple[Array, Array]:
        result, z = self.stage(right, t, alpha, guess)
        return z, result.converged

    def stage(self, right: Array, t: Array, alpha: Array, guess: Array):
        main, anchors = self.split(right)
        main = jnp.where(self.algebraic_rows, 0.0, main)
        scales = self.scales(1.0, alpha, 1.0 / alpha if self.inertial else 0.0)
        stage = Stage(self, main, jnp.asarray(t, main.dtype), anchors, scales)
        result = newton(stage, guess[: self.length], self.options)
        rates = {name: (result.z - anchors[name]) / alpha for name in self.inertial}
        return result, self.join(result.z, rates)

    def algebraic(self) -> Array | None:
        extra = sum(self.slice(n).stop - self.slice(n).start for n in self.inertial)
        return jnp.concatenate([self.algebraic_rows, jnp.zeros(extra, bool)])

    def initial_state(self) -> Array:
        """Initial data at the nodes; definitions and multipliers by short implicit steps."""
        dtype, t = self.points.dtype, self.start_time
        main = jnp.zeros(self.length, dtype)
        rates = self.no_anchors()
        for item in self.initial:
            where = self.slice(item.field)
            main = main.at[where].set(item.at_nodes(item.value).astype(dtype))
            if item.rate is not None:
                value = item.at_nodes(item.rate).astype(dtype)
                rates[item.field] = rates[item.field].at[where].set(value)
        z = self.join(self.lift(main, t), rates)
        return self._complete(z, t) if self.incomplete else z

    def _complete(self, z: Array, t: Array) -> Array:
        """The algebraic entries that belong to the given ones.

        A constraint's multiplier is that of a second short step, since the first may have to
        move the data onto the constraint.
        """
        length = jnp.asarray(1e-6 * self.horizon, z.dtype)
        for _ in range(2 if self.constrained else 1):
            _, moved = self.stage(self.storage(z, t), t, length, z)
            main = jnp.where(self.given, z[: self.length], moved[: self.length])
            z = moved if self.constrained else z.at[: self.length].set(main)
        return z


class Stage(NonlinearEquations):
    """σ m(z) + α × weak residual = right."""

    system: FEMSystem
    right: Array
    t: Array
    anchors: dict[str, Array]
    scales: Scales

    def lift(self, z: Array) -> Array:
        return self.system.lift(z, self.t)

    def residual(self, z: Array) -> Array:
        out = self.system.residual(z, self.t, self.anchors, self.scales) - self.right
        return jnp.where(self.system.fixed, 0.0, out)

    def linearize(self, z: Array) -> tuple[Array, Array]:
        out, data = self.system.linearize(z, self.t, self.anchors, self.scales)
        out = jnp.where(self.system.fixed, 0.0, out - self.right)
        return out, self.system.condense(data)

    def solve(self, jacobian: Array, right: Array, enough: Array | None = None) -> Array:
        return solve_sparse(self.system.places, jacobian, right, self.system.linear, enough)


@eqx.filter_jit
def _linearized(system: FEMSystem, z: Array, t: Array) -> tuple[Array, Array]:
    return system.linearize(z, t, system.no_anchors(), system.scales(0.0, 1.0, 0.0))
