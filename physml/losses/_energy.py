"""The energy of which a problem's weak form is the first variation (deep Ritz)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from pdes import Point, Problem
from physml.losses._collocation import Collocation
from physml.losses._mesh_variational import MeshVariational
from physml.optimizers._energy_newton import CurvedObjective
from solvers._weak import boundary_density, weak_density

_SAMPLES, _PATH = 6, 6


def weak_force(problem: Problem, p: Point, jet: Array) -> Array:
    """(c₀, c₁) of all equations at a point, as a vector beside the jet (u, ∇u) of all fields."""
    forms = problem.forms()
    moved = with_jet(problem, p, jet)
    rows = []
    for form in forms.values():
        value, slope = weak_density(form, moved)
        rows += [value.reshape(-1), slope.reshape(-1)]
    return jnp.concatenate(rows)


def with_jet(problem: Problem, p: Point, jet: Array) -> Point:
    """The point with the values and gradients of a flat jet."""
    values, gradients, start = {}, {}, 0
    for name, shape in problem.shapes.items():
        for store, form in ((values, shape), (gradients, (*shape, problem.dim))):
            size = int(np.prod(form, dtype=int))
            store[name] = jet[start : start + size].reshape(form)
            start += size
    return eqx.tree_at(lambda q: (q.values, q.gradients), p, (values, gradients))


def jet_of(problem: Problem, fields: Callable, x: Array, t: Array) -> Array:
    """(u, ∇u) of all fields at a point, flat; the order is that of `with_jet`."""
    parts = []
    values, columns = fields(x, t), []
    for direction in jnp.eye(problem.dim, dtype=x.dtype):
        columns.append(jax.jvp(lambda y: fields(y, t), (x,), (direction,))[1])
    for name in problem.shapes:
        slope = jnp.stack([c[name] for c in columns], axis=-1)
        parts += [values[name].reshape(-1), slope.reshape(-1)]
    return jnp.concatenate(parts)


def along_path(force: Callable[[Array], Array], jet: Array) -> Array:
    """ψ(z) = ∫₀¹ f(s z)·z ds, whose gradient is f where f's Jacobian is symmetric (Poincaré)."""
    points, weights = np.polynomial.legendre.leggauss(_PATH)
    total = jnp.zeros((), jet.dtype)
    for s, w in zip((points + 1) / 2, weights / 2, strict=True):
        total = total + w * jnp.dot(force(s * jet), jet)
    return total


def no_energy(problem: Problem) -> str | None:
    """Why the weak form is not the variation of an energy, or None where it is.

    The Jacobian of (c₀, c₁) in (u, ∇u) must be symmetric, at random points and jets; likewise
    that of boundary conditions that depend on the fields.
    """
    if not problem.steady:
        return "it depends on time, and only steady states minimise an energy; use pm.PINN"
    kinds = {name: form.kind for name, form in problem.forms().items() if form.kind != "Balance"}
    if kinds:
        name, kind = next(iter(kinds.items()))
        return (
            f"the equation of {name!r} is a {kind.lower()}, with which the solution is a saddle "
            "point and no minimum; use pm.PINN, pm.MeshVPINN or pm.FiniteElement"
        )
    size = sum(int(np.prod(s, dtype=int)) * (1 + problem.dim) for s in problem.shapes.values())
    inside = jnp.asarray(problem.domain.sample_interior(_SAMPLES, seed=3), jnp.result_type(float))
    jets = jax.random.normal(jax.random.key(5), (_SAMPLES, size))

    def tangent(x: Array, jet: Array) -> Array:
        p = place(problem, x)
        return jax.jacfwd(lambda z: weak_force(problem, p, z))(jet)

    if not _symmetric(jax.jit(jax.vmap(tangent))(inside, jets)):
        return (
            "the tangent of its weak form is not symmetric (transport, or coupling in one "
            "direction), so that no energy has it as its variation; use pm.PINN, pm.MeshVPINN or "
            "pm.RobustVPINN"
        )
    return _no_boundary_energy(problem, jets)


def _no_boundary_energy(problem: Problem, jets: Array) -> str | None:
    for part, name in natural_conditions(problem):
        sample = problem.domain.sample_boundary(_SAMPLES, seed=3, part=part)

        def tangent(x: Array, n: Array, jet: Array, part: str = part) -> Array:
            p = eqx.tree_at(lambda q: q.n, place(problem, x), n, is_leaf=lambda v: v is None)
            return jax.jacfwd(lambda z: boundary_force(problem, part, p, z))(jet)

        x, n = (jnp.asarray(a, jets.dtype) for a in (sample.points, sample.normals))
        if not _symmetric(jax.jit(jax.vmap(tangent))(x, n, jets)):
            return (
                f"the condition of {name!r} on {part!r} is not the variation of an energy; use "
                "pm.PINN or pm.MeshVPINN"
            )
    return None


def boundary_force(problem: Problem, part: str, p: Point, jet: Array) -> Array:
    """c of the boundary integrals on a part, in the places of the values of a jet."""
    forms, moved = problem.forms(), with_jet(problem, p, jet)
    rows = []
    for name, form in forms.items():
        size = int(np.prod(form.shape, dtype=int))
        condition = problem.conditions[part].get(name)
        value = jnp.zeros(size, p.x.dtype)
        if condition is not None and not condition.all_essential:
            value = boundary_density(form, condition, moved).reshape(-1)
        rows += [value, jnp.zeros(size * form.dim, p.x.dtype)]
    return jnp.concatenate(rows)


def natural_conditions(problem: Problem) -> list[tuple[str, str]]:
    """(part, field) of each condition that prescribes a flux."""
    return [
        (part, name)
        for part, conditions in problem.conditions.items()
        for name, condition in conditions.items()
        if not condition.all_essential and problem.forms()[name].equation.flux
    ]


