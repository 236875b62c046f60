"""Fourier symbols found by themselves: linear constant-coefficient terms as small matrices.

Every field's components are stacked. A linear term with constant coefficients is F = A u + B:∇u,
read off its Jacobian, so that one row of the system is, with derivatives ∂ⱼ → ikⱼ,

    T(k) = T⁰ + Σⱼ ikⱼ T¹ⱼ − Σᵢⱼ kᵢkⱼ T²ᵢⱼ.

Rows: balances ∂ₜm = Σs − ∇·F, definitions 0 = Σs + ∇·F − w, constraints 0 = ∇·F − Σs.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes import PDE, Form, Point

SIGNS = {"Balance": (-1.0, 1.0), "Definition": (1.0, 1.0), "Constraint": (1.0, -1.0)}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which components there are and what role each one's equation has.

    Attributes:
        names, shapes: of the fields, in order. dim: of the domain.
        stored, inertial: components with ∂ₜm, and with ∂ₜ(ρ∂ₜu); `inertial` may have both.
        algebraic: components of definitions and of balances without time derivative.
        defined: those of definitions. multipliers: components of constraints.
        gauged: components whose mean is given.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dim: int
    stored: tuple[int, ...]
    inertial: tuple[int, ...]
    algebraic: tuple[int, ...]
    defined: tuple[int, ...]
    multipliers: tuple[int, ...]
    gauged: tuple[int, ...]

    @property
    def shapes_by_name(self) -> dict[str, tuple[int, ...]]:
        return dict(zip(self.names, self.shapes, strict=True))

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(int(np.prod(shape, dtype=int)) for shape in self.shapes)

    @property
    def offsets(self) -> tuple[int, ...]:
        return tuple(int(v) for v in np.cumsum((0, *self.sizes))[:-1])

    @property
    def total(self) -> int:
        return sum(self.sizes)

    @property
    def evolving(self) -> tuple[int, ...]:
        """Components that are part of the state, in their order there; rates come after them."""
        return tuple(sorted({*self.stored, *self.inertial}))

    @property
    def state_size(self) -> int:
        return len(self.evolving) + len(self.inertial)

    def components(self, name: str) -> range:
        i = self.names.index(name)
        return range(self.offsets[i], self.offsets[i] + self.sizes[i])


def make_layout(forms: dict[str, Form], dim: int, steady: bool, gauged: set[str]) -> Layout:
    roles: dict[str, list[int]] = {
        key: [] for key in ("stored", "inertial", "algebraic", "defined", "multipliers", "gauged")
    }
    start = 0
    for name, form in forms.items():
        mine = list(range(start, start + int(np.prod(form.shape, dtype=int))))
        start += len(mine)
        if name in gauged:
            roles["gauged"] += mine
        if form.kind == "Constraint":
            # In a steady problem multipliers are unknowns like all others.
            roles["algebraic" if steady else "multipliers"] += mine
        elif form.kind == "Definition":
            roles["defined"] += mine
            roles["algebraic"] += mine
        elif steady or not (form.has_storage or form.has_inertia):
            roles["algebraic"] += mine
        else:
            roles["stored"] += mine if form.has_storage else []
            roles["inertial"] += mine if form.has_inertia else []
    return Layout(
        tuple(forms),
        tuple(form.shape for form in forms.values()),
        dim,
        **{key: tuple(value) for key, value in roles.items()},
    )


class Coefficients(eqx.Module):
    """T⁰ (n, n), T¹ (dim, n, n), T² (dim, dim, n, n), storage (n, n) and inertia (n, n)."""

    zeroth: Array
    first: Array
    second: Array
    storage: Array
    inertia: Array


def zero_point(shapes: dict[str, tuple[int, ...]], dim: int, x: Any = None, t: Any = None) -> Point:
    """A point where every field and gradient is zero."""
    dtype = jnp.result_type(float)
    return Point(
        x=jnp.ones(dim, dtype) if x is None else x,
        t=jnp.ones((), dtype) if t is None else t,
        values={name: jnp.zeros(shape, dtype) for name, shape in shapes.items()},
        gradients={name: jnp.zeros((*shape, dim), dtype) for name, shape in shapes.items()},
    )


def coefficients(forms: dict[str, Form], layout: Layout) -> Coefficients:
    """The linear terms with constant coefficients, by their Jacobians."""
    n, dim = layout.total, layout.dim
    dtype = jnp.result_type(float)
    zeroth, first = jnp.zeros((n, n), dtype), jnp.zeros((dim, n, n), dtype)
    second = jnp.zeros((dim, dim, n, n), dtype)
    storage, inertia = jnp.zeros((n, n), dtype), jnp.zeros((n, n), dtype)
    for name, form in forms.items():
        rows = slice(layout.components(name)[0], layout.components(name)[-1] + 1)
        flux_sign, source_sign = SIGNS[form.kind]
        for term in form.equation.source:
            if form.dependence(term).constant:
                a, b = _jacobian(term, layout)
                zeroth = zeroth.at[rows].add(source_sign * a.reshape(-1, n))
                b = jnp.moveaxis(b.reshape(-1, n, dim), -1, 0)
                first = first.at[:, rows].add(source_sign * b)
        for term in form.equation.flux:
            if form.dependence(term).constant:
                a, b = _jacobian(term, layout)
                a = jnp.moveaxis(a.reshape(-1, dim, n), 1, 0)
                first = first.at[:, rows].add(flux_sign * a)
                b = jnp.moveaxis(b.reshape(-1, dim, n, dim), (1, 3), (0, 1))
                second = second.at[:, :, rows].add(flux_sign * b)
        if form.has_storage:
            a, _ = _jacobian(form.storage, layout)
            storage = storage.at[rows].set(a.reshape(-1, n))
        if form.has_inertia:
            a, _ = _jacobian(form._momentum, layout)
            inertia = inertia.at[rows].set(a.reshape(-1, n))
    return Coefficients(zeroth, first, second, storage, inertia)


def _jacobian(term: Callable, layout: Layout) -> tuple[Array, Array]:
    """∂term/∂(values) (…, n) and ∂term/∂(gradients) (…, n, dim) at zero fields."""
    p = zero_point(layout.shapes_by_name, layout.dim)

    def call(values, grads):
        return jnp.asarray(term(eqx.tree_at(lambda q: (q.values, q.gradients), p, (values, grads))))

    a, b = jax.jacfwd(call, argnums=(0, 1))(p.values, p.gradients)
    out = jax.eval_shape(call, p.values, p.gradients).shape
    pairs = list(zip(layout.names, layout.sizes, strict=True))
    values = jnp.concatenate([a[name].reshape(*out, size) for name, size in pairs], -1)
    grads = jnp.concatenate([b[name].reshape(*out, size, layout.dim) for name, size in pairs], -2)
    return values, grads


class Maps(eqx.Module):
    """Dense linear maps at wavenumbers, with components before the grid axes.

    Attributes:
        linear: L (s, s) of the state's rate. projection: (s, s), onto the constraints.
        unprojected: L before the projection. rate: (s, n), from right-hand sides of the rows to
            the state's rate. fields: (n, s), all components from the state.
        corrections: (n, n), what right-hand sides of the rows add to algebraic components.
        closure: (multipliers, n) the constraints' own dependence on their multipliers.
    """

    linear: Array
    projection: Array
    unprojected: Array
    rate: Array
    fields: Array
    corrections: Array
    closure: Array


def _inverse(a: Array, where: Array | None = None) -> Array:
    """Inverse of (…, m, m); zero where `where` is False."""
    if where is not None:
        a = jnp.where(where[..., None, None], a, jnp.eye(a.shape[-1], dtype=a.dtype))
    inverse = 1.0 / a if a.shape[-1] == 1 else jnp.linalg.inv(a)
    return inverse if where is None else jnp.where(where[..., None, None], inverse, 0.0)


def row_matrix(c: Coefficients, k: Array) -> Array:
    """T(k) for k (dim, *grid): (*grid, n, n), complex."""
    dim = k.shape[0]
    ik = 1j * k.reshape(*k.shape, 1, 1)
    out = jnp.broadcast_to(c.zeroth, (*k.shape[1:], *c.zeroth.shape)) + 0j
    for i in range(dim):
        out = out + ik[i] * c.first[i]
        for j in range(dim):
            out = out + ik[i] * ik[j] * c.second[i, j]
    return out


def maps_at(c: Coefficients, layout: Layout, k: Array) -> Maps:
    """All maps at wavenumbers k (dim, *grid): definitions eliminated, constraints projected."""
    ev, al, mu = (np.array(v, int) for v in (layout.evolving, layout.algebraic, layout.multipliers))
    n, grid = layout.total, k.shape[1:]
    t = row_matrix(c, k)
    nonzero = jnp.any(k != 0, axis=0)

    def block(rows, columns):
        return t[..., rows[:, None], columns[None, :]]

    def zeros(rows, columns):
        return jnp.zeros((*grid, rows, columns), t.dtype)

    to_ev, to_mu, to_al = zeros(len(al), len(ev)), zeros(len(al), len(mu)), zeros(len(al), len(al))
    if len(al):
        defined = np.diag([1.0 if i in layout.defined else 0.0 for i in layout.algebraic])
        matrix = block(al, al) - defined
        fixed = jnp.asarray([i in layout.gauged for i in layout.algebraic]) & ~nonzero[..., None]
        matrix = jnp.where(fixed[..., None], jnp.eye(len(al)), matrix)
        open_rows = jnp.where(fixed, 0.0, 1.0)[..., None, :]
        to_al = -_inverse(matrix) * open_rows
        to_ev, to_mu = to_al @ block(al, ev), to_al @ block(al, mu)
    gain, drift = _time_matrices(c, layout)
    rate_ev = block(ev, ev) + block(ev, al) @ to_ev
    through = zeros(len(ev), n)
    through = through.at[..., :, ev].set(jnp.eye(len(ev), dtype=t.dtype))
    through = through.at[..., :, al].set(block(ev, al) @ to_al) if len(al) else through
    state = layout.state_size
    unprojected = jnp.concatenate(
        [gain @ rate_ev, zeros(state, state - len(ev))], -1
    ) + drift.astype(t.dtype)
    rate = gain @ through
    projection = jnp.broadcast_to(jnp.eye(state, dtype=t.dtype), (*grid, state, state))
    multiplier_state, multiplier_rows = zeros(len(mu), state), zeros(len(mu), n)
    closure = zeros(len(mu), len(mu))
    if len(mu):
        closure = block(mu, mu) + block(mu, al) @ to_mu
        force = gain @ (block(ev, mu) + block(ev, al) @ to_mu)
        divergence = jnp.concatenate(
            [block(mu, ev) + block(mu, al) @ to_ev, zeros(len(mu), state - len(ev))], -1
        )
        inverse = _inverse(divergence @ force, nonzero) @ divergence
        multiplier_state, multiplier_rows = -inverse @ unprojected, -inverse @ rate
        projection = projection - force @ inverse
    fields, corrections = zeros(n, state), zeros(n, n)
    own = jnp.eye(len(ev), state, dtype=t.dtype)
    fields = fields.at[..., ev, :].set(own)
    if len(mu):
        fields = fields.at[..., mu, :].set(multiplier_state)
        corrections = corrections.at[..., mu, :].set(multiplier_rows)
    if len(al):
        fields = fields.at[..., al, :].set(to_ev @ own + to_mu @ multiplier_state)
        direct = zeros(len(al), n).at[..., :, al].set(to_al)
        corrections = corrections.at[..., al, :].set(direct + to_mu @ multiplier_rows)
    found = Maps(
        projection @ unprojected,
        projection,
        unprojected,
        projection @ rate,
        fields,
        corrections,
        closure,
    )
    return jax.tree.map(lambda a: jnp.moveaxis(a, (-2, -1), (0, 1)), found)


def _time_matrices(c: Coefficients, layout: Layout) -> tuple[Array, Array]:
    """K (s, e) and V (s, s) with ∂ₜz = K·(rows of the evolving components) + V z."""
    ev = layout.evolving
    size, count = layout.state_size, len(ev)
    plain = np.array([i for i in ev if i not in layout.inertial], int)
    heavy = np.array(layout.inertial, int)
    dtype = c.zeroth.dtype
    gain, drift = jnp.zeros((size, count), dtype), jnp.zeros((size, size), dtype)
    at = {component: position for position, component in enumerate(ev)}
    if len(plain):
        rows = np.array([at[i] for i in plain])
        inverse = _inverse(c.storage[plain[:, None], plain[None, :]])
        gain = gain.at[rows[:, None], rows[None, :]].set(inverse)
    if len(heavy):
        rows, rates = np.array([at[i] for i in heavy]), count + np.arange(len(heavy))
        inverse = _inverse(c.inertia[heavy[:, None], heavy[None, :]])
        damping = c.storage[heavy[:, None], heavy[None, :]]
        gain = gain.at[rates[:, None], rows[None, :]].set(inverse)
        drift = drift.at[rates[:, None], rates[None, :]].set(-inverse @ damping)
        drift = drift.at[rows, rates].set(1.0)
    return gain, drift


def wavenumbers(points: tuple[int, ...], lengths: tuple[float, ...]) -> np.ndarray:
    """k (dim, *grid) of a real transform, its last axis halved."""
    axes = []
    for i, (count, length) in enumerate(zip(points, lengths, strict=True)):
        last = i == len(points) - 1
        modes = np.arange(count // 2 + 1.0) if last else np.fft.fftfreq(count, 1 / count)
        axes.append(2 * np.pi / length * modes)
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def nyquist_flips(points: tuple[int, ...]) -> list[np.ndarray]:
    """Signs (dim, *grid) for k: every choice of −1 at the Nyquist modes of each axis."""
    grid = (*points[:-1], points[-1] // 2 + 1)
    flips = []
    for chosen in itertools.product((False, True), repeat=len(points)):
        signs = np.ones((len(points), *grid))
        for axis, flip in enumerate(chosen):
            if flip:
                index: list[Any] = [slice(None)] * len(points)
                index[axis] = points[axis] // 2
                signs[(axis, *index)] = -1.0
        flips.append(signs)
    return flips


def concrete(pde: PDE) -> PDE:
    """The PDE with random numbers in place of traced ones, to read its structure off."""
    generator = np.random.default_rng(0)

    def replace(leaf: Any) -> Any:
        if isinstance(leaf, jax.core.Tracer):
            return jnp.asarray(generator.uniform(0.5, 1.5, leaf.shape), leaf.dtype)
        return leaf

    return jax.tree.map(replace, pde)
