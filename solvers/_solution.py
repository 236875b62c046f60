"""Solution: the fields as functions of x and t, with what it cost."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pdes import Point, Problem
from solvers._traced import Traced, traced


@dataclasses.dataclass(frozen=True)
class Stats:
    """What a solve cost.

    Attributes:
        unknowns: degrees of freedom, or parameters of a network.
        compile_seconds, run_seconds: tracing and compiling apart from running.
        iterations: Newton, time or optimizer steps. peak_memory: bytes, 0 if not known.
        history: (seconds, step, loss) of iterative methods. notes: choices that were made.
        extra: anything a method adds, numbers and strings by name.
    """

    unknowns: int = 0
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    iterations: int = 0
    peak_memory: int = 0
    history: tuple[tuple[float, int, float], ...] = ()
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


class Representation(eqx.Module):
    """How a method keeps its answer: something that can be evaluated at one point.

    `values(x, t)` must be traceable by JAX and differentiable in x and t (almost everywhere).
    """

    @abc.abstractmethod
    def values(self, x: Array, t: Array) -> dict[str, Array]:
        """Every field at one point x (dim,) and time t ()."""

    @abc.abstractmethod
    def frames(self) -> Array | None:
        """Times at which states are kept, (frames,), for output; None where t is continuous
        (networks) or the problem steady."""

    @property
    def continuous(self) -> bool:
        """Whether the fields have no jumps inside the domain."""
        return True

    @property
    def at_once(self) -> int | None:
        """Most points that are evaluated at once, where each takes much memory; None for all."""
        return None


class KnownTimes(Representation):
    """A representation that answers at some times only, and refuses others.

    Comparisons measure it at these times; nothing is interpolated between them.
    """

    @abc.abstractmethod
    def known_times(self) -> Array | None:
        """The times, (frames,); None for a steady problem."""


class FieldFunction(eqx.Module):
    """`solution["u"]`: a function of position and time."""

    representation: Representation
    field: str = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    def __call__(self, x: Any, t: Any = 0.0) -> Array:
        """The field at x of shape (dim,), or (…, dim) with t broadcast against (…).

        In one dimension a number is a point as well.

        Raises:
            ValueError: x without a last axis of length dim.
        """
        x = jnp.asarray(x, dtype=jnp.result_type(float))
        t = jnp.asarray(t, dtype=x.dtype)
        if self.dim == 1 and x.ndim == 0:
            x = x[None]
        if x.ndim == 0 or x.shape[-1] != self.dim:
            hint = "; for a list of points in one dimension use x[:, None]" if self.dim == 1 else ""
            raise ValueError(f"positions have shape (…, {self.dim}), got {x.shape}{hint}")
        batch = jnp.broadcast_shapes(x.shape[:-1], t.shape)
        if batch == ():
            return _at_point(self.representation, self.field, x, t)
        points = jnp.broadcast_to(x, (*batch, self.dim)).reshape(-1, self.dim)
        times = jnp.broadcast_to(t, batch).reshape(-1)
        out = _at_points(self.representation, self.field, points, times)
        return out.reshape(*batch, *out.shape[1:])


# Compiled as a whole: operation by operation, each would be compiled for every new shape.
@eqx.filter_jit
def _at_point(representation: Representation, field: str, x: Array, t: Array) -> Array:
    return representation.values(x, t)[field]


@eqx.filter_jit
def _at_points(representation: Representation, field: str, x: Array, t: Array) -> Array:
    return _over(representation, lambda p: representation.values(*p)[field], (x, t))


@eqx.filter_jit
def _point(representation: Representation, x: Array, t: Array, place: dict[str, Any]) -> Point:
    from pdes import point_of

    return point_of(representation.values, x, t, **place)


@eqx.filter_jit
def _function_at(representation: Representation, function: Traced, x: Array, t: Array) -> Array:
    return _over(representation, lambda y: function(_point(representation, y, t, {})), x)


def _over(representation: Representation, function: Any, points: Any) -> Array:
    """A function of one point at all points."""
    if representation.at_once is None:
        return jax.vmap(function)(points)
    return jax.lax.map(function, points, batch_size=representation.at_once)


class Solution(eqx.Module):
    """What every method returns.

    `solution["u"](x, t)` evaluates a field; `.stats` has the cost; `.problem` and `.method`
    say what was solved and how. `parameters` holds what was trained or identified.
    """

    problem: Problem
    representation: Representation
    method: Any
    stats: Stats = eqx.field(static=True)
    parameters: Any = None

    def __getitem__(self, field: str) -> FieldFunction:
        if field not in self.problem.shapes:
            raise KeyError(f"no field {field!r}; this solution has {sorted(self.problem.shapes)}")
        return FieldFunction(self.representation, field, self.problem.dim)

    def point(self, x: Array, t: Any = 0.0, **place: Any) -> Point:
        """The Point at one x and t, with values and gradients of all fields."""
        x = jnp.asarray(x)
        return _point(self.representation, x, jnp.asarray(t, x.dtype), place)

    def evaluate(self, function: Callable[[Point], Any], x: Array, t: Any = 0.0) -> Array:
        """function(p) at points x (n, dim) and one time t."""
        x = jnp.asarray(x)
        t = jnp.asarray(t, x.dtype)
        # Only the operations matter: another function of the same ones is not compiled again.
        sample = eqx.filter_eval_shape(_point, self.representation, x[0], t, {})
        value = traced(lambda p: jnp.asarray(function(p)), sample)
        return _function_at(self.representation, value, x, t)

    def integrate(
        self,
        function: Callable[[Point], Any],
        over: str | None = None,
        t: float | None = None,
        degree: int = 5,
    ) -> Array:
        """∫ function(p) over the domain, a named material or a named part of the boundary.

        On a boundary the point has the outward normal `p.n`: a fluid's drag is the integral of
        (p I − ν∇u)·n over the body. `t` is by default the end; `degree` that of the quadrature.

        Raises:
            ValueError: no such part.
        """
        from solvers.fem import integrate

        return integrate(self, function, over, t, degree)

    def reaction(self, field: str, over: str, t: float | None = None) -> Array:
        """∮ F·n over a named part of the boundary, of the field's shape, from the weak residual.

        Far more accurate than `integrate` (finite elements only). A fluid's force on a body, the
        heat that leaves, minus the force of a support on a solid.

        Raises:
            ValueError: no such field or part, or another method.
        """
        from solvers.fem import reaction

        return reaction(self, field, over, t)

    def certify(
        self,
        kind: str = "auto",
        *,
        reference: Any = None,
        tolerance: float = 0.05,
        levels: int = 3,
    ) -> Any:
        """Estimates the error without the exact solution: a `Certificate`, which prints.

        "energy": of linear, symmetric, positive definite steady problems, the residual's dual norm
        (its Riesz representer in a finite element space) with the mismatch of boundary values;
        "parabolic": the same in time with the initial error; both equal the error in their norm up
        to discretisation. "difference": the distance to a numerical solution that is solved at
        growing resolutions until its own error is a tenth of that. Finite element solutions
        have "residual" and "zz", see `pm.estimate`.

        Arguments:
            kind: one of these, or "auto". reference: a method or solution, or several from coarse
                to fine, for "difference". tolerance: relative change of the estimate at which
                its own mesh is fine enough. levels: meshes at most.

        Raises:
            NotApplicable: no such certificate for this problem; names what there is.
            ValueError: options out of range, or a solution that is not finite.
        """
        from solvers.certify import certify

        return certify(self, kind, reference=reference, tolerance=tolerance, levels=levels)

    def plot(self, field: str | None = None, t: float | None = None, **options: Any) -> Any:
        """A matplotlib Figure of one field (by default the first), at one time or over all.

        In one dimension and time a space–time map with slices, in two filled contours, in three
        the mid-plane.

        Arguments:
            edges: draw the cells of a plane finite element mesh. deformed, scale: move them by
                scale × a vector field (by default so that it shows). streamlines: of a vector
                field of the plane, over the picture.
        """
        from solvers.output import plot

        return plot(self, field, t, **options)

    def animate(self, path: str | Path, field: str | None = None, frames: int = 60) -> Path:
        """One field over time as a film: .gif, or .mp4 where ffmpeg is installed."""
        from solvers.output import animate

        return animate(self, path, field, frames)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Writes the fields; the suffix chooses the format.

        .h5 holds samples and metadata that `load` reads back, .vtu and .xdmf a mesh (a series in
        time), .nc a lattice (needs xarray). Options: see `solvers.output.save`; `units` by name go
        into .h5 and .nc.
        """
        from solvers.output import save

        return save(self, path, **options)
