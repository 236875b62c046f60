"""Law: a system of balance laws as finite volumes see it, by slots at one point.

A slot is one component of a field; the slots of all fields, in their order, are a state u (slots,).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import Point, Problem
from pdes._arrays import on_device
from pdes._pde import sample_point
from solvers._result import NotApplicable
from solvers.fv._riemann import RIEMANN, extremes, speed_range


class Law(eqx.Module):
    """Fluxes, sources, waves and admissible states of a problem.

    Attributes:
        offsets: (field, first slot, number of slots).
        upwind, central: for each field the flux terms without gradients and those with.
        given: which of the PDE's hooks answer: "wave_speeds", "star_states", "characteristics",
            "admissible".
    """

    problem: Problem
    offsets: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    upwind: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    central: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    sources: bool = eqx.field(static=True)
    given: frozenset[str] = eqx.field(static=True)

    def __init__(self, problem: Problem):
        self.problem = problem
        offsets, start = [], 0
        for name, shape in problem.shapes.items():
            size = int(np.prod(shape, dtype=int))
            offsets.append((name, start, size))
            start += size
        self.offsets = tuple(offsets)
        forms = problem.forms()
        parts: tuple[list, list] = ([], [])
        for form in forms.values():
            terms = list(zip(form.flux_names, form.equation.flux, strict=True))
            for kind in (False, True):
                chosen = [n for n, f in terms if bool(form.dependence(f).gradients) is kind]
                parts[kind].append(tuple(chosen))
        self.upwind, self.central = tuple(parts[0]), tuple(parts[1])
        self.sources = any(form.equation.source for form in forms.values())
        self.given = _given(problem)

    @property
    def slots(self) -> int:
        return sum(size for _, _, size in self.offsets)

    @property
    def diffusive(self) -> bool:
        return any(self.central)

    def fields(self, u: Array) -> dict[str, Array]:
        """Fields from slots (slots, …)."""
        shapes = self.problem.shapes
        return {n: u[i : i + k].reshape(*shapes[n], *u.shape[1:]) for n, i, k in self.offsets}

    def state(self, fields: dict[str, Array]) -> Array:
        """Slots from fields."""
        return jnp.concatenate([jnp.asarray(fields[n]).reshape(-1) for n, _, _ in self.offsets])

    def point(
        self, u: Array, x: Array, t: Array, gradient: Array | None = None, n: Array | None = None
    ) -> Point:
        """The Point with the state u (slots,) and its gradient (slots, dim), zero by default."""
        if gradient is None:
            gradient = jnp.zeros((*u.shape, x.shape[0]), u.dtype)
        return Point(x, t, self.fields(u), self.fields(gradient), n, None, None)

    def flux(self, p: Point, *, central: bool) -> Array:
        """Terms that use gradients (`central`) or those that don't, (slots, dim)."""
        forms = self.problem.forms().values()
        names = self.central if central else self.upwind
        dim = self.problem.dim
        chosen = zip(forms, names, strict=True)
        return jnp.concatenate([form.flux(p, terms).reshape(-1, dim) for form, terms in chosen])

    def initial_values(self, x: Array) -> Array:
        """Slots of the initial data at points x (dim, count), (slots, count)."""
        rows = []
        for name, _, size in self.offsets:
            datum = self.problem.initial[name]
            values = jax.vmap(lambda y, d=datum: d(y), in_axes=1, out_axes=-1)(x)
            rows.append(values.reshape(size, -1))
        return jnp.concatenate(rows)

    def source(self, u: Array, x: Array, t: Array) -> Array:
        """Σs at a state, (slots,)."""
        p = self.point(u, x, t)
        return jnp.concatenate([f.source(p).reshape(-1) for f in self.problem.forms().values()])

    def through(
        self, solver: str, left: Array, right: Array, x: Array, t: Array, n: Array
    ) -> Array:
        """The numerical flux along n between the states behind and ahead of a face, (slots,)."""
        pde = self.problem.pde

        def flux(u: Array) -> Array:
            return self.flux(self.point(u, x, t), central=False) @ n

        def star(left: Array, right: Array, low: Array, high: Array):
            found = pde.star_states(self.point(left, x, t), self.point(right, x, t), n, low, high)
            assert found is not None
            return found[0], self.state(found[1]), self.state(found[2])

        known = "wave_speeds" in self.given

        def speeds(u: Array) -> tuple[Array, Array]:
            return self.speeds(u, x, t, n)

        return RIEMANN[solver](flux, left, right, speeds if known else None, star)

    def speeds(self, u: Array, x: Array, t: Array, n: Array) -> tuple[Array, Array]:
        """Slowest and fastest wave along n."""
        found = self.problem.pde.wave_speeds(self.point(u, x, t), n)
        if found is None:
            return speed_range(lambda v: self.flux(self.point(v, x, t), central=False) @ n, u)
        return extremes(jnp.asarray(found))

    def diffusivity(self, u: Array, gradient: Array, x: Array, t: Array, n: Array) -> Array:
        """A bound on the eigenvalues of −∂(F·n)/∂(∂u/∂n): the largest row sum."""

        def diffusion(k: Array) -> Array:
            along = gradient + (k - gradient @ n)[:, None] * n
            return self.flux(self.point(u, x, t, along), central=True) @ n

        matrix = jax.jacfwd(diffusion)(gradient @ n)
        return extremes(jnp.sum(jnp.abs(matrix), axis=1))[1]

    def quantities(self, u: Array, x: Array, t: Array) -> list[Array]:
        """What must stay positive, in the PDE's order."""
        return [jnp.asarray(q) for q in self.problem.pde.admissible(self.point(u, x, t)).values()]

    @property
    def quantity_names(self) -> tuple[str, ...]:
        point = sample_point(self.problem.shapes, self.problem.dim)
        traced = eqx.filter_eval_shape(lambda: tuple(self.problem.pde.admissible(point).items()))
        return tuple(name for name, _ in traced)


def chosen_flux(law: Law, riemann: str) -> str:
    """The numerical flux by name, "auto" resolved.

    Raises:
        NotApplicable: hllc for a system that does not give its contact.
    """
    contact = "star_states" in law.given
    if riemann == "auto":
        return "hllc" if contact else "rusanov"
    if riemann == "hllc" and not contact:
        raise NotApplicable(
            f"riemann='hllc' needs the contact wave, and {type(law.problem.pde).__name__} has no "
            "method star_states(left, right, n, slowest, fastest): add it, or use riemann='hll'"
        )
    return riemann


def _given(problem: Problem) -> frozenset[str]:
    """Which hooks answer, found by tracing them."""
    pde, p = problem.pde, sample_point(problem.shapes, problem.dim)
    n = on_device(np.eye(problem.dim)[0])
    one = jnp.ones(())
    answers = {
        "wave_speeds": lambda: pde.wave_speeds(p, n),
        "star_states": lambda: pde.star_states(p, p, n, -one, one),
        "characteristics": lambda: pde.characteristics(p, n),
        "admissible": lambda: pde.admissible(p) or None,
    }
    return frozenset(k for k, answer in answers.items() if jax.eval_shape(answer) is not None)