def place(problem: Problem, x: Array) -> Point:
    """A point without fields."""
    index = jnp.zeros((), int) if problem.domain.regions else None
    return Point(x, jnp.zeros((), x.dtype), {}, {}, None, index, index)


def _symmetric(matrices: Array) -> bool:
    gap = jnp.abs(matrices - jnp.swapaxes(matrices, 1, 2)).max()
    return bool(gap <= 1e-8 * (1 + jnp.abs(matrices).max()))


class Energy(CurvedObjective):
    """E(u) = ∫ ψ(x, u, ∇u) dx + ∮ β(x, u) ds + w Σ mean |u − g|² of conditions that are not exact.

    ψ and β are those whose derivatives are the weak densities (see `along_path`), and prescribed
    fluxes are natural. A batch has "cells": points (E, Q) and "weights" (E, Q); "facets left"
    likewise; and the points of soft conditions.

    Source: E and Yu (2018).

    Arguments:
        inner: the weak residuals on the same mesh, for its conditions and fields.
        penalty: w of the prescribed values that are not exact.
    """

    inner: MeshVariational
    penalty: float = eqx.field(static=True)

    @property
    def problem(self) -> Problem:
        return self.inner.conditions.problem

    @property
    def conditions(self) -> Collocation:
        return self.inner.conditions

    def terms(self, params: Any, batch: Any) -> dict[str, Array]:
        def inside(point: Any) -> Array:
            return along_path(*self._cell(params, point))

        values = jax.vmap(jax.vmap(inside))(batch["cells"]["points"])
        found = {"energy": jnp.sum(batch["cells"]["weights"] * values)}
        for part in self._parts():

            def border(point: Any, part: str = part) -> Array:
                return along_path(*self._facet(params, point, part))

            facets = batch[f"facets {part}"]
            values = jax.vmap(jax.vmap(border))(facets["points"])
            found[f"energy on {part}"] = jnp.sum(facets["weights"] * values)
        for name, block in self._soft(batch).items():
            found[name] = self.penalty * jnp.sum(block.residual(params) ** 2)
        return found

    def _parts(self) -> list[str]:
        return sorted({part for part, _ in natural_conditions(self.problem)})

    def _soft(self, batch: Any) -> Mapping[str, Any]:
        kept = {f"boundary {p} {n}" for p in self.conditions.soft_parts() for n in self._fixed(p)}
        blocks = self.conditions.condition_blocks(batch)
        return {
            name: block
            for name, block in blocks.items()
            if name in kept or not name.startswith("boundary ")
        }

    def _fixed(self, part: str) -> list[str]:
        conditions = self.problem.conditions[part]
        return [n for n, condition in conditions.items() if condition.any_essential]

    def _cell(self, params: Any, point: Any) -> tuple[Callable[[Array], Array], Array]:
        """The force at a point as a function of the jet, and the jet."""
        problem = self.problem
        p = self._place(point)
        jet = jet_of(problem, self.inner.fields(params, point), point["x"], point["t"])
        return lambda z: weak_force(problem, p, z), jet

    def _facet(self, params: Any, point: Any, part: str) -> tuple[Callable[[Array], Array], Array]:
        problem = self.problem
        p = self._place(point)
        p = eqx.tree_at(lambda q: q.n, p, point["n"], is_leaf=lambda v: v is None)
        jet = jet_of(problem, self.inner.fields(params, point), point["x"], point["t"])
        return lambda z: boundary_force(problem, part, p, z), jet

    def _place(self, point: Any) -> Point:
        return Point(point["x"], point["t"], {}, {}, None, point["region"], point["cell"])

    def linearised(self, params: Any, batch: Any) -> tuple[Array, Array]:
        """∇E (P,) and the Gauss–Newton part of its Hessian, Σ w Jᵀ (∂²ψ) J, (P, P).

        J is the derivative of the jet in the parameters: the energy natural gradient of
        Müller and Zeinhofer (2023).
        """
        theta, _ = ravel_pytree(params)
        gradient = jnp.zeros_like(theta)
        matrix = jnp.zeros((theta.size, theta.size), theta.dtype)
        pieces = [(batch["cells"], self._cell)]
        for part in self._parts():

            def facet(params: Any, point: Any, part: str = part):
                return self._facet(params, point, part)

            pieces.append((batch[f"facets {part}"], facet))
        for data, at in pieces:
            first, second = self._piece(params, data, at)
            gradient, matrix = gradient + first, matrix + second
        for block in self._soft(batch).values():
            r, rows = block.jacobian(params)
            gradient = gradient + 2 * self.penalty * rows.T @ r
            matrix = matrix + 2 * self.penalty * rows.T @ rows
        return gradient, matrix

    def _piece(self, params: Any, data: Any, at: Callable) -> tuple[Array, Array]:
        weights = data["weights"].reshape(-1)
        points = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), data["points"])
        theta, unravel = ravel_pytree(params)

        def one(point: Any) -> tuple[Array, Array, Array]:
            force, jet = at(params, point)
            _, pullback = jax.vjp(lambda flat: at(unravel(flat), point)[1], theta)
            jacobian = jnp.stack([pullback(e)[0] for e in jnp.eye(jet.size, dtype=jet.dtype)])
            return force(jet), jax.jacfwd(force)(jet), jacobian

        force, tangent, jacobian = jax.vmap(one)(points)
        gradient = jnp.einsum("n,nk,nkp->p", weights, force, jacobian)
        bent = jnp.einsum("n,nkl,nlp->nkp", weights, tangent, jacobian)
        size = theta.size
        return gradient, jacobian.reshape(-1, size).T @ bent.reshape(-1, size)
